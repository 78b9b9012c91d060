//! The chunks of one campaign's history, each one transaction.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::engine::control::Control;
use crate::engine::error::Error;
use crate::engine::open_run::OpenRun;
use crate::engine::report::Outcome;
use crate::model::run::Counts;
use crate::model::stop_reason::StopReason;
use crate::store::db::retry::retry;
use crate::store::db::{AnyConnection, StoreError, Transient};
use crate::store::ledger::Books;
use crate::store::ledger::commit::{Entry, InDoubt, accounted, find_saved};
use crate::store::tables::history::{Scope, Walker, Window};

/// What a restore or a prune did.
#[derive(Debug)]
pub struct HistoryReport {
    /// The run's id in the ledger.
    pub run_id: i64,
    /// How it ended.
    pub outcome: Outcome,
    /// Numbers that left history, all committed.
    pub numbers: i64,
    /// Chunks committed.
    pub chunks: i64,
    /// Attempts that had to be made again.
    pub retries: i64,
}

/// Rows that one query of a preview counts at most: it locks nothing, so it may be larger than a chunk.
pub(crate) const PREVIEW_WINDOW: NonZeroUsize = NonZeroUsize::new(50_000).unwrap();

/// Why a chunk did nothing.
pub(crate) enum Break {
    /// There was nothing left.
    WalkEnded,
    /// None of the rows of this window is meant.
    Empty(Window),
    /// The run is to stop.
    Stop(StopReason),
    /// The run fails.
    Fail(Error),
}

/// A chunk that is done: what it did, and how far it went.
type Done = (Counts, Window);

/// Takes a campaign's rows out of history. `take` does it for one window, inside the chunk's transaction. `None` when all
/// of it is done.
pub(crate) fn take_all(
    run: &mut OpenRun<'_>,
    scope: Scope,
    control: &mut Control<'_>,
    mut take: impl FnMut(&mut AnyConnection, &Window) -> Result<ControlFlow<Break, Counts>, StoreError>,
) -> Result<Option<StopReason>, Error> {
    let mut walker = Walker::new(scope, run.sizer.size());
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
            ControlFlow::Continue((books, (counts, window))) => {
                let took = begun.elapsed();
                run.books = books;
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

/// Finds the next window and deals with it. An attempt that ran into a timeout is made again with half as many rows.
fn one(
    run: &mut OpenRun<'_>,
    walker: &mut Walker,
    take: &mut impl FnMut(&mut AnyConnection, &Window) -> Result<ControlFlow<Break, Counts>, StoreError>,
) -> Result<ControlFlow<Break, (Books, Done)>, StoreError> {
    let (store, patience, books) = (&run.engine.store, run.patience(), run.books.clone());
    let sizer = &mut run.sizer;
    let mut in_doubt: InDoubt<Done> = Vec::new();
    let mut attempt = |conn: &mut AnyConnection, in_doubt: &mut InDoubt<Done>| {
        walker.resize(sizer.size());
        let Some(window) = walker.window(conn)? else { return Ok(ControlFlow::Break(Break::WalkEnded)) };
        if window.rows == 0 {
            return Ok(ControlFlow::Break(Break::Empty(window)));
        }
        let now = store.clock().timestamp();
        let done = accounted(conn, in_doubt, |conn| {
            Ok(match take(conn, &window)? {
                ControlFlow::Break(why) => ControlFlow::Break(why),
                ControlFlow::Continue(counts) => {
                    let next = books.after(&counts, &window.upto.to_string(), now);
                    ControlFlow::Continue((Entry { before: books.clone(), next }, (counts, window)))
                }
            })
        });
        if done.as_ref().is_err_and(|error| error.is_transient() == Some(Transient::LockTimeout)) {
            sizer.halve();
        }
        done
    };
    retry(store, patience, &mut run.retries, |conn| {
        if let Some(done) = find_saved(conn, &in_doubt)? {
            return Ok(ControlFlow::Continue(done));
        }
        match attempt(conn, &mut in_doubt)? {
            // Nothing to do may be what a chunk in doubt has left, which was saved after it was looked for.
            ControlFlow::Break(why) => {
                Ok(find_saved(conn, &in_doubt)?.map_or(ControlFlow::Break(why), ControlFlow::Continue))
            }
            done @ ControlFlow::Continue(_) => Ok(done),
        }
    })
}

fn account_time(run: &mut OpenRun<'_>, took: Duration) {
    let retries = run.retries.total();
    if let Some(row) = &mut run.books.campaign {
        let ms = i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
        row.sql_ms += ms;
        row.slowest_chunk_ms = row.slowest_chunk_ms.max(ms);
        row.retries = retries;
    }
}
