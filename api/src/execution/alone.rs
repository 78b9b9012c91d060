//! A request that is executed alone: its first copy runs the engine, the others get the first answer.
//!
//! Two keys identify a request in its row of the ledger: the digest of its signature, and of its Idempotency-Key where the
//! client signed one. Each is unique there and is written in the transaction that deletes, so both hold for copies that
//! arrive at the same time, on several servers, and after a crash.

use std::thread;
use std::time::{Duration, Instant};

use callsweep_core::engine::Error;
use callsweep_core::engine::{Control, Engine, PurgeReport, UnknownCommit, purge, resolve_unknown_commit, resume};
use callsweep_core::run::{NewRun, Run, RunState};
use callsweep_core::store::{AnyConnection, StoreError, runs};

use super::RequestOutcome;

/// How often a copy looks whether the first request has its answer.
const POLL_EVERY: Duration = Duration::from_millis(50);
/// How long it looks: as long as the first request may wait for a lock.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the engine, unless the same request was here before. `unknown_commit`: it was in a batch whose COMMIT got no answer.
pub(super) fn execute(engine: &Engine, new: &NewRun, unknown_commit: Option<&UnknownCommit>) -> RequestOutcome {
    let mut control = Control::unattended();
    let executed = match unknown_commit {
        None => purge(engine, new, &mut control),
        Some(unknown_commit) => resolve_unknown_commit(engine, new, unknown_commit, &mut control),
    };
    match executed {
        Err(Error::KeyTaken(_)) => answer_of_the_first(engine, new).unwrap_or_else(RequestOutcome::Failed),
        executed => outcome(executed),
    }
}

fn outcome(executed: Result<PurgeReport, Error>) -> RequestOutcome {
    executed.map_or_else(RequestOutcome::Failed, RequestOutcome::Executed)
}

/// Waits for the answer to the first copy of a request. Where its server died, or the database failed it, this one
/// resumes it.
fn answer_of_the_first(engine: &Engine, new: &NewRun) -> Result<RequestOutcome, Error> {
    let started = Instant::now();
    loop {
        let run = match find_first(engine, new)? {
            First::Found(run) => run,
            First::OtherCall => return Ok(RequestOutcome::KeyReused),
            // Gone again: its transaction was rolled back, or its row was pruned.
            First::Gone => match purge(engine, new, &mut Control::unattended()) {
                // Another copy was faster.
                Err(Error::KeyTaken(_)) if started.elapsed() <= PATIENCE => continue,
                Err(Error::KeyTaken(_)) => return Ok(RequestOutcome::InProgress),
                executed => return Ok(outcome(executed)),
            },
        };
        let is_dead = run.heartbeat_at < engine.store.clock().timestamp() - runs::DEAD_AFTER;
        match run.state {
            state if matches!(state, RunState::Interrupted | RunState::Failed) || state.is_active() && is_dead => {
                match resume(engine, run.id, new.bounds, &mut Control::unattended()) {
                    // Another copy was faster.
                    Err(Error::NotResumable { .. }) => {}
                    resumed => return Ok(outcome(resumed)),
                }
            }
            state if state.is_active() => {}
            _ => return Ok(RequestOutcome::Replayed(run)),
        }
        if started.elapsed() > PATIENCE {
            return Ok(RequestOutcome::InProgress);
        }
        thread::sleep(POLL_EVERY);
    }
}

/// The row of the ledger that has a key of a request.
enum First {
    /// It is the same request's.
    Found(Box<Run>),
    /// It has the Idempotency-Key, and is another call's.
    OtherCall,
    /// There is none.
    Gone,
}

fn find_first(engine: &Engine, new: &NewRun) -> Result<First, Error> {
    Ok(engine.store.with_connection(|conn| find_first_on(conn, new))?)
}

fn find_first_on(conn: &mut AnyConnection, new: &NewRun) -> Result<First, StoreError> {
    // The same signature is the same request, to the byte.
    if let Some(key) = &new.key
        && let Some(run) = runs::find_by_key(conn, key)?
    {
        return Ok(First::Found(Box::new(run)));
    }
    let Some(key) = new.idempotency_key() else { return Ok(First::Gone) };
    Ok(match runs::find_by_idempotency_key(conn, key)? {
        Some(run) if is_same_call(&run, new) => First::Found(Box::new(run)),
        Some(_) => First::OtherCall,
        None => First::Gone,
    })
}

/// Whether the ledger's run is the call that a new signature asks for.
fn is_same_call(run: &Run, new: &NewRun) -> bool {
    let target = new.targets.first().map(|target| (Some(target.vdn_id), Some(target.campaign_id)));
    target == Some((run.vdn_id, run.campaign_id))
        && run.archive_history == new.archive_history
        && serde_json::to_value(&new.criteria).is_ok_and(|criteria| criteria == run.criteria)
}
