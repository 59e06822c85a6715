//! Tests of the end of a runtime, of a descriptor, and of the supply of descriptors.

use std::error::Error;

use crate::*;

#[test]
fn a_descriptor_is_waited_for_on_another_executor() {
    watched(|| {
        let runtime = runtime(2);
        let entered = runtime.enter();
        let (reader, mut writer) = piped();
        drop(entered);
        let thread = thread::spawn(move || {
            pollster::block_on(reader.readable()).unwrap();
            reader
        });
        writer.write_all(b"x").unwrap();
        let reader = thread.join().unwrap();
        assert_eq!(reader.get_ref().read(&mut [0; 2]).unwrap(), 1);
    });
}

#[test]
fn a_wait_for_io_fails_when_the_runtime_ends() {
    watched(|| {
        for workers in [1, 2] {
            let runtime = runtime(workers);
            let (reader, _writer) = {
                let _entered = runtime.enter();
                piped()
            };
            let inside = runtime.spawn(async {
                let (reader, _writer) = piped();
                reader.readable().await
            });
            let reader = Arc::new(reader);
            let waiting = reader.clone();
            let waiter = thread::spawn(move || pollster::block_on(waiting.readable()));
            drop(runtime);
            let error = waiter.join().unwrap().unwrap_err();
            assert!(error.to_string().contains("is gone"), "{error}");
            assert!(pollster::block_on(inside).unwrap_err().is_cancelled());
            // A later wait fails as well; what needs no waiting still works.
            let operation = |mut io: &PipeReader| io.read(&mut [0]);
            let nothing = reader.read_with(|_| Err::<(), _>(ErrorKind::WouldBlock.into()));
            let error = pollster::block_on(nothing).unwrap_err();
            assert!(error.to_string().contains("is gone"), "{error}");
            (&_writer).write_all(b"x").unwrap();
            assert_eq!(pollster::block_on(reader.read_with(operation)).unwrap(), 1);
        }
    });
}

#[test]
fn a_connection_is_made_without_blocking() {
    on_each(async || {
        let (listener, address) = listen();
        let client = AsyncFd::connect(address).await.unwrap();
        let accepted = listener.accept().await;
        let (server, _) = accepted.unwrap();
        drop(client);
        assert_eq!(server.read(&mut [0]).await.unwrap(), 0);

        drop(listener);
        let error = AsyncFd::connect(address).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn crates_with_a_reactor_of_their_own_work_beside_it() {
    on_each(async || {
        let listener = smol::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = rt::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 5];
            stream.read_exact(&mut request).await.unwrap();
            sleep(ms(1)).await;
            stream.write_all(&request).await.unwrap();
        });
        let mut client = smol::Async::<TcpStream>::connect(address).await.unwrap();
        client.write_all(b"hello").await.unwrap();
        let mut answer = [0; 5];
        let answered = client.read_exact(&mut answer);
        timeout(secs(60), answered).await.unwrap().unwrap();
        assert_eq!(&answer, b"hello");
        server.await.unwrap();
    });
}

#[test]
fn making_one_outside_of_a_runtime_panics_at_the_callers_line() {
    let (message, file) = panic_of(|| AsyncFd::new(pipe().unwrap().0));
    assert!(message.contains("no runtime"), "{message}");
    assert_eq!(file, file!());
}

/// The error used to name neither what the system had refused nor what to do about it.
#[test]
fn without_descriptors_there_are_timers_and_clear_errors() {
    const EMFILE: Option<i32> = Some(24);
    alone_with("ulimit -n 40 &&", || {
        let ends = pipe().unwrap();
        let mut taken = Vec::new();
        let error = loop {
            match std::fs::File::open("/dev/null") {
                Ok(file) => taken.push(file),
                Err(error) => break error,
            }
        };
        assert_eq!(error.raw_os_error(), EMFILE);
        let error = Runtime::builder().worker_threads(2).build().unwrap_err();
        assert_eq!(error.raw_os_error(), EMFILE);
        rt::block_on(async {
            sleep(ms(1)).await;
            let error = AsyncFd::new(ends.0).unwrap_err();
            for part in ["has no I/O", "Too many open files", "ulimit -n"] {
                assert!(error.to_string().contains(part), "{error}");
            }
            let cause = error.source().unwrap().downcast_ref::<io::Error>();
            assert_eq!(cause.unwrap().raw_os_error(), EMFILE);
            assert_eq!(error.kind(), cause.unwrap().kind());
        });
        // A runtime that fails to start opens some of its descriptors, and closes them again.
        taken.truncate(taken.len() - 3);
        assert!(Runtime::builder().worker_threads(2).build().is_err());
        assert!(Runtime::builder().worker_threads(2).build().is_err());
        taken.clear();
        // All are closed, however often that happens.
        for workers in [1, 2].repeat(30) {
            runtime(workers).block_on(async {
                let _task = rt::spawn(async { piped().0.readable().await });
                rt::yield_now().await;
            });
        }
        runtime(2).block_on(async {
            let (reader, mut writer) = piped();
            writer.write_all(b"x").unwrap();
            reader.readable().await.unwrap();
        });
    });
}
