//! Error messages when the database cannot be used: the cause, the way out, and never a password.

use std::net::TcpListener;
use std::num::NonZeroU32;

use callsweep_core::clock::Clock;
use callsweep_core::settings::DatabaseSettings;
use callsweep_core::store::{Backend, Store, StoreError, migrations};
use callsweep_testkit::TestDatabase;
use callsweep_testkit::on_each_backend;
use url::Url;

use crate::support::execute;

const SECRET: &str = "hunter2";

fn open(url: &str) -> StoreError {
    let settings = DatabaseSettings { url: url.to_owned().into(), ..DatabaseSettings::default() };
    let error = Store::open(&settings, Clock::system()).unwrap_err();
    for text in [error.to_string(), format!("{error:?}"), format!("{settings:?}")] {
        assert!(!text.contains(SECRET), "{text}");
    }
    error
}

/// Changes one part of the URL of a server's database. `None` on SQLite, which has no server.
fn changed(db: &TestDatabase, change: impl Fn(&mut Url)) -> Option<String> {
    if db.backend() == Backend::Sqlite {
        return None;
    }
    let mut url: Url = db.url().parse().unwrap();
    change(&mut url);
    Some(url.into())
}

#[test]
fn an_invalid_url_names_the_supported_schemes() {
    for (url, words) in [
        ("", "must begin with sqlite://, postgres://, mysql:// or mariadb://"),
        ("callsweep.db", "must begin with sqlite://, postgres://, mysql:// or mariadb://"),
        ("oracle://u:hunter2@h/db", "unknown scheme \"oracle\""),
        ("SQLite://callsweep.db", "unknown scheme \"SQLite\""),
        ("sqlite://", "needs a file"),
        ("sqlite://:memory:", "needs a file"),
    ] {
        let text = open(url).to_string();
        assert!(text.contains(words), "{url}: {text}");
    }
}

#[test]
#[cfg_attr(not(all(feature = "postgres", feature = "mysql")), ignore = "a feature is not compiled in")]
fn a_server_that_never_answers_times_out() {
    // The kernel completes TCP connections that no program accepts.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for scheme in ["postgres", "mysql"] {
        let error = open(&format!("{scheme}://u:{SECRET}@127.0.0.1:{port}/db?connect_timeout=2"));
        assert!(matches!(error, StoreError::Connect { .. }), "{error}");
    }
}

#[test]
fn a_missing_file_is_not_created() {
    let db = TestDatabase::empty(Backend::Sqlite);
    let text = open(db.url()).to_string();
    assert!(text.contains("test.db") && text.contains("`callsweep-worker migrate` creates it"), "{text}");
    assert!(!db.file().unwrap().exists());
    let text = open("sqlite:///no/such/folder/callsweep.db").to_string();
    assert!(text.contains("/no/such/folder/callsweep.db"), "{text}");
}

#[test]
fn a_backend_that_is_not_compiled_in_names_its_feature() {
    for (url, feature, built) in [
        ("postgres://u:hunter2@127.0.0.1:1/db", "postgres", cfg!(feature = "postgres")),
        ("mysql://u:hunter2@127.0.0.1:1/db", "mysql", cfg!(feature = "mysql")),
    ] {
        let text = open(url).to_string();
        let expected = if built { "cannot connect".to_owned() } else { format!("--features {feature}") };
        assert!(text.contains(&expected), "{text}");
    }
}

#[cfg(feature = "postgres")]
#[test]
fn a_password_that_makes_the_url_invalid_is_not_shown() {
    for password in
        ["hunter2%zz", "hunter2%", "hunter2/x", "hunter2#x", "hunter2?x", "1/hunter2", "1#hunter2", "1?hunter2"]
    {
        for scheme in ["postgres", "mysql"] {
            if scheme == "postgres" || cfg!(feature = "mysql") {
                open(&format!("{scheme}://u:{password}@127.0.0.1:1/db"));
                open(&format!("{scheme}://127.0.0.1:1/db?user=u&password={password}"));
            }
        }
    }
}

on_each_backend! {
    fn a_refused_connection_shows_the_message_of_the_server(db) {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let wrong_password = changed(db, |url| url.set_password(Some(SECRET)).unwrap());
        let wrong_user = changed(db, |url| url.set_username("nobody").unwrap());
        let wrong_host = changed(db, |url| url.set_host(Some("no-such-host.invalid")).unwrap());
        let wrong_port = changed(db, |url| url.set_port(Some(closed)).unwrap());
        let wrong_database = changed(db, |url| url.set_path("no_such_database"));
        for (url, postgres, mysql) in [
            (wrong_password, "password authentication failed", "Access denied"),
            (wrong_user, "password authentication failed", "Access denied"),
            (wrong_host, "no-such-host.invalid", "no-such-host.invalid"),
            (wrong_port, "Connection refused", "Can't connect"),
            (wrong_database, "no_such_database", "no_such_database"),
        ] {
            let Some(url) = url else { continue };
            let error = open(&url);
            assert!(matches!(error, StoreError::Connect { .. }), "{error:?}");
            let (text, words) = (error.to_string(), if db.backend() == Backend::Postgres { postgres } else { mysql });
            assert!(text.contains(words) && text.contains(&db.backend().to_string()), "{text}");
            assert!(!text.contains(Url::parse(db.url()).unwrap().password().unwrap()), "{text}");
        }
    }

    fn an_exhausted_pool_names_the_setting(db) {
        let settings = DatabaseSettings { pool_size: NonZeroU32::MIN, ..db.settings() };
        let store = Store::open(&settings, Clock::system()).unwrap();
        let _only = store.connection().unwrap();
        let error = store.connection().map(|_| ()).unwrap_err();
        assert!(error.is_busy() && error.to_string().contains("database.pool_size"), "{error}");
    }

    fn a_schema_of_another_version_says_what_to_do(db) {
        let empty = TestDatabase::empty(db.backend());
        let store = Store::create(&empty.settings(), Clock::system()).unwrap();
        let mut conn = store.connection().unwrap();
        let error = migrations::check_current(&mut conn).unwrap_err();
        assert!(matches!(error, StoreError::SchemaBehind(_)), "{error}");
        assert!(error.to_string().contains("`callsweep-worker migrate`"), "{error}");
        let names = migrations::pending(&mut conn).unwrap();
        assert_eq!(migrations::run(&mut conn).unwrap(), names);
        migrations::check_current(&mut conn).unwrap();
        assert_eq!(migrations::run(&mut conn).unwrap(), Vec::<String>::new());

        execute(&mut conn, "INSERT INTO __diesel_schema_migrations (version) VALUES ('99990101000001')");
        let error = migrations::check_current(&mut conn).unwrap_err();
        assert!(matches!(error, StoreError::SchemaNewer { .. }) && error.to_string().contains("99990101000001"), "{error}");
        assert!(matches!(migrations::run(&mut conn), Err(StoreError::SchemaNewer { .. })));
    }
}
