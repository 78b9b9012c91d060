//! Writes a run's heartbeat to the ledger from a thread of its own, so that long chunks and throttles do not delay it.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::Scope;
use std::time::Duration;

use crate::store::db::Store;
use crate::store::ledger;

/// The heartbeat interval: a third of the time after which a run is considered dead, so that two heartbeats may fail.
const EVERY: Duration = Duration::from_secs(10);

/// The interval after a failed heartbeat. When the server is reachable again, the run must write a heartbeat before another
/// process sees its old one and considers it dead.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The heartbeat thread. It ends when this value is dropped.
pub(crate) struct Heartbeat(#[allow(dead_code, reason = "dropping it ends the thread")] Sender<()>);

impl Heartbeat {
    pub(crate) fn start<'scope>(scope: &'scope Scope<'scope, '_>, store: &'scope Store, run_id: i64) -> Self {
        let (alive, ended) = mpsc::channel();
        scope.spawn(move || {
            let mut pause = EVERY;
            while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                let written =
                    store.connection().and_then(|mut conn| ledger::beat(&mut conn, run_id, store.clock().timestamp()));
                pause = if written.is_ok() { EVERY } else { AFTER_FAILURE };
                // Not fatal here: the run itself meets the same error in its next transaction and handles it.
                if let Err(error) = written {
                    tracing::warn!(run_id, %error, "the heartbeat could not be written");
                }
            }
        });
        Self(alive)
    }
}
