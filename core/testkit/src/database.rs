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

/// A database of its own, removed when it is dropped.
#[derive(Debug)]
pub struct TestDatabase {
    backend: Backend,
    url: String,
    place: Place,
}

/// Tells the databases of one process apart.
static COUNTER: AtomicU32 = AtomicU32::new(0);

#[derive(Debug)]
enum Place {
    /// The directory of a SQLite file.
    Directory(TempDir),
    /// The name of a database on a server, and by which URL it was created.
    Server(String, Url),
}

impl TestDatabase {
    /// Migrated, without rows.
    #[must_use]
    pub fn new(backend: Backend) -> Self {
        Self::empty(backend).migrated()
    }

    /// On a server of the test's own, migrated, without rows.
    #[must_use]
    pub fn on(server: &Server) -> Self {
        Self::empty_on(server).migrated()
    }

    /// On a server of the test's own, without tables.
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

    /// A copy of another database that nobody is connected to.
    ///
    /// # Panics
    /// On a MariaDB whose files are not on this machine, or another user's.
    #[must_use]
    pub fn copy_of(original: &Self) -> Self {
        match &original.place {
            Place::Directory(dir) => {
                let copy = Self::empty(Backend::Sqlite);
                // The log is empty: whoever closes the last connection writes it into the file.
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

    /// Without tables. On SQLite there is not even a file yet.
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
        // A server that was given may serve other test processes too.
        let name = format!("callsweep_test_{}_{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        administer(backend, &server, &format!("CREATE DATABASE {name}{how}")).expect("creates a database");
        let mut url = server.clone();
        url.set_path(&name);
        Self { backend, url: url.into(), place: Place::Server(name, server) }
    }

    /// The product it is a database of.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// What `database.url` takes. It has a password, of no worth outside the test.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `[database]` for it.
    #[must_use]
    pub fn settings(&self) -> DatabaseSettings {
        DatabaseSettings { url: SecretString::from(self.url.clone()), ..DatabaseSettings::default() }
    }

    /// A store on it, with the system's clock.
    #[must_use]
    pub fn store(&self) -> Store {
        self.store_at(Clock::system())
    }

    /// A store on it, with this clock.
    #[must_use]
    pub fn store_at(&self, clock: Clock) -> Store {
        Store::open(&self.settings(), clock).expect("opens the test's database")
    }

    /// A connection that owes nothing to the store: what another program sees and does.
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
        // A connection that a test left open must not keep the database.
        let force = if self.backend == Backend::Postgres { " WITH (FORCE)" } else { "" };
        if let Err(error) = administer(self.backend, server, &format!("DROP DATABASE {name}{force}")) {
            // No panic: the test may be on its way out with one already, and a private server goes anyway.
            tracing::warn!(%error, database = name, "a test's database was not dropped");
        }
    }
}

fn administer(backend: Backend, server: &Url, sql: &str) -> Result<(), String> {
    let mut conn = connect(backend, server.as_str())?;
    conn.batch_execute(sql).map_err(|error| format!("{sql}: {error}"))
}
