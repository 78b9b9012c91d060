//! The database checks of `doctor`.

use diesel::prelude::*;
use diesel::sql_types::Text;
use serde::Serialize;

use crate::store::db::columns::{self, Difference};
use crate::store::db::{AnyConnection, Backend, StoreError, storage};
use crate::store::upkeep::text;
use crate::store::upkeep::trial::{self, Trial};

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Correct.
    Ok,
    /// It works, with a disadvantage that the detail names.
    Warning,
    /// It does not work, or a guarantee does not hold.
    Failure,
}

/// The result of a check.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// What was checked.
    pub topic: String,
    /// What was found, and the remedy.
    pub detail: String,
    /// The severity.
    pub verdict: Verdict,
}

#[derive(QueryableByName)]
struct Value {
    #[diesel(sql_type = Text)]
    value: String,
}

/// Checks the server version, the settings that make commits durable, and the indexes that keep chunks bounded.
///
/// # Errors
/// The database's.
pub fn inspect(conn: &mut AnyConnection) -> Result<Vec<Finding>, StoreError> {
    let backend = conn.backend();
    let mut findings = vec![version(conn)?];
    for setting in SETTINGS.iter().filter(|setting| setting.backend == backend) {
        findings.push(setting.inspect(conn)?);
    }
    findings.push(tables(conn)?);
    findings.push(text_storage(conn)?);
    findings.push(indexes(conn)?);
    findings.push(history(conn)?);
    findings.push(trial_archive(conn)?);
    Ok(findings)
}

fn version(conn: &mut AnyConnection) -> Result<Finding, StoreError> {
    let backend = conn.backend();
    let version = values(
        conn,
        match backend {
            Backend::Sqlite => "SELECT sqlite_version() AS value",
            // version() has the product's name and the compiler's in it.
            Backend::Postgres => "SELECT current_setting('server_version') AS value",
            Backend::Mysql => "SELECT version() AS value",
        },
    )?;
    let detail = format!("{backend} {}", version.join(""));
    Ok(Finding { topic: "server version".to_owned(), detail, verdict: Verdict::Ok })
}

struct Setting {
    backend: Backend,
    name: &'static str,
    query: &'static str,
    /// The values with which all guarantees hold.
    good: &'static [&'static str],
    otherwise: &'static str,
    verdict: Verdict,
}

const LOSES_COMMITS: &str = "a commit that was reported can be lost when the machine fails";

const SETTINGS: &[Setting] = &[
    Setting {
        backend: Backend::Sqlite,
        name: "journal_mode",
        query: "SELECT journal_mode AS value FROM pragma_journal_mode",
        good: &["wal"],
        otherwise: "readers and the writer block each other",
        verdict: Verdict::Warning,
    },
    Setting {
        backend: Backend::Sqlite,
        name: "synchronous",
        query: "SELECT CAST(synchronous AS TEXT) AS value FROM pragma_synchronous",
        good: &["2", "3"],
        otherwise: LOSES_COMMITS,
        verdict: Verdict::Warning,
    },
    Setting {
        backend: Backend::Sqlite,
        name: "auto_vacuum",
        query: "SELECT CAST(auto_vacuum AS TEXT) AS value FROM pragma_auto_vacuum",
        good: &["2"],
        otherwise: "the file never shrinks. When nothing else uses it and the disk has room for a copy, run in sqlite3: \
                    PRAGMA auto_vacuum = INCREMENTAL; VACUUM;",
        verdict: Verdict::Warning,
    },
    Setting {
        backend: Backend::Postgres,
        name: "fsync",
        query: "SELECT current_setting('fsync') AS value",
        good: &["on"],
        otherwise: LOSES_COMMITS,
        verdict: Verdict::Warning,
    },
    Setting {
        backend: Backend::Postgres,
        name: "synchronous_commit",
        query: "SELECT current_setting('synchronous_commit') AS value",
        good: &["on", "remote_write", "remote_apply", "local"],
        otherwise: LOSES_COMMITS,
        verdict: Verdict::Warning,
    },
    Setting {
        backend: Backend::Postgres,
        name: "autovacuum",
        query: "SELECT current_setting('autovacuum') AS value",
        good: &["on"],
        otherwise: "removed rows keep their space and slow later scans until VACUUM runs",
        verdict: Verdict::Warning,
    },
    Setting {
        backend: Backend::Mysql,
        name: "innodb_flush_log_at_trx_commit",
        query: "SELECT CAST(@@innodb_flush_log_at_trx_commit AS CHAR) AS value",
        good: &["1"],
        otherwise: LOSES_COMMITS,
        verdict: Verdict::Warning,
    },
    Setting {
        backend: Backend::Mysql,
        name: "binlog_format",
        query: "SELECT CAST(@@binlog_format AS CHAR) AS value",
        good: &["ROW", "MIXED"],
        otherwise: "sweeps run at READ COMMITTED, which STATEMENT refuses to log; set ROW",
        verdict: Verdict::Failure,
    },
    Setting {
        backend: Backend::Mysql,
        name: "sql_mode",
        query: "SELECT CAST(@@sql_mode AS CHAR) AS value",
        good: &["STRICT_ALL_TABLES"],
        otherwise: "Callsweep's own connections must be strict, or values are cut silently",
        verdict: Verdict::Failure,
    },
];

