//! Works through the history of one campaign in chunks, one transaction per chunk. Restores and prunes share it.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::engine::control::Control;
use crate::engine::error::Error;
use crate::engine::open_run::OpenRun;
use crate::engine::report::Outcome;
use crate::failpoint::fail_point;
use crate::model::run::Counts;
use crate::model::stop_reason::StopReason;
use crate::store::db::retry::retry;
use crate::store::db::{AnyConnection, StoreError, Transient, commit_once, write_transaction};
use crate::store::ledger::{self, LedgerState, LedgerUpdate};
use crate::store::tables::history::{HistoryScope, HistoryWalker, HistoryWindow};

/// The result of a restore or a prune.
#[derive(Debug)]
pub struct HistoryReport {
    /// The run's id in the ledger.
    pub run_id: i64,
    /// How it ended.
    pub outcome: Outcome,
    /// Numbers removed from history by committed chunks.
    pub numbers: i64,
    /// Chunks committed.
    pub chunks: i64,
    /// Retries.
    pub retries: i64,
}

/// The most rows that one query of a preview counts. A preview takes no locks, so this may be larger than a chunk.
pub(crate) const PREVIEW_WINDOW: NonZeroUsize = NonZeroUsize::new(50_000).unwrap();

/// Why a chunk changed nothing.
pub(crate) enum Break {
    /// The scan has reached the end of the campaign's history.
    WalkEnded,
    /// No row of this window is selected.
    Empty(HistoryWindow),
    /// The run must stop.
    Stop(StopReason),
    /// The run has failed.
    Fail(Error),
}

/// A chunk that is committed, or whose COMMIT is in progress.
#[derive(Clone)]
struct Taken {
    counts: Counts,
    window: HistoryWindow,
    /// The ledger's rows after the chunk.
    ledger: LedgerState,
}

/// Processes all selected history rows of a campaign. `take` processes one window, inside the chunk's transaction. Returns
/// why the run stopped early, or `None` if it reached the end.
pub(crate) fn take_all(
    run: &mut OpenRun<'_>,
    scope: HistoryScope,
    control: &mut Control<'_>,
    mut take: impl FnMut(&mut AnyConnection, &HistoryWindow) -> Result<ControlFlow<Break, Counts>, StoreError>,
) -> Result<Option<StopReason>, Error> {
    let mut walker = HistoryWalker::new(scope, run.sizer.size());
    loop {
        if let Some(reason) = run.hold(Some(scope.campaign_id), control)? {
            return Ok(Some(reason));
        }
        let begun = Instant::now();
        match one(run, &mut walker, &mut take)? {
            ControlFlow::Break(Break::WalkEnded) => return Ok(None),
            ControlFlow::Break(Break::Empty(window)) => {
                if walker.advance(&window) {
                    return Ok(None);
                }
            }
            ControlFlow::Break(Break::Stop(reason)) => return Ok(Some(reason)),
            ControlFlow::Break(Break::Fail(error)) => return Err(error),
            ControlFlow::Continue(Taken { counts, window, ledger }) => {
                let took = begun.elapsed();
                run.ledger = ledger;
                account_time(run, took);
                run.learn(Some(scope.campaign_id), counts, took, control);
                if walker.advance(&window) {
                    return Ok(None);
                }
                run.rest();
            }
        }
    }
}

/// Finds the next window and processes it. After a lock timeout the next attempt uses half the chunk size: a smaller chunk
/// needs fewer locks.
fn one(
    run: &mut OpenRun<'_>,
    walker: &mut HistoryWalker,
    take: &mut impl FnMut(&mut AnyConnection, &HistoryWindow) -> Result<ControlFlow<Break, Counts>, StoreError>,
) -> Result<ControlFlow<Break, Taken>, StoreError> {
    let (store, patience, before) = (&run.engine.store, run.patience(), run.ledger.clone());
    let sizer = &mut run.sizer;
    let mut attempt = |conn: &mut AnyConnection, committing: &mut Option<Taken>| {
        walker.resize(sizer.size());
        let Some(window) = walker.window(conn)? else { return Ok(ControlFlow::Break(Break::WalkEnded)) };
        if window.rows == 0 {
            return Ok(ControlFlow::Break(Break::Empty(window)));
        }
        let now = store.clock().timestamp();
        let taken = write_transaction(conn, |conn| {
            let counts = match take(conn, &window)? {
                ControlFlow::Continue(counts) => counts,
                ControlFlow::Break(why) => return Ok(ControlFlow::Break(why)),
            };
            let next = before.after(&counts, &window.upto.to_string(), now);
            ledger::save(conn, &LedgerUpdate { before: before.clone(), next: next.clone() })?;
            fail_point!("accounted");
            let taken = Taken { counts, window, ledger: next };
            *committing = Some(taken.clone());
            Ok(ControlFlow::Continue(taken))
        });
        if taken.as_ref().is_err_and(|error| error.is_transient() == Some(Transient::LockTimeout)) {
            sizer.halve();
        }
        taken
    };
    let is_committed = |conn: &mut AnyConnection, taken: &Taken| ledger::is_saved(conn, &taken.ledger);
    let mut in_doubt = Vec::new();
    retry(store, patience, &mut run.retries, |conn| {
        commit_once(conn, &mut in_doubt, is_committed, ControlFlow::Continue, &mut attempt)
    })
}

fn account_time(run: &mut OpenRun<'_>, took: Duration) {
    let retries = run.retries.total();
    if let Some(row) = &mut run.ledger.campaign {
        let ms = i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
        row.sql_ms += ms;
        row.slowest_chunk_ms = row.slowest_chunk_ms.max(ms);
        row.retries = retries;
    }
}
