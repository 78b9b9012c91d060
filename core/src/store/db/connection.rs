//! Opens and configures connections to the three databases, for the pool.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use diesel::connection::{Connection as _, SimpleConnection};
use diesel::r2d2::R2D2Connection as _;
use diesel::{QueryResult, SqliteConnection};
use secrecy::{ExposeSecret, SecretString};

use super::backend::Backend;
use super::catalogue::Catalogue;
use super::statements;
#[cfg(feature = "mysql")]
use crate::store::db::database_url::Tls;
use crate::store::db::database_url::{DatabaseUrl, SqliteAccess, sqlite_uri};
use crate::store::db::pooler;
use crate::store::db::{AnyConnection, StoreError};

/// Opens connections for the pool. Diesel's derived `establish` is not used: it tries each backend in turn and hides the
/// driver's error.
#[derive(Debug, Clone)]
pub struct ConnectionManager {
    url: DatabaseUrl,
    create: bool,
    catalogue: Catalogue,
    /// How often all statements were to be prepared again.
    generation: Arc<AtomicU64>,
}

/// The lock timeout: how long a statement waits for a lock before it fails and is retried. Long enough for another program's
/// transaction to end, short enough that a blocked run is reported.
const LOCK_WAIT: &str = "5s";

/// PostgreSQL's `work_mem`. The rows of a chunk are buffered between delete and copy, and counted at the end. With the
/// server's default of 4 MB they go through a temporary file.
const WORK_MEM: &str = "16MB";

/// Pages of 4 KiB in SQLite's WAL before a checkpoint copies them into the file. A chunk changes several thousand pages, many
/// of which the next chunk changes again. With SQLite's default of 1,000 each commit would copy them.
const SQLITE_CHECKPOINT_PAGES: u32 = 10_000;

/// The page cache of a SQLite connection; the default is 2 MiB. The rows of a chunk are spread over four indexes. Pages that do
/// not fit into the cache are written to the WAL and read again, several times per chunk.
const SQLITE_CACHE_KIB: u32 = 8 * 1024;

/// Creates a missing SQLite file with permissions for its owner only, because it will contain phone numbers. SQLite itself
/// would apply the umask; it gives the WAL the mode of the file. An error here is ignored: SQLite then reports it when it
/// opens the file.
fn create_for_owner(path: &str) {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    if let Err(error) = options.open(path) {
        tracing::debug!(%error, "no SQLite file was created");
    }
}

impl ConnectionManager {
    /// Parses a database URL. `create`: create a missing SQLite file.
    pub(crate) fn new(url: &SecretString, create: bool, catalogue: Catalogue) -> Result<Self, StoreError> {
        Ok(Self { url: DatabaseUrl::parse(url)?, create, catalogue, generation: Arc::default() })
    }

