//! The system's clocks, read as one integer: nanoseconds on an axis that the whole process shares.
//!
//! On Linux the axis has the zero of `CLOCK_MONOTONIC`, the clock that `std::time::Instant` reads
//! there. Reading it directly takes a multiplication and an addition, whereas subtracting two
//! instants of `std` takes 50 instructions, a good part of the cost of arming a timer. Elsewhere
//! the zero is a day before the first reading of the clock: a paused clock may show a time before
//! that reading, and times on the axis should be positive.

use std::sync::LazyLock;
use std::time::Instant;

pub(crate) use self::imp::{boottime, coarse, monotonic, thread_cpu};

/// One moment on the clock of `std` and on the axis.
///
/// `std` is read first, so that an instant of `std` never maps to a moment before it: a deadline
/// may be late by the time between the two reads, but never early. Of a few pairs, the one with the
/// least time in between is kept, in case the thread was interrupted.
static PAIR: LazyLock<(Instant, i64)> = LazyLock::new(|| {
    let pairs = [(); 8].map(|()| {
        let std = Instant::now();
        let nanos = monotonic();
        (std.elapsed(), (std, nanos))
    });
    pairs.into_iter().min().unwrap_or(pairs[0]).1
});

/// Returns the position of an instant of `std` on the axis. Saturates at the ends of the axis.
pub(crate) fn from_std(std: Instant) -> i64 {
    let (base, at) = *PAIR;
    let signed = |gap: std::time::Duration| i64::try_from(gap.as_nanos()).unwrap_or(i64::MAX);
    match std.checked_duration_since(base) {
        Some(after) => at.saturating_add(signed(after)),
        None => at.saturating_sub(signed(base - std)),
    }
}

/// Returns the instant of `std` at a position on the axis, if the platform can represent it, or
/// some instant of this process.
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

/// Returns whether a clock that counts on the axis shows the present time, within a microsecond.
/// The clock is read twice. The second reading comes once the present time is more than a
/// microsecond after what the first one showed, and it must be the present time. So a clock that
/// has just been stopped, and still shows the present time for a moment, is not taken for one that
/// runs.
pub(crate) fn shows_real_time(clock: impl Fn() -> i64) -> bool {
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

/// Returns whether a clock runs: whether it shows a later time some microseconds later.
#[cfg(feature = "tokio")]
pub(crate) fn runs(clock: impl Fn() -> i64) -> bool {
    const GAP: i64 = 2_000;
    let shown = clock();
    let until = monotonic().saturating_add(GAP);
    while monotonic() < until {
        std::hint::spin_loop();
    }
    clock() > shown
}

#[cfg(target_os = "linux")]
mod imp {
    use rustix::time::{ClockId, clock_gettime};

    /// Returns the time on the axis: nanoseconds of the monotonic clock.
    #[inline]
    pub(crate) fn monotonic() -> i64 {
        read(ClockId::Monotonic)
    }

    /// Returns the time on the axis at the last tick of the system: a few milliseconds ago, or more
    /// if the machine is held up. Reading that takes a fifth of the time of the exact one.
    #[inline]
    pub(crate) fn coarse() -> Option<i64> {
        Some(read(ClockId::MonotonicCoarse))
    }

    /// Returns the nanoseconds of the clock that also counts suspended time. They are not on the
    /// axis.
    pub(crate) fn boottime() -> i64 {
        read(ClockId::Boottime)
    }

    /// Returns the CPU time of this thread in nanoseconds, `None` if the system does not tell. It
    /// takes a system call.
    pub(crate) fn thread_cpu() -> Option<u64> {
        // Under a model checker no decision may depend on it.
        let is_model = cfg!(any(loom, shuttle));
        (!is_model).then(|| read(ClockId::ThreadCPUTime).cast_unsigned())
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

    /// Returns the time on the axis.
    pub(crate) fn monotonic() -> i64 {
        i64::try_from(ZERO.elapsed().as_nanos()).unwrap_or(i64::MAX)
    }

    /// Returns `None`, because these platforms have no clock that is cheaper to read.
    pub(crate) fn coarse() -> Option<i64> {
        None
    }

    /// Returns the time on the axis, because these platforms have no second clock that differs only
    /// in whether it counts suspended time.
    pub(crate) fn boottime() -> i64 {
        monotonic()
    }

    /// Returns `None`: these platforms have no function of std for the CPU time of a thread.
    pub(crate) fn thread_cpu() -> Option<u64> {
        None
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
            // `PAIR` reads `std` first, too, so the time may be behind by the gap between its
            // reads.
            assert!(to_std(now) + Duration::from_millis(1) >= std, "behind std");
        }
    }

    #[test]
    fn the_coarse_clock_is_never_ahead() {
        for _ in 0..1_000 {
            let coarse = coarse();
            assert!(coarse.is_none_or(|coarse| coarse > 0 && coarse <= monotonic()));
        }
    }

    #[test]
    fn a_stopped_clock_is_told_from_a_running_one() {
        assert!(shows_real_time(monotonic));
        for gap in [-1_000_000_000, -1_000, 0, 900, 1_000_000_000] {
            let stands = monotonic() + gap;
            assert!(!shows_real_time(|| stands), "{gap}");
            assert!(gap.abs() < 2_000 || !shows_real_time(|| monotonic() + gap));
        }
    }

    #[test]
    #[cfg(feature = "tokio")]
    fn a_clock_that_shows_another_time_runs_too() {
        for gap in [-1_000_000_000, 0, 1_000_000_000] {
            let stands = monotonic() + gap;
            assert!(!runs(|| stands), "{gap}");
            assert!(runs(|| monotonic() + gap), "{gap}");
        }
    }

    #[test]
    fn instants_of_std_convert_to_the_axis_and_back() {
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
