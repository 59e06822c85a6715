//! There is no `rt::io` here.

pub(super) fn run() {}
