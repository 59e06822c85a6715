//! The copy of the service with the timers of tokio, which this import selects.

use tokio::time;

#[path = "service.rs"]
mod service;

pub(crate) use self::service::run;
