//! Where requests for a few numbers gather, to be done together: one COMMIT serves all that came while the one before was
//! under way. A request that finds nobody at work is done at once.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use callsweep_core::engine::{Engine, MOST_TOGETHER, PurgeReport, Together, Unanswered, purge_together};
use callsweep_core::run::NewRun;
use callsweep_core::store::{AnyConnection, Backend};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use tracing::error;

use crate::limits::InFlight;
use crate::metrics::Metrics;

/// Takes requests in turn and does them in groups.
#[derive(Debug)]
pub struct Gather {
    line: Arc<Line>,
    threads: Vec<JoinHandle<()>>,
}

/// A request on its way to the engine.
#[derive(Debug)]
pub struct Work {
    /// What is to be done.
    pub run: NewRun,
    /// Held until the work has ended, which may be after the client went away.
    pub in_flight: InFlight,
}

/// What became of a request that gathered with others.
#[derive(Debug)]
pub enum Gathered {
    /// It was done.
    Done(PurgeReport),
    /// It is to be done by itself; what was begun of it, if anything.
    Alone(Box<Work>, Option<Unanswered>),
    /// Nobody took it in time, and nothing was done.
    TooLate,
    /// The work panicked, and nothing was committed.
    Failed,
}

impl Gather {
    /// Begins to take requests.
    ///
    /// # Errors
    /// No thread could be made.
    pub fn start(engine: &Engine, metrics: &Metrics) -> std::io::Result<Self> {
        let line = Arc::new(Line::default());
        let threads = (0..threads(engine)).map(|_| {
            let (line, engine, metrics) = (line.clone(), engine.clone(), metrics.clone());
            thread::Builder::new().name("gather".to_owned()).spawn(move || serve(&line, &engine, &metrics))
        });
        Ok(Self { threads: threads.collect::<Result<_, _>>()?, line })
    }

    /// Does a request together with others. It waits until `deadline` to be taken.
    pub async fn together(&self, work: Work, deadline: Instant) -> Gathered {
        let (reply, mut answer) = oneshot::channel();
        let mut place = Place { line: &self.line, number: Some(self.line.enter(work, reply)) };
        if let Ok(answered) = timeout_at(deadline, &mut answer).await {
            place.number = None;
            return answered.unwrap_or(Gathered::Failed);
        }
        if place.leave() { Gathered::TooLate } else { answer.await.unwrap_or(Gathered::Failed) }
    }

    /// How many wait to be taken.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.line.lock().requests.len()
    }
}

/// What was taken is finished before the server ends.
impl Drop for Gather {
    fn drop(&mut self) {
        self.line.lock().closed = true;
        self.line.arrived.notify_all();
        for thread in self.threads.drain(..) {
            // A panic was told when it happened.
            let _ = thread.join();
        }
    }
}

/// SQLite has one writer. On a server one group works while the other's COMMIT is on its way to the disk.
fn threads(engine: &Engine) -> u32 {
    let useful = if engine.store.backend() == Backend::Sqlite { 1 } else { 2 };
    useful.min(engine.store.pool_use().size)
}

/// Requests in the order in which they came.
#[derive(Debug, Default)]
struct Line {
    inner: Mutex<Waiting>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Each with its number in the line.
    requests: VecDeque<(u64, Work, oneshot::Sender<Gathered>)>,
    last: u64,
    /// Threads that have nothing to do.
    idle: u32,
    closed: bool,
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, work: Work, reply: oneshot::Sender<Gathered>) -> u64 {
        let mut waiting = self.lock();
        waiting.last += 1;
        let number = waiting.last;
        waiting.requests.push_back((number, work, reply));
        if waiting.idle > 0 {
            self.arrived.notify_one();
        }
        number
    }

    /// Says whether the request was still there: from now on nobody takes it.
    fn leave(&self, number: u64) -> bool {
        let mut waiting = self.lock();
        let place = waiting.requests.binary_search_by_key(&number, |(number, ..)| *number);
        place.is_ok_and(|place| waiting.requests.remove(place).is_some())
    }

    /// Waits until there is a request. `false`: there will be none.
    fn wait(&self) -> bool {
        let mut waiting = self.lock();
        while waiting.requests.is_empty() && !waiting.closed {
            waiting.idle += 1;
            waiting = self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            waiting.idle -= 1;
        }
        // Whoever waits for an answer holds the line open.
        !waiting.closed
    }

    /// The next requests, as many as fit into a group.
    fn take(&self) -> (Vec<NewRun>, Vec<(InFlight, oneshot::Sender<Gathered>)>) {
        let mut waiting = self.lock();
        let most = waiting.requests.len().min(MOST_TOGETHER);
        waiting.requests.drain(..most).map(|(_, work, reply)| (work.run, (work.in_flight, reply))).unzip()
    }
}

/// A request's place in the line, which it leaves where its client goes away before it is taken.
struct Place<'a> {
    line: &'a Line,
    number: Option<u64>,
}

impl Place<'_> {
    fn leave(&mut self) -> bool {
        self.number.take().is_some_and(|number| self.line.leave(number))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

fn serve(line: &Line, engine: &Engine, metrics: &Metrics) {
    while line.wait() {
        // First a connection, then the requests: those that wait meanwhile may still give up, and more come.
        match engine.store.connection() {
            Ok(mut conn) => {
                let group = line.take();
                // A panic takes the connection with it, and so its transaction.
                let work = move || serve_group(engine, metrics, Some(&mut conn), group);
                if catch_unwind(AssertUnwindSafe(work)).is_err() {
                    error!("a group of requests panicked");
                }
            }
            Err(error) if error.is_busy() => {}
            // The engine knows how long a server is waited for.
            Err(_) => serve_group(engine, metrics, None, line.take()),
        }
    }
}

fn serve_group(
    engine: &Engine,
    metrics: &Metrics,
    conn: Option<&mut AnyConnection>,
    (runs, replies): (Vec<NewRun>, Vec<(InFlight, oneshot::Sender<Gathered>)>),
) {
    let results = match conn {
        Some(conn) if !runs.is_empty() => purge_together(engine, conn, &runs),
        _ => runs.iter().map(|_| Together::Alone).collect(),
    };
    for ((run, (in_flight, reply)), result) in runs.into_iter().zip(replies).zip(results) {
        let answer = match result {
            Together::Done(report) => {
                metrics.removed(&report.counts);
                drop(in_flight);
                Gathered::Done(report)
            }
            Together::Alone => Gathered::Alone(Box::new(Work { run, in_flight }), None),
            Together::Unanswered(begun) => Gathered::Alone(Box::new(Work { run, in_flight }), Some(begun)),
        };
        // The client may have gone away.
        let _ = reply.send(answer);
    }
}
