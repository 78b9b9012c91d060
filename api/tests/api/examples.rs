//! The client examples of `docs/integrators/examples`, run as an integrator runs them.
//!
//! An example whose interpreter is missing is passed over, and stderr says so. `TEST_EXAMPLES=all` makes it a failure.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use callsweep_core::number::{CustomField, NewNumber};
use callsweep_testkit::on_each_backend;

use crate::server::{CAMPAIGN, KEY, TestServer};

/// What an example needs, and how it is run.
const EXAMPLES: [(&[&str], &str); 4] = [
    (&["bash", "curl", "openssl"], "delete.sh"),
    (&["python3"], "delete.py"),
    (&["java"], "Delete.java"),
    (&["node"], "delete.mjs"),
];

/// All that is easily escaped wrongly, and that is signed: quotes, spaces, two scripts, what languages forget.
const AWKWARD: &str = "推荐 a+b/c*~!'()%41 é\u{1f600}";

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/integrators/examples")
}

fn is_there(program: &str) -> bool {
    let found = Command::new("which").arg(program).stdout(Stdio::null()).status();
    found.expect("which is there").success()
}

fn run(server: &TestServer, interpreter: &str, file: &str, secret_key: &str, body: &str) -> Output {
    Command::new(interpreter)
        .current_dir(directory())
        .args([file, &format!("http://{}", server.address), "1", &CAMPAIGN.to_string(), body])
        .env("ACCESS_KEY", KEY.0)
        .env("SECRET_KEY", secret_key)
        // Java reads its arguments by the locale.
        .env("LC_ALL", "C.UTF-8")
        .env_remove("http_proxy")
        .env("NO_PROXY", "127.0.0.1")
        .env("PYTHONIOENCODING", "utf-8")
        .output()
        .expect("starts the interpreter")
}

fn numbers(server: &TestServer, file: &str) -> [NewNumber; 2] {
    let custom_field = Some(CustomField::parse(AWKWARD).unwrap());
    [NewNumber { custom_field, ..server.number("awkward") }, server.number(file)]
}

on_each_backend! {
    fn each_deletes_what_it_is_told_to(db) {
        // The examples sign by the clock of the machine, which the tests' server has not.
        let server = TestServer::start_with(db, |settings| settings.api.signature_window_minutes = u32::MAX);
        let all = std::env::var("TEST_EXAMPLES").is_ok_and(|wanted| wanted == "all");
        for (position, (programs, file)) in EXAMPLES.into_iter().enumerate() {
            if let Some(missing) = programs.iter().find(|program| !is_there(program)) {
                assert!(!all, "{file} needs {missing}, which is missing, and TEST_EXAMPLES=all");
                // Not `eprintln!`: the test harness would keep it to itself.
                #[allow(clippy::explicit_write, reason = "see above")]
                writeln!(std::io::stderr(), "note: {file} is not tried: {missing} is missing").unwrap();
                continue;
            }
            server.add(&numbers(&server, file));
            // Two clients that sign the same call in the same second send the same call: each has words of its own.
            let plain = format!(r#"{{"sessionId":"{file}"}}"#);
            let unlike = " ".repeat(position);
            for body in [plain.clone(), format!("{{{unlike}\"customField\": \"{AWKWARD}\"}}")] {
                let output = run(&server, programs[0], file, KEY.1, &body);
                let answer = String::from_utf8_lossy(&output.stdout);
                assert!(output.status.success() && answer.contains(r#""successCount":1}"#), "{file} {body}: {output:?}");
            }
            let refused = run(&server, programs[0], file, "wrong", &plain);
            assert!(!refused.status.success(), "{file}: {refused:?}");
            assert_eq!(server.count(), 0, "{file}");
        }
    }
}

#[test]
fn each_is_short_and_on_the_page() {
    let page = std::fs::read_to_string(directory().join("../clients.md")).unwrap();
    for (_, file) in EXAMPLES {
        let lines = std::fs::read_to_string(directory().join(file)).unwrap().lines().count();
        assert!(lines < 60, "{file} has {lines} lines");
        assert!(page.contains(&format!("(examples/{file})")), "{file} is not on the page");
    }
}
