//! Fault injection: points within a transaction at which a test can stop the process. Only with the feature `failpoints`,
//! which no release has.
//!
//! One callback suffices, so this uses no library: the crate `fail` would add old versions of `rand`, `log` and `once_cell`.

/// Passes the named point. Compiles to nothing without the feature.
macro_rules! fail_point {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        $crate::failpoint::pass($name);
    };
}
pub(crate) use fail_point;

#[cfg(feature = "failpoints")]
mod watched {
    use std::sync::OnceLock;

    /// The points of a chunk, in the order in which it passes them. PostgreSQL has no `copied`, because it copies and deletes
    /// in one statement. Every writing transaction passes the last two.
    pub const POINTS: [&str; 6] = ["locked", "copied", "deleted", "accounted", "committing", "committed"];

    static AT: OnceLock<Box<dyn Fn(&'static str) + Send + Sync>> = OnceLock::new();

    /// Calls `at` with the name of each point that is passed from now on. Only the first call in a process has an effect.
    pub fn watch(at: impl Fn(&'static str) + Send + Sync + 'static) {
        let _ = AT.set(Box::new(at));
    }

    pub(crate) fn pass(point: &'static str) {
        if let Some(at) = AT.get() {
            at(point);
        }
    }
}
#[cfg(feature = "failpoints")]
pub(crate) use watched::pass;
#[cfg(feature = "failpoints")]
pub use watched::{POINTS, watch};
