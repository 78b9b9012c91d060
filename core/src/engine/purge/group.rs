//! Requests that share a transaction: each keeps its own result, and one COMMIT serves them all.
//!
//! Only what needs no waiting and no second look is done together. A request that is refused, blocked by another program
//! or asks for much is done by itself, by [`purge`](crate::engine::purge::purge), which knows every outcome.

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

/// Requests that one transaction serves. With more, the first would wait longer for its answer than a COMMIT takes.
pub const MOST_TOGETHER: usize = 64;

/// Numbers that a request may match to be done with others: it should not keep them waiting.
const MOST_MATCHES: usize = 100;

/// What became of a request of a group.
#[derive(Debug)]
pub enum Together {
    /// It was done, and committed with the others.
    Done(PurgeReport),
    /// Nothing was done: it is to be done by itself.
    Alone,
    /// It was done, and whether it was committed is to be found out by [`settle`].
    Unanswered(Unanswered),
}

/// What a COMMIT that got no answer would have left.
#[derive(Debug)]
pub struct Unanswered(Box<Share>);

/// Whether a request may be done with others: it asks for the numbers of one sessionId or called number.
#[must_use]
pub fn goes_together(run: &NewRun) -> bool {
    Member::of(run).is_some()
}

/// Does what can be done of these requests in one transaction, on a connection of the engine's store. The results stand
/// in the order of the requests.
///
/// One that cannot be done with the others does not touch them.
pub fn purge_together(engine: &Engine, conn: &mut AnyConnection, runs: &[NewRun]) -> Vec<Together> {
    let mut group = Group { engine, begun: Instant::now(), now: engine.store.clock().timestamp() };
    let members: Vec<Option<Member<'_>>> = runs.iter().map(Member::of).collect();
    let mut shares = Vec::new();
    let mut committed = group.attempt(conn, &members, &mut shares);
    // Somebody else had a key by then; the second time it is seen before.
    if matches!(committed, Err(StoreError::KeyTaken)) {
        group.now = engine.store.clock().timestamp();
        committed = group.attempt(conn, &members, &mut shares);
    }
    let mut together: Vec<Together> = runs.iter().map(|_| Together::Alone).collect();
    let unanswered = match committed {
        Ok(()) => false,
        Err(StoreError::CommitUnknown(_)) => true,
        Err(error) => {
            tracing::debug!(%error, requests = runs.len(), "a group is taken apart");
            return together;
        }
    };
    let took = group.begun.elapsed();
    for share in shares {
        let place = share.place;
        together[place] = if unanswered {
            Together::Unanswered(Unanswered(Box::new(share)))
        } else {
            Together::Done(share.report(took))
        };
    }
    together
}

/// Finds out whether a request was committed whose COMMIT got no answer, and does it if it was not. It has the same id
/// each time: the ledger takes one of the two.
///
/// # Errors
/// As [`purge`](crate::engine::purge::purge), and the database cannot be asked.
pub fn settle(
    engine: &Engine,
    new: &NewRun,
    unanswered: &Unanswered,
    control: &mut Control<'_>,
) -> Result<PurgeReport, Error> {
    let share = &unanswered.0;
    let begun = Instant::now();
    let is_committed = || {
        let look = |conn: &mut AnyConnection| ledger::is_saved(conn, &share.ledger);
        retry(&engine.store, crate::engine::open_run::REQUEST_PATIENCE, &mut Retries::default(), look)
    };
    if is_committed()? {
        return Ok(share.report(begun.elapsed()));
    }
    match purge_as(engine, share.ledger.run.id, new, control) {
        Ok(report) if !matches!(report.outcome, Outcome::Failed(_)) => Ok(report),
        // The server was still at that COMMIT when it was looked for.
        failed => {
            if is_committed()? {
                Ok(share.report(begun.elapsed()))
            } else {
                failed
            }
        }
    }
}

/// A request that may be done with others.
struct Member<'a> {
    run: &'a NewRun,
    target: Target,
    by: ByValue,
    value: &'a str,
}

impl<'a> Member<'a> {
    fn of(run: &'a NewRun) -> Option<Self> {
        let [target] = run.targets[..] else { return None };
        let only_max_rows = Bounds { max_rows: None, ..run.bounds } == Bounds::default();
        let (by, value) = ByValue::of(&run.criteria)?;
        (run.kind == RunKind::Request && only_max_rows).then_some(Self { run, target, by, value })
    }
}

