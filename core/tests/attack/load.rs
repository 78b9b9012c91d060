//! The load of the server tests: a sweep and several clients on one campaign, and the checks after it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use callsweep_core::bounds::Bounds;
use callsweep_core::campaign::CampaignId;
use callsweep_core::engine::Error;
use callsweep_core::engine::{
    BatchOutcome, Control, Engine, Outcome, PurgeReport, can_be_batched, purge, purge_batch, resolve_unknown_commit,
    resume,
};
use callsweep_core::number::NewNumber;
use callsweep_core::run::RunState;
use callsweep_core::run::{NewRun, Run, RunKind};
use callsweep_core::store::{AnyConnection, Store, runs};
use callsweep_testkit::attack::Attack;
use callsweep_testkit::sample;
use callsweep_testkit::tables::{self, NumberRow};

use crate::support::{after_each_chunk, engine, manual};

/// The filter of the sweeps.
pub(crate) const MEMBERS: &str = r#"{"recycleTime":"2020-12-31 00:00:00","recycleType":"1"}"#;
/// Numbers of a campaign: the sweep removes the first; the others have no recycle time, and the clients remove them.
pub(crate) const NUMBERS: i64 = 1_000;
const OF_THE_SWEEP: i64 = 700;
const CLIENTS: i64 = 3;
/// Attempts after which a client gives up.
const ATTEMPTS: u32 = 200;
/// Approximate number of steps of a load: chunks and answers. In the first half, sweep and clients are all active.
pub(crate) const STEPS: u64 = 300;

/// The numbers of a campaign.
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

/// The same, but the sweep also removes the clients' numbers.
pub(crate) fn wanted_by_all() -> Vec<NewNumber> {
    let mut numbers = numbers();
    for number in &mut numbers {
        number.recycle_time.get_or_insert(sample::time("2020-12-04 17:57:00"));
    }
    numbers
}

/// Results that the sweep and the clients received.
#[derive(Debug, Default)]
pub(crate) struct Reported {
    /// Permanent failures, and those that only a retry by the operator solved.
    failed: Vec<String>,
    sweep: Option<PurgeReport>,
    answers: Vec<Answer>,
}

/// The answer that a client received for a number.
#[derive(Debug)]
struct Answer {
    criteria: serde_json::Value,
    run_id: i64,
    deleted: i64,
    /// The client asked once, or each time with the same key.
    once: bool,
}

/// Progress of a load.
pub(crate) struct Meter(AtomicU64);

