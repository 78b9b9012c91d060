//! TLS: what is served, what is read again, and which clients are let in.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use callsweep_core::settings::TlsSettings;
use callsweep_core::store::Backend;
use callsweep_testkit::TestDatabase;
use chrono::DateTime;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use sha2::{Digest as _, Sha256};

use crate::http::{self, Response};
use crate::process::{Running, key, program, write_settings};
use crate::server::{Call, TestServer, eventually};

/// Signs certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, as PEM.
struct Identity {
    cert: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    fn identity(&self) -> Identity {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["callsweep.example".to_owned()]).unwrap();
        Identity { cert: params.signed_by(&key, &self.0).unwrap().pem(), key: key.serialize_pem() }
    }
}

/// The files of `[api.tls]`.
struct Files {
    _directory: tempfile::TempDir,
    settings: TlsSettings,
}

impl Files {
    fn new(identity: &Identity, client_ca: Option<&Authority>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| directory.path().join(name);
        let settings =
            TlsSettings { cert: file("cert.pem"), key: file("key.pem"), client_ca: client_ca.map(|_| file("ca.pem")) };
        let files = Self { _directory: directory, settings };
        files.write(identity);
        if let Some(ca) = client_ca {
            files.write_client_ca(ca);
        }
        files
    }

    fn write(&self, Identity { cert, key }: &Identity) {
        std::fs::write(&self.settings.cert, cert).unwrap();
        std::fs::write(&self.settings.key, key).unwrap();
    }

    fn write_client_ca(&self, ca: &Authority) {
        std::fs::write(self.settings.client_ca.as_ref().unwrap(), ca.pem()).unwrap();
    }

    fn serve(&self) -> TestServer {
        let settings = self.settings.clone();
        TestServer::start_with(&TestDatabase::new(Backend::Sqlite), |all| all.api.tls = Some(settings))
    }
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A client that trusts `root` and shows `identity`. It resumes its sessions where the server lets it.
fn client(root: &Authority, identity: Option<&Identity>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(root.0.der().clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { cert, key }) => {
            let cert = CertificateDer::from_pem_slice(cert.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![cert], key).unwrap()
        }
    };
    Arc::new(config)
}

fn connect(address: SocketAddr, client: &Arc<ClientConfig>) -> std::io::Result<Stream> {
    let name = ServerName::try_from("callsweep.example").unwrap();
    let mut stream = StreamOwned::new(ClientConnection::new(client.clone(), name).unwrap(), http::connect(address));
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

fn exchange(mut stream: Stream, call: &Call) -> std::io::Result<Response> {
    stream.write_all(&call.to_bytes())?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() != ErrorKind::UnexpectedEof || answer.is_empty() => Err(error),
        _ => Ok(Response::parse(&answer)),
    }
}

fn call() -> Call {
    Call::new(r#"{"sessionId":"nobody"}"#)
}

/// The certificate that a new connection is shown.
fn shown(address: SocketAddr, root: &Authority) -> CertificateDer<'static> {
    connect(address, &client(root, None)).unwrap().conn.peer_certificates().unwrap()[0].clone()
}

fn reloads(server: &TestServer, result: &str) -> u64 {
    server.metric(&format!("callsweep_reloads_total{{what=\"tls\",result=\"{result}\"}}"))
}

#[test]
fn a_certificate_is_read_again_and_connections_go_on() {
    let root = Authority::new();
    let (first, second) = (root.identity(), root.identity());
    let files = Files::new(&first, None);
    let server = files.serve();
    let mut open = connect(server.address, &client(&root, None)).unwrap();
    assert_eq!(http::exchange_kept_alive(&mut open, &call()).status, 200);

    // Half of a change, which cannot be used: what was there stays.
    std::fs::write(&files.settings.key, &second.key).unwrap();
    eventually("the mismatch is seen", || reloads(&server, "failed") > 0);
    assert_eq!(shown(server.address, &root), CertificateDer::from_pem_slice(first.cert.as_bytes()).unwrap());

    files.write(&second);
    let wanted = CertificateDer::from_pem_slice(second.cert.as_bytes()).unwrap();
    eventually("the new certificate is shown", || shown(server.address, &root) == wanted);
    assert_eq!(http::exchange_kept_alive(&mut open, &call()).status, 200, "the connection from before goes on");
    assert_eq!(
        exchange(connect(server.address, &client(&root, None)).unwrap(), &call()).unwrap().members().code,
        "0200000"
    );
}

