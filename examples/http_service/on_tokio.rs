//! Which timers does this copy of the service run on? This one line says it.

use tokio::time;

#[path = "service.rs"]
mod service;

pub(crate) use self::service::run;
