//! Arms a timer that has a permit: see `driver/limits.rs`.

use std::task::Waker;

use super::{Arm, Shared};
use crate::driver::limits::Permit;

impl Shared {
    /// Arms a timer that has a permit, like [`arm`](Self::arm). The permit is given back when
    /// the timer leaves the driver, or by this call if it is not armed.
    pub(crate) fn arm_with_permit(
        &self,
        deadline: u64,
        waker: &mut Option<Waker>,
        permit: Permit,
    ) -> Arm {
        let mut state = self.lock();
        let arm = self.insert(&mut state, deadline, waker);
        if let Arm::Armed { index, .. } = arm {
            self.chunks.keep(index, permit);
        }
        arm
    }
}
