//! Group commit: several requests share one transaction and one COMMIT. Each request keeps its own result and its own
//! row in the ledger.
//!
//! A batch handles only the simple case: a few numbers that nobody else has locked, in a campaign that may be changed. It
//! never waits for a lock, so that one slow request does not delay the others. Every other request (refused, blocked by a
//! lock, too many numbers) is executed on its own by [`purge`](crate::engine::purge::purge), which handles every outcome.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::NaiveDateTime;

use crate::engine::control::{Control, Engine};
use crate::engine::error::Error;
use crate::engine::purge::run::purge_as;
use crate::engine::report::{CampaignReport, Outcome, PurgeReport, result_code};
use crate::model::bounds::Bounds;
use crate::model::campaign::CampaignId;
use crate::model::position::Position;
use crate::model::rules::{Barred, REMOVABLE};
use crate::model::run::{Counts, NewRun, RunKind, Target};
use crate::store::db::columns::Columns;
use crate::store::db::retry::retry;
use crate::store::db::{AnyConnection, Backend, Retries, StoreError, write_transaction};
use crate::store::ledger;
use crate::store::ledger::{CampaignRow, LedgerState, RunRow};
use crate::store::scan::predicate::ByValue;
use crate::store::tables::group;
use crate::store::tables::group::Match;

/// The most requests in one transaction. With more, the first request would wait longer for the others than for its
/// COMMIT.
pub const BATCH_MAX: usize = 64;

/// The most numbers that a request in a batch may match. A request with more would delay the others.
const MATCHES_MAX: usize = 100;

/// The outcome of one request of a batch.
#[derive(Debug)]
pub enum BatchOutcome {
    /// It was executed and committed with the batch.
    Committed(PurgeReport),
    /// Nothing was done for it. Execute it on its own with [`purge`](crate::engine::purge::purge).
    NotBatched,
    /// It was executed, but the connection was lost during COMMIT. [`resolve_unknown_commit`] finds out whether it was
    /// committed.
    CommitUnknown(UnknownCommit),
}

/// What the ledger contains if a COMMIT without an answer has succeeded.
#[derive(Debug)]
pub struct UnknownCommit(Box<BatchedRequest>);

/// Whether a request may be part of a batch: its only filter is one sessionId or one called number.
#[must_use]
pub fn can_be_batched(run: &NewRun) -> bool {
    Candidate::of(run).is_some()
}

/// Executes as many of these requests as possible in one transaction, on a connection of the engine's store. Returns one
/// outcome per request, in the order of the requests.
///
/// A request that cannot be executed in the batch does not affect the others.
pub fn purge_batch(engine: &Engine, conn: &mut AnyConnection, runs: &[NewRun]) -> Vec<BatchOutcome> {
    let mut batch = Batch { engine, begun: Instant::now(), now: engine.store.clock().timestamp() };
    let candidates: Vec<Option<Candidate<'_>>> = runs.iter().map(Candidate::of).collect();
    let mut batched = Vec::new();
    let mut committed = batch.attempt(conn, &candidates, &mut batched);
    // Another process inserted a row with one of the keys after `admit` had looked. The second attempt sees that row in
    // `admit` and leaves the request out.
    if matches!(committed, Err(StoreError::KeyTaken)) {
        batch.now = engine.store.clock().timestamp();
        committed = batch.attempt(conn, &candidates, &mut batched);
    }
    let mut outcomes: Vec<BatchOutcome> = runs.iter().map(|_| BatchOutcome::NotBatched).collect();
    let unknown = match committed {
        Ok(()) => false,
        Err(StoreError::CommitUnknown(_)) => true,
        Err(error) => {
            tracing::debug!(%error, requests = runs.len(), "batch rolled back; its requests are executed one by one");
            return outcomes;
        }
    };
    let took = batch.begun.elapsed();
    for request in batched {
        let place = request.place;
        outcomes[place] = if unknown {
            BatchOutcome::CommitUnknown(UnknownCommit(Box::new(request)))
        } else {
            BatchOutcome::Committed(request.report(took))
        };
    }
    outcomes
}