/// What a request of a group does.
#[derive(Debug)]
struct Share {
    /// Of the request among those of the group.
    place: usize,
    target: Target,
    by: ByValue,
    ledger: LedgerState,
    /// Numbers that go.
    ids: Vec<i64>,
}

impl Share {
    fn new(place: usize, member: &Member<'_>, matches: &[&Match], group: &Group<'_>) -> Result<Self, StoreError> {
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
        let archived = if member.run.archive_history { deleted } else { 0 };
        let counts = Counts { matched: deleted + barred.total(), deleted, archived, barred };
        let run = RunRow::new(group.engine.store.ids().next_id(), member.run, group.now)?;
        let mut ledger = LedgerState { run, campaign: None, saved: false };
        // As a walk by the value's index: what matches is one window, and where nothing does there is none.
        if let Some(last) = matches.iter().map(|found| found.id).max() {
            ledger = ledger.after(&counts, &Position::Id(last).to_string(), group.now);
        }
        ledger.run.end(Outcome::Succeeded.run_end(Some(result_code(&counts))), group.now);
        Ok(Self { place, target: member.target, by: member.by, ledger, ids })
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

/// What rows of the ledger are inserted by, so that every group takes its unique keys in one order.
fn lock_order(row: &RunRow) -> Option<&str> {
    row.idempotency_key.as_deref().or(row.request_key.as_deref())
}

/// What a group removes from one campaign.
#[derive(Default)]
struct Removals {
    /// Ids, each with the run under which it goes to history.
    archived: Vec<(i64, i64)>,
    /// Ids that go outright.
    deleted: Vec<i64>,
}

/// Requests that may be done together.
struct Admitted<'m, 'a> {
    /// Each with its place in the group.
    members: Vec<(usize, &'m Member<'a>)>,
    /// The columns that move.
    columns: Arc<Columns>,
}

struct Group<'a> {
    engine: &'a Engine,
    begun: Instant,
    now: NaiveDateTime,
}

/// The numbers of one campaign that are asked for by one kind of value.
type Lots<'a> = BTreeMap<(CampaignId, ByValue), Vec<&'a str>>;

/// What was found of a lot, by value. A value whose numbers are not all ours is not here.
type Found<'a> = HashMap<(CampaignId, ByValue, &'a str), Vec<Match>>;

