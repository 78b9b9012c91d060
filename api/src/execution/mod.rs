//! Runs the engine for a request, once: in a group commit with others where it can, else alone.

mod alone;
mod batch_queue;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use callsweep_core::engine::Error;
use callsweep_core::engine::{Engine, PurgeReport, UnknownCommit, can_be_batched};
use callsweep_core::run::{NewRun, Run};
use tokio::time::Instant;
use tracing::Span;

use crate::limits::{InFlight, Seats};
use crate::telemetry::Metrics;
use batch_queue::{BatchQueue, Batched};

/// Executes requests.
#[derive(Debug)]
pub struct Executor {
    engine: Engine,
    batches: BatchQueue,
    /// For requests that are executed alone.
    seats: Seats,
    /// How long a request waits to be executed.
    queue_timeout: Duration,
    metrics: Metrics,
}

/// A request on its way to the engine.
#[derive(Debug)]
pub struct Job {
    /// What is to be done.
    pub run: NewRun,
    /// Held until the execution has ended, which may be after the client closed its connection.
    pub in_flight: InFlight,
}

/// What became of a request.
#[derive(Debug)]
pub enum RequestOutcome {
    /// It was executed now.
    Executed(PurgeReport),
    /// It had been executed before: this is its row of the ledger.
    Replayed(Box<Run>),
    /// Its first copy is still being executed.
    InProgress,
    /// Its Idempotency-Key belongs to another call.
    KeyReused,
    /// It waited too long, and nothing was done.
    Busy,
    /// The engine refused it or failed before anything was committed.
    Failed(Error),
    /// The engine panicked.
    Panicked,
}

impl Executor {
    /// Starts the threads of the group commit. `share`: seats that one key has at most.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn start(
        engine: Engine,
        metrics: Metrics,
        queue_timeout: Duration,
        share: Option<NonZeroUsize>,
    ) -> std::io::Result<Arc<Self>> {
        let seats = Seats::new(seat_count(&engine), share);
        let batches = BatchQueue::start(&engine, &metrics)?;
        Ok(Arc::new(Self { engine, batches, seats, queue_timeout, metrics }))
    }

    /// The engine that it runs.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Requests that may be executed alone at the same time.
    #[must_use]
    pub fn seat_count(&self) -> NonZeroUsize {
        seat_count(&self.engine)
    }

    /// Requests that wait to be executed.
    #[must_use]
    pub fn waiting(&self) -> i64 {
        self.seats.waiting() + i64::try_from(self.batches.waiting()).unwrap_or(i64::MAX)
    }

    /// Those of them that wait because their key uses its share of the connections.
    #[must_use]
    pub fn waiting_for_share(&self) -> i64 {
        self.seats.waiting_for_share()
    }

    /// Executes a request, unless it was executed before.
    pub async fn execute(self: &Arc<Self>, job: Job) -> RequestOutcome {
        let deadline = Instant::now() + self.queue_timeout;
        if !can_be_batched(&job.run) {
            return self.execute_alone(job, None, deadline).await;
        }
        match self.batches.submit(job, deadline).await {
            Batched::Finished(outcome) => outcome,
            Batched::Alone(job, unknown_commit) => self.execute_alone(*job, unknown_commit, deadline).await,
        }
    }

    /// The engine blocks: not on an async thread. It goes on where the client closes its connection.
    async fn execute_alone(
        self: &Arc<Self>,
        job: Job,
        unknown_commit: Option<UnknownCommit>,
        deadline: Instant,
    ) -> RequestOutcome {
        let Some(seat) = self.seats.take(&job.run.actor, deadline).await else { return RequestOutcome::Busy };
        let (span, executor) = (Span::current(), self.clone());
        let executed = web::block(move || {
            let outcome = span.in_scope(|| alone::execute(&executor.engine, &job.run, unknown_commit.as_ref()));
            match &outcome {
                RequestOutcome::Executed(report) => executor.metrics.removed(&report.counts),
                RequestOutcome::Replayed(_) => {
                    executor.metrics.replayed.inc();
                }
                _ => {}
            }
            drop((job, seat));
            outcome
        });
        executed.await.unwrap_or(RequestOutcome::Panicked)
    }
}

/// One for each connection that the group commit leaves, and at least one.
fn seat_count(engine: &Engine) -> NonZeroUsize {
    let connections = engine.store.pool_use().size.saturating_sub(batch_queue::thread_count(engine));
    usize::try_from(connections).ok().and_then(NonZeroUsize::new).unwrap_or(NonZeroUsize::MIN)
}
