//! Restore: moves the numbers that a run archived from history back to `call_data`, unchanged.

use std::ops::ControlFlow;

use serde::Serialize;

use crate::engine::control::{Control, Engine};
use crate::engine::error::{Clashes, Error};
use crate::engine::history_chunks::{Break, HistoryReport, PREVIEW_WINDOW, take_all};
use crate::engine::open_run::{OpenRun, with_heartbeat};
use crate::engine::report::Outcome;
use crate::failpoint::fail_point;
use crate::model::run::{Counts, RestoreCriteria, Run, RunKind, RunState, Target};
use crate::model::stop_reason::StopReason;
use crate::store::db::{StoreError, columns, storage};
use crate::store::ledger::leases::Lease;
use crate::store::ledger::{CampaignRow, LedgerState, Origin, RunRow, leases, runs};
use crate::store::tables::campaigns;
use crate::store::tables::history::{HistoryScope, HistoryWalker, Which};

/// The parameters of a restore.
#[derive(Debug, Clone)]
pub struct Restore {
    /// The run that archived the numbers.
    pub run_id: i64,
    /// Who started the restore.
    pub actor: String,
    /// Whether numbers may return to an executing campaign. Its dialler will call them.
    pub into_executing: bool,
}

/// What a restore would do if it started now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestorePreview {
    /// The run that archived the numbers.
    pub run_id: i64,
    /// Numbers of the run that are in history.
    pub numbers: i64,
    /// Those that cannot return because `call_data` has a number with the same key.
    pub clashes: Clashes,
    /// The same numbers by campaign.
    pub campaigns: Vec<CampaignShare>,
    /// Numbers that the run archived and that were pruned since. They cannot be restored.
    pub pruned: i64,
    /// Why the restore would be refused.
    pub refused: Option<String>,
}

/// What a restore would return to one campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CampaignShare {
    /// The campaign.
    #[serde(flatten)]
    pub target: Target,
    /// Numbers that would return to it.
    pub numbers: i64,
}

/// How many clashes an error lists.
const CLASHES_NAMED: usize = 20;

/// Counts what a restore would return, and checks whether anything forbids it. `stop` is called before each window; if it
/// returns true, the result is `None`.
///
/// # Errors
/// [`Error::NotRestorable`], or the database's.
pub fn preview(engine: &Engine, request: &Restore, stop: &dyn Fn() -> bool) -> Result<Option<RestorePreview>, Error> {
    let (source, targets) = find_source(engine, request.run_id)?;
    let Some((shares, clashes)) = count_restorable(engine, request.run_id, &targets, stop)? else { return Ok(None) };
    let refused = match forbidden(engine, &targets, request.into_executing)? {
        Some(error) => Some(error.to_string()),
        None => (clashes.count > 0).then(|| Error::Clash(clashes.clone()).to_string()),
    };
    Ok(Some(RestorePreview {
        run_id: request.run_id,
        numbers: shares.iter().map(|share| share.numbers).sum(),
        clashes,
        campaigns: shares,
        pruned: source.pruned,
        refused,
    }))
}

/// Moves a run's numbers from history back to `call_data`, in chunks, one transaction per chunk.
///
/// If it ends early, the remaining numbers are still in history. Calling it again with the same parameters continues.
///
/// # Errors
/// Only before the run begins: [`Error::NotRestorable`], or the database is not reachable. After that the report contains
/// the outcome.
pub fn restore(engine: &Engine, request: &Restore, control: &mut Control<'_>) -> Result<HistoryReport, Error> {
    let (store, now) = (&engine.store, engine.store.clock().timestamp());
    runs::interrupt_dead(&mut *store.connection()?, now)?;
    let (_, targets) = find_source(engine, request.run_id)?;
    let origin = Origin {
        kind: RunKind::Restore,
        policy: None,
        actor: &request.actor,
        targets: &targets,
        criteria: serde_json::to_string(&RestoreCriteria { restored_run: request.run_id })
            .map_err(|error| StoreError::Unreadable(format!("the criteria of the restore: {error}")))?,
        archive_history: false,
    };
    let row = RunRow::opened(store.ids().next_id(), origin, now);
    let rows: Vec<CampaignRow> = targets.iter().map(|target| CampaignRow::new(row.id, *target)).collect();
    let mut run = OpenRun::new(engine, LedgerState { run: row, campaign: None, saved: false });
    run.insert(&rows)?;
    let run_id = run.ledger.run.id;
    let outcome = with_heartbeat(engine, run_id, || {
        let outcome = under_leases(&mut run, request, &targets, rows, control).unwrap_or_else(Outcome::Failed);
        for target in &targets {
            // Not fatal: a lease expires with its run.
            if let Err(error) = run.retry(|conn| leases::release(conn, target.campaign_id, run_id)) {
                tracing::warn!(campaign = %target.campaign_id, %error, "the lease could not be released");
            }
        }
        outcome
    });
    let outcome = run.end(outcome, None);
    let (numbers, chunks) = (run.ledger.run.matched, run.ledger.run.chunks);
    Ok(HistoryReport { run_id, outcome, numbers, chunks, retries: run.retries.total() })
}

