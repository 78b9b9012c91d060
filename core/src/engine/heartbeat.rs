//! Says in the ledger that a run is alive, however long a chunk takes or a throttle holds.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::Scope;
use std::time::Duration;

use crate::store::db::Store;
use crate::store::ledger;

/// A third of the time after which a run is taken for dead: two beats may be lost.
const EVERY: Duration = Duration::from_secs(10);

/// While the server is away: when it is back, others must not find the run silent for so long that they take it for dead.
const WHILE_AWAY: Duration = Duration::from_secs(1);

/// Beats until it is dropped.
pub(crate) struct Heartbeat(#[allow(dead_code, reason = "dropping it ends the thread")] Sender<()>);

impl Heartbeat {
    pub(crate) fn start<'scope>(scope: &'scope Scope<'scope, '_>, store: &'scope Store, run_id: i64) -> Self {
        let (alive, ended) = mpsc::channel();
        scope.spawn(move || {
            let mut pause = EVERY;
            while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                let beaten =
                    store.connection().and_then(|mut conn| ledger::beat(&mut conn, run_id, store.clock().timestamp()));
                pause = if beaten.is_ok() { EVERY } else { WHILE_AWAY };
                // The run itself finds out when the database is gone.
                if let Err(error) = beaten {
                    tracing::warn!(run_id, %error, "no heartbeat");
                }
            }
        });
        Self(alive)
    }
}
