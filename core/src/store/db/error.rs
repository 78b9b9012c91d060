//! The errors of the store, and which of them are transient.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

use crate::model::position::UnreadableCursor;
use crate::store::db::Backend;

/// An error of the store. No text contains a password.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// `database.url` has no scheme.
    #[error("database.url must begin with sqlite://, postgres://, mysql:// or mariadb://")]
    NoScheme,
    /// A scheme of another product.
    #[error("database.url: unknown scheme {0:?}; use sqlite://, postgres://, mysql:// or mariadb://")]
    UnknownScheme(String),
    /// Not a URL.
    #[error("database.url is not a valid URL: {0}")]
    InvalidUrl(String),
    /// SQLite without a file.
    #[error("database.url: sqlite:// needs a file, as in sqlite://callsweep.db (memory is not shared by connections)")]
    NoSqliteFile,
    /// This binary was built without this backend.
    #[error("this binary was built without {backend}; build it with --features {feature}")]
    NotBuilt {
        /// The database of the URL.
        backend: Backend,
        /// The feature to build it with.
        feature: &'static str,
    },
    /// A pooler that may use another server session for each transaction.
    #[error(
        "database.url leads to a connection pooler in transaction mode (PgBouncer: pool_mode = transaction), which loses \
        session settings and prepared statements: set pool_mode = session for this database, or connect to PostgreSQL itself"
    )]
    TransactionPooler,
    /// `ssl_mode` requires TLS, but the server does not support it.
    #[error(
        "database.url asks for TLS (ssl_mode), and the server at {database} does not encrypt the connection: set ssl_cert and \
        ssl_key in the server, or take ssl_mode out"
    )]
    NotEncrypted {
        /// The URL without its password.
        database: String,
    },
    /// The driver could not connect.
    #[error("cannot connect to {backend} at {database}: {reason}{}", connect_hint(*.backend, reason))]
    Connect {
        /// The URL without its password.
        database: String,
        /// The product.
        backend: Backend,
        /// The driver's error.
        reason: String,
    },
    /// All connections of the pool were in use for as long as the caller waits.
    #[error("all {pool_size} database connections are busy (database.pool_size)")]
    Busy {
        /// The setting.
        pool_size: u32,
    },
    /// No connection could be opened in the time that the caller waits.
    #[error("the database is not reachable: {0}")]
    Unreachable(String),
    /// The database lacks migrations of this binary.
    #[error("the database schema is behind by {0} migration(s): run `callsweep-worker migrate`")]
    SchemaBehind(usize),
    /// The database has migrations that this binary does not know.
    #[error(
        "the database schema is newer than this binary: it has {has}, and this binary knows up to {knows}; use the version \
        of Callsweep that made it, or a newer one"
    )]
    SchemaNewer {
        /// A migration that the database has.
        has: String,
        /// The newest migration of this binary.
        knows: String,
    },
    /// A migration failed.
    #[error("migration failed: {0}")]
    Migration(String),
    /// The numbers changed between copy and delete. The transaction was rolled back.
    #[error("the numbers changed while they were moved: {copied} copied, {deleted} deleted")]
    Changed {
        /// Rows copied into the history table.
        copied: i64,
        /// Rows deleted from `call_data`.
        deleted: i64,
    },
    /// More numbers were deleted than a chunk may have, because numbers were inserted into its window. The transaction was
    /// rolled back.
    #[error("the numbers changed while they were removed: {deleted} in a chunk of at most {most}")]
    TooMany {
        /// Numbers that the chunk may remove.
        most: i64,
        /// Numbers that it deleted.
        deleted: i64,
    },
    /// The chunk could not be committed in order, because an earlier chunk was not committed. The transaction was rolled back.
    #[error("an earlier chunk of the run was not committed")]
    OutOfTurn,
    /// The run's row in the ledger is missing, or another process has ended or taken over the run.
    #[error("run {0} is no longer running according to the ledger")]
    RunLost(i64),
    /// Another run has the key of this one.
    #[error("another run has the same key")]
    KeyTaken,
    /// The connection was lost during COMMIT, whose outcome is therefore unknown.
    #[error("the outcome of a commit is unknown: {0}")]
    CommitUnknown(DieselError),
    /// A value in a table that Callsweep cannot read.
    #[error("the database holds a value that this version cannot read: {0}")]
    Unreadable(String),
    /// A number would lose the value of a column if it were moved between the tables.
    #[error("call_data_history is not as call_data: {0}")]
    HistoryDrift(#[from] super::difference::Difference),
    /// A table in which numbers could be lost.
    #[error(transparent)]
    UnsafeTable(#[from] super::unsafe_table::UnsafeTable),
    /// Any other error of the database.
    #[error("database error: {}{}", .0, full_hint(.0))]
    Database(#[from] DieselError),
}

/// Why a retry may succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Transient {
    /// Chosen as the victim of a deadlock.
    Deadlock,
    /// A lock timeout.
    LockTimeout,
    /// SQLite: another connection has the write lock.
    Busy,
    /// A serialization failure.
    Serialization,
    /// The connection was lost, or the server is stopping or starting.
    ConnectionLost,
    /// [`StoreError::Changed`]
    Changed,
    /// An error that Diesel does not classify, such as that of a statement that was prepared before the schema changed.
    Unclassified,
}

impl StoreError {
    /// Classifies the error of a COMMIT. If the connection was lost, the outcome is unknown; also if the error cannot be
    /// classified, because its text may say in another language that the session was terminated; SQLite has neither.
    /// Any other error means that the transaction was rolled back.
    pub(crate) fn commit(error: DieselError, backend: Backend) -> Self {
        match transient(&error) {
            Some(Transient::ConnectionLost) => Self::CommitUnknown(error),
            _ if backend != Backend::Sqlite && is_unclassified(&error) => Self::CommitUnknown(error),
            _ => Self::Database(error),
        }
    }

    /// Whether neither its kind nor its text says what it is: the server may speak another language, or a statement may
    /// have been prepared before the schema changed.
    pub(crate) fn is_unclassified(&self) -> bool {
        matches!(self, Self::Database(error) | Self::CommitUnknown(error) if is_unclassified(error))
    }

    /// Why an attempt that failed by this is made again, if it is.
    pub(crate) fn retry_reason(&self) -> Option<Transient> {
        self.is_transient().or_else(|| self.is_unclassified().then_some(Transient::Unclassified))
    }

    /// Whether all connections of the pool were busy: this program is overloaded, the database is not down.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Busy { .. })
    }

    /// Why a retry may succeed. `None`: the error is permanent.
    #[must_use]
    pub fn is_transient(&self) -> Option<Transient> {
        match self {
            Self::Database(error) => transient(error),
            Self::CommitUnknown(error) if is_unclassified(error) => None,
            Self::CommitUnknown(_) | Self::Unreachable(_) => Some(Transient::ConnectionLost),
            Self::Changed { .. } | Self::TooMany { .. } => Some(Transient::Changed),
            _ => None,
        }
    }
}