/// The run to restore and its campaigns. An error if it has nothing to restore.
fn find_source(engine: &Engine, run_id: i64) -> Result<(Run, Vec<Target>), Error> {
    let refuse = |reason: String| Error::NotRestorable { run_id, reason };
    let mut conn = engine.store.connection()?;
    let run = runs::find(&mut conn, run_id)?.ok_or_else(|| refuse("it is not in the ledger".to_owned()))?;
    let now = engine.store.clock().timestamp();
    if leases::is_alive(&run, now) {
        return Err(refuse(format!("it is {}; wait until it has ended, or cancel it", run.state)));
    }
    if matches!(run.kind, RunKind::Restore | RunKind::Prune) {
        return Err(refuse(format!("it is a {}: only runs that archive can be taken back", run.kind)));
    }
    let left = run.counts.archived - run.restored - run.pruned;
    if left <= 0 {
        let Counts { deleted, archived, .. } = run.counts;
        return Err(refuse(match (archived, run.pruned) {
            (0, _) if deleted > 0 => format!("its {deleted} number(s) were deleted without archive: they are gone"),
            (0, _) => "it removed nothing".to_owned(),
            (_, 0) => format!("all its {archived} archived number(s) have been restored"),
            (_, pruned) => format!(
                "{pruned} of its {archived} archived number(s) were pruned from history, and {} restored: none is left",
                run.restored
            ),
        }));
    }
    let targets = if let (Some(vdn_id), Some(campaign_id)) = (run.vdn_id, run.campaign_id) {
        vec![Target { vdn_id, campaign_id }]
    } else {
        let rows = runs::campaigns(&mut conn, run_id)?;
        let archived = rows.iter().filter(|row| row.counts.archived > 0);
        archived.map(|row| Target { vdn_id: row.vdn_id, campaign_id: row.campaign_id }).collect()
    };
    Ok((run, targets))
}

/// Why the whole restore is refused before its first row. Clashes are checked separately.
fn forbidden(engine: &Engine, targets: &[Target], into_executing: bool) -> Result<Option<Error>, Error> {
    let mut conn = engine.store.connection()?;
    if let Some(table) = storage::find_unsafe(&mut conn)?.into_iter().next() {
        return Ok(Some(StoreError::from(table).into()));
    }
    if let Some(difference) = columns::differences(&mut conn)?.into_iter().next() {
        return Ok(Some(StoreError::from(difference).into()));
    }
    for Target { vdn_id: vdn, campaign_id: campaign } in targets.iter().copied() {
        match campaigns::find(&mut conn, vdn, campaign)? {
            None => return Ok(Some(Error::NoSuchCampaign { vdn, campaign })),
            Some(found) if !into_executing && engine.rules.bars_campaign(found.status) => {
                return Ok(Some(Error::IntoExecuting(campaign)));
            }
            Some(_) => {}
        }
    }
    Ok(None)
}