/// Finds out whether a request was committed although its COMMIT returned no answer, and executes it if it was not.
///
/// Both attempts have the same run id, so the primary key of the ledger accepts only one of them.
///
/// # Errors
/// As [`purge`](crate::engine::purge::purge); or the ledger cannot be read.
pub fn resolve_unknown_commit(
    engine: &Engine,
    new: &NewRun,
    unknown: &UnknownCommit,
    control: &mut Control<'_>,
) -> Result<PurgeReport, Error> {
    let request = &unknown.0;
    let begun = Instant::now();
    let is_committed = || {
        let is_saved = |conn: &mut AnyConnection| ledger::is_saved(conn, &request.ledger);
        retry(&engine.store, crate::engine::open_run::REQUEST_PATIENCE, &mut Retries::default(), is_saved)
    };
    if is_committed()? {
        return Ok(request.report(begun.elapsed()));
    }
    match purge_as(engine, request.ledger.run.id, new, control) {
        Ok(report) if !matches!(report.outcome, Outcome::Failed(_)) => Ok(report),
        // The server may have completed the first COMMIT after the ledger was read; then this attempt failed on its id.
        failed => {
            if is_committed()? {
                Ok(request.report(begun.elapsed()))
            } else {
                failed
            }
        }
    }
}

/// A request that may be part of a batch.
struct Candidate<'a> {
    run: &'a NewRun,
    target: Target,
    by: ByValue,
    value: &'a str,
}

impl<'a> Candidate<'a> {
    fn of(run: &'a NewRun) -> Option<Self> {
        let [target] = run.targets[..] else { return None };
        let only_max_rows = Bounds { max_rows: None, ..run.bounds } == Bounds::default();
        let (by, value) = ByValue::of(&run.criteria)?;
        (run.kind == RunKind::Request && only_max_rows).then_some(Self { run, target, by, value })
    }
}

/// A request that is part of the batch, with the numbers that it removes.
#[derive(Debug)]
struct BatchedRequest {
    /// Index of the request in the batch.
    place: usize,
    target: Target,
    by: ByValue,
    ledger: LedgerState,
    /// Ids of the numbers to remove.
    ids: Vec<i64>,
}

impl BatchedRequest {
    fn new(place: usize, candidate: &Candidate<'_>, matches: &[&Match], batch: &Batch<'_>) -> Result<Self, StoreError> {
        let mut barred = Barred::default();
        let mut ids = Vec::new();
        for found in matches {
            if found.status == REMOVABLE as i16 {
                ids.push(found.id);
            } else {
                barred.add(found.status, 1);
            }
        }
        let deleted = i64::try_from(ids.len()).unwrap_or(i64::MAX);
        let archived = if candidate.run.archive_history { deleted } else { 0 };
        let counts = Counts { matched: deleted + barred.total(), deleted, archived, barred };
        let run = RunRow::new(batch.engine.store.ids().next_id(), candidate.run, batch.now)?;
        let mut ledger = LedgerState { run, campaign: None, saved: false };
        // The row must look like that of a request executed on its own: all matches are one chunk, and without a match
        // there is no chunk.
        if let Some(last) = matches.iter().map(|found| found.id).max() {
            ledger = ledger.after(&counts, &Position::Id(last).to_string(), batch.now);
        }
        ledger.run.end(Outcome::Succeeded.run_end(Some(result_code(&counts))), batch.now);
        Ok(Self { place, target: candidate.target, by: candidate.by, ledger, ids })
    }

    fn report(&self, took: Duration) -> PurgeReport {
        let run = &self.ledger.run;
        let mut campaign = CampaignReport::from_row(&CampaignRow::new(run.id, self.target), self.target);
        campaign.state = Outcome::Succeeded.state();
        campaign.walk = Some(self.by.walk());
        if run.chunks > 0 {
            campaign.add(&run.counts(), took);
        }
        PurgeReport {
            run_id: run.id,
            outcome: Outcome::Succeeded,
            counts: run.counts(),
            chunks: run.chunks,
            retries: 0,
            campaigns: vec![campaign],
        }
    }
}

/// The order in which a batch inserts its ledger rows. All batches lock unique keys in this order, which prevents
/// deadlocks.
fn lock_order(row: &RunRow) -> Option<&str> {
    row.idempotency_key.as_deref().or(row.request_key.as_deref())
}

/// What a batch removes from one campaign.
#[derive(Default)]
struct Removals {
    /// (id, run id) of the numbers to archive.
    archived: Vec<(i64, i64)>,
    /// Ids of the numbers to delete without archiving.
    deleted: Vec<i64>,
}

