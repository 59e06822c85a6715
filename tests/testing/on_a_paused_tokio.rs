use reveille::time::{Duration, Instant, error::Elapsed, sleep, timeout};

/// What is tested: asks every 100 ms, for two seconds at most.
async fn until(mut is_ready: impl FnMut() -> bool) -> Result<(), Elapsed> {
    let asks = async {
        while !is_ready() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_secs(2), asks).await
}

#[tokio::test(start_paused = true)]
async fn it_gives_up_after_two_seconds() {
    let start = Instant::now();
    let asking = tokio::spawn(until(|| false));
    assert!(asking.await.unwrap().is_err());
    assert_eq!(start.elapsed(), Duration::from_secs(2));
}
