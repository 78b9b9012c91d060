//! What an operator asks of a run that is at work: pause, resume, cancel, another pace.

use std::thread;
use std::time::Duration;

use callsweep_core::pace::PaceChange;
use callsweep_core::run::{Run, RunKind, RunState};
use callsweep_core::store::controls::{self, RunControl, Wanted};
use callsweep_core::store::runs::DEAD_AFTER;
use callsweep_core::store::{AnyConnection, Store};
use chrono::NaiveDateTime;

use crate::cli::RunAction;
use crate::cli::exit::Failure;
use crate::process::actor::actor;
use crate::process::stop::Stop;

/// How often the ledger is read while waiting.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Writes a request into the ledger. The run applies it before its next chunk.
pub(super) fn request_control(
    conn: &mut AnyConnection,
    run: &Run,
    action: RunAction,
    changes: &[PaceChange],
    now: NaiveDateTime,
) -> Result<(), Failure> {
    let id = run.id;
    if (action == RunAction::Set) == changes.is_empty() {
        return Err(Failure::usage("set takes changes such as target_chunk=100ms, and nothing else does"));
    }
    if !run.state.is_active() {
        let state = run.state;
        return Err(Failure::usage(match (state, run.kind) {
            (RunState::Stopped | RunState::Failed | RunState::Interrupted, RunKind::Manual | RunKind::Policy) => {
                format!("run {id} is {state}: no process works on it. `sweep --resume {id}` continues it")
            }
            _ => format!("run {id} is {state}: no process works on it"),
        }));
    }
    if run.kind == RunKind::Request {
        return Err(Failure::usage(format_args!("run {id} answers a request, which ends before it reads this")));
    }
    let actor = actor();
    let requested = |before: RunControl| {
        let wanted = match action {
            RunAction::Pause => Some(Wanted::Pause),
            RunAction::Cancel => Some(Wanted::Cancel),
            RunAction::Resume => None,
            RunAction::Set => before.wanted,
        };
        RunControl { wanted, pace: changes.iter().fold(before.pace, |pace, change| pace.then(*change)), actor }
    };
    Ok(controls::request_control(conn, id, requested, now)?)
}

/// Whether a run has done what was asked, or has ended before.
pub(super) fn has_taken_effect(run: &Run, action: RunAction) -> bool {
    !run.state.is_active()
        || match action {
            RunAction::Pause => run.state == RunState::Paused,
            RunAction::Resume => run.state != RunState::Paused,
            // It ends, or is paced differently from the next chunk on.
            RunAction::Cancel => false,
            RunAction::Set => true,
        }
}

/// Waits until the run has done what was asked.
///
/// # Errors
/// The operator stops waiting; the database's.
pub(super) fn wait(
    store: &Store,
    find: impl Fn(&mut AnyConnection) -> Result<Run, Failure>,
    action: RunAction,
    stop: &Stop,
) -> Result<(), Failure> {
    loop {
        let run = find(&mut *store.connection()?)?;
        if has_taken_effect(&run, action) {
            return Ok(());
        }
        if store.clock().timestamp() - run.heartbeat_at > DEAD_AFTER {
            return Err(Failure::failed(format_args!("run {} has no heartbeat: no process works on it", run.id)));
        }
        if stop.requested() {
            return Err(Failure::stopped("stopped waiting; the request stays and takes effect before the next chunk"));
        }
        thread::sleep(LOOK_EVERY);
    }
}
