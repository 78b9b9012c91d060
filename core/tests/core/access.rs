//! Databases that Callsweep may only read, and a pooler that it cannot work with.

use callsweep_core::clock::Clock;
use callsweep_core::settings::DatabaseSettings;
use callsweep_core::store::runs::{self, RunFilter};
use callsweep_core::store::{Backend, Store, StoreError, migrations};
#[cfg(any(feature = "postgres", feature = "mysql"))]
use callsweep_testkit::sample;
use callsweep_testkit::{TestDatabase, on_each_backend};
use url::Url;

use crate::support::execute;

const READER: &str = "callsweep_reader";
const PASSWORD: &str = "reads-only";

/// The same database for a role that may do nothing but SELECT. SQLite has no roles.
fn by_a_reader(db: &TestDatabase) -> Option<DatabaseSettings> {
    let mut url: Url = db.url().parse().unwrap();
    let name = url.path().trim_start_matches('/').to_owned();
    // One for each database: its rights go with it.
    let reader = format!("{READER}_{}", name.rsplit("test_").next().unwrap());
    match db.backend() {
        Backend::Sqlite => return None,
        Backend::Postgres => {
            execute(&mut db.connect(), &format!("CREATE ROLE {reader} LOGIN PASSWORD '{PASSWORD}'"));
            execute(&mut db.connect(), &format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {reader}"));
            // As on a standby: whatever writes, fails.
            execute(&mut db.connect(), &format!("ALTER ROLE {reader} SET default_transaction_read_only = on"));
        }
        Backend::Mysql => {
            execute(&mut db.connect(), &format!("CREATE USER '{reader}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'"));
            execute(&mut db.connect(), &format!("GRANT SELECT ON {name}.* TO '{reader}'@'127.0.0.1'"));
        }
    }
    url.set_username(&reader).unwrap();
    url.set_password(Some(PASSWORD)).unwrap();
    Some(DatabaseSettings { url: String::from(url).into(), ..DatabaseSettings::default() })
}

on_each_backend! {
    fn the_schema_is_checked_by_reading_alone(db) {
        let Some(settings) = by_a_reader(db) else { return };
        let store = Store::open(&settings, Clock::system()).unwrap();
        migrations::check_current(&mut store.connection().unwrap()).unwrap();
        let all = RunFilter::default();
        assert!(runs::list(&mut store.connection().unwrap(), &all).unwrap().is_empty());
    }

    fn a_database_without_tables_is_behind_and_stays_without_tables(db) {
        let empty = TestDatabase::empty(db.backend());
        let mut conn = Store::create(&empty.settings(), Clock::system()).unwrap().connection().unwrap();
        assert!(matches!(migrations::check_current(&mut conn), Err(StoreError::SchemaBehind(_))));
        // It would fail where the check had made the table.
        execute(&mut conn, "CREATE TABLE __diesel_schema_migrations (id INTEGER)");
    }
}

on_each_backend! {
    fn tls_that_mariadb_does_not_have_is_not_done_without(db) {
        if db.backend() != Backend::Mysql {
            return;
        }
        let open = |parameters: &str| {
            let url = db.url().replacen("mysql://", "mariadb://", 1) + parameters;
            Store::open(&DatabaseSettings { url: url.into(), ..DatabaseSettings::default() }, Clock::system())
        };
        assert!(open("").is_ok() && open("?ssl_mode=PREFERRED").is_ok());
        for parameters in ["?ssl_mode=REQUIRED", "?ssl_mode=VERIFY_CA", "?ssl_mode=VERIFY_IDENTITY"] {
            let error = open(parameters).map(|_| ()).unwrap_err();
            let refused = matches!(error, StoreError::NotEncrypted { .. } | StoreError::Connect { .. });
            assert!(refused && error.to_string().contains("SSL") || error.to_string().contains("TLS"), "{parameters}: {error}");
        }
        assert!(matches!(open("?nonsense=1"), Err(StoreError::InvalidUrl(_))));
    }
}

/// PgBouncer before the server of the tests. It ends with the test.
#[cfg(feature = "postgres")]
struct PgBouncer {
    child: std::process::Child,
    _dir: tempfile::TempDir,
    url: String,
}

#[cfg(feature = "postgres")]
impl PgBouncer {
    fn start(db: &TestDatabase, pool_mode: &str) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        use std::os::unix::process::CommandExt as _;

        let server: Url = db.url().parse().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={} user={} password={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nauth_type = any\npool_mode = {pool_mode}\nunix_socket_dir =\n",
            server.port().unwrap(),
            server.username(),
            server.password().unwrap(),
        );
        let file = dir.path().join("pgbouncer.ini");
        std::fs::write(&file, settings).unwrap();
        let program =
            ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].into_iter().find(|path| std::path::Path::new(path).exists());
        let program = program.expect("PgBouncer is not installed: apt-get install pgbouncer");
        let mut command = std::process::Command::new(program);
        command.arg("-q").arg(&file).stdin(std::process::Stdio::null());
        if std::fs::metadata(dir.path()).unwrap().uid() == 0 {
            // It refuses to run as root. The directory is nobody's secret.
            const NOBODY: u32 = 65_534;
            std::os::unix::fs::chown(dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
            std::os::unix::fs::chown(&file, Some(NOBODY), Some(NOBODY)).unwrap();
            command.uid(NOBODY).gid(NOBODY);
        }
        let child = command.spawn().unwrap();
        let mut url = server.clone();
        url.set_port(Some(port)).unwrap();
        let bouncer = Self { child, _dir: dir, url: url.into() };
        let begun = std::time::Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed().as_secs() < 30, "PgBouncer does not listen");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        bouncer
    }

    fn open(&self) -> Result<Store, StoreError> {
        let settings = DatabaseSettings { url: self.url.clone().into(), ..DatabaseSettings::default() };
        Store::open(&settings, Clock::system())
    }
}

#[cfg(feature = "postgres")]
impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(feature = "postgres")]
on_each_backend! {
    fn a_pooler_in_transaction_mode_is_refused_by_name(db) {
        if db.backend() != Backend::Postgres {
            return;
        }
        for mode in ["transaction", "statement"] {
            let error = PgBouncer::start(db, mode).open().unwrap_err();
            assert!(matches!(error, StoreError::TransactionPooler), "{mode}: {error}");
            assert!(error.to_string().contains("pool_mode = session"), "{error}");
        }
        let session = PgBouncer::start(db, "session");
        let store = session.open().unwrap();
        migrations::check_current(&mut store.connection().unwrap()).unwrap();
        sample::campaign(&mut store.connection().unwrap(), 5, callsweep_core::model::campaign::CampaignStatus::Draft);
    }
}
