//! Statements on `call_data_history`: restore rows to `call_data`, or prune them.
//!
//! Scans use windows over (campaign_id, id), the only suitable index of the table.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use chrono::NaiveDateTime;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};

use crate::store::db::columns::Columns;
use crate::store::db::schema::purge_run;
use crate::store::db::statement::{Statement, rows};
use crate::store::db::{AnyConnection, Backend, StoreError};
use crate::store::tables::moving::{Direction, Move};

/// Selects rows of a campaign's history.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HistoryScope {
    pub(crate) campaign_id: i64,
    pub(crate) which: Which,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Which {
    /// The rows that this run archived.
    OfRun(i64),
    /// The rows that were archived before this time.
    ArchivedBefore(NaiveDateTime),
}

/// A window of a campaign's history: ids above `after`, up to and including `upto`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HistoryWindow {
    pub(crate) after: Option<i64>,
    pub(crate) upto: i64,
    /// Selected rows when the window was found.
    pub(crate) rows: i64,
    /// Whether the campaign's history ends with this window.
    pub(crate) last: bool,
}

/// The most rows that one query reads if few of them are selected. It reads only the index and takes no locks.
const SCAN_MAX: usize = 50_000;

/// A scan through a campaign's history. A window reads more rows if few of them are selected.
#[derive(Debug)]
pub(crate) struct HistoryWalker {
    scope: HistoryScope,
    size: usize,
    scan: usize,
    after: Option<i64>,
}

impl HistoryWalker {
    /// Begins at the first row. Windows contain at most `size` selected rows.
    pub(crate) fn new(scope: HistoryScope, size: NonZeroUsize) -> Self {
        Self { scope, size: size.get(), scan: size.get(), after: None }
    }

    /// From now on windows contain at most `size` selected rows.
    pub(crate) fn resize(&mut self, size: NonZeroUsize) {
        self.size = size.get();
        self.scan = self.scan.max(self.size);
    }

    /// Finds the next window. `None`: the history ended.
    pub(crate) fn window(&mut self, conn: &mut AnyConnection) -> Result<Option<HistoryWindow>, StoreError> {
        loop {
            let scan = i64::try_from(self.scan).unwrap_or(i64::MAX);
            let Some(window) = self.scope.window(conn, self.after, scan)? else { return Ok(None) };
            let found = usize::try_from(window.rows).unwrap_or(usize::MAX);
            if found > self.size && self.scan > self.size {
                // A window cannot contain more selected rows than it reads.
                self.scan = self.size;
                continue;
            }
            if found * 2 < self.scan {
                self.scan = (self.scan * 2).min(SCAN_MAX.max(self.size));
            }
            return Ok(Some(window));
        }
    }

    /// Moves behind a window. Returns whether the scan ends there.
    pub(crate) fn advance(&mut self, window: &HistoryWindow) -> bool {
        self.after = Some(window.upto);
        window.last
    }
}

impl HistoryScope {
    /// The number of selected rows, counted in windows.
    pub(crate) fn count(&self, conn: &mut AnyConnection) -> Result<i64, StoreError> {
        let mut walker = HistoryWalker::new(*self, NonZeroUsize::MIN.saturating_add(SCAN_MAX));
        let mut rows = 0;
        while let Some(window) = walker.window(conn)? {
            rows += window.rows;
            if walker.advance(&window) {
                break;
            }
        }
        Ok(rows)
    }

    /// The window of the next `scan` rows. It also contains all other rows with the last id: an id that was imported again may
    /// have been archived by several runs.
    fn window(
        &self,
        conn: &mut AnyConnection,
        after: Option<i64>,
        scan: i64,
    ) -> Result<Option<HistoryWindow>, StoreError> {
        #[derive(QueryableByName)]
        struct Scanned {
            #[diesel(sql_type = BigInt)]
            looked_at: i64,
            #[diesel(sql_type = Nullable<BigInt>)]
            last_id: Option<i64>,
        }
        let head = "/* history::window */ SELECT count(*) AS looked_at, max(id) AS last_id FROM (SELECT id FROM \
                    call_data_history WHERE campaign_id = ";
        let scanned = beyond(Statement::new(head).big_int(self.campaign_id), after);
        let found: Scanned = scanned.sql(" ORDER BY id LIMIT ").big_int(scan).sql(") scanned").get_result(conn)?;
        let Some(upto) = found.last_id else { return Ok(None) };
        let window = HistoryWindow { after, upto, rows: 0, last: found.looked_at < scan };
        let meant = Statement::new("/* history::meant */ SELECT count(*) AS numbers FROM call_data_history WHERE ");
        let meant: Count = self.restrict(meant, &window, conn.backend()).get_result(conn)?;
        Ok(Some(HistoryWindow { rows: meant.numbers, ..window }))
    }

    fn meant(&self, statement: Statement, backend: Backend) -> Statement {
        match self.which {
            Which::OfRun(run_id) => statement.sql("run_id = ").big_int(run_id),
            Which::ArchivedBefore(time) => statement.sql("archived_at < ").wall_clock(time, backend),
        }
    }

    /// Appends `campaign_id = … AND` the window `AND` the selection.
    fn restrict(&self, statement: Statement, window: &HistoryWindow, backend: Backend) -> Statement {
        let statement = beyond(statement.sql("campaign_id = ").big_int(self.campaign_id), window.after);
        self.meant(statement.sql(" AND id <= ").big_int(window.upto).sql(" AND "), backend)
    }

