//! The queries of `verify`: they read bounded windows and take no locks.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};

use crate::model::run::RunKind;
use crate::store::db::schema::{campaign, purge_run, purge_run_campaign};
use crate::store::db::statement::Statement;
use crate::store::db::{AnyConnection, StoreError};
use crate::store::ledger::RunRow;

/// The most rows that one statement reads.
const WINDOW: i64 = 10_000;
/// The most ledger rows that one statement reads.
const LEDGER_WINDOW: i64 = 500;

/// The check of one window of a campaign's history.
pub(crate) struct HistoryAudit {
    pub(crate) upto: i64,
    /// Rows by the run that archived them.
    pub(crate) by_run: Vec<(i64, i64)>,
    /// Ids of numbers that are also in `call_data`.
    pub(crate) in_both: Vec<i64>,
    /// Ids of numbers that are in history twice.
    pub(crate) twice: Vec<i64>,
    pub(crate) last: bool,
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

#[derive(QueryableByName)]
struct ByRun {
    #[diesel(sql_type = BigInt)]
    run_id: i64,
    #[diesel(sql_type = BigInt)]
    numbers: i64,
}

/// Checks the next window of a campaign's history. `None`: there is no more history.
pub(crate) fn history(
    conn: &mut AnyConnection,
    campaign_id: i64,
    after: Option<i64>,
) -> Result<Option<HistoryAudit>, StoreError> {
    #[derive(QueryableByName)]
    struct ScannedIds {
        #[diesel(sql_type = BigInt)]
        scanned: i64,
        #[diesel(sql_type = Nullable<BigInt>)]
        last_id: Option<i64>,
    }
    // Ids may be negative: an import accepts the ids in its file.
    let after = after.unwrap_or(i64::MIN);
    let scanned: ScannedIds = Statement::new(
        "/* audit::stretch */ SELECT count(*) AS scanned, max(id) AS last_id FROM (SELECT id FROM call_data_history \
         WHERE campaign_id = ",
    )
    .big_int(campaign_id)
    .sql(" AND id > ")
    .big_int(after)
    .sql(" ORDER BY id LIMIT ")
    .big_int(WINDOW)
    .sql(") scanned")
    .get_result(conn)?;
    let Some(upto) = scanned.last_id else { return Ok(None) };
    let within = |statement: Statement| {
        let statement = statement.sql("h.campaign_id = ").big_int(campaign_id);
        statement.sql(" AND h.id > ").big_int(after).sql(" AND h.id <= ").big_int(upto)
    };
    let by_run = Statement::new(
        "/* audit::by_run */ SELECT h.run_id AS run_id, count(*) AS numbers FROM call_data_history h WHERE ",
    );
    let by_run: Vec<ByRun> = within(by_run).sql(" GROUP BY h.run_id").load(conn)?;
    // A number is identified by its id and creation time: an id that was imported again is another number.
    let in_both = Statement::new(
        "/* audit::in_both */ SELECT DISTINCT h.id AS id FROM call_data_history h JOIN call_data c \
         ON c.campaign_id = h.campaign_id AND c.id = h.id AND c.created_at = h.created_at WHERE ",
    );
    let in_both: Vec<Id> = within(in_both).sql(" ORDER BY id").load(conn)?;
    let twice = Statement::new(
        "/* audit::twice */ SELECT DISTINCT t.id AS id FROM (SELECT h.id, h.created_at FROM call_data_history h WHERE ",
    );
    let twice: Vec<Id> =
        within(twice).sql(" GROUP BY h.id, h.created_at HAVING count(*) > 1) t ORDER BY id").load(conn)?;
    let ids = |rows: Vec<Id>| rows.into_iter().map(|row| row.id).collect();
    Ok(Some(HistoryAudit {
        upto,
        by_run: by_run.into_iter().map(|row| (row.run_id, row.numbers)).collect(),
        in_both: ids(in_both),
        twice: ids(twice),
        last: scanned.scanned < WINDOW,
    }))
}

/// A run, the sums of its campaign rows (matched, deleted, archived, barred, chunks), and the number of these rows.
pub(crate) type RunAudit = (RunRow, [i64; 5], usize);

/// The next runs of the ledger with the sums of their campaigns, by id.
pub(crate) fn runs(conn: &mut AnyConnection, after: Option<i64>) -> Result<Vec<RunAudit>, StoreError> {
    use purge_run_campaign as c;
    let runs: Vec<RunRow> = purge_run::table
        .filter(purge_run::id.gt(after.unwrap_or(i64::MIN)))
        .order(purge_run::id)
        .limit(LEDGER_WINDOW)
        .load(conn)?;
    let mut audits = Vec::new();
    for run in runs {
        // A request has no campaign rows. Skipping the query matters, because most runs are requests.
        if run.kind == RunKind::Request {
            audits.push((run, [0; 5], 0));
            continue;
        }
        let (mut sums, mut rows, mut beyond) = ([0; 5], 0, i64::MIN);
        loop {
            let part: Vec<crate::store::ledger::CampaignRow> = c::table
                .filter(c::run_id.eq(run.id).and(c::campaign_id.gt(beyond)))
                .order(c::campaign_id)
                .limit(LEDGER_WINDOW)
                .load(conn)?;
            let Some(last) = part.last() else { break };
            beyond = last.campaign_id.get();
            rows += part.len();
            for row in part {
                let counts = row.counts();
                let values = [counts.matched, counts.deleted, counts.archived, counts.barred.total(), row.chunks];
                for (sum, value) in sums.iter_mut().zip(values) {
                    *sum += value;
                }
            }
        }
        audits.push((run, sums, rows));
    }
    Ok(audits)
}

/// The run ids in the next window of `purge_run_campaign` or `purge_run_control` that are not in the ledger, and the end of
/// the window. `None`: there are no more rows.
pub(crate) fn without_run(
    conn: &mut AnyConnection,
    table: &'static str,
    after: Option<i64>,
) -> Result<Option<(Vec<i64>, i64)>, StoreError> {
    #[derive(QueryableByName)]
    struct Last {
        #[diesel(sql_type = Nullable<BigInt>)]
        last_id: Option<i64>,
    }
    let after = after.unwrap_or(i64::MIN);
    let last: Last = Statement::new("/* audit::children */ SELECT max(run_id) AS last_id FROM (SELECT run_id FROM ")
        .sql(table)
        .sql(" WHERE run_id > ")
        .big_int(after)
        .sql(" ORDER BY run_id LIMIT ")
        .big_int(WINDOW)
        .sql(") scanned")
        .get_result(conn)?;
    let Some(upto) = last.last_id else { return Ok(None) };
    let orphans: Vec<Id> = Statement::new("/* audit::orphans */ SELECT DISTINCT t.run_id AS id FROM ")
        .sql(table)
        .sql(" t LEFT JOIN purge_run r ON r.id = t.run_id WHERE r.id IS NULL AND t.run_id > ")
        .big_int(after)
        .sql(" AND t.run_id <= ")
        .big_int(upto)
        .sql(" ORDER BY id")
        .load(conn)?;
    Ok(Some((orphans.into_iter().map(|row| row.id).collect(), upto)))
}

/// Whether the campaign exists.
pub(crate) fn campaign_exists(conn: &mut AnyConnection, id: i64) -> Result<bool, StoreError> {
    let found: Option<i64> = campaign::table.filter(campaign::id.eq(id)).select(campaign::id).first(conn).optional()?;
    Ok(found.is_some())
}
