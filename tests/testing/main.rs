//! What the page on testing shows: each block is a file here, and runs.

#![cfg(not(loom))]

mod on_a_manual_clock;
#[cfg(all(feature = "tokio", feature = "test-util"))]
mod on_a_paused_tokio;
#[cfg(all(feature = "rt", feature = "test-util"))]
mod on_rt;

#[test]
fn the_page_shows_these_files() {
    let page = include_str!("../../docs/testing.md");
    let files = [
        include_str!("on_a_paused_tokio.rs"),
        include_str!("on_a_manual_clock.rs"),
        include_str!("on_rt.rs"),
    ];
    for file in files {
        let block = format!("```rust\n{file}```\n");
        assert!(page.contains(&block), "not on the page: {file}");
    }
    assert_eq!(page.matches("```rust").count(), files.len());
}
