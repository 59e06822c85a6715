//! Which threads may have a value of each public type, and may it be used after a panic?
//!
//! The compiler answers, and a private field that is changed may change the answer. Users rely on it:
//! an error goes into `Box<dyn Error + Send + Sync>`, a handle into a `static`, a guard must not
//! leave its thread.

#![cfg(not(loom))]

use std::error::Error;
use std::future::Ready;
use std::marker::PhantomPinned;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;

use reveille::time::{self, delay_queue, error, stream};
use reveille::{self as root};

/// On any thread, shared or not, moved at will, and as good as before if a panic passes by.
fn free<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe>() {}

/// The same, but after a panic it is for its user to say how good it still is.
fn free_but_for_panics<T: Send + Sync + Unpin>() {}

fn error<T: Error + Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + 'static>() {}

/// Ambiguous, and so an error, for a type that is `Send`.
macro_rules! stays_on_its_thread {
    ($($kind:ty),*) => {$({
        trait Ambiguous<A> {
            fn check() {}
        }
        struct IfSend;
        impl<T: ?Sized> Ambiguous<()> for T {}
        impl<T: ?Sized + Send> Ambiguous<IfSend> for T {}
        <$kind as Ambiguous<_>>::check();
    })*};
}

#[test]
fn handles_clocks_and_keys_are_free() {
    free::<root::Handle>();
    free::<root::Clock>();
    free::<root::ManualClock>();
    free::<root::Hold>();
    free::<root::DriverThread>();
    free::<root::ThreadUnpark>();
    free::<root::Builder>();
    free::<root::Turn>();
    free::<root::Key>();
    free::<root::Due<u8>>();
    free::<root::TimerQueue<u8>>();
    free::<time::Instant>();
    free::<delay_queue::Key>();
    free::<delay_queue::Expired<u8>>();
}

#[test]
fn timers_and_what_is_made_of_them_are_free() {
    free::<time::Sleep>();
    free::<time::Interval>();
    free::<time::MissedTickBehavior>();
    free::<time::Timeout<Ready<u8>>>();
    free::<time::DelayQueue<u8>>();
    type Ticks = futures::stream::Repeat<u8>;
    free::<stream::Timeout<Ticks>>();
    free::<stream::TimeoutRepeating<Ticks>>();
    free::<stream::Throttle<Ticks>>();
    free::<stream::ChunksTimeout<Ticks>>();
    free::<stream::Debounce<Ticks>>();
}

/// They are what their contents are: also without what the compiler would have granted.
#[test]
fn adapters_ask_nothing_of_what_they_hold() {
    fn unpin<T: Unpin>() {}
    unpin::<time::Sleep>();
    unpin::<time::DelayQueue<PhantomPinned>>();
    unpin::<root::TimerQueue<PhantomPinned>>();
    stays_on_its_thread!(time::Timeout<Ready<Rc<()>>>, time::DelayQueue<Rc<()>>);
}

#[test]
fn errors_go_wherever_errors_go() {
    error::<error::Elapsed>();
    error::<error::Error>();
    error::<error::NoDriver>();
    #[cfg(feature = "rt")]
    error::<root::rt::NoRuntime>();
    #[cfg(feature = "rt")]
    error::<root::rt::JoinError>();
}

/// A driver is turned by one thread at a time, and a park blocks one: they may move to another.
#[test]
fn drivers_and_parks_move_between_threads() {
    fn moves<T: Send + Unpin>() {}
    moves::<root::ThreadPark>();
    moves::<root::Driver<root::ThreadPark>>();
    free_but_for_panics::<root::Driver<()>>();
}

#[cfg(target_os = "linux")]
#[test]
fn parks_on_a_descriptor_move_between_threads() {
    fn moves<T: Send + Unpin>() {}
    moves::<root::BoottimePark>();
    free::<root::BoottimeUnpark>();
}

#[test]
fn guards_stay_on_their_thread() {
    stays_on_its_thread!(root::Entered);
    #[cfg(feature = "rt")]
    stays_on_its_thread!(root::rt::Entered);
}

#[cfg(feature = "rt")]
#[test]
fn runtimes_and_what_waits_for_tasks_are_free() {
    use reveille::rt;

    free::<rt::Runtime>();
    free::<rt::Handle>();
    free_but_for_panics::<rt::Builder>();
    free::<rt::JoinHandle<u8>>();
    free::<rt::JoinHandle<PhantomPinned>>();
    free::<rt::AbortHandle>();
    free::<rt::YieldNow>();
    stays_on_its_thread!(rt::JoinHandle<Rc<()>>);
}

#[cfg(all(feature = "io", target_os = "linux"))]
#[test]
fn io_is_free() {
    use reveille::rt::io;
    use std::os::unix::net::UnixStream;

    free::<io::AsyncFd<UnixStream>>();
    free_but_for_panics::<io::Readable<'static, UnixStream>>();
    free_but_for_panics::<io::Writable<'static, UnixStream>>();
}