impl Meter {
    fn step(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until this many steps were made, or the load has ended.
    pub(crate) fn wait(&self, steps: u64) {
        while self.0.load(Ordering::Relaxed) < steps {
            thread::sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= OVER
    }
}

/// Value of the meter when the load has ended.
const OVER: u64 = 1 << 32;

/// Sweeps a campaign and requests its other numbers until everything is done, while `breaks` injects faults. The
/// clients may use another store than the sweep.
pub(crate) fn under_load(
    store: &Store,
    clients: &Store,
    campaign: CampaignId,
    breaks: impl FnOnce(&Meter),
) -> Reported {
    let meter = Meter(AtomicU64::new(0));
    let reported = Mutex::new(Reported::default());
    thread::scope(|scope| {
        let mut threads = vec![scope.spawn(|| sweep(store, campaign, &meter, &reported))];
        for client in 0..CLIENTS {
            let (meter, reported) = (&meter, &reported);
            threads.push(scope.spawn(move || ask_for_all(clients, campaign, client, meter, reported)));
        }
        let over = &meter;
        scope.spawn(move || {
            let ends: Vec<_> = threads.into_iter().map(thread::ScopedJoinHandle::join).collect();
            // Ends every wait for the meter, also after a panic in a thread.
            over.0.store(OVER, Ordering::Relaxed);
            for end in ends {
                end.unwrap();
            }
        });
        breaks(&meter);
    });
    reported.into_inner().unwrap()
}

/// Resumes a run that fails, as an operator would, and records that this was necessary.
fn sweep(store: &Store, campaign: CampaignId, meter: &Meter, reported: &Mutex<Reported>) {
    let mut engine = engine(store.clone(), 5);
    engine.pace.lanes = rand::random_range(1..=3).try_into().unwrap();
    let mut control = after_each_chunk(|_| meter.step());
    let mut done = purge(&engine, &manual(campaign, MEMBERS, true), &mut control);
    for _ in 0..ATTEMPTS {
        let failed = match done {
            Ok(PurgeReport { outcome: Outcome::Failed(error), run_id, .. }) => (error, Some(run_id)),
            Ok(report) => return reported.lock().unwrap().sweep = Some(report),
            Err(error) => (error, None),
        };
        reported.lock().unwrap().failed.push(format!("the sweep failed: {}", failed.0));
        thread::sleep(Duration::from_millis(200));
        done = match failed.1 {
            Some(run_id) => resume(&engine, run_id, Bounds::default(), &mut control),
            None => purge(&engine, &manual(campaign, MEMBERS, true), &mut control),
        };
    }
}

/// Requests one number after the other, alone or in a group, until each has its answer.
fn ask_for_all(store: &Store, campaign: CampaignId, client: i64, meter: &Meter, reported: &Mutex<Reported>) {
    let engine = engine(store.clone(), 5_000);
    let mut ids = (OF_THE_SWEEP + 1 + client..=NUMBERS).step_by(usize::try_from(CLIENTS).unwrap()).peekable();
    while ids.peek().is_some() {
        let runs: Vec<NewRun> = ids.by_ref().take(rand::random_range(1..=3)).map(|id| request(campaign, id)).collect();
        for answer in ask(&engine, &runs) {
            match answer {
                Ok(answer) => reported.lock().unwrap().answers.push(answer),
                Err(unanswered) => reported.lock().unwrap().failed.push(unanswered),
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

/// Executes requests as the endpoint does: in a group if possible, and each one alone that got no result there.
fn ask(engine: &Engine, runs: &[NewRun]) -> Vec<Result<Answer, String>> {
    assert!(runs.iter().all(can_be_batched));
    let together = match engine.store.connection() {
        Ok(mut conn) if rand::random() => purge_batch(engine, &mut conn, runs),
        _ => runs.iter().map(|_| BatchOutcome::NotBatched).collect(),
    };
    let answer = |(run, together): (&NewRun, BatchOutcome)| {
        let done = match together {
            BatchOutcome::Committed(report) => Ok(report),
            BatchOutcome::CommitUnknown(begun) => {
                resolve_unknown_commit(engine, run, &begun, &mut Control::unattended())
            }
            BatchOutcome::NotBatched => purge(engine, run, &mut Control::unattended()),
        };
        until_answered(engine, run, done)
    };
    runs.iter().zip(together).map(answer).collect()
}

/// A client retries after an error, with the same key if it has one.
fn until_answered(engine: &Engine, run: &NewRun, mut done: Result<PurgeReport, Error>) -> Result<Answer, String> {
    let criteria = serde_json::to_value(&run.criteria).unwrap();
    for asked in 1..=ATTEMPTS {
        let once = asked == 1 || run.key.is_some();
        match done {
            Ok(PurgeReport { outcome: Outcome::Succeeded, run_id, counts, .. }) => {
                return Ok(Answer { criteria, run_id, deleted: counts.deleted, once });
            }
            Err(Error::KeyTaken(key)) => match find(engine, &key) {
                Some(Run { state: RunState::Succeeded, id, counts, .. }) => {
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
    Err(format!("a client was never answered: {criteria}, last result {done:?}"))
}

fn find(engine: &Engine, key: &str) -> Option<Run> {
    let mut conn = engine.store.connection().ok()?;
    runs::find_by_key(&mut conn, key).ok()?
}

/// Checks after the load: every number is accounted for, each reported result is in the ledger exactly once, and
/// nothing is left to remove.
pub(crate) fn check(
    attack: &mut Attack,
    conn: &mut AnyConnection,
    store: &Store,
    (campaign, before): (CampaignId, &[NumberRow]),
    reported: &Reported,
) {
    let runs = attack.promises(conn, campaign, before);
    attack.holds(reported.failed.is_empty(), || format!("{:?}", reported.failed));
    let ended =
        reported.sweep.as_ref().map(|report| (report.run_id, RunState::Succeeded, report.counts, report.chunks));
    let is_so = |run: &Run| ended == Some((run.id, run.state, run.counts, run.chunks));
    attack.holds(runs.iter().any(is_so), || format!("the sweep received {ended:?}, the ledger has {runs:?}"));
    for answer in &reported.answers {
        let is_it = |run: &&Run| {
            run.state == RunState::Succeeded && (run.id, run.counts.deleted) == (answer.run_id, answer.deleted)
        };
        let asked: Vec<&Run> = runs.iter().filter(|run| run.criteria == answer.criteria).collect();
        let holds = asked.iter().copied().any(|run| is_it(&run)) && (asked.len() == 1 || !answer.once);
        attack.holds(holds, || format!("a client received {answer:?}, the ledger has {asked:?}"));
    }
    let waiting = |number: &&NumberRow| number.status == 0;
    let was_waiting = before.iter().filter(waiting).count();
    let left = tables::numbers(conn, campaign);
    attack.holds(!left.iter().any(|number| waiting(&number)), || "numbers were left behind".to_owned());
    let deleted: i64 = runs.iter().map(|run| run.counts.deleted).sum();
    attack.holds(usize::try_from(deleted) == Ok(was_waiting), || format!("{deleted} were deleted, {was_waiting} due"));
    let again = purge(&engine(store.clone(), 500), &manual(campaign, MEMBERS, true), &mut Control::unattended());
    let again = again.expect("a second sweep runs");
    let nothing = matches!(again.outcome, Outcome::Succeeded) && again.counts.deleted == 0;
    attack.holds(nothing, || format!("the next sweep found {again:?}"));
}
