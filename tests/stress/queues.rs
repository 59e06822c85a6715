//! Delay queues whose values are added, moved and removed, in tasks that move between threads, are
//! aborted, and outlive their runtime.

use std::collections::HashMap;

use futures::StreamExt;
use reveille::rt::{self, JoinHandle, Runtime};
use reveille::time::delay_queue::Key;
use reveille::time::{DelayQueue, Instant, timeout};

use crate::support::{Count, OnDrop, Random, runtime, secs};
use crate::{Report, micros, wait_until};

/// A value that counts when it is dropped.
type Value = OnDrop<Box<dyn FnMut() + Send>>;

struct Churn {
    report: Report,
    random: Random,
    begun: Count,
    ended: Count,
    queue: DelayQueue<Value>,
    /// The values in the queue, and when each is due.
    model: HashMap<Key, Instant>,
}

impl Churn {
    fn new(report: &Report, random: &mut Random, begun: &Count, ended: &Count) -> Self {
        Self {
            report: report.clone(),
            random: Random::new(random.below(u64::MAX)),
            begun: begun.clone(),
            ended: ended.clone(),
            queue: DelayQueue::new(),
            model: HashMap::new(),
        }
    }

    /// Makes some steps, then takes out everything that is left.
    async fn run(mut self) {
        for _ in 0..self.random.below(300) {
            self.step().await;
        }
        while let Some(expired) = self.queue.next().await {
            self.expired(expired.key(), expired.deadline());
        }
        let left = self.model.len();
        self.report
            .check(left == 0, || format!("{left} values are lost"));
    }

    async fn step(&mut self) {
        let wait = micros(&mut self.random, 500);
        let keys: Vec<_> = self.model.keys().copied().collect();
        let some = keys.get(self.random.below(keys.len().max(1) as u64) as usize);
        match (self.random.below(8), some) {
            (0..4, _) if self.model.len() < 100 => {
                self.begun.add();
                let ended = self.ended.clone();
                let value: Value = OnDrop(Box::new(move || ended.add()));
                let key = self.queue.insert(value, wait);
                let when = self.queue.deadline(&key);
                let before = self.model.insert(key, when);
                self.report
                    .check(before.is_none(), || format!("{key:?} is another's"));
            }
            (4, Some(key)) => {
                self.queue.reset(key, wait);
                self.model.insert(*key, self.queue.deadline(key));
            }
            (5, Some(key)) => {
                let removed = self.queue.try_remove(key).is_some();
                self.report.check(removed, || "a value is gone".into());
                self.model.remove(key);
            }
            (6, _) => rt::yield_now().await,
            _ => {
                if let Ok(Some(expired)) = timeout(wait, self.queue.next()).await {
                    self.expired(expired.key(), expired.deadline());
                }
            }
        }
    }

    fn expired(&mut self, key: Key, deadline: Instant) {
        let now = Instant::now();
        let known = self.model.remove(&key);
        self.report.check(known == Some(deadline), || {
            format!("due {known:?}, came for {deadline:?}")
        });
        self.report
            .check(now >= deadline, || format!("{deadline:?} came at {now:?}"));
    }
}

pub(crate) fn round(random: &mut Random, report: &Report) {
    let (begun, ended) = (Count::default(), Count::default());
    let counts = (begun.clone(), ended.clone());
    report.add_state("values", move || {
        format!("{} begun, {} ended", counts.0.get(), counts.1.get())
    });
    let runtime = runtime([1, 2, 3, 8][random.below(4) as usize]);
    let handle = runtime.handle().clone();
    report.add_state("runtime", move || {
        format!("{handle:?}, {} armed", handle.armed())
    });
    let mut churn = || Churn::new(report, random, &begun, &ended);
    let on_threads: Vec<_> = [churn(), churn()]
        .into_iter()
        .map(|churn| std::thread::spawn(move || pollster::block_on(churn.run())))
        .collect();
    let tasks: Vec<JoinHandle<()>> = (0..8).map(|_| runtime.spawn(churn().run())).collect();
    let awaited = random.below(9) as usize;
    runtime.block_on(async {
        for (n, task) in tasks.into_iter().enumerate() {
            if n < awaited {
                task.await.unwrap();
            } else {
                task.abort();
            }
        }
    });
    let end: fn(Runtime) = match random.below(2) {
        0 => drop,
        _ => |runtime| assert!(runtime.shutdown_timeout(secs(100))),
    };
    end(runtime);
    for thread in on_threads {
        thread.join().unwrap();
    }
    wait_until(|| begun.get() == ended.get());
}
