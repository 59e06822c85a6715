use super::*;
use crate::{Driver, ThreadPark};

#[test]
fn the_end_of_the_driver_gives_all_permits_back() {
    let driver = Driver::new(ThreadPark::new());
    let parent = driver.handle().limited(Limits::new());
    let child = parent.limited(Limits::new().timers(700));
    let second = Duration::from_secs(1);
    let waits = |i| if i % 2 == 0 { second } else { Duration::MAX };
    let sleeps: Vec<_> = (0..700)
        .map(|i| child.try_sleep(waits(i)).unwrap())
        .collect();
    assert!(child.try_sleep(second).is_err());
    assert_eq!((parent.permits_taken(), child.permits_taken()), (700, 700));
    drop(driver);
    assert_eq!((parent.permits_taken(), child.permits_taken()), (0, 0));
    drop(sleeps);
    assert_eq!((parent.permits_taken(), child.permits_taken()), (0, 0));
}
