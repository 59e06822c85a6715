//! Tests of several tasks that use one descriptor.

use crate::*;

#[test]
fn every_task_that_waits_for_a_descriptor_is_woken() {
    on_each(async || {
        let (reader, writer) = piped();
        let (reader, woken) = (Arc::new(reader), Count::default());
        let tasks: Vec<_> = (0..10)
            .map(|_| {
                let (reader, woken) = (reader.clone(), woken.clone());
                rt::spawn(async move {
                    reader.readable().await.unwrap();
                    woken.add();
                })
            })
            .collect();
        rt::yield_now().await;
        assert_eq!(woken.get(), 0);
        (&writer).write_all(b"x").unwrap();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(woken.get(), 10);
    });
}

#[test]
fn two_tasks_share_what_arrives() {
    on_each(async || {
        let (here, mut there) = connection();
        let here = Arc::new(here);
        let readers = [(); 2].map(|()| {
            let here = here.clone();
            rt::spawn(async move {
                let mut sum = 0;
                loop {
                    match here.read(&mut [0; 100]).await.unwrap() {
                        0 => return sum,
                        len => sum += len,
                    }
                }
            })
        });
        let thread = thread::spawn(move || {
            for _ in 0..100 {
                there.write_all(&[0; 1000]).unwrap();
            }
        });
        let [one, other] = readers;
        assert_eq!(one.await.unwrap() + other.await.unwrap(), 100_000);
        thread.join().unwrap();
    });
}

#[test]
fn one_task_reads_while_another_writes() {
    on_each(async || {
        let (here, there) = connection();
        let (here, there) = (Arc::new(here), Arc::new(stream(there)));
        const TOTAL: usize = 1 << 21;
        let tasks = [here, there].map(|end| {
            let reading = end.clone();
            let reader = rt::spawn(async move {
                let (mut sum, mut buffer) = (0, vec![0; 5000]);
                while sum < TOTAL {
                    sum += reading.read(&mut buffer).await.unwrap();
                }
                sum
            });
            let writer = rt::spawn(async move { end.write_all(&vec![7; TOTAL]).await });
            (reader, writer)
        });
        for (reader, writer) in tasks {
            writer.await.unwrap().unwrap();
            assert_eq!(reader.await.unwrap(), TOTAL);
        }
    });
}

#[test]
fn a_hang_up_ends_reading_and_writing() {
    on_each(async || {
        let (here, there) = connection();
        while (&mut here.get_ref()).write(&[0; 4096]).is_ok() {}
        let here = Arc::new(here);
        let reading = here.clone();
        let reader = rt::spawn(async move { reading.read(&mut [0]).await });
        let writer = rt::spawn(async move { here.write_all(&vec![0; 1 << 24]).await });
        rt::yield_now().await;
        // Because data is unread, this resets the connection.
        drop(there);
        let _end_or_reset = reader.await.unwrap();
        let error = writer.await.unwrap().unwrap_err();
        let kinds = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
        assert!(kinds.contains(&error.kind()), "{error}");
    });
}

#[test]
fn one_direction_ends_and_the_other_goes_on() {
    on_each(async || {
        let (here, mut there) = connection();
        let waiting = rt::spawn(async move {
            let end = here.read(&mut [0]).await.unwrap();
            here.write_all(b"still").await.unwrap();
            end
        });
        there.shutdown(Shutdown::Write).unwrap();
        assert_eq!(waiting.await.unwrap(), 0);
        let mut rest = String::new();
        there.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "still");
    });
}

#[test]
fn a_task_that_is_aborted_while_it_waits_closes_its_descriptor() {
    on_each(async || {
        let (here, mut there) = connection();
        let dropped = Count::default();
        let counted = dropped.clone();
        let task = rt::spawn(async move {
            let _guard = OnDrop(|| counted.add());
            here.read(&mut [0]).await
        });
        rt::yield_now().await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!((dropped.get(), there.read(&mut [0]).unwrap()), (1, 0));
    });
}

#[test]
fn a_descriptor_dropped_during_a_poll_leaves_no_readiness_behind() {
    on_each(async || {
        let (reader, mut writer) = piped();
        let mut reader = Some(reader);
        let registered = poll_fn(|cx| {
            let polled = reader.as_ref().unwrap().poll_readable(cx);
            Poll::Ready(polled.is_pending())
        });
        assert!(registered.await);
        reader.take();
        assert_eq!(
            writer.write_all(b"x").unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
        // The next descriptor gets the same number and key, and none of the old one's readiness.
        let (next, mut writer) = piped();
        let early = timeout(ms(1), next.readable()).await;
        assert!(early.is_err());
        writer.write_all(b"x").unwrap();
        next.readable().await.unwrap();
    });
}
