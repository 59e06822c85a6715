//! Checks of the invariants of runs, used by the tests of the heap and the store.

use super::*;

impl<const MARKS_STALE: bool> Runs<MARKS_STALE> {
    /// Returns the runs, and how many slots of each are stale.
    pub(in crate::heap) fn iter(&self) -> impl Iterator<Item = (&Run, usize)> {
        let runs = self.groups.iter().flat_map(|group| &group.runs);
        let newly_stale = self.groups.iter().flat_map(|group| &group.newly_stale);
        runs.zip(newly_stale)
            .map(|(run, newly)| (run, run.stale as usize + usize::from(newly.stale)))
    }

    /// Checks R1 as far as lows go, R2 and R4.
    pub(in crate::heap) fn verify(&self) {
        assert!(
            self.iter()
                .map(|(run, _)| run.low)
                .is_sorted_by(|a, b| a < b),
            "R1"
        );
        assert_eq!(self.lows.len(), self.groups.len(), "R2");
        for (group, low) in self.groups.iter().zip(&self.lows) {
            assert!(
                (1..=Self::GROUP).contains(&group.runs.len()),
                "R2: {}",
                group.runs.len()
            );
            assert_eq!(group.newly_stale.len(), group.runs.len(), "R2");
            assert!(
                group
                    .runs
                    .iter()
                    .map(|run| run.low)
                    .eq(group.lows.iter().copied()),
                "R2"
            );
            assert_eq!(*low, group.lows[0], "R2");
            for (run, newly) in group.runs.iter().zip(&group.newly_stale) {
                let limit = usize::from(newly.limit);
                assert!(
                    limit == 0 || limit <= run.limit(),
                    "R4: {limit} of {}",
                    run.limit()
                );
            }
        }
    }
}