impl Group<'_> {
    /// One transaction. `shares` is what it did.
    fn attempt(
        &self,
        conn: &mut AnyConnection,
        members: &[Option<Member<'_>>],
        shares: &mut Vec<Share>,
    ) -> Result<(), StoreError> {
        write_transaction(conn, |conn| {
            shares.clear();
            let Some(Admitted { members, columns }) = self.admit(conn, members)? else { return Ok(()) };
            let found = find(conn, &members)?;
            *shares = self.divide(&members, &found)?;
            self.remove(conn, shares, &columns)?;
            // Two groups that have two keys in common insert them in the same order, or they would deadlock. The
            // Idempotency-Key leads: copies of one signature have the same one, not the other way round.
            let mut rows: Vec<RunRow> = shares.iter().map(|share| share.ledger.run.clone()).collect();
            rows.sort_by(|a, b| lock_order(a).cmp(&lock_order(b)));
            if rows.is_empty() { Ok(()) } else { ledger::insert_runs(conn, &rows) }
        })
    }

    /// Those whose keys are new and whose campaign lets its numbers go; `None`: there are none.
    fn admit<'m, 'a>(
        &self,
        conn: &mut AnyConnection,
        members: &'m [Option<Member<'a>>],
    ) -> Result<Option<Admitted<'m, 'a>>, StoreError> {
        let mut members: Vec<_> =
            members.iter().enumerate().filter_map(|(place, member)| Some((place, member.as_ref()?))).collect();
        // The first of several with the same key is admitted, the others find its row when they are done alone.
        let (mut request_keys, mut idempotency_keys) = (HashSet::new(), HashSet::new());
        members.retain(|(_, member)| {
            member.run.key.as_deref().is_none_or(|key| request_keys.insert(key))
                && member.run.idempotency_key().is_none_or(|key| idempotency_keys.insert(key))
        });
        let taken = group::taken_request_keys(conn, &Vec::from_iter(request_keys))?;
        let taken_idempotency = group::taken_idempotency_keys(conn, &Vec::from_iter(idempotency_keys))?;
        members.retain(|(_, member)| {
            !member.run.key.as_deref().is_some_and(|key| taken.contains(key))
                && !member.run.idempotency_key().is_some_and(|key| taken_idempotency.contains(key))
        });

        let mut campaigns: Vec<_> = members.iter().map(|(_, member)| member.target.campaign_id).collect();
        campaigns.sort_unstable();
        campaigns.dedup();
        let Some(locked) = group::lock_campaigns(conn, self.engine.store.catalogue(), &campaigns)? else {
            return Ok(None);
        };
        members.retain(|(_, member)| {
            let campaign = locked.campaigns.get(&member.target.campaign_id);
            campaign.is_some_and(|(vdn, status)| {
                *vdn == member.target.vdn_id.get() && !self.engine.rules.bars_campaign(*status)
            })
        });
        Ok(Some(Admitted { members, columns: locked.columns }))
    }

    /// Gives each request its numbers. Two that ask for the same number: as if one came after the other.
    fn divide(&self, members: &[(usize, &Member<'_>)], found: &Found<'_>) -> Result<Vec<Share>, StoreError> {
        let mut gone = HashSet::new();
        let mut room = self.engine.pace.max_chunk.get();
        let mut shares = Vec::new();
        for (place, member) in members {
            let campaign = member.target.campaign_id;
            let Some(matches) = found.get(&(campaign, member.by, member.value)) else { continue };
            let matches: Vec<&Match> = matches.iter().filter(|found| !gone.contains(&(campaign, found.id))).collect();
            let share = Share::new(*place, member, &matches, self)?;
            let too_many = member.run.bounds.max_rows.is_some_and(|max| share.ledger.run.deleted > max);
            // A transaction takes no more numbers than a chunk of the engine.
            if too_many || matches.len() > MOST_MATCHES.min(room) {
                continue;
            }
            room -= matches.len();
            gone.extend(share.ids.iter().map(|id| (campaign, *id)));
            shares.push(share);
        }
        Ok(shares)
    }

    /// Removes the numbers of all shares, each to history under its own run or outright.
    fn remove(&self, conn: &mut AnyConnection, shares: &[Share], columns: &Columns) -> Result<(), StoreError> {
        let mut removals: BTreeMap<CampaignId, Removals> = BTreeMap::new();
        for share in shares {
            let of_campaign = removals.entry(share.target.campaign_id).or_default();
            match share.ledger.run.archive_into() {
                Some(run_id) => of_campaign.archived.extend(share.ids.iter().map(|id| (*id, run_id))),
                None => of_campaign.deleted.extend(&share.ids),
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

/// Locks the numbers that the requests ask for, and leaves out values of which somebody else has a number, or which
/// have too many.
fn find<'a>(conn: &mut AnyConnection, members: &[(usize, &Member<'a>)]) -> Result<Found<'a>, StoreError> {
    let mut lots = Lots::new();
    for (_, member) in members {
        lots.entry((member.target.campaign_id, member.by)).or_default().push(member.value);
    }
    let mut found = Found::new();
    for ((campaign, by), mut values) in lots {
        values.sort_unstable();
        values.dedup();
        // One more than may be: it tells that there are more.
        let most = values.len() * MOST_MATCHES + 1;
        let limit = i64::try_from(most).unwrap_or(i64::MAX);
        let locked = group::lock_matches(conn, campaign, by, &values, limit)?;
        if locked.len() == most {
            continue;
        }
        // SQLite's writer has locked all there is.
        let looked_at = if conn.backend() == Backend::Sqlite {
            Vec::new()
        } else {
            group::look_at_matches(conn, campaign, by, &values, limit)?
        };
        let ours: HashSet<i64> = locked.iter().map(|found| found.id).collect();
        let blocked: HashSet<&str> =
            looked_at.iter().filter(|seen| !ours.contains(&seen.id)).map(|seen| seen.value.as_str()).collect();
        let is_free = |value: &&str| looked_at.len() < most && !blocked.contains(value);
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
