//! The bench on other systems, where there is no `rt::io`.

pub(super) fn run() {}
