//! Prune: deletes history rows whose retention has ended, and then ledger rows without remaining history.

use std::ops::ControlFlow;

use chrono::NaiveDateTime;
use serde::Serialize;

use crate::engine::control::{Control, Engine};
use crate::engine::error::Error;
use crate::engine::history_chunks::{HistoryReport, PREVIEW_WINDOW, take_all};
use crate::engine::open_run::{OpenRun, with_heartbeat};
use crate::engine::report::Outcome;
use crate::model::bounds::{Bounds, CampaignRemoval};
use crate::model::campaign::CampaignId;
use crate::model::run::{Counts, RunKind};
use crate::store::ledger::{LedgerState, Origin, RunRow, retention};
use crate::store::tables::history::{HistoryScope, HistoryWalker, Which, next_campaign};

/// The parameters of a prune.
#[derive(Debug, Clone)]
pub struct Prune {
    /// History that was archived before this time is deleted. See [`crate::model::age::cutoff`].
    pub archived_before: NaiveDateTime,
    /// How many rows may be deleted.
    pub bounds: Bounds,
    /// Who started the prune.
    pub actor: String,
}

/// What a prune would do if it started now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PrunePreview {
    /// History that was archived before this time would be deleted.
    pub archived_before: NaiveDateTime,
    /// History rows that would be deleted.
    pub numbers: i64,
    /// The same by campaign. Campaigns without such rows are left out.
    pub campaigns: Vec<HistoryShare>,
    /// The most ledger rows that would be deleted. Rows whose run still has history remain.
    pub ledger_rows: i64,
    /// Why the prune would be refused.
    pub refused: Option<String>,
}

/// What a prune would delete from one campaign's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryShare {
    /// The campaign. It may no longer exist.
    pub campaign_id: i64,
    /// Rows that would be deleted.
    pub numbers: i64,
}

/// The result of a prune.
#[derive(Debug)]
pub struct PruneReport {
    /// The result for the history table.
    pub history: HistoryReport,
    /// Ledger rows that were deleted.
    pub ledger_rows: i64,
}

/// Counts what a prune would delete. `stop` is called before each window; if it returns true, the result is `None`.
///
/// # Errors
/// The database's.
pub fn preview(engine: &Engine, request: &Prune, stop: &dyn Fn() -> bool) -> Result<Option<PrunePreview>, Error> {
    let Some(campaigns) = count(engine, request, stop)? else { return Ok(None) };
    let mut conn = engine.store.connection()?;
    let (mut ledger_rows, mut after) = (0, None);
    while let Some(range) = retention::next_range(&mut conn, after)? {
        if stop() {
            return Ok(None);
        }
        ledger_rows += retention::count(&mut conn, &range, request.archived_before)?;
        after = Some(range.upto);
    }
    Ok(Some(PrunePreview {
        archived_before: request.archived_before,
        numbers: campaigns.iter().map(|share| share.numbers).sum(),
        refused: check(request, &campaigns).err().map(|error| error.to_string()),
        campaigns,
        ledger_rows,
    }))
}

fn count(engine: &Engine, request: &Prune, stop: &dyn Fn() -> bool) -> Result<Option<Vec<HistoryShare>>, Error> {
    let mut conn = engine.store.connection()?;
    let (mut campaigns, mut after) = (Vec::new(), None);
    while let Some(campaign_id) = next_campaign(&mut conn, "call_data_history", after)? {
        let mut walker = HistoryWalker::new(request.scope(campaign_id), PREVIEW_WINDOW);
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

/// Checks the bounds, which are those of sweeps, against the history rows to delete.
fn check(request: &Prune, campaigns: &[HistoryShare]) -> Result<(), Error> {
    let removal = |share: &HistoryShare| -> Result<CampaignRemoval, Error> {
        let campaign_id = CampaignId::try_from(share.campaign_id)?;
        Ok(CampaignRemoval { campaign_id, removable: share.numbers, total: Some(share.numbers) })
    };
    let removals = campaigns.iter().map(removal).collect::<Result<Vec<_>, _>>()?;
    request.bounds.check(&removals).map_err(Error::Bound)
}

impl Prune {
    fn scope(&self, campaign_id: i64) -> HistoryScope {
        HistoryScope { campaign_id, which: Which::ArchivedBefore(self.archived_before) }
    }
}

/// Deletes history rows that are old enough, in chunks, one transaction per chunk. Then deletes ledger rows that are as
/// old and whose runs have no history left.
///
/// # Errors
/// Only before the run begins: the database is not reachable. After that the report contains the outcome.
pub fn prune(engine: &Engine, request: &Prune, control: &mut Control<'_>) -> Result<PruneReport, Error> {
    let store = &engine.store;
    let criteria = serde_json::json!({ "archivedBefore": request.archived_before }).to_string();
    let origin = Origin {
        kind: RunKind::Prune,
        policy: None,
        actor: &request.actor,
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
        work(&mut run, request, &mut ledger_rows, control).unwrap_or_else(Outcome::Failed)
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
    request: &Prune,
    ledger_rows: &mut i64,
    control: &mut Control<'_>,
) -> Result<Outcome, Error> {
    if let Some(refused) = run.refused_by_tables()? {
        return Ok(Outcome::Refused(refused));
    }
    if request.bounds.any() {
        // Nothing stops this count, so there is always a result.
        if let Some(campaigns) = count(run.engine, request, &|| false)?
            && let Err(error) = check(request, &campaigns)
        {
            return Ok(Outcome::Refused(error));
        }
    }
    let mut after = None;
    while let Some(campaign_id) = run.retry(|conn| next_campaign(conn, "call_data_history", after))? {
        let scope = request.scope(campaign_id);
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
    while let Some(range) = run.retry(|conn| retention::next_range(conn, after))? {
        if let Some(reason) = run.hold(None, control)? {
            return Ok(Outcome::Stopped(reason));
        }
        *ledger_rows += run.retry(|conn| retention::end(conn, &range, request.archived_before))?;
        after = Some(range.upto);
    }
    Ok(Outcome::Succeeded)
}
