//! Whatever is wrong with settings, URLs and files: nothing that the program says has a part of a secret.

use std::path::Path;
use std::process::{Command, Stdio};

use callsweep_core::store::Backend;
use callsweep_testkit::TestDatabase;
use proptest::prelude::*;

use crate::http;
use crate::process::{Running, key, program, write_settings};
use crate::server::eventually;

/// Unlike anything that the program says by itself.
const SECRET: &str = "Zq7Xk9Wv3Pj2";

/// No four characters of the secret in a row.
fn shows_nothing(said: &str) -> Result<(), TestCaseError> {
    let shown = (0..=SECRET.len() - 4).find(|at| said.contains(&SECRET[*at..at + 4]));
    prop_assert!(shown.is_none(), "{said}");
    Ok(())
}

/// All that a program says which cannot start.
fn said_by(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(!output.status.success(), "it has started");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(!said.contains("panicked") && !said.is_empty(), "{said}");
    said
}

/// A key whose secret is given in a way that cannot be used.
fn broken_key(secret_key: &str) -> String {
    format!("[[api.keys]]\naccess_key = \"a\"\nvdns = \"all\"\n{secret_key}\n")
}

fn broken_keys() -> Vec<String> {
    [
        format!("secret_key = \"{SECRET}"),
        format!("secret_key = {SECRET}"),
        format!("secret_key = '{SECRET}\""),
        format!("secret_key = [\"{SECRET}\"]"),
        format!("secret_key = {{ text = \"{SECRET}\" }}"),
        format!("secret_key : \"{SECRET}\""),
        format!("\"{SECRET}\""),
        format!("secret_key = \"{SECRET}\"\nsecret_key = \"{SECRET}\""),
        format!("secret_key = \"{SECRET}\"\nsecret_key_env = \"{SECRET}\""),
        format!("secret_key = \"{SECRET}\\q\""),
        format!("max_rows = \"{SECRET}\""),
        format!("secret_key = \"{SECRET}\"\nexpires = [\"{SECRET}\"]"),
    ]
    .iter()
    .map(|secret_key| broken_key(secret_key))
    .collect()
}

proptest! {
    // Each case starts the program.
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_broken_file_or_variable_shows_no_secret(
        keys in prop::sample::select(broken_keys()),
        variable in prop::option::of(prop::sample::select(vec![
            "CALLSWEEP_API__KEYS", "CALLSWEEP_DATABASE__POOL_SIZE", "CALLSWEEP_DATABASE__URL__X", "CALLSWEEP_API__TLS",
        ])),
    ) {
        let dir = tempfile::tempdir().unwrap();
        write_settings(dir.path(), "sqlite://callsweep.db", &keys);
        let mut command = program(dir.path(), &[]);
        if let Some(variable) = variable {
            write_settings(dir.path(), "sqlite://callsweep.db", &key());
            command.env(variable, SECRET);
        }
        let said = said_by(&mut command);
        shows_nothing(&said)?;
        let is_named = variable.map_or(said.contains("callsweep.toml, line ") || said.contains("key number 1"), |v| said.contains(v));
        prop_assert!(is_named, "{said}");
    }

    #[test]
    fn a_broken_database_url_shows_no_secret(
        scheme in prop::sample::select(vec!["postgres://", "mysql://", "mariadb://", "postgres:/", "\"postgres://", "pg://", ""]),
        password in prop::sample::select(vec![
            SECRET.to_owned(), format!("x@{SECRET}"), format!("{SECRET}@x"), format!("x/{SECRET}"), format!("x?{SECRET}"),
            format!("x#{SECRET}"), format!("%zz{SECRET}"), format!("x%00{SECRET}"), format!("[{SECRET}"), format!("x:{SECRET}"),
        ]),
        rest in prop::sample::select(vec!["@127.0.0.1:1/db", "@[::1/db", "@127.0.0.1:x/db", "@/db", "", "@127.0.0.1:1/db?nonsense=1"]),
        by_variable in any::<bool>(),
    ) {
        // Where the host is left out, what follows the @ is the host, for whoever reads it.
        prop_assume!(!rest.is_empty() || !password.contains('@'));
        let dir = tempfile::tempdir().unwrap();
        let url = format!("{scheme}u:{password}{rest}");
        let mut command = program(dir.path(), &[]);
        if by_variable {
            write_settings(dir.path(), "sqlite://callsweep.db", &key());
            command.env("CALLSWEEP_DATABASE__URL", &url);
        } else {
            write_settings(dir.path(), &url.replace('"', "\\\""), &key());
        }
        shows_nothing(&said_by(&mut command))?;
    }

    #[test]
    fn a_broken_tls_key_shows_no_secret(
        content in prop::sample::select(vec![
            format!("-----BEGIN {SECRET}\n"), format!("-----BEGIN PRIVATE KEY-----\n{SECRET}\n"),
            format!("-----BEGIN PRIVATE KEY-----\n{SECRET}!\n-----END PRIVATE KEY-----\n"),
            format!("-----BEGIN {SECRET}-----\nAAAA\n-----END x-----\n"), SECRET.to_owned(),
            format!("-----BEGIN PRIVATE KEY-----\n{SECRET}AAAA\n-----END PRIVATE KEY-----\n"),
        ]),
        of_cert in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let certified = rcgen::generate_simple_self_signed(vec!["callsweep.example".to_owned()]).unwrap();
        let (cert, key_pem) = (certified.cert.pem(), certified.signing_key.serialize_pem());
        let (cert, key_pem) = if of_cert { (content, key_pem) } else { (cert, content) };
        std::fs::write(dir.path().join("cert.pem"), cert).unwrap();
        std::fs::write(dir.path().join("key.pem"), key_pem).unwrap();
        let db = TestDatabase::new(Backend::Sqlite);
        write_settings(dir.path(), db.url(), &format!("tls = {{ cert = \"cert.pem\", key = \"key.pem\" }}\n{}", key()));
        let said = said_by(&mut program(dir.path(), &[]));
        prop_assert!(said.contains("api.tls"), "{said}");
        shows_nothing(&said)?;
    }
}

fn failed_reloads(server: &Running) -> u64 {
    http::metric(server.ops_address, "callsweep_reloads_total{what=\"keys\",result=\"failed\"}")
}

#[test]
fn a_reload_of_broken_settings_shows_no_secret() {
    let (db, dir) = (TestDatabase::new(Backend::Sqlite), tempfile::tempdir().unwrap());
    let write = |keys: &str| write_settings(dir.path(), db.url(), keys);
    write(&key());
    let mut server = Running::start(program(dir.path(), &[]));
    let secret_file = dir.path().join("secret");
    std::fs::write(&secret_file, [SECRET.as_bytes(), &[0xff]].concat()).unwrap();
    let of_file = broken_key(&format!("secret_key_file = {:?}", Path::new(&secret_file)));
    for (done, keys) in (1..).zip(broken_keys().iter().chain([&of_file])) {
        write(keys);
        server.signal("HUP");
        eventually("the reload has failed", || failed_reloads(&server) == done);
    }
    server.terminate();
    server.wait();
    assert_eq!(server.log.matches("the keys were not").count(), broken_keys().len() + 1, "{}", server.log);
    shows_nothing(&server.log).unwrap();
}
