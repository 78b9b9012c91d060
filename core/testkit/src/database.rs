//! A database for one test.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use diesel::connection::SimpleConnection as _;
use secrecy::SecretString;
use tempfile::TempDir;
use url::Url;

use crate::server::{self, Server, connect};
use crate::tablespaces;
use callsweep_core::clock::Clock;
use callsweep_core::settings::DatabaseSettings;
use callsweep_core::store::{AnyConnection, Backend, Store, migrations};

/// A private database, which is deleted when this value is dropped.
#[derive(Debug)]
pub struct TestDatabase {
    backend: Backend,
    url: String,
    place: Place,
}

/// Makes the names of this process's databases unique.
static COUNTER: AtomicU32 = AtomicU32::new(0);

#[derive(Debug)]
enum Place {
    /// The directory of a SQLite file.
    Directory(TempDir),
    /// The name of a database on a server, and the URL of the server.
    Server(String, Url),
}

impl TestDatabase {
    /// A migrated database without rows.
    #[must_use]
    pub fn new(backend: Backend) -> Self {
        Self::empty(backend).migrated()
    }

    /// A migrated database without rows on the test's own server.
    #[must_use]
    pub fn on(server: &Server) -> Self {
        Self::empty_on(server).migrated()
    }

    /// A database without tables on the test's own server.
    pub(super) fn empty_on(server: &Server) -> Self {
        Self::create(server.backend(), server.url().clone(), "")
    }

    /// The same database on another server, to which it is replicated.
    #[must_use]
    pub fn replicated_to(&self, server: &Server) -> Self {
        let Place::Server(name, _) = &self.place else { panic!("SQLite has no server") };
        let mut url = server.url().clone();
        url.set_path(name);
        Self { backend: self.backend, url: url.into(), place: Place::Server(name.clone(), server.url().clone()) }
    }

    fn migrated(self) -> Self {
        let database = self;
        let store = Store::create(&database.settings(), Clock::system()).expect("opens a new database");
        let mut conn = store.connection().expect("connects to a new database");
        migrations::run(&mut conn).expect("migrates a new database");
        database
    }

    /// A copy of another database. Nobody may be connected to the original.
    ///
    /// # Panics
    /// On a MariaDB server whose files this process cannot read.
    #[must_use]
    pub fn copy_of(original: &Self) -> Self {
        match &original.place {
            Place::Directory(dir) => {
                let copy = Self::empty(Backend::Sqlite);
                // Copying the file suffices: closing the last connection wrote the WAL into it.
                let file = copy.file().unwrap_or_default();
                std::fs::copy(dir.path().join("test.db"), &file).expect("copies a SQLite file");
                let file = std::fs::File::open(&file).expect("opens a SQLite file");
                file.sync_all().expect("syncs a SQLite file");
                copy
            }
            Place::Server(name, server) if original.backend == Backend::Postgres => {
                Self::create(original.backend, server.clone(), &format!(" TEMPLATE {name} STRATEGY FILE_COPY"))
            }
            Place::Server(name, server) => {
                let copy = Self::create(original.backend, server.clone(), "").migrated();
                let Place::Server(copy_name, _) = &copy.place else { unreachable!("made on a server") };
                tablespaces::copy(&mut original.connect(), name, copy_name);
                copy
            }
        }
    }

    /// A database without tables. On SQLite the file does not exist yet.
    #[must_use]
    pub fn empty(backend: Backend) -> Self {
        if backend == Backend::Sqlite {
            let dir = tempfile::Builder::new().prefix("callsweep-sqlite-").tempdir().expect("makes a directory");
            let url = format!("sqlite://{}", dir.path().join("test.db").display());
            return Self { backend, url, place: Place::Directory(dir) };
        }
        Self::create(backend, server::url(backend), "")
    }

    fn create(backend: Backend, server: Url, how: &str) -> Self {
        // Other test processes may use the same server, hence the process id in the name.
        let name = format!("callsweep_test_{}_{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        administer(backend, &server, &format!("CREATE DATABASE {name}{how}")).expect("creates a database");
        let mut url = server.clone();
        url.set_path(&name);
        Self { backend, url: url.into(), place: Place::Server(name, server) }
    }

    /// The backend.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// The URL for the setting `database.url`. Its password is valid only on the test server.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The section `[database]` of the settings.
    #[must_use]
    pub fn settings(&self) -> DatabaseSettings {
        DatabaseSettings { url: SecretString::from(self.url.clone()), ..DatabaseSettings::default() }
    }

    /// A store with the system's clock.
    #[must_use]
    pub fn store(&self) -> Store {
        self.store_at(Clock::system())
    }

    /// A store with this clock.
    #[must_use]
    pub fn store_at(&self, clock: Clock) -> Store {
        Store::open(&self.settings(), clock).expect("opens the test's database")
    }

    /// A connection independent of the store, to act as another program.
    #[must_use]
    pub fn connect(&self) -> AnyConnection {
        connect(self.backend, &self.url).expect("connects to the test's database")
    }

    /// The SQLite file.
    #[must_use]
    pub fn file(&self) -> Option<PathBuf> {
        match &self.place {
            Place::Directory(dir) => Some(dir.path().join("test.db")),
            Place::Server(..) => None,
        }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let Place::Server(name, server) = &self.place else { return };
        // PostgreSQL refuses to drop a database while a connection is open, such as one that a test has leaked.
        let force = if self.backend == Backend::Postgres { " WITH (FORCE)" } else { "" };
        if let Err(error) = administer(self.backend, server, &format!("DROP DATABASE {name}{force}")) {
            // No panic: the test may already be panicking, and a second panic aborts. A private server is deleted anyway.
            tracing::warn!(%error, database = name, "the test's database could not be dropped");
        }
    }
}

fn administer(backend: Backend, server: &Url, sql: &str) -> Result<(), String> {
    let mut conn = connect(backend, server.as_str())?;
    conn.batch_execute(sql).map_err(|error| format!("{sql}: {error}"))
}
