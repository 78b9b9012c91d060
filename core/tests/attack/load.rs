//! A sweep and several clients at work on one campaign, whatever breaks, and what they must find afterwards.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use callsweep_core::bounds::Bounds;
use callsweep_core::campaign::CampaignId;
use callsweep_core::engine::Error;
use callsweep_core::engine::{
    Control, Engine, Outcome, PurgeReport, Together, goes_together, purge, purge_together, resume, settle,
};
use callsweep_core::number::NewNumber;
use callsweep_core::run::{NewRun, Run, RunKind};
use callsweep_core::store::{AnyConnection, Store, runs};
use callsweep_testkit::attack::Attack;
use callsweep_testkit::sample;
use callsweep_testkit::tables::{self, NumberRow};

use crate::support::{after_each_chunk, engine, manual};

/// What the sweeps ask for.
pub(crate) const MEMBERS: &str = r#"{"recycleTime":"2020-12-31 00:00:00","recycleType":"1"}"#;
/// Of a campaign: the first are the sweep's, the others have no recycle time and are the clients'.
pub(crate) const NUMBERS: i64 = 1_000;
const OF_THE_SWEEP: i64 = 700;
const CLIENTS: i64 = 3;
/// Whoever has failed so often gives up.
const ATTEMPTS: u32 = 200;
/// Steps of a load in all, about: its chunks and its answers. Sweep and clients are all at work for the first half.
pub(crate) const STEPS: u64 = 300;

/// A campaign's numbers.
pub(crate) fn numbers() -> Vec<NewNumber> {
    let mut numbers = sample::numbers(NUMBERS, 5);
    let (sweeps, clients) = numbers.split_at_mut(usize::try_from(OF_THE_SWEEP).unwrap());
    for number in sweeps {
        number.recycle_time.get_or_insert(sample::time("2020-12-04 17:57:00"));
    }
    for number in clients {
        number.recycle_time = None;
    }
    numbers
}

/// The same, where the sweep is after the clients' numbers, too.
pub(crate) fn wanted_by_all() -> Vec<NewNumber> {
    let mut numbers = numbers();
    for number in &mut numbers {
        number.recycle_time.get_or_insert(sample::time("2020-12-04 17:57:00"));
    }
    numbers
}

/// What the sweep and the clients were told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// What went wrong for good, or would have without somebody who tries again.
    failed: Vec<String>,
    sweep: Option<PurgeReport>,
    answers: Vec<Answer>,
}

/// What a client was told about a number.
#[derive(Debug)]
struct Answer {
    criteria: serde_json::Value,
    run_id: i64,
    deleted: i64,
    /// It asked once, or each time with the same key.
    once: bool,
}

/// How far a load is.
pub(crate) struct Meter(AtomicU64);

