//! Clients that send when it is time, however long the answers take.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use callsweep_core::clock::Clock;
use callsweep_testkit::attack::Attack;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{LocalSet, spawn_local};

use crate::http::Response;
use crate::server::Call;

/// The first sends half of all: it alone has more under way than a key may.
pub(super) const KEYS: usize = 4;
/// Requests that all keys may have under way: `api.limits.key_concurrency` unless it is set, for each.
pub(super) const AT_ONCE: u64 = 256 * KEYS as u64;
/// Sending is looked at so often.
const TICK: Duration = Duration::from_millis(5);
/// A connection that was kept may have been closed meanwhile; a new one that is has a reason.
const ATTEMPTS: usize = 100;
/// Every so often an answer is asked for again.
const REPEATED: usize = 50;
/// Every so often a number is asked for by a filter that goes through the engine alone: the database, rather than reading
/// and signing, is then what there is too little of.
const ALONE: i64 = 2;
/// Connections at most: more than the server lets be under way. Who finds none does not send.
pub(super) const CONNECTIONS: usize = 1_500;

/// One request, in millionths.
const ONE: u128 = 1_000_000;
/// A pace that only the number of those under way holds back.
const NO_WAIT: u32 = 1_000_000;

/// A key that all may know.
pub(super) fn key(n: usize) -> (String, String) {
    (format!("load-{n}"), format!("secret of load-{n}"))
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Became {
    /// It was not answered.
    Nothing,
    /// A number went.
    Done,
    /// Answered with 429 or 503: nothing was done.
    Refused,
}

/// How often what happened.
#[derive(Debug, Default)]
pub(super) struct Tally {
    succeeded: AtomicU64,
    /// Answered with 429.
    limited: AtomicU64,
    /// Answered with 503.
    busy: AtomicU64,
    /// The first answer, asked for again.
    repeated: AtomicU64,
    /// The database failed it, and it was sent again.
    failed: AtomicU64,
    /// Its connection ended, and it was sent again.
    reconnected: AtomicU64,
    /// Not sent, because too many others were not answered yet.
    given_up: AtomicU64,
    /// By the number of the request.
    pub(super) became: Mutex<Vec<Became>>,
    /// Answers that should not be.
    pub(super) wrong: Mutex<Vec<String>>,
}

impl Tally {
    /// Requests that were done.
    pub(super) fn done(&self) -> u64 {
        self.succeeded.load(Ordering::Relaxed)
    }

    /// Notes each that was too much.
    pub(super) fn faults(&self, attack: &mut Attack) {
        for (counter, answer) in [(&self.limited, "429"), (&self.busy, "503")] {
            for _ in 0..counter.load(Ordering::Relaxed) {
                attack.fault(&format!("a request too many, answered with {answer}"));
            }
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        write!(
            f,
            "{} requests, {} succeeded, {} got 429, {} got 503, {} repeated, {} failed by the database, {} sent again, {} not \
             sent for want of a connection",
            self.became.lock().unwrap().len(),
            self.done(),
            count(&self.limited),
            count(&self.busy),
            count(&self.repeated),
            count(&self.failed),
            count(&self.reconnected),
            count(&self.given_up),
        )
    }
}

/// The clients, which run on one thread.
pub(super) struct Client {
    pub(super) tally: Arc<Tally>,
    pace: Arc<Pace>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Pace {
    per_second: AtomicU32,
    at_once: AtomicUsize,
    under_way: AtomicUsize,
    over: AtomicBool,
}

impl Client {
    /// Begins with nothing to do. Numbers that may be asked for stand in `ready`.
    pub(super) fn start(address: SocketAddr, ready: Arc<Mutex<VecDeque<i64>>>) -> Self {
        let (tally, pace) = (Arc::<Tally>::default(), Arc::<Pace>::default());
        let sender = Sender { address, ready, tally: tally.clone(), pace: pace.clone(), kept: Arc::default() };
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            LocalSet::new().block_on(&runtime, sender.send());
        });
        Self { tally, pace, thread }
    }

    /// Sends so many each second, whatever comes back.
    pub(super) fn open(&self, per_second: u32) {
        self.pace.at_once.store(CONNECTIONS, Ordering::Relaxed);
        self.pace.per_second.store(per_second, Ordering::Relaxed);
    }

    /// Has so many under way, always.
    pub(super) fn closed(&self, at_once: usize) {
        self.pace.per_second.store(NO_WAIT, Ordering::Relaxed);
        self.pace.at_once.store(at_once, Ordering::Relaxed);
    }

    /// Sends nothing more, and waits until all is answered.
    pub(super) fn rest(&self) {
        self.pace.at_once.store(0, Ordering::Relaxed);
        crate::server::eventually("all is answered", || self.pace.under_way.load(Ordering::Relaxed) == 0);
    }

    /// Requests that were sent and not answered.
    pub(super) fn unanswered(&self) -> u64 {
        u64::try_from(self.pace.under_way.load(Ordering::Relaxed)).unwrap()
    }

    /// Closes its connections.
    pub(super) fn end(self) -> Arc<Tally> {
        self.rest();
        self.pace.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.tally
    }
}

#[derive(Clone)]
struct Sender {
    address: SocketAddr,
    ready: Arc<Mutex<VecDeque<i64>>>,
    tally: Arc<Tally>,
    pace: Arc<Pace>,
    /// Open connections that wait for a request.
    kept: Arc<Mutex<Vec<TcpStream>>>,
}

impl Sender {
    async fn send(self) {
        // In millionths of a request.
        let (mut last, mut due) = (Instant::now(), 0_u128);
        while !self.pace.over.load(Ordering::Relaxed) {
            tokio::time::sleep(TICK).await;
            let per_second = self.pace.per_second.load(Ordering::Relaxed);
            due += last.elapsed().as_micros() * u128::from(per_second);
            last = Instant::now();
            while due >= ONE {
                if self.pace.under_way.load(Ordering::Relaxed) >= self.pace.at_once.load(Ordering::Relaxed) {
                    if per_second < NO_WAIT {
                        self.tally.given_up.fetch_add(u64::try_from(due / ONE).unwrap(), Ordering::Relaxed);
                    }
                    due = 0;
                    break;
                }
                due -= ONE;
                // Those who bring numbers may be behind for a moment.
                let Some(number) = self.ready.lock().unwrap().pop_front() else { break };
                self.pace.under_way.fetch_add(1, Ordering::Relaxed);
                let sender = self.clone();
                spawn_local(async move {
                    sender.ask_for(number).await;
                    sender.pace.under_way.fetch_sub(1, Ordering::Relaxed);
                });
            }
        }
    }

    async fn ask_for(&self, number: i64) {
        let n = {
            let mut became = self.tally.became.lock().unwrap();
            became.push(Became::Nothing);
            became.len() - 1
        };
        let request = request(n, number);
        let Some(answered) = self.insist(&request).await else { return };
        let became = self.judge(&answered);
        self.tally.became.lock().unwrap()[n] = became;
        match became {
            // Another request may have it.
            Became::Refused => self.ready.lock().unwrap().push_back(number),
            Became::Done if n.is_multiple_of(REPEATED) => {
                let Some(again) = self.insist(&request).await else { return };
                self.tally.repeated.fetch_add(1, Ordering::Relaxed);
                if again.body != answered.body && !matches!(again.status, 429 | 503) {
                    self.wrong(format!("{answered:?}, and when it was asked for again {again:?}"));
                }
            }
            _ => {}
        }
    }

    fn judge(&self, answered: &Response) -> Became {
        let (counter, became) = match answered.status {
            200 => (&self.tally.succeeded, Became::Done),
            429 => (&self.tally.limited, Became::Refused),
            503 => (&self.tally.busy, Became::Refused),
            _ => {
                self.wrong(format!("{answered:?}"));
                return Became::Nothing;
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let members = answered.members();
        let is_right = match became {
            Became::Done => members.code == "0200000" && members.count == 1,
            _ => answered.header("retry-after").is_some() && members.count == 0,
        };
        if !is_right {
            self.wrong(format!("{answered:?}"));
        }
        became
    }

    fn wrong(&self, what: String) {
        self.tally.wrong.lock().unwrap().push(what);
    }

    /// The answer to a request, which is sent again where there was none, or the database failed it.
    async fn insist(&self, request: &[u8]) -> Option<Response> {
        let (mut said, mut was_failed) = (String::new(), false);
        for attempt in 0..ATTEMPTS {
            // Those that were kept may all have been closed meanwhile.
            match self.exchange(request, attempt > 0).await {
                // The server or this client was so slow that the head was not there in time: nobody has read it.
                Ok(answered) if answered.status == 408 => {
                    self.tally.reconnected.fetch_add(1, Ordering::Relaxed);
                    said = format!("{answered:?}");
                }
                Ok(answered) if answered.status == 200 && answered.members().code == "0200006" => {
                    self.tally.failed.fetch_add(1, Ordering::Relaxed);
                    (said, was_failed) = (answered.body, true);
                }
                // It is in the ledger as failed: only its own repetition completes it.
                Ok(answered) if was_failed && matches!(answered.status, 429 | 503) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    said = answered.body;
                }
                Ok(answered) => return Some(answered),
                Err(error) => {
                    self.tally.reconnected.fetch_add(1, Ordering::Relaxed);
                    said = error.to_string();
                }
            }
        }
        self.wrong(format!("no answer after {ATTEMPTS} attempts: {said}"));
        None
    }

    async fn exchange(&self, request: &[u8], anew: bool) -> io::Result<Response> {
        let kept = if anew { None } else { self.kept.lock().unwrap().pop() };
        let mut stream = match kept {
            Some(stream) => stream,
            None => TcpStream::connect(self.address).await?,
        };
        stream.write_all(request).await?;
        let answered = read(&mut stream).await?;
        if answered.header("connection") != Some("close") {
            self.kept.lock().unwrap().push(stream);
        }
        Ok(answered)
    }
}

/// Reads one answer, of which there is nothing behind it.
async fn read(stream: &mut TcpStream) -> io::Result<Response> {
    let mut bytes = Vec::with_capacity(1_024);
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some(head) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let length =
            Response::parse(&bytes[..head + 4]).header("content-length").map_or(0, |text| text.parse().unwrap());
        if bytes.len() == head + 4 + length {
            return Ok(Response::parse(&bytes));
        }
    }
}

/// A request for a number: every second one keeps its history.
fn request(n: usize, number: i64) -> Vec<u8> {
    let name = if number % ALONE == 0 { "customField" } else { "sessionId" };
    let body = format!(r#"{{"{name}":"n{number}","archiveHistory":{}}}"#, number % 2);
    let (access_key, secret_key) = key(if n.is_multiple_of(2) { 0 } else { 1 + n / 2 % (KEYS - 1) });
    let call = Call::new(body).to(1, super::account::campaign_of(number)).header("X-Request-Id", &n.to_string());
    let call = call.by((&access_key, &secret_key)).sign_with(|signer| {
        signer.timestamp = Clock::system().now().format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        // A number that was refused is asked for anew, by a request of its own.
        signer.signed_headers = "content-type;host;x-request-id".to_owned();
    });
    String::from_utf8(call.to_bytes()).unwrap().replace("Connection: close\r\n", "").into_bytes()
}
