//! A request's way through the engine: together with others where it can, else by itself.

use std::time::Duration;

use actix_web::web;
use callsweep_core::engine::Error;
use callsweep_core::engine::{Unanswered, goes_together};
use tokio::time::Instant;
use tracing::Span;

use crate::delete::Endpoint;
use crate::gather::{Gathered, Work};
use crate::replay::{self, Done};

/// Why nothing is known to have been done.
#[derive(Debug)]
pub enum NotDone {
    /// It waited too long, and nothing was done.
    Busy,
    /// The engine's error.
    Error(Error),
    /// The work panicked.
    Panicked,
}

/// Does what a request asks for. It waits no longer than `patience` for its turn.
pub(crate) async fn work(endpoint: &web::Data<Endpoint>, work: Work, patience: Duration) -> Result<Done, NotDone> {
    let deadline = Instant::now() + patience;
    if !goes_together(&work.run) {
        return alone(endpoint.clone(), work, None, deadline).await;
    }
    match endpoint.gather.together(work, deadline).await {
        Gathered::Done(report) => Ok(Done::Now(report)),
        Gathered::Alone(work, begun) => alone(endpoint.clone(), *work, begun, deadline).await,
        Gathered::TooLate => Err(NotDone::Busy),
        Gathered::Failed => Err(NotDone::Panicked),
    }
}

/// The engine blocks: not on an async thread. It goes on where the client goes away.
async fn alone(
    endpoint: web::Data<Endpoint>,
    work: Work,
    begun: Option<Unanswered>,
    deadline: Instant,
) -> Result<Done, NotDone> {
    let seat = endpoint.queue.enter(deadline).await.ok_or(NotDone::Busy)?;
    let span = Span::current();
    let done = web::block(move || {
        let done = span.in_scope(|| replay::execute(&endpoint.engine, &work.run, begun.as_ref()));
        match &done {
            Ok(Done::Now(report)) => endpoint.metrics.removed(&report.counts),
            Ok(Done::Before(_)) => {
                endpoint.metrics.replayed.inc();
            }
            _ => {}
        }
        drop((work, seat));
        done
    });
    done.await.map_err(|_| NotDone::Panicked)?.map_err(NotDone::Error)
}
