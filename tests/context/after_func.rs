//! Functions and wakers: their order, their panics, and what keeps them.

use std::sync::Arc;

use reveille::{Context, ContextError};

use crate::children;
use crate::support::{Count, Log, OnDrop, Task, manual, ms, poll_with, secs, waker};

#[test]
fn those_of_a_parent_come_before_those_of_its_children_each_in_order() {
    let log = Log::new();
    let root = Context::background();
    let tree: Vec<_> = {
        let (first, second) = (root.child(), root.child());
        let (third, fourth) = (first.child(), second.child());
        vec![root, first, second, third, fourth]
    };
    let mut waits = Vec::new();
    // The tree from its leaves, so that the order cannot be that of registration.
    for (index, context) in tree.iter().enumerate().rev() {
        for number in 0..3 {
            let function = log.clone();
            if number == 1 {
                let mut done = context.done();
                let task = log.waker((index, number));
                assert!(poll_with(&mut done, &task).is_pending());
                waits.push(done);
            } else {
                context.after_func(move || function.push((index, number)));
            }
        }
    }
    tree[0].cancel();
    let expected: Vec<_> = (0..5)
        .flat_map(|index| (0..3).map(move |n| (index, n)))
        .collect();
    assert_eq!(log.take(), expected);
}

#[test]
fn a_function_finds_every_descendant_ended() {
    let root = Context::background();
    let child = root.child();
    let leaf = child.child();
    let log = Log::new();
    let seen = log.clone();
    root.after_func(move || {
        seen.push([child.err(), leaf.err()]);
    });
    root.cancel();
    assert_eq!(log.take(), [[Some(ContextError::Canceled); 2]]);
}

#[test]
fn a_panic_of_one_harms_no_other() {
    let root = Context::background();
    let child = root.child();
    let (called, task) = (Count::default(), Task::new());
    let mut waits = Vec::new();
    for context in [&root, &child] {
        context.after_func(|| std::panic::resume_unwind(Box::new("on purpose")));
        let mut done = context.done();
        let angry = waker(|| std::panic::resume_unwind(Box::new("on purpose")));
        assert!(poll_with(&mut done, &angry).is_pending());
        waits.push(done);
        let mut done = context.done();
        assert!(task.poll(&mut done).is_pending());
        waits.push(done);
        let count = called.clone();
        context.after_func(move || count.add());
    }
    assert!(root.cancel());
    assert_eq!((called.get(), task.wakes()), (2, 2));
    root.after_func(|| std::panic::resume_unwind(Box::new("on purpose")));
    assert!(child.is_done());
}

#[test]
fn a_function_may_use_the_context_and_its_relatives() {
    let root = Context::background();
    let child = root.child();
    let called = Count::default();
    let (context, relative, count) = (root.clone(), child.clone(), called.clone());
    child.after_func(move || {
        assert!(!context.cancel() && !relative.cancel());
        assert!(context.child().is_done());
        let inner = count.clone();
        assert!(!relative.after_func(move || inner.add()).stop());
        context.merge(&relative).cancel();
        drop((context, relative));
        count.add();
    });
    root.cancel();
    assert_eq!(called.get(), 2);
}

#[test]
fn a_function_is_called_although_every_handle_of_its_context_is_gone() {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let root = Context::background();
    let log = Log::new();
    let (first, second, third) = (log.clone(), log.clone(), log.clone());
    root.child().after_func(move || first.push("cancelled"));
    root.with_timeout(ms(5))
        .after_func(move || second.push("late"));
    // Not even the root is there any more.
    let alone = Context::background().with_timeout(ms(6));
    alone.child().after_func(move || third.push("alone"));
    drop(alone);
    assert_eq!(children(&root), 2);
    clock.advance(ms(5));
    assert_eq!((log.take(), children(&root)), (vec!["late"], 1));
    root.cancel();
    assert_eq!((log.take(), children(&root)), (vec!["cancelled"], 0));
    clock.advance(ms(1));
    assert_eq!((log.take(), driver.handle().armed()), (vec!["alone"], 0));
}

#[test]
fn a_function_that_nothing_can_call_any_more_is_dropped() {
    let dropped = Count::default();
    let make = || {
        let count = dropped.clone();
        let guard = OnDrop(move || count.add());
        move || {
            let _guard = guard;
            unreachable!()
        }
    };
    let root = Context::background();
    let child = root.child();
    root.after_func(make());
    child.after_func(make());
    child.child().after_func(make());
    let function = child.child().after_func(make());
    drop(child);
    assert_eq!(dropped.get(), 0);
    drop(root);
    assert_eq!(dropped.get(), 4);
    assert!(!function.stop());
}

