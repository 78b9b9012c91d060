//! The numbers that every system removes, in the same order, and the check of the tables after a run.

use callsweep_core::store::{AnyConnection, Backend};
use callsweep_testkit::TestDatabase;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use crate::process::{Failure, wait_for};

/// Every fifth number is barred: see [`callsweep_testkit::big`].
const BARRED_EACH: i64 = 5;
/// Step from one number of the order to the next. It shares no factor with any count of removable numbers, so that the
/// order contains each number once and is not sequential, like the requests of real clients.
pub(crate) const STEP: i64 = 514_229;

/// The numbers of [`callsweep_testkit::big`]: half of them in campaign 1, half in campaign 2.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Data {
    pub(crate) numbers: i64,
}

/// A number to remove.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) campaign: i64,
    pub(crate) session_id: String,
}

impl Data {
    /// How many numbers are not barred.
    pub(crate) fn removable(self) -> i64 {
        self.numbers / BARRED_EACH * (BARRED_EACH - 1)
    }

    /// The k-th number of the order, counted from 0. The scripts of pgbench compute the same.
    pub(crate) fn target(self, k: i64) -> Target {
        let place = k * STEP % self.removable();
        let id = place + place / (BARRED_EACH - 1) + 1;
        Target { campaign: if id > self.numbers / 2 { 2 } else { 1 }, session_id: format!("s{id}") }
    }

    /// Fails unless the tables agree with the number of answers.
    pub(crate) fn check(self, database: &TestDatabase, work: Work) -> Result<(), Failure> {
        let mut conn = database.connect();
        if conn.backend() == Backend::Postgres {
            wait_for("the sessions of a run end", || Ok((other_sessions(&mut conn)? == 0).then_some(())))?;
        }
        let found = tally(&mut conn)?;
        let moved = found.history;
        let expected = Tally {
            numbers: self.numbers - moved,
            runs: if work.ledger { moved } else { 0 },
            deleted: if work.ledger { moved } else { 0 },
            ..found
        };
        let answered = work.answered..=work.answered + work.in_flight;
        if found == expected && answered.contains(&moved) {
            return Ok(());
        }
        Err(format!("incomplete work: expected {answered:?} moved numbers, the tables have {found:?}").into())
    }
}

/// The work that a system reports since the tables were full.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    /// Answered requests, each for one number.
    pub(crate) answered: i64,
    /// Requests that may have been executed without an answer, because the clients disconnected.
    pub(crate) in_flight: i64,
    /// Whether each request has a ledger row.
    pub(crate) ledger: bool,
}

/// The contents of the tables.
#[derive(Debug, PartialEq, Eq, QueryableByName)]
struct Tally {
    #[diesel(sql_type = BigInt)]
    numbers: i64,
    #[diesel(sql_type = BigInt)]
    history: i64,
    #[diesel(sql_type = BigInt)]
    runs: i64,
    #[diesel(sql_type = BigInt)]
    deleted: i64,
}

fn tally(conn: &mut AnyConnection) -> Result<Tally, Failure> {
    let query = "SELECT (SELECT count(*) FROM call_data) AS numbers, \
                 (SELECT count(*) FROM call_data_history) AS history, \
                 (SELECT count(*) FROM purge_run) AS runs, \
                 (SELECT CAST(coalesce(sum(deleted), 0) AS BIGINT) FROM purge_run) AS deleted";
    Ok(diesel::sql_query(query).get_result(conn)?)
}

fn other_sessions(conn: &mut AnyConnection) -> Result<i64, Failure> {
    #[derive(QueryableByName)]
    struct Sessions {
        #[diesel(sql_type = BigInt)]
        others: i64,
    }
    let query = "SELECT count(*) AS others FROM pg_stat_activity WHERE datname = current_database() \
                 AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    Ok(diesel::sql_query(query).get_result::<Sessions>(conn)?.others)
}
