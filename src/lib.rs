//! Async timers for any park loop.