#[test]
fn a_function_whose_destructor_panics_keeps_nothing_else_from_being_released() {
    let dropped = Count::default();
    let root = Context::background();
    let leaves: Vec<_> = (0..3).map(|_| root.child()).collect();
    for leaf in &leaves {
        let count = dropped.clone();
        let guard = OnDrop(move || {
            count.add();
            std::panic::resume_unwind(Box::new("on purpose"));
        });
        leaf.after_func(move || drop(guard));
    }
    drop(leaves);
    drop(root);
    assert_eq!(dropped.get(), 3);
}

#[test]
fn functions_of_one_context_whose_destructors_panic_do_not_abort() {
    let dropped = Count::default();
    let context = Context::background();
    for _ in 0..3 {
        let count = dropped.clone();
        let guard = OnDrop(move || {
            count.add();
            std::panic::resume_unwind(Box::new("on purpose"));
        });
        context.after_func(move || drop(guard));
    }
    drop(context);
    assert_eq!(dropped.get(), 3);
}

/// A cause whose destructor panics.
#[derive(Debug)]
struct Fragile(Count);

impl std::fmt::Display for Fragile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("fragile")
    }
}

impl std::error::Error for Fragile {}

impl Drop for Fragile {
    fn drop(&mut self) {
        self.0.add();
        std::panic::resume_unwind(Box::new("on purpose"));
    }
}

#[test]
fn a_cause_whose_destructor_panics_keeps_no_task_from_being_woken() {
    let (_clock, driver) = manual();
    let dropped = Count::default();
    let root = Context::background();
    // The cause of the parent is dropped with the link of its child.
    let with_child = |root: &Context| {
        let parent = root.with_timeout_cause(secs(10), Fragile(dropped.clone()));
        parent.with_timeout(secs(1))
    };
    let outside = with_child(&root);
    // The function drops the last handle, so this cause is dropped with the node's place in the list
    // of those that end. (Its timer, which nothing waits for, is not armed.)
    let unheld = root.with_timeout_cause(secs(10), Fragile(dropped.clone()));
    root.after_func(move || drop(unheld));
    let _entered = driver.handle().enter();
    let inside = with_child(&root);
    let parent = root.child();
    let contexts = [outside, inside, root.child(), parent.child()];
    let tasks = contexts.each_ref().map(|_| Task::new());
    let mut waits = contexts.each_ref().map(Context::done);
    for (task, wait) in tasks.iter().zip(&mut waits) {
        assert!(task.poll(wait).is_pending());
    }
    assert!(root.cancel());
    assert_eq!(tasks.each_ref().map(Task::wakes), [1; 4]);
    assert_eq!(dropped.get(), 3);
}

#[test]
fn a_cause_whose_destructor_panics_keeps_no_context_from_being_released() {
    let (_clock, driver) = manual();
    let _entered = driver.handle().enter();
    let dropped = Count::default();
    let root = Context::background();
    let one = root.with_timeout_cause(secs(10), Fragile(dropped.clone()));
    let other = root.with_timeout(secs(5));
    let merged = one.merge(&other);
    drop((one, other));
    assert_eq!(children(&root), 2);
    drop(merged);
    assert_eq!((children(&root), dropped.get()), (0, 1));
}

#[test]
fn stopping_the_last_function_releases_the_context() {
    let (_clock, driver) = manual();
    let _entered = driver.handle().enter();
    let root = Context::background();
    let child = root.with_timeout(ms(5));
    let function = child.after_func(|| unreachable!());
    drop(child);
    assert_eq!((children(&root), driver.handle().armed()), (1, 1));
    assert!(function.stop() && !function.stop());
    assert_eq!((children(&root), driver.handle().armed()), (0, 0));
}

#[test]
fn a_wait_that_is_dropped_releases_its_waker() {
    let context = Context::background();
    let task = Task::new();
    let (mut first, mut second) = (context.done(), context.done());
    assert!(task.poll(&mut first).is_pending() && task.poll(&mut second).is_pending());
    assert!(task.poll(&mut first).is_pending());
    assert_eq!(task.held(), 2);
    drop(first);
    assert_eq!(task.held(), 1);
    // Another task takes it over.
    let other = Task::new();
    assert!(other.poll(&mut second).is_pending());
    assert_eq!((task.held(), other.held()), (0, 1));
    context.cancel();
    assert_eq!((task.wakes(), other.wakes(), other.held()), (0, 1, 0));
    assert!(other.poll(&mut second).is_ready());
}

#[test]
fn a_cause_lives_as_long_as_a_context_that_has_it() {
    #[derive(Debug)]
    struct Because(#[expect(dead_code, reason = "it is counted")] Arc<()>);
    impl std::fmt::Display for Because {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("because")
        }
    }
    impl std::error::Error for Because {}

    let counted = Arc::new(());
    let root = Context::background();
    let child = root.child();
    root.cancel_with(Because(counted.clone()));
    assert!(child.cause().unwrap().is::<Because>());
    drop(root);
    assert_eq!(Arc::strong_count(&counted), 2);
    drop(child);
    assert_eq!(Arc::strong_count(&counted), 1);
}