/// Counts the numbers to restore by campaign, and those that clash. `None`: `stop` returned true.
fn count_restorable(
    engine: &Engine,
    run_id: i64,
    targets: &[Target],
    stop: &dyn Fn() -> bool,
) -> Result<Option<(Vec<CampaignShare>, Clashes)>, Error> {
    let mut conn = engine.store.connection()?;
    let (mut shares, mut clashes) = (Vec::new(), Clashes::default());
    for target in targets {
        let scope = HistoryScope { campaign_id: target.campaign_id.get(), which: Which::OfRun(run_id) };
        let mut walker = HistoryWalker::new(scope, PREVIEW_WINDOW);
        let mut numbers = 0;
        while let Some(window) = walker.window(&mut conn)? {
            if stop() {
                return Ok(None);
            }
            numbers += window.rows;
            let wanted = i64::try_from(CLASHES_NAMED - clashes.first.len()).unwrap_or(0);
            let (taken, ids) = scope.taken(&mut conn, &window, wanted)?;
            clashes.count += taken;
            clashes.first.extend(ids.into_iter().map(|id| (scope.campaign_id, id)));
            if walker.advance(&window) {
                break;
            }
        }
        shares.push(CampaignShare { target: *target, numbers });
    }
    Ok(Some((shares, clashes)))
}

fn under_leases(
    run: &mut OpenRun<'_>,
    request: &Restore,
    targets: &[Target],
    rows: Vec<CampaignRow>,
    control: &mut Control<'_>,
) -> Result<Outcome, Error> {
    let (engine, run_id) = (run.engine, run.ledger.run.id);
    for target in targets {
        let now = engine.store.clock().timestamp();
        if let Lease::HeldBy(holder) = run.retry(|conn| leases::take(conn, target.campaign_id, run_id, now))? {
            return Ok(Outcome::Refused(Error::locked(target.campaign_id, *holder)));
        }
    }
    if let Some(error) = forbidden(engine, targets, request.into_executing)? {
        return Ok(Outcome::Refused(error));
    }
    // The count is quick, so it cannot be stopped; the first chunk checks for a stop.
    if let Some((_, clashes)) = count_restorable(engine, request.run_id, targets, &|| false)?
        && clashes.count > 0
    {
        return Ok(Outcome::Refused(Error::Clash(clashes)));
    }
    for (target, row) in targets.iter().zip(rows) {
        run.ledger.campaign = Some(CampaignRow { state: RunState::Running, ..row });
        let stopped = one_campaign(run, request, *target, control);
        let outcome = match stopped {
            Ok(None) => Outcome::Succeeded,
            Ok(Some(reason)) => Outcome::Stopped(reason),
            Err(error) => Outcome::Failed(error),
        };
        run.close_campaign(&outcome)?;
        if !matches!(outcome, Outcome::Succeeded) {
            return Ok(outcome);
        }
    }
    Ok(Outcome::Succeeded)
}

fn one_campaign(
    run: &mut OpenRun<'_>,
    request: &Restore,
    target: Target,
    control: &mut Control<'_>,
) -> Result<Option<StopReason>, Error> {
    let engine = run.engine;
    let scope = HistoryScope { campaign_id: target.campaign_id.get(), which: Which::OfRun(request.run_id) };
    let taken = |error: Error| -> Result<Error, Error> {
        let unique = matches!(&error, Error::Store(StoreError::Database(error)) if is_key_taken(error));
        if !unique {
            return Ok(error);
        }
        // A number with the same key was inserted after the check. Count again, to name it in the error.
        let Some((_, clashes)) = count_restorable(engine, request.run_id, &[target], &|| false)? else {
            return Ok(error);
        };
        Ok(if clashes.count > 0 { Error::Clash(clashes) } else { error })
    };
    let stopped = take_all(run, scope, control, |conn, window| {
        // The lock is held until COMMIT, so that the campaign can neither be deleted nor start to execute meanwhile.
        let Some(campaign) = campaigns::lock(conn, engine.store.catalogue(), target.campaign_id)? else {
            let missing = Error::NoSuchCampaign { vdn: target.vdn_id, campaign: target.campaign_id };
            return Ok(ControlFlow::Break(Break::Fail(missing)));
        };
        if !request.into_executing && engine.rules.bars_campaign(campaign.status) {
            return Ok(ControlFlow::Break(Break::Stop(StopReason::CampaignExecuting)));
        }
        fail_point!("locked");
        let restored = scope.restore(conn, window, &campaign.columns, request.run_id)?;
        Ok(ControlFlow::Continue(Counts { matched: restored, ..Counts::default() }))
    });
    match stopped {
        Err(error) => Err(taken(error)?),
        stopped => stopped,
    }
}

fn is_key_taken(error: &diesel::result::Error) -> bool {
    use diesel::result::{DatabaseErrorKind, Error};
    matches!(error, Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _))
}