impl Setting {
    fn inspect(&self, conn: &mut AnyConnection) -> Result<Finding, StoreError> {
        let value = values(conn, self.query)?.join("");
        let good = self.good.contains(&value.as_str());
        let (detail, verdict) =
            if good { (value, Verdict::Ok) } else { (format!("{value}: {}", self.otherwise), self.verdict) };
        Ok(Finding { topic: self.name.to_owned(), detail, verdict })
    }
}

/// The indexes without which a chunk would read an unbounded number of rows.
const INDEXES: &[&str] =
    &["call_data_called", "call_data_custom_field", "call_data_recycle_time", "call_data_session_id"];

fn indexes(conn: &mut AnyConnection) -> Result<Finding, StoreError> {
    let present = values(
        conn,
        match conn.backend() {
            Backend::Sqlite => {
                "SELECT name AS value FROM sqlite_master WHERE type = 'index' AND tbl_name = 'call_data'"
            }
            Backend::Postgres => {
                "SELECT CAST(indexname AS TEXT) AS value FROM pg_indexes \
                 WHERE tablename = 'call_data' AND schemaname = ANY (current_schemas(false))"
            }
            Backend::Mysql => {
                "SELECT DISTINCT index_name AS value FROM information_schema.statistics \
                 WHERE table_schema = DATABASE() AND table_name = 'call_data'"
            }
        },
    )?;
    let missing: Vec<&str> = INDEXES.iter().copied().filter(|name| !present.iter().any(|p| p == name)).collect();
    let (detail, verdict) = if missing.is_empty() {
        ("all present on call_data".to_owned(), Verdict::Ok)
    } else {
        let detail = format!("missing on call_data: {}; see migrations/ for their definition", missing.join(", "));
        (detail, Verdict::Failure)
    };
    Ok(Finding { topic: "indexes".to_owned(), detail, verdict })
}

fn tables(conn: &mut AnyConnection) -> Result<Finding, StoreError> {
    let found = storage::find_unsafe(conn)?;
    let (detail, verdict) = if found.is_empty() {
        ("every table is transactional".to_owned(), Verdict::Ok)
    } else {
        let texts: Vec<String> = found.iter().map(ToString::to_string).collect();
        (texts.join("; "), Verdict::Failure)
    };
    Ok(Finding { topic: "tables".to_owned(), detail, verdict })
}

fn text_storage(conn: &mut AnyConnection) -> Result<Finding, StoreError> {
    let problems = text::problems(conn)?;
    let (detail, verdict) = if problems.is_empty() {
        ("UTF-8, compared by bytes".to_owned(), Verdict::Ok)
    } else {
        (problems.join("; "), Verdict::Warning)
    };
    Ok(Finding { topic: "text".to_owned(), detail, verdict })
}

fn history(conn: &mut AnyConnection) -> Result<Finding, StoreError> {
    let differences = columns::differences(conn)?;
    let texts: Vec<String> = differences.iter().map(ToString::to_string).collect();
    let (detail, verdict) = if differences.is_empty() {
        ("a number moves to call_data_history and back with every column".to_owned(), Verdict::Ok)
    } else if differences.iter().any(Difference::forbids_archive) {
        (format!("{}: archiving and restoring are refused", texts.join("; ")), Verdict::Failure)
    } else {
        (format!("{}: restoring is refused", texts.join("; ")), Verdict::Warning)
    };
    Ok(Finding { topic: "history table".to_owned(), detail, verdict })
}

fn trial_archive(conn: &mut AnyConnection) -> Result<Finding, StoreError> {
    let (detail, verdict) = match trial::run(conn)? {
        Trial::Works => ("a number was archived and restored, and all of it rolled back".to_owned(), Verdict::Ok),
        Trial::Skipped(reason) => (format!("skipped: {reason}"), Verdict::Ok),
        Trial::Fails(what, StoreError::Changed { copied, deleted }) => {
            let detail = format!(
                "{what} fails: of {deleted} row(s) {copied} came to the other table. A trigger or row security leaves \
                 rows out: every chunk is rolled back"
            );
            (detail, Verdict::Failure)
        }
        Trial::Fails(what, error) => (format!("{what} fails: {error}"), Verdict::Failure),
    };
    Ok(Finding { topic: "trial archive".to_owned(), detail, verdict })
}

fn values(conn: &mut AnyConnection, query: &'static str) -> Result<Vec<String>, StoreError> {
    let rows: Vec<Value> = diesel::sql_query(format!("/* inspect::values */ {query}")).load(conn)?;
    Ok(rows.into_iter().map(|row| row.value).collect())
}
