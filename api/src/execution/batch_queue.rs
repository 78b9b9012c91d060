//! Group commit: requests for a few numbers that arrive while a transaction is in progress share the next one. A request
//! that finds an idle thread is executed at once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use callsweep_core::engine::{BATCH_MAX, BatchOutcome, Engine, UnknownCommit, purge_batch};
use callsweep_core::run::NewRun;
use callsweep_core::store::{AnyConnection, Backend};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use tracing::error;

use super::{Job, RequestOutcome};
use crate::limits::{FairQueue, InFlight, Ticket};
use crate::telemetry::Metrics;

/// Executes requests in batches, each one transaction.
#[derive(Debug)]
pub(super) struct BatchQueue {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

/// What became of a request in a batch.
#[derive(Debug)]
pub(super) enum Batched {
    /// This is its outcome.
    Finished(RequestOutcome),
    /// It must be executed alone. With what was begun of it where it is not known whether that was committed.
    Alone(Box<Job>, Option<UnknownCommit>),
}

impl BatchQueue {
    /// Starts the threads.
    ///
    /// # Errors
    /// No thread could be started.
    pub(super) fn start(engine: &Engine, metrics: &Metrics) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let threads = (0..thread_count(engine)).map(|_| {
            let (queue, engine, metrics) = (queue.clone(), engine.clone(), metrics.clone());
            thread::Builder::new().name("group-commit".to_owned()).spawn(move || serve(&queue, &engine, &metrics))
        });
        Ok(Self { threads: threads.collect::<Result<_, _>>()?, queue })
    }

    /// Executes a request with others. It waits until `deadline` to be taken into a batch.
    pub(super) async fn submit(&self, job: Job, deadline: Instant) -> Batched {
        let (reply, mut answer) = oneshot::channel();
        let mut place = Place { queue: &self.queue, ticket: Some(self.queue.push(job, reply)) };
        if let Ok(answered) = timeout_at(deadline, &mut answer).await {
            place.ticket = None;
            return answered.unwrap_or(Batched::Finished(RequestOutcome::Panicked));
        }
        if place.leave() {
            Batched::Finished(RequestOutcome::Busy)
        } else {
            answer.await.unwrap_or(Batched::Finished(RequestOutcome::Panicked))
        }
    }

    /// How many wait to be taken into a batch.
    pub(super) fn waiting(&self) -> usize {
        self.queue.lock().requests.len()
    }
}

/// A batch that was taken is finished before the server ends.
impl Drop for BatchQueue {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.arrived.notify_all();
        for thread in self.threads.drain(..) {
            // A panic was logged when it happened.
            let _ = thread.join();
        }
    }
}

/// SQLite has one writer. On a server one batch is executed while the COMMIT of the other is written to disk.
pub(super) fn thread_count(engine: &Engine) -> u32 {
    let useful = if engine.store.backend() == Backend::Sqlite { 1 } else { 2 };
    useful.min(engine.store.pool_use().size)
}

type Reply = oneshot::Sender<Batched>;

/// Requests that wait for a batch.
#[derive(Debug, Default)]
struct Queue {
    inner: Mutex<Waiting>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    requests: FairQueue<(Job, Reply)>,
    idle_threads: u32,
    closed: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, job: Job, reply: Reply) -> Ticket {
        let mut waiting = self.lock();
        let access_key = job.run.actor.clone();
        let ticket = waiting.requests.push(&access_key, (job, reply));
        if waiting.idle_threads > 0 {
            self.arrived.notify_one();
        }
        ticket
    }

    /// Waits until there is a request. `false`: there will be none.
    fn wait(&self) -> bool {
        let mut waiting = self.lock();
        while waiting.requests.is_empty() && !waiting.closed {
            waiting.idle_threads += 1;
            waiting = self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            waiting.idle_threads -= 1;
        }
        // Whoever waits for an answer keeps the queue open.
        !waiting.closed
    }

    /// The next requests, as many as fit into a batch, the keys in turn.
    fn take(&self) -> (Vec<NewRun>, Vec<(InFlight, Reply)>) {
        let mut waiting = self.lock();
        let next = std::iter::from_fn(|| waiting.requests.pop()).take(BATCH_MAX);
        next.map(|(job, reply)| (job.run, (job.in_flight, reply))).unzip()
    }
}

/// A request's place in the queue, which it leaves where its client closes the connection before it is taken.
struct Place<'a> {
    queue: &'a Queue,
    ticket: Option<Ticket>,
}

impl Place<'_> {
    /// Whether the request was still waiting. From now on no batch takes it.
    fn leave(&mut self) -> bool {
        self.ticket.take().is_some_and(|ticket| self.queue.lock().requests.remove(&ticket).is_some())
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

fn serve(queue: &Queue, engine: &Engine, metrics: &Metrics) {
    while queue.wait() {
        // First a connection, then the requests: those that wait meanwhile may still give up, and more arrive.
        match engine.store.connection() {
            Ok(mut conn) => {
                let batch = queue.take();
                // A panic drops the connection, and so rolls its transaction back.
                let execute = move || execute_batch(engine, metrics, Some(&mut conn), batch);
                if catch_unwind(AssertUnwindSafe(execute)).is_err() {
                    error!("a batch of requests panicked");
                }
            }
            Err(error) if error.is_busy() => {}
            // The engine knows how long to wait for a server that is down.
            Err(_) => execute_batch(engine, metrics, None, queue.take()),
        }
    }
}

fn execute_batch(
    engine: &Engine,
    metrics: &Metrics,
    conn: Option<&mut AnyConnection>,
    (runs, replies): (Vec<NewRun>, Vec<(InFlight, Reply)>),
) {
    let results = match conn {
        Some(conn) if !runs.is_empty() => purge_batch(engine, conn, &runs),
        _ => runs.iter().map(|_| BatchOutcome::NotBatched).collect(),
    };
    for ((run, (in_flight, reply)), result) in runs.into_iter().zip(replies).zip(results) {
        let batched = match result {
            BatchOutcome::Committed(report) => {
                metrics.removed(&report.counts);
                drop(in_flight);
                Batched::Finished(RequestOutcome::Executed(report))
            }
            BatchOutcome::NotBatched => Batched::Alone(Box::new(Job { run, in_flight }), None),
            BatchOutcome::CommitUnknown(begun) => Batched::Alone(Box::new(Job { run, in_flight }), Some(begun)),
        };
        // The client may have closed its connection.
        let _ = reply.send(batched);
    }
}
