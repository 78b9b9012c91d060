//! The samples of `docs/operators/` for nginx and HAProxy, run before the real program, with clients that lie about where
//! they are. They run where `TEST_PROXIES=all` asks for them, and must then be installed.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use callsweep_core::campaign::CampaignStatus;
use callsweep_core::clock::Clock;
use callsweep_core::store::{Backend, Store};
use callsweep_testkit::TestDatabase;

use crate::http;
use crate::process::{Running, output, program, write_settings};
use crate::server::{CAMPAIGN, KEY, add_campaign, eventually, path};

const NGINX: &str = include_str!("../../../docs/operators/nginx.conf");
const HAPROXY: &str = include_str!("../../../docs/operators/haproxy.cfg");
const BODY: &str = r#"{"sessionId":"nobody"}"#;
/// Where the client is that the key lets in, and another one.
const LISTED: &str = "127.0.0.2";
const OTHER: &str = "127.0.0.3";

/// A proxy, which ends with the test.
struct Proxy {
    child: Child,
    port: u16,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn find(name: &str, package: &str) -> PathBuf {
    let places = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"].map(|dir| Path::new(dir).join(name));
    let found = places.into_iter().find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("{name} is not installed: apt-get install {package}"))
}

fn start(mut command: Command, port: u16) -> Proxy {
    let child = command.stdin(Stdio::null()).spawn().unwrap();
    let proxy = Proxy { child, port };
    eventually("the proxy listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    proxy
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The sample with the places of this test instead of an installation's.
fn placed(sample: &str, changes: &[(&str, String)]) -> String {
    changes.iter().fold(sample.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from:?} is not in the sample");
        text.replace(from, to)
    })
}

fn nginx(dir: &Path, server: &str) -> Proxy {
    let port = free_port();
    let sample = placed(
        NGINX,
        &[
            ("127.0.0.1:8080", server.to_owned()),
            ("listen 443 ssl", format!("listen 127.0.0.1:{port} ssl")),
            ("/etc/callsweep", dir.display().to_string()),
        ],
    );
    // What the package's own nginx.conf has around the sample.
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {}/{name};\n", dir.display()))
        .concat();
    let whole = format!(
        "daemon off;\nmaster_process off;\npid {0}/nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}{sample}}}\n",
        dir.display()
    );
    let file = dir.join("nginx.conf");
    std::fs::write(&file, whole).unwrap();
    let mut command = Command::new(find("nginx", "nginx-light"));
    command.arg("-c").arg(&file).arg("-p").arg(dir);
    start(command, port)
}

fn haproxy(dir: &Path, server: &str) -> Proxy {
    let port = free_port();
    let both = ["cert.pem", "key.pem"].map(|name| std::fs::read_to_string(dir.join(name)).unwrap()).concat();
    std::fs::write(dir.join("haproxy.pem"), both).unwrap();
    let sample = placed(
        HAPROXY,
        &[
            ("127.0.0.1:8080", server.to_owned()),
            ("*:443", format!("127.0.0.1:{port}")),
            ("/etc/callsweep", dir.display().to_string()),
        ],
    );
    let file = dir.join("haproxy.cfg");
    std::fs::write(&file, sample).unwrap();
    let mut command = Command::new(find("haproxy", "haproxy"));
    command.arg("-db").arg("-f").arg(&file);
    start(command, port)
}

/// The status of a call through the proxy by a client at this address.
fn call(dir: &Path, proxy: &Proxy, from: &str, more: &[&str]) -> String {
    let url = format!("https://callsweep.example:{}{}", proxy.port, path(1, CAMPAIGN));
    let secret = ["--access-key", KEY.0, "--secret-key", KEY.1];
    let signed = output(dir, &[&["sign", "--url", &url, "--body", BODY], &secret[..]].concat());
    let signed = String::from_utf8(signed.stdout).unwrap();
    let authorization = signed.lines().find(|line| line.starts_with("Authorization: ")).expect("it is signed");
    let resolve = format!("callsweep.example:{}:127.0.0.1", proxy.port);
    let mut curl = Command::new("curl");
    curl.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--interface", from, "--resolve", &resolve]);
    curl.arg("--cacert").arg(dir.join("cert.pem")).args(["-H", authorization]);
    curl.args(["-H", "Content-Type: application/json; charset=UTF-8", "--data-raw", BODY]).args(more).arg(&url);
    String::from_utf8(curl.output().expect("curl is installed: apt-get install curl").stdout).unwrap()
}

fn refused_addresses(server: &Running) -> u64 {
    http::metric(server.ops_address, "callsweep_auth_failures_total{reason=\"address\"}")
}

#[test]
fn behind_the_documented_proxies_the_client_s_address_counts() {
    #[allow(clippy::print_stderr, reason = "what is left out must be seen")]
    if std::env::var_os("TEST_PROXIES").is_none() {
        eprintln!("note: this test leaves out nginx and HAProxy: set TEST_PROXIES=all to run them");
        return;
    }
    let (db, dir) = (TestDatabase::new(Backend::Sqlite), tempfile::tempdir().unwrap());
    add_campaign(&Store::open(&db.settings(), Clock::system()).unwrap(), CAMPAIGN, CampaignStatus::Suspended);
    let certified = rcgen::generate_simple_self_signed(vec!["callsweep.example".to_owned()]).unwrap();
    std::fs::write(dir.path().join("cert.pem"), certified.cert.pem()).unwrap();
    std::fs::write(dir.path().join("key.pem"), certified.signing_key.serialize_pem()).unwrap();
    let key = crate::process::key() + &format!("addresses = [\"{LISTED}\"]\n");
    write_settings(dir.path(), db.url(), &format!("trusted_proxies = [\"127.0.0.1\"]\n{key}"));
    let server = Running::start(program(dir.path(), &[]));
    let address = server.address.to_string();

    for (name, proxy) in [("nginx", nginx(dir.path(), &address)), ("HAProxy", haproxy(dir.path(), &address))] {
        let call = |from: &str, more: &[&str]| call(dir.path(), &proxy, from, more);
        let forged = format!("X-Forwarded-For: {LISTED}");
        let refused = refused_addresses(&server);
        assert_eq!(call(LISTED, &[]), "200", "{name}");
        assert_eq!(call(LISTED, &["-H", "X-Forwarded-For: 203.0.113.9"]), "200", "{name}");
        assert_eq!(call(OTHER, &[]), "401", "{name}");
        assert_eq!(call(OTHER, &["-H", &forged]), "401", "{name}: it may choose its address");
        assert_eq!(refused_addresses(&server), refused + 2, "{name}");
    }
}
