//! Private PostgreSQL and MariaDB servers. One of each serves all tests of a process. A test that kills a server starts its
//! own.

mod connect;
mod home;
mod mariadb;
mod postgres;
mod processes;
mod watchdog;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection as _;
use url::Url;

use callsweep_core::store::Backend;
pub(crate) use connect::connect;
use home::Home;
use watchdog::Watched;

/// A user that may create databases. The password may be public, because the servers listen on 127.0.0.1 only and end with
/// the tests.
const USER: &str = "callsweep";
const PASSWORD: &str = "throw-away";

/// How long to wait for a new server to accept connections.
const READY_WITHIN: Duration = Duration::from_secs(90);
/// How often to check whether the server accepts connections.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Attempts to start a server: another program may take the free port before the server listens on it.
const ATTEMPTS: usize = 3;

/// What a server is configured for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Tests: it does not keep commits when it stops, which makes it faster.
    Quick,
    /// Attacks: it is killed and must keep commits.
    Killed,
    /// Benchmarks: configured as a DBA would on a shared machine. Commits are synced to disk, the data of a benchmark fits in
    /// memory, and the log is large enough that it does not force a checkpoint during a run.
    Measured,
}

static DURABLE: AtomicBool = AtomicBool::new(false);

/// From now on private servers sync commits to disk. Benchmarks call it before they create the first database.
pub fn make_durable() {
    DURABLE.store(true, Ordering::Relaxed);
}

/// The URL of this backend's server, on which databases can be created: from the environment, or of a private server that
/// the first call starts.
///
/// # Panics
/// If no server can be started. The message contains the reason and the package to install.
pub(super) fn url(backend: Backend) -> Url {
    static POSTGRES: OnceLock<Result<Shared, String>> = OnceLock::new();
    static MARIADB: OnceLock<Result<Shared, String>> = OnceLock::new();
    let shared = match backend {
        Backend::Sqlite => unreachable!("SQLite has no server"),
        Backend::Postgres => &POSTGRES,
        Backend::Mysql => &MARIADB,
    };
    match shared.get_or_init(|| Shared::obtain(backend)) {
        Ok(shared) => shared.url.clone(),
        Err(error) => panic!("no {backend} server for the tests: {error}"),
    }
}

/// The server that the tests of a process share.
struct Shared {
    url: Url,
    /// Kept until this process ends. `None` for a server from the environment.
    _server: Option<Server>,
}

impl Shared {
    fn obtain(backend: Backend) -> Result<Self, String> {
        let given = url_variable(backend).and_then(|name| Some((name, std::env::var(name).ok()?)));
        if let Some((name, url)) = given {
            let url = url.parse().map_err(|error| format!("{name} is no URL: {error}"))?;
            return Ok(Self { url, _server: None });
        }
        let purpose = if DURABLE.load(Ordering::Relaxed) { Purpose::Measured } else { Purpose::Quick };
        let server = attempts(|| Server::install(backend, purpose, &[]))?;
        Ok(Self { url: server.url.clone(), _server: Some(server) })
    }
}

fn attempts(start: impl Fn() -> Result<Server, String>) -> Result<Server, String> {
    let mut outcome = start();
    for _ in 1..ATTEMPTS {
        if outcome.is_err() {
            outcome = start();
        }
    }
    outcome
}

/// A private server. It ends with this process, even if that is killed.
#[derive(Debug)]
pub struct Server {
    backend: Backend,
    url: Url,
    home: Home,
    command: Vec<String>,
    /// One per start of the server. All are kept, because the first one that is dropped removes the directory.
    runs: Vec<Watched>,
}

impl Server {
    /// A separate server for a test that kills it.
    ///
    /// # Panics
    /// If it cannot be started. The message contains the reason and the package to install.
    #[must_use]
    pub fn to_be_killed(backend: Backend, options: &[&str]) -> Self {
        let started = attempts(|| Self::install(backend, Purpose::Killed, options));
        started.unwrap_or_else(|error| panic!("no {backend} server of its own for the test: {error}"))
    }