    /// Moves the rows of a window back to `call_data`, and counts them as restored in the run that archived them. Inside
    /// the caller's transaction.
    ///
    /// # Errors
    /// [`StoreError::HistoryDrift`]: the tables differ. Or the database's.
    pub(crate) fn restore(
        &self,
        conn: &mut AnyConnection,
        window: &HistoryWindow,
        columns: &Columns,
        source: i64,
    ) -> Result<i64, StoreError> {
        let which = self.restrict(Statement::default(), window, conn.backend());
        let moved = Move { direction: Direction::Restore, columns: columns.restored()?, which }.run(conn)?;
        if moved > 0 {
            diesel::update(purge_run::table.filter(purge_run::id.eq(source)))
                .set(purge_run::restored.eq(purge_run::restored + moved))
                .execute(conn)?;
        }
        Ok(moved)
    }

    /// Deletes the rows of a window, and counts them as pruned in the runs that archived them. Inside the caller's
    /// transaction.
    pub(crate) fn prune(&self, conn: &mut AnyConnection, window: &HistoryWindow) -> Result<i64, StoreError> {
        let backend = conn.backend();
        let by_run: Vec<OfRun> = match backend {
            Backend::Postgres => {
                let head = "/* history::prune */ WITH gone AS (DELETE FROM call_data_history WHERE ";
                let tail =
                    " RETURNING run_id) SELECT run_id, count(*) AS numbers FROM gone GROUP BY run_id ORDER BY run_id";
                self.restrict(Statement::new(head), window, backend).sql(tail).load(conn)?
            }
            Backend::Sqlite | Backend::Mysql => {
                // The lock is on each row that is read, so that none of them leaves before the delete.
                let lock = if backend == Backend::Mysql { " FOR UPDATE" } else { "" };
                let head = "/* history::of_run */ SELECT run_id FROM call_data_history WHERE ";
                let rows: Vec<RunId> = self.restrict(Statement::new(head), window, backend).sql(lock).load(conn)?;
                let mut by_run = BTreeMap::new();
                for row in rows {
                    *by_run.entry(row.run_id).or_default() += 1;
                }
                by_run.into_iter().map(|(run_id, numbers)| OfRun { run_id, numbers }).collect()
            }
        };
        let counted: i64 = by_run.iter().map(|run| run.numbers).sum();
        if backend != Backend::Postgres {
            let delete = Statement::new("/* history::prune */ DELETE FROM call_data_history WHERE ");
            let deleted = rows(self.restrict(delete, window, backend).execute(conn)?);
            if deleted != counted {
                return Err(StoreError::Changed { copied: counted, deleted });
            }
        }
        for OfRun { run_id, numbers } in by_run {
            diesel::update(purge_run::table.filter(purge_run::id.eq(run_id)))
                .set(purge_run::pruned.eq(purge_run::pruned + numbers))
                .execute(conn)?;
        }
        Ok(counted)
    }

    /// Numbers of a window whose key is taken in `call_data`: how many, and the first `limit` ids.
    pub(crate) fn taken(
        &self,
        conn: &mut AnyConnection,
        window: &HistoryWindow,
        limit: i64,
    ) -> Result<(i64, Vec<i64>), StoreError> {
        #[derive(QueryableByName)]
        struct Id {
            #[diesel(sql_type = BigInt)]
            id: i64,
        }
        let backend = conn.backend();
        let taken = |head: &'static str| {
            let kept = Statement::new(head).sql(" FROM (SELECT campaign_id, id FROM call_data_history WHERE ");
            let join = ") kept JOIN call_data c ON c.campaign_id = kept.campaign_id AND c.id = kept.id \
                        WHERE c.campaign_id = ";
            self.restrict(kept, window, backend).sql(join).big_int(self.campaign_id)
        };
        let count: Count = taken("/* history::taken */ SELECT count(*) AS numbers").get_result(conn)?;
        if count.numbers == 0 || limit == 0 {
            return Ok((count.numbers, Vec::new()));
        }
        let ids: Vec<Id> =
            taken("/* history::taken */ SELECT c.id AS id").sql(" ORDER BY c.id LIMIT ").big_int(limit).load(conn)?;
        Ok((count.numbers, ids.into_iter().map(|row| row.id).collect()))
    }
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    numbers: i64,
}

#[derive(QueryableByName)]
struct RunId {
    #[diesel(sql_type = BigInt)]
    run_id: i64,
}

#[derive(QueryableByName)]
struct OfRun {
    #[diesel(sql_type = BigInt)]
    run_id: i64,
    #[diesel(sql_type = BigInt)]
    numbers: i64,
}

fn beyond(statement: Statement, after: Option<i64>) -> Statement {
    match after {
        Some(id) => statement.sql(" AND id > ").big_int(id),
        None => statement,
    }
}

/// The campaign after `after` that has rows in a table, whether or not there is such a campaign.
pub(crate) fn next_campaign(
    conn: &mut AnyConnection,
    table: &'static str,
    after: Option<i64>,
) -> Result<Option<i64>, StoreError> {
    #[derive(QueryableByName)]
    struct Next {
        #[diesel(sql_type = Nullable<BigInt>)]
        campaign_id: Option<i64>,
    }
    let statement =
        Statement::new("/* history::next_campaign */ SELECT min(campaign_id) AS campaign_id FROM ").sql(table);
    let statement = match after {
        Some(id) => statement.sql(" WHERE campaign_id > ").big_int(id),
        None => statement,
    };
    let next: Next = statement.get_result(conn)?;
    Ok(next.campaign_id)
}
