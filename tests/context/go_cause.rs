//! Go's `TestCause`, row by row.
//!
//! Its rows "TODO" and "WithCancelCause nil" have no counterpart; the rows of custom contexts are
//! in `go.rs`.

use std::time::Duration;

use reveille::{Context, ContextError};

use crate::support::manual;

const FOREVER: Duration = Duration::from_secs(1_000_000);
const PARENT: &str = "parentCause";
const CHILD: &str = "childCause";
const TOO_SLOW: &str = "tooSlow";
const FINISHED_EARLY: &str = "finishedEarly";
const CANCELED: &str = "context canceled";
const EXCEEDED: &str = "context deadline exceeded";

#[track_caller]
fn check(make: impl FnOnce(Context) -> Context, err: Option<ContextError>, cause: &str) {
    let context = make(Context::background());
    assert_eq!(context.err(), err);
    assert_eq!(crate::cause(&context).unwrap_or_default(), cause);
}

/// Makes a parent and a child of the root, and returns the child.
fn family(act: impl FnOnce(&Context, &Context)) -> impl FnOnce(Context) -> Context {
    move |root| {
        let (parent, child) = (root.child(), root.child().child());
        drop(child);
        let child = parent.child();
        act(&parent, &child);
        child
    }
}

#[test]
fn cancellation() {
    let canceled = Some(ContextError::Canceled);
    let with = |act: fn(&Context)| {
        move |root: Context| {
            let context = root.child();
            act(&context);
            context
        }
    };
    check(|root| root, None, "");
    check(
        with(|context| assert!(context.cancel())),
        canceled,
        CANCELED,
    );
    let cancel_with = with(|context| assert!(context.cancel_with(PARENT)));
    check(cancel_with, canceled, PARENT);
    // Parent cause before child, and after child.
    let rows = family(|parent, child| {
        assert!(parent.cancel_with(PARENT) && !child.cancel_with(CHILD));
    });
    check(rows, canceled, PARENT);
    let rows = family(|parent, child| {
        assert!(child.cancel_with(CHILD) && parent.cancel_with(PARENT));
    });
    check(rows, canceled, CHILD);
    // Parent cause before nil, and after nil.
    let rows = family(|parent, child| assert!(parent.cancel_with(PARENT) && !child.cancel()));
    check(rows, canceled, PARENT);
    let rows = family(|parent, child| assert!(child.cancel() && parent.cancel_with(PARENT)));
    check(rows, canceled, CANCELED);
    // Child cause after nil, and before nil.
    let rows = family(|parent, child| assert!(parent.cancel() && !child.cancel_with(CHILD)));
    check(rows, canceled, CANCELED);
    let rows = family(|parent, child| assert!(child.cancel_with(CHILD) && parent.cancel()));
    check(rows, canceled, CHILD);
}

#[test]
fn timeouts() {
    let (_clock, driver) = manual();
    let _entered = driver.handle().enter();
    let (canceled, exceeded) = (ContextError::Canceled, ContextError::DeadlineExceeded);
    let (canceled, exceeded) = (Some(canceled), Some(exceeded));
    let then_cancel = |context: Context| {
        context.cancel();
        context
    };
    let zero = |root: Context| then_cancel(root.with_timeout(Duration::ZERO));
    check(zero, exceeded, EXCEEDED);
    let long = |root: Context| then_cancel(root.with_timeout(FOREVER));
    check(long, canceled, CANCELED);
    let zero = |root: Context| then_cancel(root.with_timeout_cause(Duration::ZERO, TOO_SLOW));
    check(zero, exceeded, TOO_SLOW);
    let long = |root: Context| then_cancel(root.with_timeout_cause(FOREVER, TOO_SLOW));
    check(long, canceled, CANCELED);
    let stacked = |limit| {
        move |root: Context| {
            let parent = root.child();
            let context = parent.with_timeout_cause(limit, TOO_SLOW);
            parent.cancel_with(FINISHED_EARLY);
            context
        }
    };
    check(stacked(Duration::ZERO), exceeded, TOO_SLOW);
    check(stacked(FOREVER), canceled, FINISHED_EARLY);
}

#[test]
fn without_cancel() {
    check(|root| root.without_cancel(), None, "");
    let canceled = |root: Context| {
        let detached = root.without_cancel();
        root.cancel_with(FINISHED_EARLY);
        detached
    };
    check(canceled, None, "");
    let timed = |root: Context| {
        let context = root.with_timeout_cause(Duration::ZERO, TOO_SLOW);
        let detached = context.without_cancel();
        context.cancel();
        detached
    };
    check(timed, None, "");
}

/// A deadline that is not the earliest has no say, nor has its cause.
#[test]
fn the_cause_of_a_later_deadline_is_not_used() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let root = Context::background();
    let parent = root.with_timeout_cause(Duration::from_secs(1), PARENT);
    let child = parent.with_timeout_cause(Duration::from_secs(2), CHILD);
    let at = clock.now() + Duration::from_millis(500);
    let first = child.with_deadline_cause(at, TOO_SLOW);
    clock.advance(Duration::from_secs(3));
    let causes = [&parent, &child, &first].map(|context| crate::cause(context).unwrap());
    assert_eq!(causes, [PARENT, PARENT, TOO_SLOW]);
}