    /// A PostgreSQL standby with synchronous replication: it has every transaction that this server reported as committed.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn standby(&self) -> Self {
        let standby = attempts(|| postgres::standby(self));
        let standby = standby.unwrap_or_else(|error| panic!("no standby for the test: {error}"));
        self.execute("ALTER SYSTEM SET synchronous_standby_names = '*'");
        self.execute("SELECT pg_reload_conf()");
        standby
    }

    /// Promotes a standby to the primary.
    pub fn promote(&self) {
        self.execute("SELECT pg_promote()");
    }

    /// The nodes of a MariaDB Galera cluster.
    ///
    /// # Panics
    /// If it cannot be started. The message contains the reason and the package to install.
    #[must_use]
    pub fn cluster(nodes: usize) -> Vec<Self> {
        mariadb::cluster(nodes).unwrap_or_else(|error| panic!("no Galera cluster for the test: {error}"))
    }

    fn execute(&self, sql: &str) {
        let mut conn = connect(self.backend, self.url.as_str()).expect("connects to a server of the test");
        conn.batch_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    fn install(backend: Backend, purpose: Purpose, options: &[&str]) -> Result<Self, String> {
        match backend {
            Backend::Sqlite => Err("SQLite has no server".to_owned()),
            Backend::Postgres => postgres::install(purpose, options),
            Backend::Mysql => mariadb::install(purpose, options),
        }
    }

    /// Starts an installed server, and waits until it accepts connections.
    fn start(backend: Backend, home: Home, command: Vec<String>, url: &str) -> Result<Self, String> {
        let url = url.parse().map_err(|error| format!("{url}: {error}"))?;
        let mut server = Self { backend, url, home, command, runs: Vec::new() };
        server.run()?;
        Ok(server)
    }

    fn run(&mut self) -> Result<(), String> {
        // SIGQUIT: PostgreSQL stops at once, ends its child processes and frees its shared memory.
        let signal = if self.backend == Backend::Postgres { "QUIT" } else { "KILL" };
        let mut watched = Watched::start(&self.command, signal, &self.home.dir)?;
        let begun = Instant::now();
        while let Err(refused) = connect(self.backend, self.url.as_str()) {
            if let Some(words) = watched.ended() {
                return Err(words);
            }
            if begun.elapsed() > READY_WITHIN {
                return Err(format!("no answer within {READY_WITHIN:?}: {refused}; its log: {}", watched.log()));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        self.runs.push(watched);
        Ok(())
    }

    /// The backend.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// The URL of the server, on which databases can be created.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Kills the server and all its processes with SIGKILL. Returns when they have ended.
    pub fn kill(&self) {
        let processes = self.freeze();
        processes::signal("KILL", &processes);
        processes::until_gone(&processes);
    }

    /// Starts a server that was killed, and waits until it accepts connections.
    pub fn start_again(&mut self) {
        self.run().unwrap_or_else(|error| panic!("the {} server did not come back: {error}", self.backend));
    }

    /// Suspends the server and all its processes with SIGSTOP. Returns their ids.
    #[must_use]
    pub fn freeze(&self) -> Vec<u32> {
        let server = self.runs.last().expect("it was started").server();
        // The parent is suspended first, so that it starts no further processes.
        processes::signal("STOP", &[server]);
        let mut all = vec![server];
        all.extend(processes::children(server));
        processes::signal("STOP", &all[1..]);
        all
    }

    /// Resumes suspended processes with SIGCONT.
    pub fn thaw(&self, processes: &[u32]) {
        processes::signal("CONT", processes);
    }
}

/// The environment variable with the URL of a server to use instead of a private one.
pub(crate) fn url_variable(backend: Backend) -> Option<&'static str> {
    match backend {
        Backend::Sqlite => None,
        Backend::Postgres => Some("TEST_POSTGRES_URL"),
        Backend::Mysql => Some("TEST_MYSQL_URL"),
    }
}