/// Diesel sorts few of these into kinds of their own; the rest is known by the server's words.
const WORDS: &[(&str, Transient)] = &[
    ("deadlock detected", Transient::Deadlock),              // PostgreSQL 40P01
    ("Deadlock found", Transient::Deadlock),                 // InnoDB 1213
    ("lock timeout", Transient::LockTimeout),                // PostgreSQL 55P03
    ("Lock wait timeout", Transient::LockTimeout),           // InnoDB 1205
    ("statement timeout", Transient::LockTimeout),           // PostgreSQL 57014, where an administrator has set one
    ("max_statement_time exceeded", Transient::LockTimeout), // MariaDB 1969, likewise
    ("Record has changed since last read", Transient::Serialization), // MariaDB 1020
    ("could not serialize access", Transient::Serialization), // PostgreSQL 40001
    ("database is locked", Transient::Busy),                 // SQLITE_BUSY
    ("database table is locked", Transient::Busy),           // SQLITE_LOCKED
    ("terminating connection", Transient::ConnectionLost),   // PostgreSQL 57P01
    ("server closed the connection", Transient::ConnectionLost), // libpq
    ("no connection to the server", Transient::ConnectionLost), // libpq
    ("connection to server", Transient::ConnectionLost),     // libpq
    ("could not receive data from server", Transient::ConnectionLost), // libpq
    ("could not send data to server", Transient::ConnectionLost), // libpq
    ("SSL connection has been closed", Transient::ConnectionLost), // libpq
    ("the database system is", Transient::ConnectionLost),   // PostgreSQL 57P03: starting, stopping
    ("erver has gone away", Transient::ConnectionLost),      // MariaDB 2006
    ("Lost connection", Transient::ConnectionLost),          // MariaDB 2013
    ("Connection was killed", Transient::ConnectionLost),    // MariaDB 1927
    ("Server shutdown in progress", Transient::ConnectionLost), // MariaDB 1053
    ("WSREP has not yet prepared", Transient::ConnectionLost), // Galera 1047
];

