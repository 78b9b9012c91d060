//! The dialler of the races: it loads numbers, calls them, records the results, and queues some again, in plain SQL.
//! From loading a number until releasing it, the number is barred: nobody else may touch it.

use std::collections::BTreeMap;

use callsweep_core::campaign::CampaignId;
use callsweep_core::store::{AnyConnection, Backend};
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::context::{ActorLog, RaceContext, any_called};

/// Most numbers that a dialler holds at a time.
const MOST_HELD: usize = 150;
/// Most numbers that a transaction loads.
const LOT: usize = 8;

/// The possible next statuses of each status, and the name of the step in the report.
const STEPS: [(i16, &[i16], &str); 4] = [
    (1, &[2], "numbers called"),
    (2, &[5, 6], "calls completed"),
    (5, &[0], "numbers queued again"),
    (6, &[0], "numbers queued again"),
];

pub(super) fn dial(context: &RaceContext<'_>, log: &mut ActorLog) {
    let mut dialler = Dialler { conn: context.connect(), held: BTreeMap::new(), steps: BTreeMap::new() };
    while !context.is_over() {
        context.let_others_write();
        if dialler.held.len() < MOST_HELD && rand::random_bool(0.4) {
            dialler.load(context.campaign(), log);
        } else {
            dialler.advance(log);
        }
    }
    for (id, steps) in dialler.steps {
        let status = dialler.held.get(&id).map_or(0, |held| held.status);
        log.dialled.push((id, steps, status));
    }
}

#[derive(Clone, Copy)]
struct Held {
    campaign: CampaignId,
    status: i16,
}

struct Dialler {
    conn: AnyConnection,
    /// Numbers that it has loaded and not released.
    held: BTreeMap<i64, Held>,
    /// How many steps it has made with each number.
    steps: BTreeMap<i64, i16>,
}

impl Dialler {
    /// Loads some waiting numbers.
    fn load(&mut self, campaign: CampaignId, log: &mut ActorLog) {
        let locks = rand::random();
        let loaded = in_transaction(&mut self.conn, locks, |conn| {
            if locks { lock_and_load(conn, campaign) } else { look_and_load(conn, campaign) }
        });
        match loaded {
            Ok(ids) => self.taken(&ids, campaign, 1, "numbers loaded", log),
            Err(error) => log.postpone_after("a load", error),
        }
    }

    /// Makes a step with some of the numbers that it holds. All of them must exist, in the status in which it left
    /// them.
    fn advance(&mut self, log: &mut ActorLog) {
        let (from, to, what) = STEPS[rand::random_range(0..STEPS.len())];
        let to = to[rand::random_range(0..to.len())];
        let Some(campaign) = self.held.values().find(|held| held.status == from).map(|held| held.campaign) else {
            return;
        };
        let of_lot = |held: &Held| held.status == from && held.campaign == campaign;
        let ids: Vec<i64> = self.held.iter().filter(|(_, held)| of_lot(held)).map(|(id, _)| *id).take(LOT).collect();
        match step(&mut self.conn, campaign, &ids, from, to) {
            Ok(found) => {
                log.attack.holds(found == ids.len(), || {
                    format!(
                        "of {} numbers that the dialler held in status {from}, {found} were found: {ids:?}",
                        ids.len()
                    )
                });
                self.taken(&ids, campaign, to, what, log);
            }
            Err(error) => log.postpone_after("a step of the dialler", error),
        }
    }

    fn taken(&mut self, ids: &[i64], campaign: CampaignId, status: i16, what: &str, log: &mut ActorLog) {
        for id in ids {
            log.attack.fault(what);
            *self.steps.entry(*id).or_default() += 1;
            if status == 0 {
                self.held.remove(id);
            } else {
                self.held.insert(*id, Held { campaign, status });
            }
        }
    }
}

/// Locks some waiting numbers, then loads all of them.
fn lock_and_load(conn: &mut AnyConnection, campaign: CampaignId) -> QueryResult<Vec<i64>> {
    let lock = if conn.backend() == Backend::Sqlite { "" } else { " FOR UPDATE" };
    let ids = waiting(conn, campaign, lock)?;
    let taken = step(conn, campaign, &ids, 0, 1)?;
    assert_eq!(taken, ids.len(), "locked numbers disappeared");
    Ok(ids)
}

/// Reads some waiting numbers, then loads those that are still waiting.
fn look_and_load(conn: &mut AnyConnection, campaign: CampaignId) -> QueryResult<Vec<i64>> {
    let mut taken = Vec::new();
    for id in waiting(conn, campaign, "")? {
        if step(conn, campaign, &[id], 0, 1)? == 1 {
            taken.push(id);
        }
    }
    Ok(taken)
}

fn waiting(conn: &mut AnyConnection, campaign: CampaignId, lock: &str) -> QueryResult<Vec<i64>> {
    #[derive(QueryableByName)]
    struct Number {
        #[diesel(sql_type = BigInt)]
        id: i64,
    }
    let query = format!(
        "SELECT id FROM call_data WHERE campaign_id = {campaign} AND status = 0 AND called >= '{}' \
         ORDER BY called, id LIMIT {LOT}{lock}",
        any_called()
    );
    let found: Vec<Number> = diesel::sql_query(query).load(conn)?;
    Ok(found.into_iter().map(|number| number.id).collect())
}

/// One step with these numbers. Returns how many of them were found.
fn step(conn: &mut AnyConnection, campaign: CampaignId, ids: &[i64], from: i16, to: i16) -> QueryResult<usize> {
    if ids.is_empty() {
        return Ok(0);
    }
    let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
    let update = format!(
        "UPDATE call_data SET status = {to}, priority = priority + 1 \
         WHERE campaign_id = {campaign} AND id IN ({}) AND status = {from}",
        ids.join(", ")
    );
    diesel::sql_query(update).execute(conn)
}

/// `at_once`: on SQLite, take the write lock at the start of the transaction.
fn in_transaction<T>(
    conn: &mut AnyConnection,
    at_once: bool,
    work: impl FnOnce(&mut AnyConnection) -> QueryResult<T>,
) -> QueryResult<T> {
    conn.batch_execute(if at_once && conn.backend() == Backend::Sqlite { "BEGIN IMMEDIATE" } else { "BEGIN" })?;
    let done = work(conn).and_then(|done| conn.batch_execute("COMMIT").map(|()| done));
    if done.is_err() {
        // After some errors the server has rolled back already.
        let _ = conn.batch_execute("ROLLBACK");
    }
    done
}
