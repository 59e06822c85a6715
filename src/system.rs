//! What does the system's clock say, in one integer?
//!
//! Nanoseconds on an axis that the whole process shares. On Linux its zero is that of
//! `CLOCK_MONOTONIC`, which is what `std::time::Instant` reads there: asked directly, the answer is
//! a multiplication and an addition, where two instants of `std` take 50 instructions to subtract,
//! a good part of what arming a timer costs. Elsewhere the zero is a day before the first look at the
//! clock: a paused clock may stand before that look, and time on the axis is to be positive.

use std::sync::LazyLock;
use std::time::Instant;

pub(crate) use self::imp::{boottime, monotonic};

/// One moment on the clock of `std` and on the axis.
///
/// Read in this order, so that an instant of `std` is never taken for an earlier moment than it is:
/// a deadline may be late by what lies between the two reads, but not early. Of a few pairs the one
/// with the least in between is kept, in case the thread was interrupted.
static PAIR: LazyLock<(Instant, i64)> = LazyLock::new(|| {
    let pairs = [(); 8].map(|()| {
        let std = Instant::now();
        let nanos = monotonic();
        (std.elapsed(), (std, nanos))
    });
    pairs.into_iter().min().unwrap_or(pairs[0]).1
});

/// Where an instant of `std` lies on the axis; the ends stand for all beyond.
pub(crate) fn from_std(std: Instant) -> i64 {
    let (base, at) = *PAIR;
    let signed = |gap: std::time::Duration| i64::try_from(gap.as_nanos()).unwrap_or(i64::MAX);
    match std.checked_duration_since(base) {
        Some(after) => at.saturating_add(signed(after)),
        None => at.saturating_sub(signed(base - std)),
    }
}

/// The instant of `std` at a place on the axis, as far as the platform can represent it.
pub(crate) fn to_std(nanos: i64) -> Instant {
    let (base, at) = *PAIR;
    let gap = std::time::Duration::from_nanos(nanos.abs_diff(at));
    let std = if nanos >= at {
        base.checked_add(gap)
    } else {
        base.checked_sub(gap)
    };
    std.unwrap_or(base)
}

/// Whether a clock that counts on the axis shows the time there, now and some microseconds later: once
/// would not do, since a clock that has just been stopped shows the time for a moment.
pub(crate) fn is_shown_by(clock: impl Fn() -> i64) -> bool {
    const GAP: i64 = 1_000;
    let shown = clock();
    loop {
        let now = monotonic();
        if shown > now.saturating_add(GAP) {
            return false;
        }
        if now > shown.saturating_add(GAP) {
            break;
        }
        std::hint::spin_loop();
    }
    let before = monotonic();
    let shown = clock();
    (before - GAP..=monotonic() + GAP).contains(&shown)
}

#[cfg(target_os = "linux")]
mod imp {
    use rustix::time::{ClockId, clock_gettime};

    /// The time on the axis: nanoseconds of the monotonic clock.
    #[inline]
    pub(crate) fn monotonic() -> i64 {
        read(ClockId::Monotonic)
    }

    /// Nanoseconds of the clock that counts suspended time, too; not on the axis.
    pub(crate) fn boottime() -> i64 {
        read(ClockId::Boottime)
    }

    #[inline]
    fn read(clock: ClockId) -> i64 {
        let time = clock_gettime(clock);
        time.tv_sec * 1_000_000_000 + time.tv_nsec
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    use std::sync::LazyLock;
    use std::time::Instant;

    static ZERO: LazyLock<Instant> = LazyLock::new(|| {
        let now = Instant::now();
        now.checked_sub(std::time::Duration::from_secs(86_400))
            .unwrap_or(now)
    });

    /// The time on the axis.
    pub(crate) fn monotonic() -> i64 {
        i64::try_from(ZERO.elapsed().as_nanos()).unwrap_or(i64::MAX)
    }

    /// There is no clock here that counts suspended time and that another does not.
    pub(crate) fn boottime() -> i64 {
        monotonic()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_axis_is_the_clock_of_std() {
        for _ in 0..1_000 {
            let std = Instant::now();
            let now = monotonic();
            let after = Instant::now();
            assert!(to_std(now) <= after, "ahead of std");
            // The pair was taken in this order, too; its gap is what may be missing here.
            assert!(to_std(now) + Duration::from_millis(1) >= std, "behind std");
        }
    }

    #[test]
    fn a_clock_that_stands_still_is_told_from_one_that_runs() {
        assert!(is_shown_by(monotonic));
        for gap in [-1_000_000_000, -1_000, 0, 900, 1_000_000_000] {
            let stands = monotonic() + gap;
            assert!(!is_shown_by(|| stands), "{gap}");
            assert!(gap.abs() < 2_000 || !is_shown_by(|| monotonic() + gap));
        }
    }

    #[test]
    fn instants_of_std_go_there_and_back() {
        let now = Instant::now();
        for gap in [0, 1, 999_999_999, 1_000_000_000, 86_400_000_000_000] {
            let gap = Duration::from_nanos(gap);
            assert_eq!(to_std(from_std(now + gap)), now + gap);
            if let Some(before) = now.checked_sub(gap) {
                assert_eq!(to_std(from_std(before)), before);
            }
        }
    }
}
