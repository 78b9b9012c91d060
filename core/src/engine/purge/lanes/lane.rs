//! A lane: a thread that removes one window after the other on a connection of its own.

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
use crate::store::scan::window::{Scope as WalkScope, Window};
use crate::store::tables::chunk::{self, Removal, Removed};

/// A chunk waits at least this long for the one before it. The two began one after the other and are of one size; longer
/// than the chunk itself took, it waits for neither.
const PATIENCE: Duration = Duration::from_secs(1);

/// A window on its way to a lane.
pub(super) struct Task {
    pub(super) number: u64,
    pub(super) window: Window,
    pub(super) spent: Spent,
}

/// What became of it.
pub(super) enum TaskResult {
    Committed {
        removed: Removed,
        took: Duration,
    },
    /// Nothing is known to have been committed.
    GivenUp(GivenUp),
}

/// A window that has to be dealt with again.
pub(super) struct GivenUp {
    pub(super) number: u64,
    pub(super) window: Window,
    /// `None`: the chunk itself will say, when it is alone.
    pub(super) error: Option<StoreError>,
    pub(super) in_doubt: Vec<Removed>,
}

/// Where windows go in and results come out, in the order of the windows as long as they are committed. The lanes end when
/// it is dropped.
pub(super) struct LaneThreads {
    pub(super) tasks: Sender<Task>,
    pub(super) results: Receiver<TaskResult>,
}

impl LaneThreads {
    /// Starts a lane for each of `owned`. One that is given a connection keeps it: there the server has at hand what the lane
    /// needs again.
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
                    // Whoever waits for the result must get one. What panicked here panics again where it is done alone.
                    if catch_unwind(AssertUnwindSafe(|| lane.remove(task, &mut own, &done))).is_err() {
                        lane.give_up(&done, GivenUp { number, window, error: None, in_doubt: Vec::new() });
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

/// What a lane works with.
#[derive(Clone, Copy)]
pub(super) struct Lane<'a> {
    pub(super) engine: &'a Engine,
    pub(super) scope: WalkScope<'a>,
    pub(super) turns: &'a Turns,
    /// The run under which the numbers go into history, if they do.
    pub(super) archive_into: Option<i64>,
}

impl Lane<'_> {
    /// Removes a window and waits for its turn to account for it.
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
                tell(done, TaskResult::Committed { removed, took: begun.elapsed() });
            }
            (removed, turn) => {
                drop(turn);
                self.give_up(done, GivenUp { number, window, error: removed.err(), in_doubt });
            }
        }
    }

    fn give_up(self, done: &Sender<TaskResult>, given_up: GivenUp) {
        self.turns.give_up(given_up.number);
        tell(done, TaskResult::GivenUp(given_up));
    }
}

fn tell(done: &Sender<TaskResult>, result: TaskResult) {
    // Nobody listens any more only when the run is over.
    let _ = done.send(result);
}
