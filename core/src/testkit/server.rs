//! Private PostgreSQL and MariaDB servers: installed, started and found ready, once for each test process.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use url::Url;

use crate::store::Backend;
use crate::testkit::database;
use crate::testkit::selection::url_variable;
use crate::testkit::watchdog::Watched;

/// A role that may create databases. The servers listen on 127.0.0.1 alone and live as long as the tests.
const USER: &str = "callsweep";
const PASSWORD: &str = "throw-away";

/// A server that has not answered by then will not.
const READY_WITHIN: Duration = Duration::from_secs(90);
/// Between two looks whether the server answers.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A free port may be taken by another program before the server has it.
const ATTEMPTS: usize = 3;

/// Servers for tests lose what they committed when the machine stops, and are quicker for it.
const POSTGRES_QUICK: &[&str] = &[
    "fsync=off",
    // What a lock leads to is tested, not how long it takes to be noticed.
    "deadlock_timeout=100ms",
];
const MARIADB_QUICK: &[&str] = &["--innodb-flush-log-at-trx-commit=0"];

/// Servers for benchmarks are set up as a DBA would for a machine that others use too: a commit is on disk when it is
/// reported, the data of a benchmark fits in memory, and no checkpoint falls into a run for want of log.
const POSTGRES_DURABLE: &[&str] = &[
    "fsync=on",
    "synchronous_commit=on",
    "shared_buffers=512MB",
    "effective_cache_size=2GB",
    "max_wal_size=4GB",
    "checkpoint_timeout=15min",
];
const MARIADB_DURABLE: &[&str] =
    &["--innodb-flush-log-at-trx-commit=1", "--innodb-buffer-pool-size=1G", "--innodb-log-file-size=2G"];

static DURABLE: AtomicBool = AtomicBool::new(false);

/// From now on private servers are started so that they keep what they commit. For benchmarks: call
/// it before the first database is made.
pub fn make_durable() {
    DURABLE.store(true, Ordering::Relaxed);
}

fn durable() -> bool {
    DURABLE.load(Ordering::Relaxed)
}

/// The URL of the server for this backend, by which databases can be created: given in the environment, or that of
/// a private server, which the first call starts.
///
/// # Panics
/// When there is no server to be had: with the reason and the package to install.
pub(super) fn url(backend: Backend) -> Url {
    static POSTGRES: OnceLock<Result<Started, String>> = OnceLock::new();
    static MARIADB: OnceLock<Result<Started, String>> = OnceLock::new();
    let started = match backend {
        Backend::Sqlite => unreachable!("SQLite has no server"),
        Backend::Postgres => POSTGRES.get_or_init(|| obtain(backend, start_postgres)),
        Backend::Mysql => MARIADB.get_or_init(|| obtain(backend, start_mariadb)),
    };
    match started {
        Ok(started) => started.url.clone(),
        Err(error) => panic!("no {backend} server for the tests: {error}"),
    }
}

struct Started {
    url: Url,
    /// Held as long as this process lives. `None` for a server that was given.
    _server: Option<Watched>,
}

fn obtain(backend: Backend, start: fn() -> Result<Started, String>) -> Result<Started, String> {
    let given = url_variable(backend).and_then(|name| Some((name, std::env::var(name).ok()?)));
    if let Some((name, url)) = given {
        let url = url.parse().map_err(|error| format!("{name} is no URL: {error}"))?;
        return Ok(Started { url, _server: None });
    }
    let mut outcome = start();
    for _ in 1..ATTEMPTS {
        if outcome.is_err() {
            outcome = start();
        }
    }
    outcome
}

