//! Lock timeouts and deadlocks are recognized whatever language the server's messages are in.

use callsweep_core::store::Backend;
use callsweep_testkit::{Server, TestDatabase};

use crate::contention::{deadlock_is_retried, row_lock_is_waited_for};

fn with_messages_in(backend: Backend, language: &str) {
    let option = match backend {
        Backend::Mysql => format!("--lc-messages={language}"),
        // The language is one of the operating system's: the Debian package locales, and localedef.
        _ => format!("lc_messages={language}.UTF-8"),
    };
    let server = Server::to_be_killed(backend, &[&option]);
    row_lock_is_waited_for(&TestDatabase::on(&server));
    deadlock_is_retried(&TestDatabase::on(&server));
}

macro_rules! in_each_language {
    ($($name:ident = $backend:ident, $feature:literal, $language:literal;)*) => {$(
        #[test]
        #[cfg_attr(not(feature = $feature), ignore = "the backend is not compiled in")]
        fn $name() {
            if callsweep_testkit::backends().contains(&Backend::$backend) {
                with_messages_in(Backend::$backend, $language);
            }
        }
    )*};
}

in_each_language! {
    german_messages_postgres = Postgres, "postgres", "de_DE";
    japanese_messages_postgres = Postgres, "postgres", "ja_JP";
    german_messages_mysql = Mysql, "mysql", "de_DE";
    japanese_messages_mysql = Mysql, "mysql", "ja_JP";
}