#[test]
fn clients_need_a_certificate_where_roots_for_them_are_given() {
    let (root, clients, others) = (Authority::new(), Authority::new(), Authority::new());
    let files = Files::new(&root.identity(), Some(&clients));
    let server = files.serve();
    let (nobody, ours) = (client(&root, None), client(&root, Some(&clients.identity())));
    let theirs = client(&root, Some(&others.identity()));
    // In TLS 1.3 a client learns that it was refused when it reads.
    let answer =
        |client| connect(server.address, client).and_then(|stream| exchange(stream, &call())).map(|r| r.status).ok();
    assert_eq!((answer(&nobody), answer(&theirs), answer(&ours)), (None, None, Some(200)));
    files.write_client_ca(&others);
    eventually("the new roots are taken", || answer(&theirs) == Some(200));
    assert_eq!((answer(&nobody), answer(&ours)), (None, None), "nor by a session from before");
}

#[test]
fn a_key_can_be_bound_to_the_certificate_of_its_client() {
    let (root, clients) = (Authority::new(), Authority::new());
    let (ours, others) = (clients.identity(), clients.identity());
    let der = CertificateDer::from_pem_slice(ours.cert.as_bytes()).unwrap();
    let digest: Vec<String> = Sha256::digest(&der).iter().map(|byte| format!("{byte:02X}")).collect();
    let files = Files::new(&root.identity(), Some(&clients));
    let settings = files.settings.clone();
    let server = TestServer::start_with(&TestDatabase::new(Backend::Sqlite), |all| {
        all.api.tls = Some(settings);
        all.api.keys[0].client_certificate = Some(digest.join(":"));
    });
    let answer =
        |identity| exchange(connect(server.address, &client(&root, Some(identity))).unwrap(), &call()).unwrap();
    assert_eq!((answer(&ours).status, answer(&others).status), (200, 401));
    assert_eq!(server.metric("callsweep_auth_failures_total{reason=\"certificate\"}"), 1);
}

#[test]
fn browsers_are_told_to_keep_to_https_and_to_the_content_type() {
    let root = Authority::new();
    let server = Files::new(&root.identity(), None).serve();
    let answer = exchange(connect(server.address, &client(&root, None)).unwrap(), &call()).unwrap();
    assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    // rcgen's certificates end with the year 4095.
    let until = DateTime::parse_from_rfc3339("4096-01-01T00:00:00Z").unwrap().timestamp();
    let told = server.metric("callsweep_tls_certificate_expiry_timestamp_seconds");
    assert_eq!(i64::try_from(told).unwrap(), until);

    let plain = TestServer::start(&TestDatabase::new(Backend::Sqlite));
    let answer = plain.send(&call());
    assert_eq!(
        (answer.header("strict-transport-security"), answer.header("x-content-type-options")),
        (None, Some("nosniff"))
    );
}

#[test]
fn plain_http_is_no_answer_where_tls_is_spoken() {
    let root = Authority::new();
    let server = Files::new(&root.identity(), None).serve();
    let mut stream = http::connect(server.address);
    stream.write_all(&call().to_bytes()).unwrap();
    let mut bytes = Vec::new();
    // The connection is reset or closed, behind an alert of TLS.
    let _ = stream.read_to_end(&mut bytes);
    assert!(!bytes.starts_with(b"HTTP"), "{bytes:?}");
}

#[test]
fn plain_http_beyond_the_machine_is_warned_of() {
    let db = TestDatabase::new(Backend::Sqlite);
    let dir = tempfile::tempdir().unwrap();
    let settings = write_settings(dir.path(), db.url(), &key());
    let started = |listen: &str| {
        let text = std::fs::read_to_string(&settings).unwrap();
        std::fs::write(&settings, text.replacen("127.0.0.1:0", listen, 1)).unwrap();
        Running::start(program(dir.path(), &[])).log.clone()
    };
    assert!(!started("127.0.0.1:0").contains("plain HTTP"));
    assert!(started("0.0.0.0:0").contains("plain HTTP"));
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let (root, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    let (one, other) = (root.identity(), root.identity());
    let file = |name: &str, text: &str| -> PathBuf {
        std::fs::write(dir.path().join(name), text).unwrap();
        dir.path().join(name)
    };
    let (cert, key) = (file("cert", &one.cert), file("key", &one.key));
    let error = |cert: &Path, key: &Path, client_ca: Option<&Path>| {
        let settings =
            TlsSettings { cert: cert.to_owned(), key: key.to_owned(), client_ca: client_ca.map(Path::to_owned) };
        callsweep_api::http::tls::Tls::load(&settings).unwrap_err().to_string()
    };
    let missing = error(&dir.path().join("missing"), &key, None);
    assert!(missing.contains("api.tls.cert") && missing.contains("missing"), "{missing}");
    assert!(error(&cert, &cert, None).contains("api.tls.key"));
    assert!(error(&file("empty", ""), &key, None).contains("holds no certificate"));
    assert!(error(&cert, &file("other", &other.key), None).contains("certificate and key"));
    assert!(error(&cert, &key, Some(&key)).contains("api.tls.client_ca"));
}
