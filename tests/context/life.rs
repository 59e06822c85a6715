//! How much is kept, and for how long: many children, deep chains, dropped handles.

use std::sync::Arc;
use std::thread;

use reveille::{Context, ContextError};

use crate::children;
use crate::support::{Count, Task, manual, ms, secs, watched};

/// Runs `test` on a stack that is far too small for a recursion over all levels.
fn on_a_small_stack(test: fn()) {
    let thread = thread::Builder::new().stack_size(128 * 1024);
    thread.spawn(test).unwrap().join().unwrap();
}

const LEVELS: usize = 100_000;

fn chain(root: &Context) -> Vec<Context> {
    let mut chain = vec![root.child()];
    for _ in 1..LEVELS {
        chain.push(chain.last().unwrap().child());
    }
    chain
}

#[test]
fn a_deep_chain_is_cancelled_without_recursion() {
    on_a_small_stack(|| {
        let root = Context::background();
        let chain = chain(&root);
        let called = Count::default();
        let count = called.clone();
        chain[LEVELS - 1].after_func(move || count.add());
        root.cancel();
        assert!(chain.iter().all(Context::is_done));
        assert_eq!(called.get(), 1);
    });
}

#[test]
fn a_deep_chain_is_dropped_without_recursion_in_any_order() {
    on_a_small_stack(|| {
        // Only the leaf has a handle, so that it alone keeps the others.
        let root = Context::background();
        let leaf = chain(&root).pop();
        assert_eq!(children(&root), 1);
        drop(leaf);
        assert_eq!(children(&root), 0);
        // From the root to the leaf, and from the leaf to the root.
        chain(&root).into_iter().for_each(drop);
        assert_eq!(children(&root), 0);
        chain(&root).into_iter().rev().for_each(drop);
        assert_eq!(children(&root), 0);
        // The root first: each child becomes a root.
        let chain = chain(&root);
        drop(root);
        let leaf = chain.into_iter().next_back().unwrap();
        assert!(!leaf.is_done());
    });
}

#[test]
fn a_deep_chain_that_a_function_has_kept_is_dropped_without_recursion() {
    on_a_small_stack(|| {
        let kept = Arc::new(());
        let function = kept.clone();
        let root = Context::background();
        let leaf = chain(&root).pop().unwrap();
        leaf.after_func(move || drop(function));
        drop(leaf);
        assert_eq!((children(&root), Arc::strong_count(&kept)), (1, 2));
        drop(root);
        assert_eq!(Arc::strong_count(&kept), 1);
    });
}

#[test]
fn a_deep_chain_with_timers_is_cancelled_and_dropped_without_recursion() {
    on_a_small_stack(|| {
        let (clock, driver) = manual();
        let _entered = driver.handle().enter();
        let timers = |count: u64| {
            let mut chain = vec![Context::background()];
            for level in 0..count {
                // Each deadline is earlier than its parent's, so each has a timer.
                chain.push(chain.last().unwrap().with_timeout(secs(100_000 - level)));
            }
            chain
        };
        let chain = timers(10_000);
        assert_eq!(driver.handle().armed(), 10_000);
        chain[0].cancel();
        assert_eq!(driver.handle().armed(), 0);
        drop(chain);
        let leaf = timers(10_000).pop().unwrap();
        assert_eq!(driver.handle().armed(), 10_000);
        clock.advance(secs(100_000));
        assert_eq!(leaf.err(), Some(ContextError::DeadlineExceeded));
        let leaf = timers(10_000).pop();
        drop(leaf);
        assert_eq!(driver.handle().armed(), 0);
    });
}

#[test]
fn a_deep_chain_of_merged_contexts_is_cancelled_and_dropped_without_recursion() {
    on_a_small_stack(|| {
        let (root, other) = (Context::background(), Context::background());
        let build = || {
            let mut chain = vec![root.merge(&other)];
            for _ in 1..LEVELS {
                chain.push(chain.last().unwrap().merge(&other));
            }
            chain
        };
        drop(build().pop());
        assert_eq!((children(&root), children(&other)), (0, 0));
        let chain = build();
        assert_eq!(children(&other), LEVELS);
        root.cancel();
        assert!(chain.iter().all(Context::is_done));
        assert_eq!(children(&other), 0);
    });
}

#[test]
fn a_million_children_come_and_go() {
    watched(|| {
        let (_clock, driver) = manual();
        let _entered = driver.handle().enter();
        let root = Context::background().with_timeout(secs(60));
        for number in 0..1_000_000 {
            let child = match number % 4 {
                0 => root.with_timeout(ms(1 + number % 50_000)),
                _ => root.child(),
            };
            if number % 8 < 4 {
                child.cancel();
            }
        }
        assert_eq!((children(&root), driver.handle().armed()), (0, 1));
        let all: Vec<_> = (0..1_000_000).map(|_| root.child()).collect();
        assert_eq!(children(&root), 1_000_000);
        root.cancel();
        assert!(
            all.iter()
                .all(|child| child.err() == Some(ContextError::Canceled))
        );
        assert_eq!((children(&root), driver.handle().armed()), (0, 0));
    });
}

#[test]
fn a_parent_whose_handles_are_gone_still_ends_its_children() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let root = Context::background();
    let parent = root.with_timeout_cause(ms(5), "parent");
    let (first, second) = (parent.child(), parent.with_timeout(secs(60)));
    drop(parent);
    assert!(!first.is_done() && !second.is_done());
    assert_eq!((children(&root), driver.handle().armed()), (1, 1));
    // It is there only for them.
    drop(second);
    assert_eq!((children(&root), driver.handle().armed()), (1, 1));
    clock.advance(ms(5));
    assert_eq!(crate::cause(&first).as_deref(), Some("parent"));
    assert_eq!((children(&root), driver.handle().armed()), (0, 0));
    let parent = root.with_timeout(ms(5));
    let child = parent.child();
    drop(parent);
    drop(child);
    assert_eq!((children(&root), driver.handle().armed()), (0, 0));
}

#[test]
fn a_dropped_context_is_not_ended_and_its_clones_live_on() {
    let context = Context::background();
    let clone = context.clone();
    let child = context.child();
    drop(context);
    assert!(!clone.is_done() && !child.is_done());
    drop(clone);
    assert!(!child.is_done());
    assert!(child.cancel());
}

#[test]
fn a_waiting_future_keeps_its_context_alive() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let task = Task::new();
    let mut done = Context::background().with_timeout(ms(5)).done();
    assert!(task.poll(&mut done).is_pending());
    assert_eq!(driver.handle().armed(), 1);
    clock.advance(ms(5));
    assert_eq!(task.wakes(), 1);
    assert!(task.poll(&mut done).is_ready());
}
