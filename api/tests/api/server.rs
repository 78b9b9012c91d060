//! A server inside the test's process, on a free port, and calls to it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use actix_web::rt::System;
use callsweep_api::http::credentials::Credentials;
use callsweep_api::http::server::Application;
use callsweep_core::campaign::{Campaign, CampaignId, CampaignStatus, VdnId};
use callsweep_core::number::{Called, CustomField, NewNumber, NumberStatus, SessionId};
use callsweep_core::settings::{All, KeySettings, Settings, Vdns};
use callsweep_core::store::{Store, campaigns, numbers};
use callsweep_testkit::TestDatabase;
use callsweep_testkit::clock::ManualClock;
use tokio::sync::oneshot;

use crate::http::{self, Members, Response};
use crate::process::WITHIN;
use crate::signer::Signer;

/// The server's time, unless a test moves it: that of the vendor's vectors.
pub(crate) const NOW: &str = "2024-10-31T14:06:52Z";
/// A key for every VDN.
pub(crate) const KEY: (&str, &str) = ("globalaktest", "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p");
/// A key for VDNs 1 and 7.
pub(crate) const LIMITED_KEY: (&str, &str) = ("limited", "another secret");
/// Of the VDN 1, not executing.
pub(crate) const CAMPAIGN: i64 = 3;
/// Of the VDN 1, executing.
pub(crate) const EXECUTING: i64 = 4;

pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) ops_address: SocketAddr,
    pub(crate) store: Store,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl TestServer {
    /// A server with both keys and the two campaigns.
    pub(crate) fn start(db: &TestDatabase) -> Self {
        Self::start_with(db, |_| ())
    }

    /// The same with other settings.
    pub(crate) fn start_with(db: &TestDatabase, change: impl FnOnce(&mut Settings)) -> Self {
        let server = Self::replica(db, NOW, change);
        for (id, status) in [(CAMPAIGN, CampaignStatus::Suspended), (EXECUTING, CampaignStatus::Executing)] {
            add_campaign(&server.store, id, status);
        }
        server
    }

    /// A server on a database as it is. Several on one database need different times: ids are made of them.
    pub(crate) fn replica(db: &TestDatabase, now: &str, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings { database: db.settings(), ..Settings::default() };
        settings.api.listen = "127.0.0.1:0".parse().unwrap();
        settings.api.ops_listen = "127.0.0.1:0".parse().unwrap();
        settings.api.keys = vec![
            key(KEY, Vdns::All(All::All)),
            key(LIMITED_KEY, Vdns::Some(vec![VdnId::parse("1").unwrap(), VdnId::parse("7").unwrap()])),
        ];
        change(&mut settings);
        let store = Store::open(&settings.database, ManualClock::at(now).clock()).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = mpsc::channel();
        let of_server = store.clone();
        let thread = std::thread::spawn(move || {
            System::new().block_on(async move {
                let credentials = Credentials::load(&settings.api).expect("the keys and the certificate are valid");
                let application = Application::build(&settings, credentials, of_server).expect("the server starts");
                tell.send((application.address(), application.ops_address())).unwrap();
                let stop = async {
                    let _ = stopped.await;
                };
                application.run_until_stopped(stop).await.expect("the server ends well");
            });
        });
        let (address, ops_address) = told.recv().expect("the server tells its addresses");
        Self { address, ops_address, store, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn send(&self, call: &Call) -> Response {
        http::exchange(self.address, &call.to_bytes())
    }

    /// Sends a call with this body and reads the answer's members.
    pub(crate) fn delete(&self, body: &str) -> Members {
        let response = self.send(&Call::new(body));
        assert_eq!(response.status, 200, "{body}: {response:?}");
        response.members()
    }

    /// A counter or gauge of `/metrics`, by its name with labels.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        http::metric(self.ops_address, name)
    }

    /// Adds numbers to [`CAMPAIGN`].
    pub(crate) fn add(&self, new: &[NewNumber]) {
        let campaign = CampaignId::try_from(CAMPAIGN).unwrap();
        numbers::insert(&mut self.store.connection().unwrap(), campaign, new, self.store.clock().timestamp()).unwrap();
    }

    /// How many numbers [`CAMPAIGN`] has.
    pub(crate) fn count(&self) -> i64 {
        numbers::count(&mut self.store.connection().unwrap(), CampaignId::try_from(CAMPAIGN).unwrap()).unwrap()
    }

    /// A number that waits, to be changed by the test.
    pub(crate) fn number(&self, session_id: &str) -> NewNumber {
        NewNumber {
            id: self.store.ids().next_id(),
            session_id: Some(SessionId::parse(session_id).unwrap()),
            called: Called::parse("13800138000").unwrap(),
            caller: None,
            custom_field: Some(CustomField::parse("batch").unwrap()),
            call_data: None,
            priority: 3,
            recycle_time: None,
            status: NumberStatus::Waiting,
        }
    }
}

/// Waits until something is so.
pub(crate) fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < WITHIN, "it never came that {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))), "the server's thread panicked");
    }
}

fn key((access_key, secret_key): (&str, &str), vdns: Vdns) -> KeySettings {
    KeySettings::new(access_key, secret_key, vdns)
}

pub(crate) fn add_campaign(store: &Store, id: i64, status: CampaignStatus) {
    add_campaign_in(store, "1", id, status);
}

