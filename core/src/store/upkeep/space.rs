//! Maintenance after a large run: returns free space to the file system, and refreshes the planner's statistics.

use std::thread;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use serde::Serialize;

use crate::store::db::retry::retry;
use crate::store::db::{AnyConnection, Backend, Retries, Store, StoreError};

/// What happened to the space of removed rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reclaimed {
    /// SQLite: the file was shortened.
    Pages {
        /// Pages returned to the file system.
        pages: i64,
        /// Bytes returned to the file system.
        bytes: i64,
        /// Free pages that are still in the file, because the operation was stopped or others wrote meanwhile.
        left: i64,
        /// How long the longest step held the write lock.
        longest: Duration,
    },
    /// SQLite: the file was created without incremental vacuum, and does not shrink. `doctor` tells what to do.
    NotIncremental {
        /// Free pages in the file. SQLite uses them for new rows.
        free: i64,
    },
    /// PostgreSQL and MariaDB reuse the space for new rows.
    ByServer,
}

/// The target duration of a step. Other writers wait for it no longer than for a chunk.
const STEP: Duration = Duration::from_millis(100);
/// Pages of the first step, 1 MiB at the usual page size.
const FIRST_STEP: i64 = 256;
/// Pages of the longest step, 64 MiB.
const LONGEST_STEP: i64 = 16_384;
/// How long to wait for other writers.
const PATIENCE: Duration = Duration::from_secs(30);

/// Returns free pages of a SQLite file to the file system, in steps that take no longer than a chunk. `stop` is called before
/// each step.
///
/// # Errors
/// The database's. Pages returned before the error remain returned.
pub fn reclaim(store: &Store, stop: &dyn Fn() -> bool) -> Result<Reclaimed, StoreError> {
    if store.backend() != Backend::Sqlite {
        return Ok(Reclaimed::ByServer);
    }
    let mut conn = store.connection()?;
    let first = pragma(&mut conn, FREE)?;
    if pragma(&mut conn, "SELECT auto_vacuum AS value FROM pragma_auto_vacuum")? != INCREMENTAL {
        return Ok(Reclaimed::NotIncremental { free: first });
    }
    let page = pragma(&mut conn, "SELECT page_size AS value FROM pragma_page_size")?;
    let before = pragma(&mut conn, PAGES)?;
    drop(conn);
    let (mut left, mut step, mut longest) = (first, FIRST_STEP, Duration::ZERO);
    while left > 0 && !stop() {
        let mut took = Duration::ZERO;
        let now = retry(store, PATIENCE, &mut Retries::default(), |conn| {
            let begun = Instant::now();
            conn.batch_execute(&format!("PRAGMA incremental_vacuum({step})"))?;
            took = begun.elapsed();
            pragma(conn, FREE)
        })?;
        longest = longest.max(took);
        if now >= left {
            // No progress: another writer uses the free pages.
            break;
        }
        left = now;
        step = if took > STEP { (step / 2).max(1) } else { (step * 2).min(LONGEST_STEP) };
        // SQLite has no queue for its lock. A waiting writer polls, so it gets the lock only if it is free for a while.
        thread::sleep(took);
    }
    let mut conn = store.connection()?;
    // The checkpoint copies the WAL into the file, which shortens it. PASSIVE does not wait for readers.
    conn.batch_execute("PRAGMA wal_checkpoint(PASSIVE)")?;
    let pages = before - pragma(&mut conn, PAGES)?;
    Ok(Reclaimed::Pages { pages, bytes: pages * page, left: pragma(&mut conn, FREE)?, longest })
}

const FREE: &str = "SELECT freelist_count AS value FROM pragma_freelist_count";
const PAGES: &str = "SELECT page_count AS value FROM pragma_page_count";
/// SQLite's number for incremental vacuum.
const INCREMENTAL: i64 = 2;

fn pragma(conn: &mut AnyConnection, query: &'static str) -> Result<i64, StoreError> {
    #[derive(QueryableByName)]
    struct Value {
        #[diesel(sql_type = BigInt)]
        value: i64,
    }
    let found: Value = diesel::sql_query(format!("/* space::pragma */ {query}")).get_result(conn)?;
    Ok(found.value)
}

/// Refreshes the planner's statistics of the two tables.
///
/// # Errors
/// The database's. On PostgreSQL and MariaDB the user needs the privilege.
pub fn analyze(conn: &mut AnyConnection) -> Result<(), StoreError> {
    let statement = match conn.backend() {
        // The limit makes it a sample of each index. A full ANALYZE would block writers while it reads everything.
        Backend::Sqlite => "PRAGMA analysis_limit = 1000; ANALYZE call_data; ANALYZE call_data_history",
        Backend::Postgres => "ANALYZE call_data, call_data_history",
        Backend::Mysql => "ANALYZE TABLE call_data, call_data_history",
    };
    Ok(conn.batch_execute(statement)?)
}