fn start_postgres() -> Result<Started, String> {
    let initdb = find("initdb", "postgresql")?;
    let postgres = find("postgres", "postgresql")?;
    let home = Home::new("postgres")?;
    fs::write(home.path("password"), PASSWORD).map_err(|error| error.to_string())?;
    home.give_away()?;
    let data = home.text("data");
    run(&home.as_owner(&[
        &initdb,
        "--no-sync",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        &format!("--username={USER}"),
        &format!("--pwfile={}", home.text("password")),
        "--pgdata",
        &data,
    ]))?;
    let port = free_port()?;
    let options = [
        "listen_addresses=127.0.0.1".to_owned(),
        format!("port={port}"),
        format!("unix_socket_directories={}", home.text("")),
        "max_connections=300".to_owned(),
    ];
    let kind = if durable() { POSTGRES_DURABLE } else { POSTGRES_QUICK };
    let options = options.into_iter().chain(kind.iter().map(|&option| option.to_owned()));
    let mut command = home.as_owner(&[&postgres, "-D", &data]);
    command.extend(options.flat_map(|option| ["-c".to_owned(), option]));
    // SIGQUIT: at once, with its child processes and its shared memory.
    let server = Watched::start(&command, "QUIT", &home.dir)?;
    ready(server, Backend::Postgres, &format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{port}/postgres"))
}

fn start_mariadb() -> Result<Started, String> {
    let install = find("mariadb-install-db", "mariadb-server")?;
    let mariadbd = find("mariadbd", "mariadb-server")?;
    let home = Home::new("mysql")?;
    let grants = format!(
        "CREATE USER IF NOT EXISTS '{USER}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n\
         GRANT ALL ON *.* TO '{USER}'@'127.0.0.1' WITH GRANT OPTION;\n"
    );
    fs::write(home.path("init.sql"), grants).map_err(|error| error.to_string())?;
    home.give_away()?;
    let data = format!("--datadir={}", home.text("data"));
    run(&home.as_owner(&[
        &install,
        "--no-defaults",
        &data,
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
    ]))?;
    let port = free_port()?;
    let mut command = home.as_owner(&[
        &mariadbd,
        "--no-defaults",
        &data,
        "--bind-address=127.0.0.1",
        &format!("--port={port}"),
        &format!("--socket={}", home.text("socket")),
        &format!("--pid-file={}", home.text("pid")),
        &format!("--init-file={}", home.text("init.sql")),
        "--skip-name-resolve",
        "--max-connections=300",
    ]);
    let kind = if durable() { MARIADB_DURABLE } else { MARIADB_QUICK };
    command.extend(kind.iter().map(|&option| option.to_owned()));
    let server = Watched::start(&command, "KILL", &home.dir)?;
    ready(server, Backend::Mysql, &format!("mysql://{USER}:{PASSWORD}@127.0.0.1:{port}/mysql"))
}

/// Waits until the server lets us in.
fn ready(mut server: Watched, backend: Backend, url: &str) -> Result<Started, String> {
    let begun = Instant::now();
    loop {
        let Err(refused) = database::connect(backend, url) else {
            let url = url.parse().map_err(|error| format!("{url}: {error}"))?;
            return Ok(Started { url, _server: Some(server) });
        };
        if let Some(words) = server.ended() {
            return Err(words);
        }
        if begun.elapsed() > READY_WITHIN {
            return Err(format!("no answer within {READY_WITHIN:?}: {refused}; its log: {}", server.log()));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// The directory of one server, and the system user that it runs as.
struct Home {
    dir: PathBuf,
    /// Both servers refuse to run as root; their packages make a user for them. `None` when we are not root.
    user: Option<&'static str>,
}

impl Home {
    fn new(user: &'static str) -> Result<Self, String> {
        let made = tempfile::Builder::new().prefix(&format!("callsweep-{user}-")).tempdir();
        // Kept: it is the watchdog that removes it, after the server is gone.
        let dir = made.map_err(|error| format!("cannot make a temporary directory: {error}"))?.keep();
        let root = fs::metadata(&dir).is_ok_and(|directory| directory.uid() == 0);
        Ok(Self { dir, user: root.then_some(user) })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Makes the directory and what is in it the server's own.
    fn give_away(&self) -> Result<(), String> {
        let Some(user) = self.user else { return Ok(()) };
        run(&["chown".into(), "-R".into(), format!("{user}:{user}"), self.text("")])
    }

    /// The command, run as the server's own user.
    fn as_owner(&self, command: &[&str]) -> Vec<String> {
        let owner = self.user.map(|user| {
            let ids = [format!("--reuid={user}"), format!("--regid={user}")];
            ["setpriv".to_owned()].into_iter().chain(ids).chain(["--clear-groups".to_owned()])
        });
        owner.into_iter().flatten().chain(command.iter().map(|&word| word.to_owned())).collect()
    }
}

/// Where the packages of Debian and others put what only an administrator runs.
const BESIDE_PATH: [&str; 4] = ["/usr/sbin", "/usr/local/sbin", "/usr/libexec", "/usr/local/bin"];

/// The program, from PATH or where its package puts it; the newest PostgreSQL where there are several.
fn find(program: &str, package: &str) -> Result<String, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut postgres: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|versions| versions.flatten().map(|version| version.path().join("bin")).collect())
        .unwrap_or_default();
    postgres.sort_by_key(|bin| {
        let version = bin.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        std::cmp::Reverse(version.and_then(|version| version.parse::<u32>().ok()))
    });
    std::env::split_paths(&path)
        .chain(BESIDE_PATH.iter().map(PathBuf::from))
        .chain(postgres)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
        .map(|file| file.display().to_string())
        .ok_or_else(|| format!("{program} is not installed: apt-get install {package}"))
}

fn free_port() -> Result<u16, String> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    bound.map(|address| address.port()).map_err(|error| format!("no free port on 127.0.0.1: {error}"))
}

/// Runs a command to its end.
fn run(command: &[String]) -> Result<(), String> {
    let [program, arguments @ ..] = command else { return Ok(()) };
    // Both installers complain about a working directory that their user cannot enter.
    let output = Command::new(program).args(arguments).current_dir("/").output();
    let failed = |why: String| format!("{} failed: {why}", command.join(" "));
    let output = output.map_err(|error: io::Error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let words = [output.stdout, output.stderr].concat();
    Err(failed(format!("{}: {}", output.status, String::from_utf8_lossy(&words))))
}
