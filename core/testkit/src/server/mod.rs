//! Private PostgreSQL and MariaDB servers: installed, started and found ready. One of each serves all tests of a process;
//! a test that breaks servers starts its own.

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

/// A role that may create databases. The servers listen on 127.0.0.1 alone and live as long as the tests.
const USER: &str = "callsweep";
const PASSWORD: &str = "throw-away";

/// A server that has not answered by then will not.
const READY_WITHIN: Duration = Duration::from_secs(90);
/// Between two looks whether the server answers.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A free port may be taken by another program before the server has it.
const ATTEMPTS: usize = 3;

/// What a server is set up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Tests: it loses what it committed when it stops, and is quicker for it.
    Quick,
    /// Attacks: it is killed, and keeps what it committed.
    Killed,
    /// Benchmarks: set up as a DBA would for a machine that others use too. A commit is on disk when it is reported, the
    /// data of a benchmark fits in memory, and no checkpoint falls into a run for want of log.
    Measured,
}

static DURABLE: AtomicBool = AtomicBool::new(false);

/// From now on private servers are started so that they keep what they commit. For benchmarks: call
/// it before the first database is made.
pub fn make_durable() {
    DURABLE.store(true, Ordering::Relaxed);
}

/// The URL of the server for this backend, by which databases can be created: given in the environment, or that of
/// a private server, which the first call starts.
///
/// # Panics
/// When there is no server to be had: with the reason and the package to install.
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

/// The server that most tests share.
struct Shared {
    url: Url,
    /// Held as long as this process lives. `None` for a server that was given.
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

/// A private server, which ends with this process, however that ends.
#[derive(Debug)]
pub struct Server {
    backend: Backend,
    url: Url,
    home: Home,
    command: Vec<String>,
    /// One for each time that it was started. All are held: the first that goes takes the directory with it.
    runs: Vec<Watched>,
}

impl Server {
    /// One of its own for a test that kills it.
    ///
    /// # Panics
    /// When there is none to be had: with the reason and the package to install.
    #[must_use]
    pub fn to_be_killed(backend: Backend, options: &[&str]) -> Self {
        let started = attempts(|| Self::install(backend, Purpose::Killed, options));
        started.unwrap_or_else(|error| panic!("no {backend} server of its own for the test: {error}"))
    }

    /// A PostgreSQL standby that has whatever this server has told a client to be committed.
    ///
    /// # Panics
    /// When it cannot be had.
    #[must_use]
    pub fn standby(&self) -> Self {
        let standby = attempts(|| postgres::standby(self));
        let standby = standby.unwrap_or_else(|error| panic!("no standby for the test: {error}"));
        self.execute("ALTER SYSTEM SET synchronous_standby_names = '*'");
        self.execute("SELECT pg_reload_conf()");
        standby
    }

    /// Makes a standby the primary.
    pub fn promote(&self) {
        self.execute("SELECT pg_promote()");
    }

    /// The nodes of a MariaDB Galera cluster.
    ///
    /// # Panics
    /// When it cannot be had: with the reason and the package to install.
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

    /// Starts what is installed, and waits until it lets us in.
    fn start(backend: Backend, home: Home, command: Vec<String>, url: &str) -> Result<Self, String> {
        let url = url.parse().map_err(|error| format!("{url}: {error}"))?;
        let mut server = Self { backend, url, home, command, runs: Vec::new() };
        server.run()?;
        Ok(server)
    }

    fn run(&mut self) -> Result<(), String> {
        // SIGQUIT: at once, with its child processes and its shared memory.
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

    /// The product.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// By which databases can be created.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// SIGKILL to the server and all its processes. Returns when they are gone.
    pub fn kill(&self) {
        let processes = self.freeze();
        processes::signal("KILL", &processes);
        processes::until_gone(&processes);
    }

    /// Starts a server that was killed, and waits until it lets us in.
    pub fn start_again(&mut self) {
        self.run().unwrap_or_else(|error| panic!("the {} server did not come back: {error}", self.backend));
    }

    /// SIGSTOP to the server and all its processes. Says which those are.
    #[must_use]
    pub fn freeze(&self) -> Vec<u32> {
        let server = self.runs.last().expect("it was started").server();
        // Stopped first, it makes no more of them.
        processes::signal("STOP", &[server]);
        let mut all = vec![server];
        all.extend(processes::children(server));
        processes::signal("STOP", &all[1..]);
        all
    }

    /// SIGCONT to what was frozen.
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
