//! Says in the ledger that a run is alive, however long a chunk takes or a throttle holds.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::Scope;
use std::time::Duration;

use crate::store::{Store, ledger};

/// A third of the time after which a run is taken for dead: two beats may be lost.
const EVERY: Duration = Duration::from_secs(10);

/// Beats until it is dropped.
pub(super) struct Heartbeat(#[allow(dead_code, reason = "dropping it ends the thread")] Sender<()>);

impl Heartbeat {
    pub(super) fn start<'scope>(scope: &'scope Scope<'scope, '_>, store: &'scope Store, run_id: i64) -> Self {
        let (alive, ended) = mpsc::channel();
        scope.spawn(move || {
            while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                let beaten =
                    store.connection().and_then(|mut conn| ledger::beat(&mut conn, run_id, store.clock().timestamp()));
                // The run itself finds out when the database is gone.
                if let Err(error) = beaten {
                    tracing::warn!(run_id, %error, "no heartbeat");
                }
            }
        });
        Self(alive)
    }
}
