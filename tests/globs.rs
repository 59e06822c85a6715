//! Tests of names: `use reveille::time::*` goes together with the globs that ported programs have.
//!
//! A name that two globs bring is an error where it is used. So `time` may bring no trait or module
//! of a name that `tokio_stream::*` or `futures::prelude::*` brings: what `use tokio::time::*` does
//! not bring, `use reveille::time::*` must not bring either.

#![cfg(not(loom))]

mod with_tokio_stream {
    use reveille::time::*;
    use tokio_stream::*;

    #[test]
    fn its_methods_and_functions_are_those_of_tokio_stream() {
        pollster::block_on(async {
            let doubled = iter([1, 2]).map(|number| 2 * number);
            let mut limited = std::pin::pin!(StreamExt::merge(doubled, empty()));
            assert_eq!(
                timeout(Duration::from_secs(60), limited.next()).await,
                Ok(Some(2))
            );
        });
    }
}

mod with_futures {
    use futures::prelude::*;
    use reveille::time::*;

    #[test]
    fn its_methods_and_modules_are_those_of_futures() {
        pollster::block_on(async {
            let doubled = stream::iter([1, 2]).map(|number| 2 * number);
            assert_eq!(doubled.collect::<Vec<_>>().await, [2, 4]);
            let answer = timeout(Duration::from_secs(60), async { 41 }).map(Result::unwrap);
            assert_eq!(answer.map(|number| number + 1).await, 42);
        });
    }
}

/// Each module has the names that its glob may not bring, so that `use self::*` and the glob are
/// ambiguous if it does.
mod alone {
    #![allow(non_camel_case_types, reason = "some are names of modules")]

    mod others {
        pub(super) struct FutureExt;
        pub(super) struct StreamExt;
        pub(super) struct stream;
        pub(super) struct future;
        pub(super) struct Elapsed;
        pub(super) struct Error;
        pub(super) struct Handle;
        pub(super) struct Stream;
    }

    use others::*;
    use reveille::time::*;

    #[test]
    fn the_glob_brings_no_other_name() {
        let _ = (
            FutureExt, StreamExt, stream, future, Elapsed, Error, Handle, Stream,
        );
        // What it does bring, besides the names of tokio's, is that of tokio-util.
        let queue: DelayQueue<u8> = DelayQueue::new();
        let _: Option<delay_queue::Key> = None;
        assert!(queue.is_empty());
    }
}
