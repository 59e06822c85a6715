//! Prints each part, and compares what happened with what the guide promises.

use std::fmt::Debug;
use std::process::ExitCode;

/// The parts that were played, and what differed.
#[derive(Default)]
pub(crate) struct Guide {
    part: u32,
    checks: u32,
    differ: Vec<String>,
}

impl Guide {
    /// Begins the next part.
    pub(crate) fn part(&mut self, number: u32, title: &str, promise: &str) {
        assert_eq!(number, self.part + 1, "the parts are played in order");
        self.part = number;
        println!("\n{number:>2}  {title}\n    the guide: {promise}");
    }

    /// Prints something that only this run can tell, such as a time that was measured.
    pub(crate) fn note(&self, note: impl AsRef<str>) {
        println!("    {}", note.as_ref());
    }

    /// Prints what happened, and notes whether it is what was promised.
    pub(crate) fn expect<T: PartialEq + Debug>(&mut self, what: &str, happened: T, promised: T) {
        if happened == promised {
            println!("    as promised: {what}: {happened:?}");
        } else {
            println!("    DIFFERS:     {what}: {happened:?} instead of {promised:?}");
            self.differ.push(format!("{}, {what}", self.part));
        }
        self.checks += 1;
    }

    /// Prints a duration that must not be shorter than promised. The machine may be busy, so it may
    /// be longer.
    pub(crate) fn at_least(
        &mut self,
        what: &str,
        took: std::time::Duration,
        least: std::time::Duration,
    ) {
        if took >= least {
            println!("    as promised: {what}: {took:.2?}, not before {least:?}");
        } else {
            println!("    DIFFERS:     {what}: {took:?}, which is before {least:?}");
            self.differ.push(format!("{}, {what}", self.part));
        }
        self.checks += 1;
    }

    /// Prints the result, and returns the code with which the program ends.
    pub(crate) fn finish(self) -> ExitCode {
        println!();
        if self.part == 21 && self.differ.is_empty() {
            println!("OK: 21 parts, {} results, all as promised.", self.checks);
            return ExitCode::SUCCESS;
        }
        println!("FAILED: {} parts were played. What differs:", self.part);
        self.differ
            .iter()
            .for_each(|what| println!("  part {what}"));
        ExitCode::FAILURE
    }
}
