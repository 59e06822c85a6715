//! The module `token` if the feature `tokio-util` is off: a context has no token.

/// Nothing.
pub(super) type Cache = ();
