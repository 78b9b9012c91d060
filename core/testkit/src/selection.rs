//! Selects the backends on which the tests of this process run.

use std::env;
use std::io::Write as _;
use std::sync::OnceLock;

use crate::TestDatabase;
use crate::server::url_variable;
use callsweep_core::store::Backend;

const ALL: [Backend; 3] = [Backend::Sqlite, Backend::Postgres, Backend::Mysql];

/// The backends that tests run on. Prints each backend that is left out once on stderr, bypassing the test harness.
///
/// # Panics
/// If a requested backend is not compiled in. The message names the feature.
#[must_use]
pub fn backends() -> &'static [Backend] {
    static BACKENDS: OnceLock<Vec<Backend>> = OnceLock::new();
    BACKENDS.get_or_init(|| {
        let asked = env::var("TEST_BACKENDS").unwrap_or_default();
        let (chosen, left_out) =
            choose(&asked, |backend| url_variable(backend).is_some_and(|v| env::var_os(v).is_some()));
        for (backend, why) in left_out {
            // Not eprintln: its output is shown for failed tests only.
            let _ = writeln!(std::io::stderr(), "note: these tests leave out {backend}: {why}");
        }
        chosen
    })
}

/// Runs `check` on a new, migrated database of this backend. Does nothing if [`backends`] leaves the backend out.
///
/// # Panics
/// If `check` does.
pub fn on(backend: Backend, check: impl FnOnce(&TestDatabase)) {
    if backends().contains(&backend) {
        check(&TestDatabase::new(backend));
    }
}

fn word(backend: Backend) -> &'static str {
    match backend {
        Backend::Sqlite => "sqlite",
        Backend::Postgres => "postgres",
        Backend::Mysql => "mysql",
    }
}

fn compiled_in(backend: Backend) -> bool {
    match backend {
        Backend::Sqlite => true,
        Backend::Postgres => cfg!(feature = "postgres"),
        Backend::Mysql => cfg!(feature = "mysql"),
    }
}

/// The backends to run on, and those left out with the reason.
fn choose(asked: &str, has_url: impl Fn(Backend) -> bool) -> (Vec<Backend>, Vec<(Backend, String)>) {
    let words: Vec<&str> = asked.split(',').map(str::trim).filter(|w| !w.is_empty()).collect();
    for w in &words {
        assert!(ALL.iter().any(|b| word(*b) == *w), "TEST_BACKENDS: {w:?} is none of sqlite, postgres, mysql");
    }
    let (mut chosen, mut left_out) = (Vec::new(), Vec::new());
    for backend in ALL {
        let name = word(backend);
        if words.contains(&name) {
            assert!(compiled_in(backend), "TEST_BACKENDS asks for {name}: compile it in with --features {name}");
            chosen.push(backend);
        } else if backend == Backend::Sqlite || (compiled_in(backend) && has_url(backend)) {
            chosen.push(backend);
        } else if compiled_in(backend) {
            left_out.push((backend, format!("set TEST_BACKENDS={name} to run on it")));
        } else {
            left_out.push((backend, format!("add --features {name} and set TEST_BACKENDS={name} to run on it")));
        }
    }
    (chosen, left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlite_alone_unless_asked() {
        let (chosen, left_out) = choose("", |_| false);
        assert_eq!(chosen, [Backend::Sqlite]);
        assert_eq!(left_out.len(), 2);
        assert!(left_out.iter().all(|(backend, why)| why.contains(&format!("TEST_BACKENDS={}", word(*backend)))));
    }

    #[test]
    #[should_panic(expected = "\"oracle\" is none of sqlite, postgres, mysql")]
    fn an_unknown_word_is_refused() {
        let _ = choose("sqlite, oracle", |_| false);
    }

    #[test]
    #[cfg(not(feature = "postgres"))]
    #[should_panic(expected = "compile it in with --features postgres")]
    fn what_was_asked_for_and_is_not_compiled_in_fails() {
        let _ = choose("postgres", |_| false);
    }

    #[test]
    #[cfg(all(feature = "postgres", feature = "mysql"))]
    fn a_list_or_a_url_asks() {
        assert_eq!(choose("postgres,mysql", |_| false).0, ALL);
        assert_eq!(choose("", |backend| backend == Backend::Mysql).0, [Backend::Sqlite, Backend::Mysql]);
    }
}
