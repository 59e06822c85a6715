//! What a wake-up costs, and the slack that follows from it: numbers in, numbers out.
//!
//! Wake-ups for dense timers may take a sixtieth of a core. So if one takes 15 µs of CPU, as on a
//! virtual machine, they are kept 900 µs apart; on bare metal, where it takes 3 to 5 µs, 180 to
//! 300. It is a sixtieth because dense timers then cost about what they cost with `tokio::time`,
//! which wakes every millisecond, at half its lateness. With a twentieth they cost 1.3 to 1.4 times
//! as much, with a fortieth 1.1 to 1.3 times.
//!
//! The bounds: below 50 µs the work that a wake-up brings costs more than the wake-up, and above a
//! millisecond there is little left to save.
//!
//! A sample is the CPU time of one wait. Whatever else the thread did meanwhile only adds to it, so
//! the estimate follows lower samples faster than higher ones, and one sample that is far too high
//! counts as twice the estimate. The first few count more, because what they are to replace is a
//! guess: on a runtime of several threads most samples are thrown away, and few are left.

/// Which part of a core the wake-ups for dense timers may take: one in so many.
const SHARE: u64 = 60;

/// The shortest slack that is chosen, 50 µs, and the longest, a millisecond.
const SHORTEST: u64 = 50_000;
pub(super) const LONGEST: u64 = 1_000_000;

/// What a wake-up is taken to cost before one was measured, in nanoseconds: it makes for the slack
/// that `Builder::DEFAULT_SLACK` promises, 150 µs.
pub(super) const GUESS: u64 = 150_000 / SHARE;

/// Returns the slack if a wake-up costs `cost` nanoseconds.
pub(super) fn slack_for(cost: u64) -> u64 {
    cost.saturating_mul(SHARE).clamp(SHORTEST, LONGEST)
}

/// So many samples count more than those that follow.
const EARLY: u64 = 8;

/// Returns what a wake-up is taken to cost after a sample, if it was taken to cost `estimate` after
/// `earlier` samples.
pub(super) fn after_sample(estimate: u64, sample: u64, earlier: u64) -> u64 {
    let sample = sample.min(estimate.saturating_mul(2));
    let (down, up) = if earlier < EARLY { (2, 2) } else { (4, 8) };
    let moved = match sample < estimate {
        true => estimate - (estimate - sample) / down,
        false => estimate + (sample - estimate) / up,
    };
    // Beyond these the slack does not change, and the way back would only be longer.
    moved.clamp(SHORTEST / SHARE, LONGEST.div_ceil(SHARE))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const US: u64 = 1_000;

    /// Returns the estimate after `count` samples, `sample(n)` the nth.
    fn after(count: u64, sample: impl Fn(u64) -> u64) -> u64 {
        (0..count).fold(GUESS, |cost, n| after_sample(cost, sample(n), n))
    }

    #[test]
    fn wake_ups_take_a_sixtieth_of_a_core_within_the_bounds() {
        for cost in [3 * US, 5 * US, 10 * US, 15 * US] {
            assert_eq!(slack_for(cost), 60 * cost);
        }
        assert_eq!(slack_for(GUESS), 150 * US);
        assert_eq!((slack_for(0), slack_for(US / 2)), (50 * US, 50 * US));
        assert_eq!(
            (slack_for(17 * US), slack_for(u64::MAX)),
            (1000 * US, 1000 * US)
        );
    }

    #[test]
    fn the_estimate_comes_to_what_is_measured() {
        for cost in [3 * US, 5 * US, 10 * US, 15 * US] {
            let estimate = after(40, |_| cost);
            assert!(estimate.abs_diff(cost) < cost / 10, "{estimate} of {cost}");
        }
        assert_eq!(slack_for(after(100, |_| 0)), 50 * US);
        assert_eq!(slack_for(after(100, |_| u64::MAX)), 1000 * US);
    }

    /// With the weight of later samples it would be 5 µs, and the slack a third of what it should
    /// be.
    #[test]
    fn six_samples_replace_the_guess() {
        let cost = after(6, |_| 15 * US);
        assert!((13 * US..15 * US).contains(&cost), "{cost}");
        // One that is far too high does little harm.
        let cost = after(6, |n| if n == 3 { u64::MAX } else { 3 * US });
        assert!((3 * US..4 * US).contains(&cost), "{cost}");
    }

    /// A machine that becomes busy and idle again, or a process that moves to another one.
    #[test]
    fn the_estimate_leaves_its_bounds_as_fast_as_any_value() {
        let low = after(1000, |_| 0);
        let up = (0..40).fold(low, |cost, _| after_sample(cost, 15 * US, EARLY));
        assert!(up > 13 * US, "{up}");
        let high = after(1000, |_| u64::MAX);
        let down = (0..40).fold(high, |cost, _| after_sample(cost, 3 * US, EARLY));
        assert!(down < 4 * US, "{down}");
    }

    /// One wait in four has other work in it, or a fault.
    #[test]
    fn what_else_a_thread_did_counts_little() {
        let cost = after(200, |n| if n % 4 == 0 { 10_000 * US } else { 10 * US });
        assert!((10 * US..14 * US).contains(&cost), "{cost}");
    }
}
