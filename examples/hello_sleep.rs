//! The first steps: sleep, give up after a while, do something periodically.
//!
//! ```sh
//! cargo run --release --features rt --example hello_sleep
//! ```

use reveille::rt;
use reveille::time::{Duration, Instant, interval, sleep, timeout};

fn main() {
    rt::block_on(async {
        let start = Instant::now();
        sleep(Duration::from_micros(500)).await;
        println!("slept for {:?}, wanted 500µs", start.elapsed());

        let answer = timeout(Duration::from_millis(5), sleep(Duration::from_secs(60))).await;
        println!("a minute in five milliseconds: {answer:?}");

        let mut ticks = interval(Duration::from_millis(2));
        for _ in 0..4 {
            let due = ticks.tick().await;
            println!("tick, {:?} after it was due", due.elapsed());
        }

        // Tasks run side by side on this one thread; their sleeps take as long as the longest.
        let start = Instant::now();
        let nap = |millis| rt::spawn(sleep(Duration::from_millis(millis)));
        let naps = [nap(10), nap(20), nap(30)];
        for nap in naps {
            nap.await.expect("a nap does not panic");
        }
        println!("naps of 10, 20 and 30 ms together: {:?}", start.elapsed());
    });
}
