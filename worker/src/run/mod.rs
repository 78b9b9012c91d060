//! What a run needs, whether a command or the daemon starts it.

pub(crate) mod gate;
pub(crate) mod limits;
pub(crate) mod policy;
pub(crate) mod reclaim;
mod throttle;
