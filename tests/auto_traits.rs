//! Tests of the auto traits of each public type: `Send`, `Sync`, `Unpin`, `UnwindSafe`.
//!
//! The compiler checks them, because changing a private field may change them, and users rely on
//! them: an error goes into `Box<dyn Error + Send + Sync>`, a handle into a `static`, and a guard
//! must not leave its thread.

#![cfg(not(loom))]

use std::error::Error;
use std::future::Ready;
use std::marker::PhantomPinned;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;

use reveille::stream;
use reveille::time::{self, delay_queue, error};
use reveille::{self as root};

/// For types that may be moved to and shared between threads, and used after a panic.
fn any_thread_unwind_safe<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe>() {}

/// The same, but the user has to decide whether a value is still usable after a panic.
fn any_thread<T: Send + Sync + Unpin>() {}

fn error<T: Error + Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + 'static>() {}

/// Fails to compile, because the call is ambiguous, for a type that is `Send`.
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
fn handles_clocks_and_keys_work_on_any_thread() {
    any_thread_unwind_safe::<root::Handle>();
    any_thread_unwind_safe::<root::Clock>();
    any_thread_unwind_safe::<root::ManualClock>();
    any_thread_unwind_safe::<root::Hold>();
    any_thread_unwind_safe::<root::DriverThread>();
    any_thread_unwind_safe::<root::ThreadUnpark>();
    any_thread_unwind_safe::<root::Builder>();
    any_thread_unwind_safe::<root::Turn>();
    any_thread_unwind_safe::<root::Key>();
    any_thread_unwind_safe::<root::Due<u8>>();
    any_thread_unwind_safe::<root::TimerQueue<u8>>();
    any_thread_unwind_safe::<time::Instant>();
    any_thread_unwind_safe::<delay_queue::Key>();
    any_thread_unwind_safe::<delay_queue::Expired<u8>>();
}

#[test]
fn timers_work_on_any_thread() {
    any_thread_unwind_safe::<time::Sleep>();
    any_thread_unwind_safe::<time::Interval>();
    any_thread_unwind_safe::<time::MissedTickBehavior>();
    any_thread_unwind_safe::<time::Timeout<Ready<u8>>>();
    any_thread_unwind_safe::<time::DelayQueue<u8>>();
    type Ticks = futures::stream::Repeat<u8>;
    any_thread_unwind_safe::<stream::Timeout<Ticks>>();
    any_thread_unwind_safe::<stream::TimeoutRepeating<Ticks>>();
    any_thread_unwind_safe::<stream::Throttle<Ticks>>();
    any_thread_unwind_safe::<stream::ChunksTimeout<Ticks>>();
    any_thread_unwind_safe::<stream::Debounce<Ticks>>();
}

/// Adapters have the auto traits of their contents, even where the compiler would not infer them.
#[test]
fn adapters_are_unpin_if_their_contents_are() {
    fn unpin<T: Unpin>() {}
    unpin::<time::Sleep>();
    unpin::<time::DelayQueue<PhantomPinned>>();
    unpin::<root::TimerQueue<PhantomPinned>>();
    stays_on_its_thread!(time::Timeout<Ready<Rc<()>>>, time::DelayQueue<Rc<()>>);
}

#[test]
fn errors_can_be_boxed_as_send_and_sync() {
    error::<error::Elapsed>();
    error::<error::Error>();
    error::<error::NoDriver>();
    #[cfg(feature = "rt")]
    error::<root::rt::NoRuntime>();
    #[cfg(feature = "rt")]
    error::<root::rt::JoinError>();
}

/// One thread at a time turns a driver or blocks in a park, but they may move to another thread.
#[test]
fn drivers_and_parks_move_between_threads() {
    fn moves<T: Send + Unpin>() {}
    moves::<root::ThreadPark>();
    moves::<root::Driver<root::ThreadPark>>();
    any_thread::<root::Driver<()>>();
}

#[cfg(target_os = "linux")]
#[test]
fn parks_on_a_descriptor_move_between_threads() {
    fn moves<T: Send + Unpin>() {}
    moves::<root::BoottimePark>();
    any_thread_unwind_safe::<root::BoottimeUnpark>();
}

#[test]
fn guards_stay_on_their_thread() {
    stays_on_its_thread!(root::Entered);
    #[cfg(feature = "rt")]
    stays_on_its_thread!(root::rt::Entered);
}

#[cfg(feature = "rt")]
#[test]
fn runtimes_and_join_handles_work_on_any_thread() {
    use reveille::rt;

    any_thread_unwind_safe::<rt::Runtime>();
    any_thread_unwind_safe::<rt::Handle>();
    any_thread::<rt::Builder>();
    any_thread_unwind_safe::<rt::JoinHandle<u8>>();
    any_thread_unwind_safe::<rt::JoinHandle<PhantomPinned>>();
    any_thread_unwind_safe::<rt::AbortHandle>();
    any_thread_unwind_safe::<rt::YieldNow>();
    stays_on_its_thread!(rt::JoinHandle<Rc<()>>);
}

#[cfg(all(feature = "io", target_os = "linux"))]
#[test]
fn async_fd_works_on_any_thread() {
    use reveille::rt::io;
    use std::os::unix::net::UnixStream;

    any_thread_unwind_safe::<io::AsyncFd<UnixStream>>();
    any_thread_unwind_safe::<io::Readable<'static, UnixStream>>();
    any_thread_unwind_safe::<io::Writable<'static, UnixStream>>();
}