fn transient(error: &DieselError) -> Option<Transient> {
    match error {
        DieselError::DatabaseError(DatabaseErrorKind::SerializationFailure, _) => Some(Transient::Serialization),
        DieselError::DatabaseError(DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand, _)
        | DieselError::BrokenTransactionManager => Some(Transient::ConnectionLost),
        DieselError::DatabaseError(DatabaseErrorKind::Unknown, information) => {
            let message = information.message();
            WORDS.iter().find(|(words, _)| message.contains(words)).map(|(_, transient)| *transient)
        }
        DieselError::RollbackErrorOnCommit { commit_error, .. } => transient(commit_error),
        _ => None,
    }
}

/// Whether neither the kind nor the text of an error is known.
pub(super) fn is_unclassified(error: &DieselError) -> bool {
    matches!(error, DieselError::DatabaseError(DatabaseErrorKind::Unknown, _)) && transient(error).is_none()
}

/// The texts of errors of a full disk.
const FULL: &[&str] = &[
    "database or disk is full", // SQLITE_FULL
    "No space left on device",  // PostgreSQL 53100, MariaDB with the system's own error 28
    "wrote only",               // PostgreSQL, where a part of a page still went
    "' is full",                // InnoDB 1114
    "Disk full",                // MariaDB 1021
];

fn full_hint(error: &DieselError) -> &'static str {
    let is_full = |message: &str| FULL.iter().any(|words| message.contains(words));
    match error {
        DieselError::DatabaseError(_, information) if is_full(information.message()) => {
            " (the disk of the database is full: make room, and do it again. What was committed stays)"
        }
        _ => "",
    }
}

fn connect_hint(backend: Backend, reason: &str) -> &'static str {
    match backend {
        Backend::Sqlite if reason.contains("unable to open") => {
            " (does the file exist? `callsweep-worker migrate` creates it)"
        }
        _ => "",
    }
}

impl From<UnreadableCursor> for StoreError {
    fn from(cursor: UnreadableCursor) -> Self {
        Self::Unreadable(cursor.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_passes_by_itself() {
        let unknown = |text: &str| {
            StoreError::Database(DieselError::DatabaseError(DatabaseErrorKind::Unknown, Box::new(text.to_owned())))
        };
        let deadlock = "Deadlock found when trying to get lock; try restarting transaction";
        // InnoDB writes it with a capital, PostgreSQL without: both must be known.
        for (text, expected) in [
            ("deadlock detected", Some(Transient::Deadlock)),
            (deadlock, Some(Transient::Deadlock)),
            ("canceling statement due to lock timeout", Some(Transient::LockTimeout)),
            ("Lock wait timeout exceeded; try restarting transaction", Some(Transient::LockTimeout)),
            ("database is locked", Some(Transient::Busy)),
            ("Server has gone away", Some(Transient::ConnectionLost)),
            ("terminating connection due to administrator command", Some(Transient::ConnectionLost)),
            ("database or disk is full", None),
            ("relation \"call_data\" does not exist", None),
        ] {
            assert_eq!(unknown(text).is_transient(), expected, "{text}");
        }
        // What libpq says of a connection that ended while nobody used it.
        let kind = DatabaseErrorKind::UnableToSendCommand;
        let unsent = DieselError::DatabaseError(kind, Box::new("no connection to the server\n".to_owned()));
        assert_eq!(StoreError::Database(unsent).is_transient(), Some(Transient::ConnectionLost));
        assert_eq!(StoreError::NoScheme.is_transient(), None);
    }

    #[test]
    fn says_what_to_do_when_the_disk_is_full() {
        let text = |message: &str| {
            let information = Box::new(message.to_owned());
            StoreError::Database(DieselError::DatabaseError(DatabaseErrorKind::Unknown, information)).to_string()
        };
        for message in [
            "database or disk is full",
            "could not extend file \"base/5/16384\": No space left on device",
            "could not extend file \"base/5/16384\": wrote only 4096 of 8192 bytes at block 8",
            "The table 'call_data_history' is full",
            "Got error 28 \"No space left on device\" from storage engine InnoDB",
        ] {
            assert!(text(message).contains("make room"), "{message}");
        }
        assert_eq!(text("deadlock detected"), "database error: deadlock detected");
    }
}
