//! Tests of `Context`, one situation a file.

#![cfg(not(loom))]

mod after_func;
mod ends;
mod go;
mod go_cause;
mod life;
mod races;
mod scope;
mod time;
#[cfg(feature = "tokio-util")]
mod token;
mod tree;
mod wire;

#[path = "../support/mod.rs"]
mod support;

use reveille::Context;

/// Returns how many children a context has, which only its `Debug` shows.
fn children(context: &Context) -> usize {
    let text = format!("{context:?}");
    let (_, number) = text.split_once("children: ").unwrap();
    number.trim_end_matches([' ', '}']).parse().unwrap()
}

/// Returns the text of the cause.
fn cause(context: &Context) -> Option<String> {
    context.cause().map(|cause| cause.to_string())
}
