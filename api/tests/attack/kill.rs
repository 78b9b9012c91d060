//! SIGKILL to the real server at random instants, while clients insist on their answers.
//!
//! `ATTACK_KILLS=500` gives the kills.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use callsweep_core::campaign::{CampaignId, CampaignStatus};
use callsweep_core::clock::Clock;
use callsweep_core::number::{CustomField, NewNumber, NumberStatus};
use callsweep_core::run::Run;
use callsweep_core::run::RunState;
use callsweep_core::store::AnyConnection;
use callsweep_testkit::attack::{Attack, let_a_minute_pass, times};
use callsweep_testkit::on_each_backend;
use callsweep_testkit::tables::{self, NumberRow};
use callsweep_testkit::{TestDatabase, sample};

use crate::http::Response;
use crate::process::{Running, WITHIN, key, program, write_settings};
use crate::server::Call;

const CLIENTS: i64 = 4;
/// Of each client.
const BATCHES: i64 = 4;
/// The first is asked for by its sessionId, the others together; the last is being called and stays.
const BATCH: i64 = 12;
/// A server is killed after so many answers at most, and at some instant of this time.
const ANSWERS: usize = 4;
const LIVES_ON_FOR: Duration = Duration::from_millis(30);
/// A client that has not been served by then will not be.
const SERVED_WITHIN: Duration = Duration::from_secs(300);

fn kills() -> u64 {
    times("ATTACK_KILLS", 8)
}

/// What clients were told, by request: how many numbers went.
type Believed = Mutex<BTreeMap<String, i64>>;

/// The server that there is at the moment.
struct Place {
    directory: tempfile::TempDir,
    settings: String,
    address: Mutex<Option<SocketAddr>>,
}

impl Place {
    fn new(db: &TestDatabase) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let settings = write_settings(directory.path(), db.url(), &format!("chunk_size = 3\n{}", key()));
        Self { directory, settings, address: Mutex::default() }
    }

    fn start(&self) -> Running {
        let mut server = Running::start(program(self.path(), &["serve", "--config", &self.settings]));
        server.let_it_talk();
        *self.address.lock().unwrap() = Some(server.address);
        server
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// Sends a request until it is answered: the same bytes, to whatever server there is.
fn insist(place: &Place, request: &[u8]) -> Response {
    let begun = Instant::now();
    while begun.elapsed() < SERVED_WITHIN {
        let address = *place.address.lock().unwrap();
        match address.map(|address| exchange(address, request)) {
            Some(Ok(response)) if response.status == 200 => return response,
            // Its first copy is still at work.
            Some(Ok(response)) => assert_eq!(response.status, 503, "{response:?}"),
            // Killed, before or after it was done.
            _ => thread::sleep(Duration::from_millis(5)),
        }
    }
    panic!("not answered within {SERVED_WITHIN:?}: {}", String::from_utf8_lossy(request));
}

fn exchange(address: SocketAddr, request: &[u8]) -> io::Result<Response> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(WITHIN))?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let text = String::from_utf8_lossy(&answer);
    // A server that is killed while it writes leaves a part.
    if !text.split_once("\r\n\r\n").is_some_and(|(_, body)| body.ends_with('}')) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Response::parse(&answer))
}

/// The numbers of all clients, each batch by its customField.
fn bring(conn: &mut AnyConnection, campaign: CampaignId) -> Vec<NumberRow> {
    let numbers: Vec<NewNumber> = (0..CLIENTS * BATCHES * BATCH)
        .map(|id| NewNumber {
            custom_field: Some(CustomField::parse(&(id / BATCH).to_string()).unwrap()),
            status: if id % BATCH == BATCH - 1 { NumberStatus::Calling } else { NumberStatus::Waiting },
            ..sample::number(id)
        })
        .collect();
    sample::insert(conn, campaign, &numbers);
    tables::numbers(conn, campaign)
}

/// Asks for each batch of a client in turn, and notes what it was told.
fn ask(place: &Place, campaign: CampaignId, client: i64, believed: &Believed) {
    for batch in client * BATCHES..(client + 1) * BATCHES {
        let one = format!(r#"{{"sessionId":"s{}"}}"#, batch * BATCH);
        let rest = format!(r#"{{"customField":"{batch}","archiveHistory":1}}"#);
        for (body, due) in [(one, 1), (rest, BATCH - 2)] {
            let id = format!("{campaign}-{batch}-{due}");
            let call = Call::new(body).to(1, campaign).header("X-Request-Id", &id).sign_with(|signer| {
                signer.timestamp = Clock::system().now().format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
            });
            let told = insist(place, &call.to_bytes()).members();
            assert_eq!((told.code.as_str(), told.count), ("0200000", due), "{id}: {told:?}");
            believed.lock().unwrap().insert(id, told.count);
        }
    }
}

/// Each answer that a client has is in the ledger, and each run of the ledger is one request's.
fn compare(attack: &mut Attack, believed: &BTreeMap<String, i64>, runs: &[Run]) {
    let mut ledger = BTreeMap::new();
    for run in runs {
        let id = run.request_id.clone().unwrap_or_default();
        attack.holds(ledger.insert(id.clone(), run).is_none(), || format!("request {id} is in the ledger twice"));
    }
    for (id, count) in believed {
        let run = ledger.get(id);
        let is_there = run.is_some_and(|run| run.state == RunState::Succeeded && run.counts.deleted == *count);
        attack.holds(is_there, || format!("request {id} was told {count}; the ledger has {run:?}"));
    }
}

/// Kills one server after the other until all clients have their answers.
fn round(db: &TestDatabase, place: &Place, id: i64, attack: &mut Attack) {
    let mut conn = db.connect();
    let campaign = sample::campaign(&mut conn, id, CampaignStatus::Suspended);
    let before = bring(&mut conn, campaign);
    let believed = Believed::default();
    let all = usize::try_from(CLIENTS * BATCHES * 2).unwrap();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| (client, &believed))
            .map(|(client, believed)| scope.spawn(move || ask(place, campaign, client, believed)))
            .collect();
        let mut server = place.start();
        let done = || clients.iter().all(thread::ScopedJoinHandle::is_finished);
        while attack.faults() < kills() && !done() {
            let answers = believed.lock().unwrap().len() + rand::random_range(0..=ANSWERS);
            while believed.lock().unwrap().len() < answers && !done() {
                thread::sleep(Duration::from_millis(1));
            }
            thread::sleep(LIVES_ON_FOR.mul_f64(rand::random()));
            drop(server);
            attack.fault("SIGKILL to the server");
            let told = believed.lock().unwrap().clone();
            let runs = attack.promises(&mut conn, campaign, &before);
            compare(attack, &told, &runs);
            let_a_minute_pass(&mut conn, &runs);
            server = place.start();
        }
        for client in clients {
            client.join().unwrap();
        }
    });
    let runs = attack.promises(&mut conn, campaign, &before);
    let believed = believed.into_inner().unwrap();
    compare(attack, &believed, &runs);
    attack.holds((believed.len(), runs.len()) == (all, all), || {
        format!("{all} requests, {} answers, {} runs", believed.len(), runs.len())
    });
}

on_each_backend! {
    fn a_killed_server_keeps_every_promise_and_its_clients_get_their_answers(db) {
        let mut attack = Attack::new("kill the server", db.backend());
        let place = Place::new(db);
        for id in 1.. {
            round(db, &place, id, &mut attack);
            if attack.faults() >= kills() {
                break;
            }
        }
        attack.verify(&db.store());
        attack.end();
    }
}
