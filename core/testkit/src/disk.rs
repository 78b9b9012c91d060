//! A database on a small disk, to test what happens when the disk is full.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::Text;
use url::Url;

use crate::TestDatabase;
use crate::server::{self, Server};
use callsweep_core::clock::Clock;
use callsweep_core::store::{Backend, Store, migrations};

/// Three times the size of a new PostgreSQL database.
const SIZE: &str = "32m";

/// A migrated database whose files are on their own small disk. The server's log is on another one.
#[derive(Debug)]
pub struct SmallDisk {
    /// `None` only during drop.
    db: Option<TestDatabase>,
    dir: PathBuf,
    /// MariaDB has its own server here, because InnoDB aborts the server if it has no space left for a rollback.
    server: Option<Server>,
}

impl SmallDisk {
    /// Mounts a small disk. `None`, with a line on stderr, if this process has no permission to mount.
    #[must_use]
    pub fn new(backend: Backend) -> Option<Self> {
        let server = (backend == Backend::Mysql).then(|| Server::to_be_killed(backend, &[]));
        let db = server.as_ref().map_or_else(|| TestDatabase::empty(backend), TestDatabase::empty_on);
        let dir = place(&db);
        let owner = fs::metadata(&dir).expect("the place of the database is on this machine");
        let options = format!("size={SIZE},mode=700,uid={},gid={}", owner.uid(), owner.gid());
        if let Err(why) = run(&["mount", "-t", "tmpfs", "-o", &options, "tmpfs"], &dir) {
            // Not eprintln: its output is shown for failed tests only.
            let _ = writeln!(
                std::io::stderr(),
                "note: NO ATTACK BY A FULL DISK on {backend}: it needs to mount a small one, as root: {why}"
            );
            return None;
        }
        let disk = Self { db: Some(db), dir, server };
        if backend == Backend::Postgres {
            disk.move_there();
        }
        let store = Store::create(&disk.db().settings(), Clock::system()).expect("opens a new database");
        migrations::run(&mut store.connection().expect("connects")).expect("migrates a new database");
        Some(disk)
    }

    /// The database.
    #[must_use]
    pub fn db(&self) -> &TestDatabase {
        self.db.as_ref().expect("it is there until it is dropped")
    }

    /// Fills the disk, except for this many KiB.
    pub fn fill_but(&self, kib: u64) {
        let mut ballast = File::create(self.ballast()).expect("makes a file");
        loop {
            match ballast.write_all(&[0; 4_096]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => panic!("{error}"),
            }
        }
        let size = ballast.metadata().expect("a file has a size").len();
        ballast.set_len(size.saturating_sub(kib * 1_024)).expect("shortens a file");
    }

    /// Frees the space. Restarts the server if it has aborted, and returns whether it had.
    pub fn make_room(&mut self) -> bool {
        fs::remove_file(self.ballast()).expect("removes a file");
        let has_ended = self.has_ended_the_server();
        if let Some(server) = self.server.as_mut().filter(|_| has_ended) {
            server.start_again();
        }
        has_ended
    }

    /// Whether the server has aborted.
    #[must_use]
    pub fn has_ended_the_server(&self) -> bool {
        server::connect(self.db().backend(), self.db().url()).is_err()
    }

    fn ballast(&self) -> PathBuf {
        self.dir.join("ballast")
    }

    /// Moves a PostgreSQL database to the small disk.
    fn move_there(&self) {
        static TABLESPACES: AtomicU32 = AtomicU32::new(0);
        let space = format!("small_{}_{}", std::process::id(), TABLESPACES.fetch_add(1, Ordering::Relaxed));
        let mut conn = server::connect(Backend::Postgres, server::url(Backend::Postgres).as_str()).expect("connects");
        for sql in [
            format!("CREATE TABLESPACE {space} LOCATION '{}'", self.dir.display()),
            format!("ALTER DATABASE {} SET TABLESPACE {space}", name(self.db())),
        ] {
            conn.batch_execute(&sql).expect("moves the database");
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The database must be dropped before its disk is unmounted.
        drop(self.db.take());
        if let Err(why) = run(&["umount", "--lazy"], &self.dir) {
            tracing::warn!(why, "a small disk stays mounted");
        }
    }
}

/// The mount point: the directory of the database's files, or a new one for PostgreSQL.
fn place(db: &TestDatabase) -> PathBuf {
    #[derive(QueryableByName)]
    struct Directory {
        #[diesel(sql_type = Text)]
        directory: String,
    }
    let ask = |query: &str| {
        let rows: Vec<Directory> =
            diesel::sql_query(query).load(&mut db.connect()).expect("a server knows its directory");
        PathBuf::from(&rows[0].directory)
    };
    match db.backend() {
        Backend::Sqlite => {
            db.file().and_then(|file| file.parent().map(Path::to_owned)).expect("a file has a directory")
        }
        Backend::Mysql => ask("SELECT @@datadir AS directory").join(name(db)),
        Backend::Postgres => {
            // Next to the data directory, where the server's user has access.
            let data = ask("SELECT current_setting('data_directory') AS directory");
            let dir = tempfile::Builder::new().prefix("small-").tempdir_in(data.parent().expect("below the root"));
            let dir = dir.expect("makes a directory").keep();
            let owner = fs::metadata(data).expect("the server is on this machine");
            std::os::unix::fs::chown(&dir, Some(owner.uid()), Some(owner.gid())).expect("gives a directory away");
            dir
        }
    }
}

fn name(db: &TestDatabase) -> String {
    let url: Url = db.url().parse().expect("the URL of a server");
    url.path().trim_start_matches('/').to_owned()
}

fn run(command: &[&str], dir: &Path) -> Result<(), String> {
    let output = Command::new(command[0]).args(&command[1..]).arg(dir).output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}
