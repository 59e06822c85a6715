//! No process-wide thread: the feature `fallback` is off.

use crate::handle::Handle;

pub(super) fn handle() -> Option<Handle> {
    None
}
