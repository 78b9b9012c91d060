//! A lane: a thread that removes windows one after the other on its own connection.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;
use std::time::{Duration, Instant};

use crate::engine::control::Engine;
use crate::engine::purge::lanes::turns::Turns;
use crate::engine::purge::one_by_one::Spent;
use crate::store::db::{PooledConnection, StoreError};
use crate::store::scan::window::{ScanScope, Window};
use crate::store::tables::chunk::{self, Removal, Removed};

/// The shortest time that a chunk waits for its turn to commit. If the chunk itself took longer, it waits as long as it
/// took: the earlier chunk started before it and has about the same size, so it should have finished by then.
const PATIENCE: Duration = Duration::from_secs(1);

/// A window for a lane to remove.
pub(super) struct Task {
    pub(super) number: u64,
    pub(super) window: Window,
    pub(super) spent: Spent,
}

/// The result of a task.
pub(super) enum TaskResult {
    Committed {
        removed: Removed,
        took: Duration,
    },
    /// The chunk was not committed, or its COMMIT returned no answer.
    Failed(FailedTask),
}

/// A window that has to be processed again.
pub(super) struct FailedTask {
    pub(super) number: u64,
    pub(super) window: Window,
    /// Why. `None`: the cause shows when the chunk is executed again outside the lanes.
    pub(super) error: Option<StoreError>,
    /// The attempt whose COMMIT returned no answer.
    pub(super) in_doubt: Vec<Removed>,
}

/// The channels to and from the lanes. Results of committed chunks arrive in the order of their windows. The lanes end when
/// this value is dropped.
pub(super) struct LaneThreads {
    pub(super) tasks: Sender<Task>,
    pub(super) results: Receiver<TaskResult>,
}

impl LaneThreads {
    /// Starts a lane for each element of `owned`. A lane that is given a connection keeps it, because its server session has
    /// the prepared statements.
    pub(super) fn start<'scope>(
        threads: &'scope Scope<'scope, '_>,
        owned: Vec<Option<PooledConnection>>,
        lane: Lane<'scope>,
    ) -> Self {
        let (tasks, waiting) = mpsc::channel::<Task>();
        let (done, results) = mpsc::channel();
        let waiting = Arc::new(Mutex::new(waiting));
        for mut own in owned {
            let (waiting, done) = (Arc::clone(&waiting), done.clone());
            let keeps = own.is_some();
            threads.spawn(move || {
                loop {
                    let Ok(task) = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv() else { return };
                    let (number, window) = (task.number, task.window.clone());
                    // The feeder waits for a result of every task. A panic here happens again when the feeder executes the
                    // chunk itself, and is reported there.
                    if catch_unwind(AssertUnwindSafe(|| lane.remove(task, &mut own, &done))).is_err() {
                        lane.fail(&done, FailedTask { number, window, error: None, in_doubt: Vec::new() });
                    }
                    if !keeps {
                        own = None;
                    }
                }
            });
        }
        Self { tasks, results }
    }
}

/// What all lanes share.
#[derive(Clone, Copy)]
pub(super) struct Lane<'a> {
    pub(super) engine: &'a Engine,
    pub(super) scope: ScanScope<'a>,
    pub(super) turns: &'a Turns,
    /// The run id for archived numbers. `None`: numbers are deleted without archiving.
    pub(super) archive_into: Option<i64>,
}

impl Lane<'_> {
    /// Removes a window in a transaction, waits for its turn, and then updates the ledger and commits.
    fn remove(self, task: Task, own: &mut Option<PooledConnection>, done: &Sender<TaskResult>) {
        let Self { engine, scope, turns, archive_into } = self;
        let Task { number, window, spent } = task;
        let begun = Instant::now();
        let mut turn = None;
        let mut in_doubt = Vec::new();
        let conn = own.take().map_or_else(|| engine.store.connection(), Ok);
        let removed = conn.and_then(|mut conn| {
            let now = engine.store.clock().timestamp();
            let catalogue = engine.store.catalogue();
            let removal = Removal { scope, window: &window, rules: engine.rules, archive_into, now, catalogue };
            let mut committing = None;
            let removed = chunk::remove(&mut conn, &removal, &mut committing, |counts| {
                let mine = turns.wait(number, begun.elapsed().max(PATIENCE))?;
                let update = spent.update(mine.ledger.clone(), counts, &window, now);
                turn = Some(mine);
                Ok(update)
            });
            if let Err(StoreError::CommitUnknown(_)) = removed {
                in_doubt.extend(committing);
            }
            *own = removed.is_ok().then_some(conn);
            removed
        });
        match (removed, turn) {
            (Ok(ControlFlow::Continue(removed)), Some(turn)) => {
                let _turn = turns.pass(turn, (*removed.ledger).clone());
                send(done, TaskResult::Committed { removed, took: begun.elapsed() });
            }
            (removed, turn) => {
                drop(turn);
                self.fail(done, FailedTask { number, window, error: removed.err(), in_doubt });
            }
        }
    }

    fn fail(self, done: &Sender<TaskResult>, failed_task: FailedTask) {
        self.turns.fail(failed_task.number);
        send(done, TaskResult::Failed(failed_task));
    }
}

fn send(done: &Sender<TaskResult>, result: TaskResult) {
    // The receiver is gone only when the run is over.
    let _ = done.send(result);
}
