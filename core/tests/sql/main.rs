//! Golden files: the text of every statement that core builds by hand, as each database received it.
//!
//! Accept a change, having read the difference:
//! `INSTA_UPDATE=always TEST_BACKENDS=sqlite,postgres,mysql cargo test -p callsweep-core --features postgres,mysql --test sql`
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod layout;
mod recorder;
mod scenario;

use std::collections::BTreeSet;
use std::path::Path;

use callsweep_testkit::{Backend, TestDatabase};

const ACCEPT: &str = "Accept a change, having read the difference: INSTA_UPDATE=always \
                      TEST_BACKENDS=sqlite,postgres,mysql cargo test -p callsweep-core --features postgres,mysql --test sql";

/// One test for all backends, one after the other: what is recorded is what this process executes.
#[test]
fn every_statement_equals_its_golden_file() {
    for backend in callsweep_testkit::backends() {
        check(&TestDatabase::new(*backend));
    }
}

fn check(db: &TestDatabase) {
    recorder::start();
    let shown = scenario::run(db);
    let recorded = recorder::stop();
    let unnamed: Vec<&str> = recorded.iter().filter(|one| one.lacks_name()).map(|one| one.sql.as_str()).collect();
    assert!(unnamed.is_empty(), "statements without a leading comment /* module::function */: {unnamed:#?}");
    let executed: BTreeSet<&str> = recorded.iter().map(|one| one.sql.as_str()).collect();
    for sql in &shown {
        assert!(executed.contains(sql.as_str()), "show_sql printed what no run executed: {sql}");
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_description(ACCEPT);
    let name = match db.backend() {
        Backend::Sqlite => "sqlite",
        Backend::Postgres => "postgres",
        Backend::Mysql => "mysql",
    };
    settings.bind(|| insta::assert_snapshot!(name, layout::page(&recorded)));
}

#[test]
fn every_named_statement_of_the_code_is_in_a_golden_file() {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let golden = texts(&crate_dir.join("tests/sql/snapshots"), "snap");
    let mut missing = BTreeSet::new();
    for source in texts(&crate_dir.join("src"), "rs") {
        for part in source.split("\"/* ").skip(1) {
            let name = part.split(" */").next().unwrap();
            if !golden.iter().any(|page| page.contains(&format!("/* {name} */"))) {
                missing.insert(name.to_owned());
            }
        }
    }
    assert!(missing.is_empty(), "core/tests/sql/scenario.rs does not execute {missing:?}");
}

/// The texts of all files below a directory with this extension.
fn texts(dir: &Path, extension: &str) -> Vec<String> {
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts.extend(self::texts(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            texts.push(std::fs::read_to_string(path).unwrap());
        }
    }
    texts
}