/// The requests that remain in the batch after their keys and campaigns were checked.
struct Admitted<'m, 'a> {
    /// Each with its index in the batch.
    candidates: Vec<(usize, &'m Candidate<'a>)>,
    /// The columns that archiving copies.
    columns: Arc<Columns>,
}

struct Batch<'a> {
    engine: &'a Engine,
    begun: Instant,
    now: NaiveDateTime,
}

/// The requested values, by campaign and column.
type ValuesByCampaign<'a> = BTreeMap<(CampaignId, ByValue), Vec<&'a str>>;

/// The locked numbers, by campaign, column and value. A value is missing if this transaction could not lock all its
/// numbers.
type MatchesByValue<'a> = HashMap<(CampaignId, ByValue, &'a str), Vec<Match>>;

impl Batch<'_> {
    /// Executes the batch in one transaction. `batched` receives the requests that it executed.
    fn attempt(
        &self,
        conn: &mut AnyConnection,
        candidates: &[Option<Candidate<'_>>],
        batched: &mut Vec<BatchedRequest>,
    ) -> Result<(), StoreError> {
        write_transaction(conn, |conn| {
            batched.clear();
            let Some(Admitted { candidates, columns }) = self.admit(conn, candidates)? else { return Ok(()) };
            let found = lock_numbers(conn, &candidates)?;
            *batched = self.assign_numbers(&candidates, &found)?;
            self.remove(conn, batched, &columns)?;
            // Two batches with two keys in common must insert them in the same order, or they deadlock. The order is by
            // Idempotency-Key first: requests with equal signatures have equal Idempotency-Keys, but not vice versa.
            let mut rows: Vec<RunRow> = batched.iter().map(|request| request.ledger.run.clone()).collect();
            rows.sort_by(|a, b| lock_order(a).cmp(&lock_order(b)));
            if rows.is_empty() { Ok(()) } else { ledger::insert_runs(conn, &rows) }
        })
    }

    /// Keeps the requests whose keys are new and whose campaign the rules do not bar. `None`: no request remains.
    fn admit<'m, 'a>(
        &self,
        conn: &mut AnyConnection,
        candidates: &'m [Option<Candidate<'a>>],
    ) -> Result<Option<Admitted<'m, 'a>>, StoreError> {
        let mut candidates: Vec<_> =
            candidates.iter().enumerate().filter_map(|(place, candidate)| Some((place, candidate.as_ref()?))).collect();
        // Of several requests with the same key only the first is admitted. The others find its row when they are
        // executed on their own.
        let (mut request_keys, mut idempotency_keys) = (HashSet::new(), HashSet::new());
        candidates.retain(|(_, candidate)| {
            candidate.run.key.as_deref().is_none_or(|key| request_keys.insert(key))
                && candidate.run.idempotency_key().is_none_or(|key| idempotency_keys.insert(key))
        });
        let taken = group::taken_request_keys(conn, &Vec::from_iter(request_keys))?;
        let taken_idempotency = group::taken_idempotency_keys(conn, &Vec::from_iter(idempotency_keys))?;
        candidates.retain(|(_, candidate)| {
            !candidate.run.key.as_deref().is_some_and(|key| taken.contains(key))
                && !candidate.run.idempotency_key().is_some_and(|key| taken_idempotency.contains(key))
        });

        let mut campaigns: Vec<_> = candidates.iter().map(|(_, candidate)| candidate.target.campaign_id).collect();
        campaigns.sort_unstable();
        campaigns.dedup();
        let Some(locked) = group::lock_campaigns(conn, self.engine.store.catalogue(), &campaigns)? else {
            return Ok(None);
        };
        candidates.retain(|(_, candidate)| {
            let campaign = locked.campaigns.get(&candidate.target.campaign_id);
            campaign.is_some_and(|(vdn, status)| {
                *vdn == candidate.target.vdn_id.get() && !self.engine.rules.bars_campaign(*status)
            })
        });
        Ok(Some(Admitted { candidates, columns: locked.columns }))
    }

    /// Assigns to each request the numbers that it removes. If two requests match the same number, the first one gets
    /// it, as if they had been executed one after the other.
    fn assign_numbers(
        &self,
        candidates: &[(usize, &Candidate<'_>)],
        found: &MatchesByValue<'_>,
    ) -> Result<Vec<BatchedRequest>, StoreError> {
        let mut gone = HashSet::new();
        let mut room = self.engine.pace.max_chunk.get();
        let mut batched = Vec::new();
        for (place, candidate) in candidates {
            let campaign = candidate.target.campaign_id;
            let Some(matches) = found.get(&(campaign, candidate.by, candidate.value)) else { continue };
            let matches: Vec<&Match> = matches.iter().filter(|found| !gone.contains(&(campaign, found.id))).collect();
            let request = BatchedRequest::new(*place, candidate, &matches, self)?;
            let too_many = candidate.run.bounds.max_rows.is_some_and(|max| request.ledger.run.deleted > max);
            // The transaction removes no more numbers than the chunk size allows.
            if too_many || matches.len() > MATCHES_MAX.min(room) {
                continue;
            }
            room -= matches.len();
            gone.extend(request.ids.iter().map(|id| (campaign, *id)));
            batched.push(request);
        }
        Ok(batched)
    }

    /// Removes the numbers of all batched requests: archives them under the id of their own run, or deletes them.
    fn remove(
        &self,
        conn: &mut AnyConnection,
        batched: &[BatchedRequest],
        columns: &Columns,
    ) -> Result<(), StoreError> {
        let mut removals: BTreeMap<CampaignId, Removals> = BTreeMap::new();
        for request in batched {
            let of_campaign = removals.entry(request.target.campaign_id).or_default();
            match request.ledger.run.archive_into() {
                Some(run_id) => of_campaign.archived.extend(request.ids.iter().map(|id| (*id, run_id))),
                None => of_campaign.deleted.extend(&request.ids),
            }
        }
        for (campaign, Removals { archived, deleted }) in removals {
            let moved = group::archive(conn, campaign, &archived, columns, self.now)?;
            let gone = moved + group::delete(conn, campaign, &deleted)?;
            let wanted = i64::try_from(archived.len() + deleted.len()).unwrap_or(i64::MAX);
            if gone != wanted {
                return Err(StoreError::Changed { copied: wanted, deleted: gone });
            }
        }
        Ok(())
    }
}

/// Locks the numbers that the requests match. Leaves out values with too many numbers, and values of which another
/// transaction has locked a number.
fn lock_numbers<'a>(
    conn: &mut AnyConnection,
    candidates: &[(usize, &Candidate<'a>)],
) -> Result<MatchesByValue<'a>, StoreError> {
    let mut values_by_campaign = ValuesByCampaign::new();
    for (_, candidate) in candidates {
        values_by_campaign.entry((candidate.target.campaign_id, candidate.by)).or_default().push(candidate.value);
    }
    let mut found = MatchesByValue::new();
    for ((campaign, by), mut values) in values_by_campaign {
        values.sort_unstable();
        values.dedup();
        // One row more than allowed shows that there are too many.
        let limit_rows = values.len() * MATCHES_MAX + 1;
        let limit = i64::try_from(limit_rows).unwrap_or(i64::MAX);
        let locked = group::lock_matches(conn, campaign, by, &values, limit)?;
        if locked.len() == limit_rows {
            continue;
        }
        // SKIP LOCKED hides rows that another transaction has locked; a second read without locks finds them. On SQLite
        // the write transaction excludes all other writers, so there are none.
        let visible = if conn.backend() == Backend::Sqlite {
            Vec::new()
        } else {
            group::read_matches(conn, campaign, by, &values, limit)?
        };
        let ours: HashSet<i64> = locked.iter().map(|found| found.id).collect();
        let blocked: HashSet<&str> =
            visible.iter().filter(|seen| !ours.contains(&seen.id)).map(|seen| seen.value.as_str()).collect();
        let is_free = |value: &&str| visible.len() < limit_rows && !blocked.contains(value);
        let mut by_value: HashMap<&str, Vec<Match>> =
            values.into_iter().filter(is_free).map(|value| (value, Vec::new())).collect();
        for number in locked {
            if let Some(matches) = by_value.get_mut(number.value.as_str()) {
                matches.push(number);
            }
        }
        found.extend(by_value.into_iter().map(|(value, matches)| ((campaign, by, value), matches)));
    }
    Ok(found)
}
