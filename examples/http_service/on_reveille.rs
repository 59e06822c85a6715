//! The copy of the service with the timers of reveille, which this import selects.

use reveille::time;

#[path = "service.rs"]
mod service;

pub(crate) use self::service::run;
