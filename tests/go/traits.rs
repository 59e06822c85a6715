//! Which threads may have the timers, and what `Debug` shows of them.

use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Duration;

use reveille::FuncTimer;
use reveille::go::{self, After, Ticker, Timer, TimerRemote};

use crate::support::{manual, ms};

#[test]
fn all_of_them_work_on_any_thread() {
    fn any_thread<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + 'static>() {}
    any_thread::<Timer>();
    any_thread::<TimerRemote>();
    any_thread::<After>();
    any_thread::<Ticker>();
    any_thread::<FuncTimer>();
}

/// Tasks may be spawned with what a timer's owner awaits.
#[test]
fn their_futures_may_be_sent() {
    fn is_send<T: Send>(_: T) {}
    let mut ticker = Ticker::new(ms(1));
    is_send(ticker.tick());
    let mut timer = Timer::new(ms(1));
    is_send(async move {
        (&mut timer).await;
        go::after(ms(1)).await;
    });
}

#[test]
fn debug_shows_whether_something_is_to_come() {
    let (_clock, driver) = manual();
    let _entered = driver.handle().enter();
    let mut timer = Timer::new(ms(1));
    assert!(format!("{timer:?}").contains("active: true, has_remotes: false"));
    let remote = timer.remote();
    timer.stop();
    assert!(format!("{timer:?}").contains("active: false, has_remotes: true"));
    assert_eq!(format!("{remote:?}"), "TimerRemote { active: false }");
    let ticker = go::tick(Duration::ZERO);
    assert!(format!("{ticker:?}").contains("period: 0ns, active: false, dropped: 0"));
    assert!(format!("{:?}", go::after(ms(1))).contains("received: false"));
    let function = driver.handle().call_every(ms(1), || {});
    let debug = "FuncTimer { active: true, running: false, repeats: true }";
    assert_eq!(format!("{function:?}"), debug);
}
