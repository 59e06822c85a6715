//! Random trees: what is done to them one by one, against a model without timers and locks.

use std::time::Duration;

use proptest::prelude::*;
use reveille::{Context, ContextError};

use crate::support::{Count, Task, manual, ms};

#[derive(Clone, Debug)]
enum Act {
    Child(usize),
    Timeout(usize, u64),
    Merge(usize, usize),
    Detach(usize),
    Cancel(usize),
    Drop(usize),
    Advance(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let any = 0..1000_usize;
    let act = prop_oneof![
        3 => any.clone().prop_map(Act::Child),
        4 => (any.clone(), 0..60_u64).prop_map(|(of, limit)| Act::Timeout(of, limit)),
        2 => (any.clone(), any.clone()).prop_map(|(one, other)| Act::Merge(one, other)),
        1 => any.clone().prop_map(Act::Detach),
        1 => any.clone().prop_map(Act::Cancel),
        3 => any.prop_map(Act::Drop),
        2 => (0..20_u64).prop_map(Act::Advance),
    ];
    prop::collection::vec(act, 1..80)
}

/// What a context should be.
struct Expected {
    parents: Vec<usize>,
    /// When it ends by itself, and which context's deadline that is.
    deadline: Option<(u64, usize)>,
    end: Option<(ContextError, String)>,
}

struct Tree {
    now: u64,
    expected: Vec<Expected>,
    /// The handles, as far as they are not dropped, with a wait each.
    contexts: Vec<Option<(Context, reveille::context::Done, Task)>>,
    called: Vec<Count>,
}

impl Tree {
    fn add(&mut self, context: Context, parents: Vec<usize>, own: Option<u64>) {
        let index = self.expected.len();
        let inherited = parents
            .iter()
            .filter_map(|parent| self.expected[*parent].deadline);
        // Of equal deadlines that of the first parent, whichever timer fires first.
        let inherited = inherited.min_by_key(|(at, _)| *at);
        let deadline = match (own, inherited) {
            (Some(own), Some((at, _))) if own >= at => inherited,
            (Some(own), _) => Some((own, index)),
            (None, _) => inherited,
        };
        let ended = parents
            .iter()
            .find_map(|parent| self.expected[*parent].end.clone());
        self.expected.push(Expected {
            parents,
            deadline,
            end: ended,
        });
        self.pass();
        let called = Count::default();
        let count = called.clone();
        context.after_func(move || count.add());
        let (mut done, task) = (context.done(), Task::new());
        let _ = task.poll(&mut done);
        self.contexts.push(Some((context, done, task)));
        self.called.push(called);
    }

    /// Ends what is due by now.
    fn pass(&mut self) {
        let now = self.now;
        for expected in &mut self.expected {
            if let Some((at, owner)) = expected.deadline
                && at <= now
                && expected.end.is_none()
            {
                expected.end = Some((ContextError::DeadlineExceeded, format!("deadline {owner}")));
            }
        }
    }

    fn cancel(&mut self, root: usize) {
        let end = Some((ContextError::Canceled, format!("cancel {root}")));
        let mut ended = vec![false; self.expected.len()];
        for index in 0..self.expected.len() {
            let expected = &mut self.expected[index];
            let below = index == root || expected.parents.iter().any(|parent| ended[*parent]);
            if below && expected.end.is_none() {
                ended[index] = true;
                expected.end.clone_from(&end);
            }
        }
    }

    /// Returns a context that still has a handle.
    fn pick(&self, number: usize) -> Option<usize> {
        let held = (0..self.contexts.len()).filter(|index| self.contexts[*index].is_some());
        let held: Vec<_> = held.collect();
        (!held.is_empty()).then(|| held[number % held.len()])
    }

    fn context(&self, index: usize) -> Context {
        self.contexts[index].as_ref().unwrap().0.clone()
    }

    fn check(&mut self) {
        for (index, expected) in self.expected.iter().enumerate() {
            let calls = usize::from(expected.end.is_some());
            assert!(
                self.called[index].get() <= calls,
                "{index} is called early or twice"
            );
            let Some((context, done, task)) = &mut self.contexts[index] else {
                continue;
            };
            let end = context.err().zip(crate::cause(context));
            assert_eq!(end, expected.end, "{index}");
            assert_eq!(self.called[index].get(), calls, "{index}");
            assert_eq!(task.poll(done).is_ready(), calls == 1, "{index}");
            let deadline = expected
                .deadline
                .map(|(at, _)| ms(at.saturating_sub(self.now)));
            assert_eq!(context.remaining(), deadline, "{index}");
        }
    }
}

fn run(acts: &[Act]) {
    let (clock, driver) = manual();
    let _entered = driver.handle().enter();
    let mut tree = Tree {
        now: 0,
        expected: Vec::new(),
        contexts: Vec::new(),
        called: Vec::new(),
    };
    tree.add(Context::background(), vec![], None);
    for act in acts {
        match *act {
            Act::Child(of) => {
                let Some(parent) = tree.pick(of) else { break };
                let child = tree.context(parent).child();
                tree.add(child, vec![parent], None);
            }
            Act::Timeout(of, limit) => {
                let Some(parent) = tree.pick(of) else { break };
                let cause = format!("deadline {}", tree.expected.len());
                let child = tree.context(parent).with_timeout_cause(ms(limit), cause);
                tree.add(child, vec![parent], Some(tree.now + limit));
            }
            Act::Merge(one, other) => {
                let Some((one, other)) = tree.pick(one).zip(tree.pick(other)) else {
                    break;
                };
                let both = tree.context(one).merge(&tree.context(other));
                tree.add(both, vec![one, other], None);
            }
            Act::Detach(of) => {
                let Some(of) = tree.pick(of) else { break };
                let root = tree.context(of).without_cancel();
                tree.add(root, vec![], None);
            }
            Act::Cancel(of) => {
                let Some(of) = tree.pick(of) else { break };
                let live = tree.expected[of].end.is_none();
                assert_eq!(tree.context(of).cancel_with(format!("cancel {of}")), live);
                tree.cancel(of);
            }
            Act::Drop(of) => {
                let Some(of) = tree.pick(of) else { break };
                tree.contexts[of] = None;
            }
            Act::Advance(by) => {
                clock.advance(ms(by));
                tree.now += by;
                tree.pass();
            }
        }
        tree.check();
    }
    tree.contexts.clear();
    // The functions keep what a deadline still ends.
    clock.advance(Duration::from_secs(1));
    assert_eq!(driver.handle().armed(), 0);
    tree.now += 1000;
    tree.pass();
    for (index, expected) in tree.expected.iter().enumerate() {
        let calls = usize::from(expected.end.is_some());
        assert_eq!(tree.called[index].get(), calls, "{index}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_tree_does_what_the_model_does(acts in acts()) {
        run(&acts);
    }
}
