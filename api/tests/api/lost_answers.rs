//! Clients that lose answers and ask again: what they believe to be deleted is what went.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use callsweep_core::campaign::CampaignId;
use callsweep_core::number::{CustomField, NumberStatus};
use callsweep_core::settings::Settings;
use callsweep_core::store::runs::{self, RunFilter};
use callsweep_testkit::on_each_backend;
use callsweep_testkit::{TestDatabase, tables};

use crate::http::{self, Response};
use crate::server::{CAMPAIGN, Call, TestServer};

/// They all ask for all of the numbers, so that each number is asked for by several.
const CLIENTS: usize = 4;
const BATCHES: usize = 6;
/// Numbers of a batch: the first is asked for by its sessionId too, the last is being called and stays.
const BATCH_SIZE: usize = 12;
/// A client that gets no answer so often will not get one: a proxy lets through every other request.
const ATTEMPTS: usize = 100;

/// Lets requests through to a server, and not all answers back, for as long as the process lives.
struct Proxy {
    address: SocketAddr,
    /// Answers that the server gave in full and nobody got.
    lost: Arc<AtomicU64>,
    /// Requests whose connections were closed as soon as the server had them.
    cut: Arc<AtomicU64>,
}

impl Proxy {
    fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (lost, cut) = (Arc::default(), Arc::default());
        let proxy = Self { address, lost: Arc::clone(&lost), cut: Arc::clone(&cut) };
        std::thread::spawn(move || {
            for (n, client) in (1..).zip(listener.incoming()) {
                let (lost, cut) = (Arc::clone(&lost), Arc::clone(&cut));
                std::thread::spawn(move || pass_on(n, client.unwrap(), server, &lost, &cut));
            }
        });
        proxy
    }
}

/// Every third answer is lost, and every fifth connection closed with the server still at work. What is not sent on ends
/// as the connections are closed.
fn pass_on(n: u64, mut client: TcpStream, server: SocketAddr, lost: &AtomicU64, cut: &AtomicU64) {
    let mut request = Vec::new();
    client.read_to_end(&mut request).unwrap();
    let mut server = http::connect(server);
    server.write_all(&request).unwrap();
    if n.is_multiple_of(5) {
        cut.fetch_add(1, Ordering::Relaxed);
        return;
    }
    let answer = http::read_to_end(&mut server);
    if n.is_multiple_of(3) {
        lost.fetch_add(1, Ordering::Relaxed);
        return;
    }
    client.write_all(&answer).unwrap();
}

/// Sends a request. `None`: the connection was closed without an answer.
fn attempt(address: SocketAddr, request: &[u8]) -> Option<Response> {
    let mut stream = http::connect(address);
    stream.write_all(request).unwrap();
    // So that the proxy knows where the request ends.
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("no answer and no end: {error}"),
        _ => (!answer.is_empty()).then(|| Response::parse(&answer)),
    }
}

/// Sends the same bytes until they are answered, to one proxy after the other. What the client then believes to be gone.
fn insist(proxies: &[Proxy], request: &[u8]) -> i64 {
    for proxy in proxies.iter().cycle().take(ATTEMPTS) {
        match attempt(proxy.address, request) {
            Some(response) if response.status == 200 => return response.members().count,
            // The server has no time, or its first copy is still under way: nothing has been answered.
            Some(response) => assert_eq!(response.status, 503, "{response:?}"),
            None => {}
        }
    }
    panic!("not answered after {ATTEMPTS} attempts: {}", String::from_utf8_lossy(request));
}

/// What one client asks for, batch by batch, each with the id that the ledger will know it by.
fn calls_of(client: usize) -> Vec<(String, Call)> {
    let bodies = (0..BATCHES).map(|n| (n + client) % BATCHES).flat_map(|batch| {
        let one = format!(r#"{{"sessionId":"{batch}-0"}}"#);
        let all = format!(r#"{{"customField":"{batch}","archiveHistory":1}}"#);
        [(format!("client-{client}-one-{batch}"), one), (format!("client-{client}-all-{batch}"), all)]
    });
    let signed = |(id, body): (String, String)| {
        let call = Call::new(body).header("X-Request-Id", &id);
        // Signed, so that two clients never send the same request.
        (id, call.sign_with(|signer| signer.signed_headers = "content-type;host;x-request-id".to_owned()))
    };
    bodies.map(signed).collect()
}

fn add_batches(server: &TestServer) {
    for batch in 0..BATCHES {
        let mut numbers: Vec<_> = (0..BATCH_SIZE).map(|n| server.number(&format!("{batch}-{n}"))).collect();
        for number in &mut numbers {
            number.custom_field = Some(CustomField::parse(&batch.to_string()).unwrap());
        }
        numbers.last_mut().unwrap().status = NumberStatus::Calling;
        server.add(&numbers);
    }
}

fn small_chunks(settings: &mut Settings) {
    settings.api.chunk_size = NonZeroUsize::new(3).unwrap();
}

/// The clients insist at once; then what they believe is compared with the tables, in sum and call by call.
fn believe_what_went(db: &TestDatabase, servers: &[TestServer]) {
    let server = &servers[0];
    add_batches(server);
    let added = server.count();
    let proxies: Vec<Proxy> = servers.iter().map(|server| Proxy::before(server.address)).collect();
    let proxies = proxies.as_slice();

    let mut believed: Vec<(String, i64)> = std::thread::scope(|scope| {
        let insist_on_all = |client| {
            calls_of(client).into_iter().map(|(id, call)| (id, insist(proxies, &call.to_bytes()))).collect::<Vec<_>>()
        };
        let clients: Vec<_> = (0..CLIENTS).map(|client| scope.spawn(move || insist_on_all(client))).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    believed.sort();
    let of_proxies =
        |count: fn(&Proxy) -> &AtomicU64| proxies.iter().map(|p| count(p).load(Ordering::Relaxed)).sum::<u64>();
    assert!(of_proxies(|proxy| &proxy.lost) > 0 && of_proxies(|proxy| &proxy.cut) > 0);

    let gone = added - server.count();
    assert_eq!(believed.iter().map(|(_, count)| count).sum::<i64>(), gone, "the sum of what the clients believe");
    assert_eq!(gone, i64::try_from(BATCHES * (BATCH_SIZE - 1)).unwrap());
    let filter = RunFilter { limit: u32::MAX, ..RunFilter::default() };
    let ledger = runs::list(&mut server.store.connection().unwrap(), &filter).unwrap();
    let archived: i64 = ledger.iter().map(|run| run.counts.archived).sum();
    let in_history = tables::history_ids(&mut db.connect(), CampaignId::try_from(CAMPAIGN).unwrap());
    assert_eq!(i64::try_from(in_history.len()).unwrap(), archived);
    // One row for each call, however often it was sent, with the count that its client was told.
    let mut accounts: Vec<_> = ledger.into_iter().map(|run| (run.request_id.unwrap(), run.counts.deleted)).collect();
    accounts.sort();
    assert_eq!(accounts, believed);
    let replayed: u64 = servers.iter().map(|server| server.metric("callsweep_answers_replayed_total")).sum();
    assert!(replayed > 0, "no answer was given a second time");
}

on_each_backend! {
    fn what_clients_believe_is_what_went(db) {
        believe_what_went(db, &[TestServer::start_with(db, small_chunks)]);
    }

    fn and_when_they_ask_another_server_next(db) {
        let first = TestServer::start_with(db, small_chunks);
        let second = TestServer::replica(db, "2024-10-31T14:06:53Z", small_chunks);
        believe_what_went(db, &[first, second]);
    }
}
