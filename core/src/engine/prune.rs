//! Ends the retention of history, and then of ledger rows that have no history left.

use std::ops::ControlFlow;

use chrono::NaiveDateTime;
use serde::Serialize;

use crate::engine::control::{Control, Engine};
use crate::engine::error::Error;
use crate::engine::history_chunks::{HistoryReport, PREVIEW_WINDOW, take_all};
use crate::engine::open_run::{OpenRun, with_heartbeat};
use crate::engine::report::Outcome;
use crate::model::bounds::{Bounds, Share};
use crate::model::campaign::CampaignId;
use crate::model::run::{Counts, RunKind};
use crate::store::ledger::{LedgerState, Origin, RunRow, retention};
use crate::store::tables::history::{Scope, Walker, Which, next_campaign};

/// A wish to end the retention of what is old.
#[derive(Debug, Clone)]
pub struct Prune {
    /// History that was archived before this time goes. See [`crate::model::age::cutoff`].
    pub archived_before: NaiveDateTime,
    /// How many rows may go.
    pub bounds: Bounds,
    /// Who asks.
    pub actor: String,
}

/// What a prune would do, if it began now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PrunePreview {
    /// History that was archived before this time would go.
    pub archived_before: NaiveDateTime,
    /// Rows of history that would go.
    pub numbers: i64,
    /// By campaign, those with none left out.
    pub campaigns: Vec<HistoryShare>,
    /// Ledger rows that would go with them, at most: those with history left over stay.
    pub ledger_rows: i64,
    /// Why the prune would be refused.
    pub refused: Option<String>,
}

/// What would go from one campaign's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryShare {
    /// The campaign; there may be none of this id any more.
    pub campaign_id: i64,
    /// Rows that would go.
    pub numbers: i64,
}

/// What a prune did.
#[derive(Debug)]
pub struct PruneReport {
    /// What became of history.
    pub history: HistoryReport,
    /// Ledger rows that went.
    pub ledger_rows: i64,
}

/// Counts what would go. `stop` is asked before each window; a preview that is stopped is `None`.
///
/// # Errors
/// The database's.
pub fn preview(engine: &Engine, wish: &Prune, stop: &dyn Fn() -> bool) -> Result<Option<PrunePreview>, Error> {
    let Some(campaigns) = count(engine, wish, stop)? else { return Ok(None) };
    let mut conn = engine.store.connection()?;
    let (mut ledger_rows, mut after) = (0, None);
    while let Some(window) = retention::window(&mut conn, after)? {
        if stop() {
            return Ok(None);
        }
        ledger_rows += retention::count(&mut conn, &window, wish.archived_before)?;
        after = Some(window.upto);
    }
    Ok(Some(PrunePreview {
        archived_before: wish.archived_before,
        numbers: campaigns.iter().map(|share| share.numbers).sum(),
        refused: check(wish, &campaigns).err().map(|error| error.to_string()),
        campaigns,
        ledger_rows,
    }))
}

fn count(engine: &Engine, wish: &Prune, stop: &dyn Fn() -> bool) -> Result<Option<Vec<HistoryShare>>, Error> {
    let mut conn = engine.store.connection()?;
    let (mut campaigns, mut after) = (Vec::new(), None);
    while let Some(campaign_id) = next_campaign(&mut conn, "call_data_history", after)? {
        let mut walker = Walker::new(wish.scope(campaign_id), PREVIEW_WINDOW);
        let mut numbers = 0;
        while let Some(window) = walker.window(&mut conn)? {
            if stop() {
                return Ok(None);
            }
            numbers += window.rows;
            if walker.advance(&window) {
                break;
            }
        }
        if numbers > 0 {
            campaigns.push(HistoryShare { campaign_id, numbers });
        }
        after = Some(campaign_id);
    }
    Ok(Some(campaigns))
}

/// The bounds of sweeps, on rows of history.
fn check(wish: &Prune, campaigns: &[HistoryShare]) -> Result<(), Error> {
    let share = |share: &HistoryShare| -> Result<Share, Error> {
        let campaign_id = CampaignId::try_from(share.campaign_id)?;
        Ok(Share { campaign_id, removable: share.numbers, all: share.numbers })
    };
    let shares = campaigns.iter().map(share).collect::<Result<Vec<_>, _>>()?;
    wish.bounds.check(&shares).map_err(Error::Bound)
}

impl Prune {
    fn scope(&self, campaign_id: i64) -> Scope {
        Scope { campaign_id, which: Which::ArchivedBefore(self.archived_before) }
    }
}

/// Deletes history that is old enough, in chunks, each one transaction; then ledger rows that are as old and have no
/// history left.
///
/// # Errors
/// Only while nothing has begun: the database cannot be reached. After that the report says how it ended.
pub fn prune(engine: &Engine, wish: &Prune, control: &mut Control<'_>) -> Result<PruneReport, Error> {
    let store = &engine.store;
    let criteria = serde_json::json!({ "archivedBefore": wish.archived_before }).to_string();
    let origin = Origin {
        kind: RunKind::Prune,
        policy: None,
        actor: &wish.actor,
        targets: &[],
        criteria,
        archive_history: false,
    };
    let row = RunRow::opened(store.ids().next_id(), origin, store.clock().timestamp());
    let mut run = OpenRun::new(engine, LedgerState { run: row, campaign: None, saved: false });
    run.insert(&[])?;
    let run_id = run.ledger.run.id;
    let mut ledger_rows = 0;
    let outcome = with_heartbeat(engine, run_id, || {
        work(&mut run, wish, &mut ledger_rows, control).unwrap_or_else(Outcome::Failed)
    });
    let outcome = run.end(outcome, None);
    let (numbers, chunks) = (run.ledger.run.deleted, run.ledger.run.chunks);
    Ok(PruneReport {
        history: HistoryReport { run_id, outcome, numbers, chunks, retries: run.retries.total() },
        ledger_rows,
    })
}

fn work(
    run: &mut OpenRun<'_>,
    wish: &Prune,
    ledger_rows: &mut i64,
    control: &mut Control<'_>,
) -> Result<Outcome, Error> {
    if let Some(refused) = run.refused_by_tables()? {
        return Ok(Outcome::Refused(refused));
    }
    if wish.bounds.any() {
        let campaigns = count(run.engine, wish, &|| false)?.unwrap_or_default();
        if let Err(error) = check(wish, &campaigns) {
            return Ok(Outcome::Refused(error));
        }
    }
    let mut after = None;
    while let Some(campaign_id) = run.retry(|conn| next_campaign(conn, "call_data_history", after))? {
        let scope = wish.scope(campaign_id);
        let stopped = take_all(run, scope, control, |conn, window| {
            let pruned = scope.prune(conn, window)?;
            Ok(ControlFlow::Continue(Counts { matched: pruned, deleted: pruned, ..Counts::default() }))
        })?;
        if let Some(reason) = stopped {
            return Ok(Outcome::Stopped(reason));
        }
        after = Some(campaign_id);
    }
    let mut after = None;
    while let Some(window) = run.retry(|conn| retention::window(conn, after))? {
        if let Some(reason) = run.hold(None, control)? {
            return Ok(Outcome::Stopped(reason));
        }
        *ledger_rows += run.retry(|conn| retention::end(conn, &window, wish.archived_before))?;
        after = Some(window.upto);
    }
    Ok(Outcome::Succeeded)
}