impl Meter {
    fn step(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until so many steps have been made, or there is nobody who makes any.
    pub(crate) fn wait(&self, steps: u64) {
        while self.0.load(Ordering::Relaxed) < steps {
            thread::sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= OVER
    }
}

/// What the meter shows when all is done.
const OVER: u64 = 1 << 32;

/// Sweeps a campaign and asks for its other numbers until all is done, while `breaks` breaks something. The clients may
/// have another store than the sweep.
pub(crate) fn under_load(store: &Store, clients: &Store, campaign: CampaignId, breaks: impl FnOnce(&Meter)) -> Told {
    let meter = Meter(AtomicU64::new(0));
    let told = Mutex::new(Told::default());
    thread::scope(|scope| {
        let mut at_work = vec![scope.spawn(|| sweep(store, campaign, &meter, &told))];
        for client in 0..CLIENTS {
            let (meter, told) = (&meter, &told);
            at_work.push(scope.spawn(move || ask_for_all(clients, campaign, client, meter, told)));
        }
        let over = &meter;
        scope.spawn(move || {
            let ends: Vec<_> = at_work.into_iter().map(thread::ScopedJoinHandle::join).collect();
            // Whoever waits for the meter waits no longer, also where one of them panicked.
            over.0.store(OVER, Ordering::Relaxed);
            for end in ends {
                end.unwrap();
            }
        });
        breaks(&meter);
    });
    told.into_inner().unwrap()
}

/// A run that fails is resumed, as its operator would; that it had to be is told.
fn sweep(store: &Store, campaign: CampaignId, meter: &Meter, told: &Mutex<Told>) {
    let mut engine = engine(store.clone(), 5);
    engine.pace.lanes = rand::random_range(1..=3).try_into().unwrap();
    let mut control = after_each_chunk(|_| meter.step());
    let mut done = purge(&engine, &manual(campaign, MEMBERS, true), &mut control);
    for _ in 0..ATTEMPTS {
        let failed = match done {
            Ok(PurgeReport { outcome: Outcome::Failed(error), run_id, .. }) => (error, Some(run_id)),
            Ok(report) => return told.lock().unwrap().sweep = Some(report),
            Err(error) => (error, None),
        };
        told.lock().unwrap().failed.push(format!("the sweep failed: {}", failed.0));
        thread::sleep(Duration::from_millis(200));
        done = match failed.1 {
            Some(run_id) => resume(&engine, run_id, Bounds::default(), &mut control),
            None => purge(&engine, &manual(campaign, MEMBERS, true), &mut control),
        };
    }
}

/// Asks for one number after the other, alone or with others, until each has its answer.
fn ask_for_all(store: &Store, campaign: CampaignId, client: i64, meter: &Meter, told: &Mutex<Told>) {
    let engine = engine(store.clone(), 5_000);
    let mut ids = (OF_THE_SWEEP + 1 + client..=NUMBERS).step_by(usize::try_from(CLIENTS).unwrap()).peekable();
    while ids.peek().is_some() {
        let runs: Vec<NewRun> = ids.by_ref().take(rand::random_range(1..=3)).map(|id| request(campaign, id)).collect();
        for answer in ask(&engine, &runs) {
            match answer {
                Ok(answer) => told.lock().unwrap().answers.push(answer),
                Err(unanswered) => told.lock().unwrap().failed.push(unanswered),
            }
        }
        meter.step();
    }
}

fn request(campaign: CampaignId, id: i64) -> NewRun {
    let asked = manual(campaign, &format!(r#"{{"sessionId":"s{id}"}}"#), rand::random());
    let key = rand::random::<bool>().then(|| format!("{campaign} s{id}"));
    NewRun { kind: RunKind::Request, key, ..asked }
}

/// As the endpoint does it: together where there is a connection, and each by itself where that led to no result.
fn ask(engine: &Engine, runs: &[NewRun]) -> Vec<Result<Answer, String>> {
    assert!(runs.iter().all(goes_together));
    let together = match engine.store.connection() {
        Ok(mut conn) if rand::random() => purge_together(engine, &mut conn, runs),
        _ => runs.iter().map(|_| Together::Alone).collect(),
    };
    let answer = |(run, together): (&NewRun, Together)| {
        let done = match together {
            Together::Done(report) => Ok(report),
            Together::Unanswered(begun) => settle(engine, run, &begun, &mut Control::unattended()),
            Together::Alone => purge(engine, run, &mut Control::unattended()),
        };
        until_answered(engine, run, done)
    };
    runs.iter().zip(together).map(answer).collect()
}

/// A client that gets an error asks again, with the same key if it has one.
fn until_answered(engine: &Engine, run: &NewRun, mut done: Result<PurgeReport, Error>) -> Result<Answer, String> {
    let criteria = serde_json::to_value(&run.criteria).unwrap();
    for asked in 1..=ATTEMPTS {
        let once = asked == 1 || run.key.is_some();
        match done {
            Ok(PurgeReport { outcome: Outcome::Succeeded, run_id, counts, .. }) => {
                return Ok(Answer { criteria, run_id, deleted: counts.deleted, once });
            }
            Err(Error::KeyTaken(key)) => match find(engine, &key) {
                Some(Run { state, id, counts, .. }) if state == "succeeded" => {
                    return Ok(Answer { criteria, run_id: id, deleted: counts.deleted, once });
                }
                Some(Run { id, .. }) => {
                    done = resume(engine, id, Bounds::default(), &mut Control::unattended());
                    continue;
                }
                None => {}
            },
            _ => thread::sleep(Duration::from_millis(50)),
        }
        done = purge(engine, run, &mut Control::unattended());
    }
    Err(format!("a client was never answered: {criteria}, in the end {done:?}"))
}

fn find(engine: &Engine, key: &str) -> Option<Run> {
    let mut conn = engine.store.connection().ok()?;
    runs::find_by_key(&mut conn, key).ok()?
}

/// What must be true once the load is over: every number is accounted for, what was told is in the ledger, once, and
/// nothing is left to do.
pub(crate) fn check(
    attack: &mut Attack,
    conn: &mut AnyConnection,
    store: &Store,
    (campaign, before): (CampaignId, &[NumberRow]),
    told: &Told,
) {
    let runs = attack.promises(conn, campaign, before);
    attack.holds(told.failed.is_empty(), || format!("{:?}", told.failed));
    let ended = told.sweep.as_ref().map(|report| (report.run_id, "succeeded", report.counts, report.chunks));
    let is_so = |run: &Run| ended == Some((run.id, &run.state, run.counts, run.chunks));
    attack.holds(runs.iter().any(is_so), || format!("the sweep was told {ended:?}, the ledger has {runs:?}"));
    for answer in &told.answers {
        let is_it =
            |run: &&Run| run.state == "succeeded" && (run.id, run.counts.deleted) == (answer.run_id, answer.deleted);
        let asked: Vec<&Run> = runs.iter().filter(|run| run.criteria == answer.criteria).collect();
        let holds = asked.iter().copied().any(|run| is_it(&run)) && (asked.len() == 1 || !answer.once);
        attack.holds(holds, || format!("a client was told {answer:?}, the ledger has {asked:?}"));
    }
    let waiting = |number: &&NumberRow| number.status == 0;
    let was_waiting = before.iter().filter(waiting).count();
    let left = tables::numbers(conn, campaign);
    attack.holds(!left.iter().any(|number| waiting(&number)), || "numbers were left behind".to_owned());
    let deleted: i64 = runs.iter().map(|run| run.counts.deleted).sum();
    attack.holds(usize::try_from(deleted) == Ok(was_waiting), || format!("{deleted} were deleted, {was_waiting} due"));
    let again = purge(&engine(store.clone(), 500), &manual(campaign, MEMBERS, true), &mut Control::unattended());
    let again = again.expect("sweeps once more");
    let nothing = matches!(again.outcome, Outcome::Succeeded) && again.counts.deleted == 0;
    attack.holds(nothing, || format!("the next sweep found {again:?}"));
}