pub(crate) fn add_campaign_in(store: &Store, vdn: &str, id: i64, status: CampaignStatus) {
    let campaign = Campaign {
        id: CampaignId::try_from(id).unwrap(),
        vdn_id: VdnId::parse(vdn).unwrap(),
        name: format!("campaign {id}"),
        status,
    };
    campaigns::create(&mut store.connection().unwrap(), &campaign, store.clock().timestamp()).unwrap();
}

/// A call, correct and signed by [`KEY`] until a test changes it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    method: &'static str,
    path: String,
    query: Option<&'static str>,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Sent instead of the body's real length.
    announced_length: Option<usize>,
    chunked: bool,
    signer: Option<Signer>,
}

/// A millisecond of [`NOW`]'s second: calls of one instant and one content would be one call, sent twice.
fn another_instant() -> String {
    static INSTANTS: AtomicU32 = AtomicU32::new(0);
    NOW.replace('Z', &format!(".{:03}Z", INSTANTS.fetch_add(1, Ordering::Relaxed) % 1_000))
}

pub(crate) fn path(vdn: impl std::fmt::Display, campaign: impl std::fmt::Display) -> String {
    format!("/rest/isales/v1/openapi/campaigns/{vdn}/calldata/{campaign}/delete")
}

impl Call {
    pub(crate) fn new(body: impl AsRef<[u8]>) -> Self {
        let signer = Signer {
            access_key: KEY.0.to_owned(),
            secret_key: KEY.1.to_owned(),
            timestamp: another_instant(),
            signed_headers: "content-type;host".to_owned(),
            query_line: None,
        };
        Self {
            method: "POST",
            path: path(1, CAMPAIGN),
            query: None,
            headers: Vec::new(),
            body: body.as_ref().to_vec(),
            announced_length: None,
            chunked: false,
            signer: Some(signer),
        }
        .header("Host", "callsweep.example")
        .header("Content-Type", "application/json; charset=UTF-8")
    }

    pub(crate) fn method(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    pub(crate) fn to(self, vdn: impl std::fmt::Display, campaign: impl std::fmt::Display) -> Self {
        self.path(path(vdn, campaign))
    }

    pub(crate) fn path(self, path: impl Into<String>) -> Self {
        Self { path: path.into(), ..self }
    }

    /// Sends a query, and signs it by this line.
    pub(crate) fn query(self, query: &'static str, line: Option<&str>) -> Self {
        let line = line.map(str::to_owned);
        Self { query: Some(query), ..self }.sign_with(|signer| signer.query_line = line)
    }

    /// One more header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// One more header, which the signature covers. Its name is in lower case.
    pub(crate) fn signed_header(self, name: &str, value: &str) -> Self {
        self.header(name, value).sign_with(|signer| signer.signed_headers += &format!(";{name}"))
    }

    /// Without this header, and without signing it.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(have, _)| !have.eq_ignore_ascii_case(name));
        self.sign_with(|signer| {
            let names: Vec<&str> = signer.signed_headers.split(';').filter(|have| *have != name).collect();
            signer.signed_headers = names.join(";");
        })
    }

    pub(crate) fn content_type(self, value: &str) -> Self {
        let mut call = self;
        call.headers.retain(|(name, _)| name != "Content-Type");
        call.header("Content-Type", value)
    }

    pub(crate) fn by(self, (access_key, secret_key): (&str, &str)) -> Self {
        let (access_key, secret_key) = (access_key.to_owned(), secret_key.to_owned());
        self.sign_with(|signer| {
            signer.access_key = access_key;
            signer.secret_key = secret_key;
        })
    }

    pub(crate) fn sign_with(mut self, change: impl FnOnce(&mut Signer)) -> Self {
        if let Some(signer) = &mut self.signer {
            change(signer);
        }
        self
    }

    pub(crate) fn unsigned(self) -> Self {
        Self { signer: None, ..self }
    }

    pub(crate) fn chunked(self) -> Self {
        Self { chunked: true, ..self }
    }

    /// Announces a length and sends no body.
    pub(crate) fn announce(self, length: usize) -> Self {
        Self { announced_length: Some(length), ..self }
    }

    /// The value of the Authorization header that it will carry.
    pub(crate) fn authorization(&self) -> Option<String> {
        let signer = self.signer.as_ref()?;
        Some(signer.sign(self.method, &self.path, &self.headers, &self.body))
    }

    /// The head, up to where the body begins.
    pub(crate) fn head(&self) -> Vec<u8> {
        let query = self.query.map(|query| format!("?{query}")).unwrap_or_default();
        let mut head = format!("{} {}{query} HTTP/1.1\r\n", self.method, self.path);
        let length = self.announced_length.unwrap_or(self.body.len()).to_string();
        let framing = if self.chunked { ("Transfer-Encoding", "chunked") } else { ("Content-Length", length.as_str()) };
        let own = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let authorization = self.authorization();
        let authorization = authorization.as_deref().map(|value| ("Authorization", value));
        for (name, value) in own.chain(authorization).chain([framing, ("Connection", "close")]) {
            head += &format!("{name}: {value}\r\n");
        }
        (head + "\r\n").into_bytes()
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.head();
        if self.announced_length.is_some() {
            return bytes;
        }
        if self.chunked {
            for chunk in self.body.chunks(7) {
                bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                bytes.extend(chunk);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\n");
        } else {
            bytes.extend(&self.body);
        }
        bytes
    }
}