    /// From now on every connection prepares its statements again.
    pub(crate) fn prepare_again(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn backend(&self) -> Backend {
        self.url.backend
    }

    fn establish(&self) -> Result<AnyConnection, StoreError> {
        let DatabaseUrl { backend, url, shown, .. } = &self.url;
        let (backend, url) = (*backend, url.expose_secret());
        let failed = |error: diesel::ConnectionError| StoreError::Connect {
            database: shown.clone(),
            backend,
            reason: error.to_string(),
        };
        match backend {
            Backend::Sqlite => {
                let path = url.trim_start_matches("sqlite://");
                if self.create {
                    create_for_owner(path);
                }
                let access = SqliteAccess::of(Path::new(path), self.create);
                let mut conn = SqliteConnection::establish(&sqlite_uri(path, access)).map_err(failed)?;
                if !access.is_read_only() {
                    prepare_writing(&mut conn, self.create)?;
                }
                Ok(AnyConnection::Sqlite(conn))
            }
            #[cfg(feature = "postgres")]
            Backend::Postgres => {
                let url = crate::store::db::database_url::for_libpq(url);
                diesel::PgConnection::establish(&url).map(AnyConnection::Postgres).map_err(failed)
            }
            #[cfg(feature = "mysql")]
            Backend::Mysql => {
                let mut conn = establish_mysql(url, self.url.tls).map_err(failed)?;
                if self.url.tls != Tls::Optional && !is_encrypted(&mut conn)? {
                    return Err(StoreError::NotEncrypted { database: shown.clone() });
                }
                Ok(AnyConnection::Mysql(conn))
            }
            #[allow(unreachable_patterns, reason = "reached only by builds that leave a backend out")]
            left_out => Err(StoreError::NotBuilt { backend: left_out, feature: "postgres or mysql" }),
        }
    }

    /// Sets the session settings on which the guarantees depend, whatever the server's defaults are.
    fn prepare(conn: &mut AnyConnection) -> QueryResult<()> {
        match conn.backend() {
            Backend::Sqlite => {
                conn.batch_execute(&format!("PRAGMA busy_timeout = 5000; PRAGMA cache_size = -{SQLITE_CACHE_KIB}"))
            }
            Backend::Postgres => {
                conn.batch_execute("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED")?;
                // Every scan must read an index in its order and end at its LIMIT. With a bitmap or sequential scan the planner
                // would read the whole rest of a campaign and sort it, and no statement may be unbounded.
                conn.batch_execute("SET enable_bitmapscan = off; SET enable_seqscan = off")?;
                conn.batch_execute(&format!("SET work_mem = '{WORK_MEM}'; SET lock_timeout = '{LOCK_WAIT}'"))?;
                conn.batch_execute("SET application_name = 'callsweep'")
            }
            // READ COMMITTED has no gap locks, which would block imports during a sweep. Strict mode, so that no value is
            // truncated silently.
            Backend::Mysql => {
                conn.batch_execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")?;
                let seconds = LOCK_WAIT.trim_end_matches('s');
                // Timeouts for row locks, and for the metadata lock of an ALTER TABLE, whose default is a day.
                conn.batch_execute(&format!(
                    "SET SESSION innodb_lock_wait_timeout = {seconds}, SESSION lock_wait_timeout = {seconds}, \
                     SESSION sql_mode = 'STRICT_ALL_TABLES'"
                ))?;
                // Diesel hides the error number: errors are known by their text, which must not be in another language.
                conn.batch_execute("SET SESSION lc_messages = 'en_US'")
            }
        }
    }
}

/// WAL mode, in which readers do not block the writer; and commits are synced to disk.
fn prepare_writing(conn: &mut SqliteConnection, create: bool) -> QueryResult<()> {
    conn.batch_execute("PRAGMA busy_timeout = 5000")?;
    if create {
        // It has an effect only before the first table is created. The file can then be shortened later.
        conn.batch_execute("PRAGMA auto_vacuum = INCREMENTAL")?;
    }
    conn.batch_execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")?;
    conn.batch_execute(&format!("PRAGMA wal_autocheckpoint = {SQLITE_CHECKPOINT_PAGES}"))
}

/// Whether the connection is encrypted. MariaDB's library accepts `ssl_mode` but does not enforce it.
#[cfg(feature = "mysql")]
fn is_encrypted(conn: &mut diesel::MysqlConnection) -> QueryResult<bool> {
    #[derive(diesel::QueryableByName)]
    struct Status {
        #[diesel(sql_type = diesel::sql_types::Text, column_name = "Value")]
        cipher: String,
    }
    let status = diesel::RunQueryDsl::load::<Status>(diesel::sql_query("SHOW SESSION STATUS LIKE 'Ssl_cipher'"), conn)?;
    Ok(status.iter().any(|status| !status.cipher.is_empty()))
}

/// MariaDB's library accepts options, such as the timeout, in the place of a host name. MySQL's library takes them as a host
/// name.
#[cfg(feature = "mysql")]
fn establish_mysql(url: &str, tls: Tls) -> diesel::ConnectionResult<diesel::MysqlConnection> {
    match crate::store::db::database_url::for_libmariadb(url, tls).map(|url| diesel::MysqlConnection::establish(&url)) {
        Some(Err(error)) if error.to_string().contains("'host=") => diesel::MysqlConnection::establish(url),
        Some(established) => established,
        None => diesel::MysqlConnection::establish(url),
    }
}

impl r2d2::ManageConnection for ConnectionManager {
    type Connection = AnyConnection;
    type Error = StoreError;

    fn connect(&self) -> Result<AnyConnection, StoreError> {
        let mut conn = self.establish()?;
        Self::prepare(&mut conn)?;
        statements::watch(&mut conn, self.generation.load(Ordering::Relaxed));
        self.catalogue.forget();
        Ok(conn)
    }

    fn is_valid(&self, conn: &mut AnyConnection) -> Result<(), StoreError> {
        conn.ping()?;
        Ok(statements::renew_if_needed(conn, self.generation.load(Ordering::Relaxed))?)
    }

    fn has_broken(&self, conn: &mut AnyConnection) -> bool {
        std::thread::panicking() || conn.is_broken()
    }
}

/// The default timeout for getting a connection from the pool. After it the caller receives [`StoreError::Busy`].
pub(crate) const POOL_WAIT: Duration = Duration::from_secs(5);

pub(crate) fn pool(manager: ConnectionManager, size: u32) -> Result<r2d2::Pool<ConnectionManager>, StoreError> {
    // The first connection is opened here and not by r2d2, so that the driver's error is reported, and at once.
    let mut first = r2d2::ManageConnection::connect(&manager)?;
    // The probe needs a second connection. Without one it is skipped: a role may be limited to a single connection.
    if manager.backend() == Backend::Postgres
        && let Ok(mut second) = r2d2::ManageConnection::connect(&manager)
    {
        pooler::refuse_transaction_mode(&mut first, &mut second)?;
    }
    drop(first);
    let pool = r2d2::Pool::builder()
        .max_size(size)
        .min_idle(Some(0))
        .connection_timeout(POOL_WAIT)
        .error_handler(Box::<LogConnectError>::default())
        .build_unchecked(manager);
    Ok(pool)
}

/// Logs connection errors of r2d2, which retries in the background. Retries are unlimited and immediate, so the log is limited
/// to one line per interval; otherwise it could fill a disk.
#[derive(Debug, Default)]
struct LogConnectError {
    /// When the last line was written, and how many errors were not logged since.
    last: Mutex<(Option<Instant>, u64)>,
}

/// The shortest interval between two log lines about connections.
const LOG_EVERY: Duration = Duration::from_secs(5);

impl r2d2::HandleError<StoreError> for LogConnectError {
    fn handle_error(&self, error: StoreError) {
        let Ok(mut last) = self.last.lock() else { return };
        if last.0.is_some_and(|at| at.elapsed() < LOG_EVERY) {
            last.1 += 1;
            return;
        }
        tracing::warn!(%error, not_logged = last.1, "cannot open a database connection");
        *last = (Some(Instant::now()), 0);
    }
}
