//! Integrators of the races: requests for one sessionId or called number, several in a group as the endpoint does it.

use callsweep_core::engine::Error;
use callsweep_core::engine::{BatchOutcome, Control, Outcome, PurgeReport, purge, purge_batch, resolve_unknown_commit};
use callsweep_core::run::{NewRun, RunKind};

use super::context::{ActorLog, RaceContext, ReportedRun, any_called, any_session_id};
use crate::support::{engine, manual};

/// Most requests in a group.
const TOGETHER: usize = 6;

pub(super) fn delete(context: &RaceContext<'_>, log: &mut ActorLog) {
    let engine = engine(context.store.clone(), 50);
    while !context.is_over() {
        context.let_others_write();
        let requests: Vec<NewRun> =
            (0..rand::random_range(1..=TOGETHER)).map(|_| context.ask(new_request(context))).collect();
        let together = match engine.store.connection() {
            Ok(mut conn) => purge_batch(&engine, &mut conn, &requests),
            Err(error) => {
                log.postpone("a request", error);
                continue;
            }
        };
        for (request, outcome) in requests.iter().zip(together) {
            let control = &mut Control::unattended();
            let (what, report) = match outcome {
                BatchOutcome::Committed(report) => ("requests in a group", Ok(report)),
                BatchOutcome::NotBatched => ("requests alone", purge(&engine, request, control)),
                BatchOutcome::CommitUnknown(begun) => {
                    ("requests settled", resolve_unknown_commit(&engine, request, &begun, control))
                }
            };
            note(context, log, what, report);
        }
    }
}

/// Most requests archive; some delete without archive.
fn new_request(context: &RaceContext<'_>) -> NewRun {
    let filter = if rand::random() {
        format!(r#"{{"sessionId":"{}"}}"#, any_session_id())
    } else {
        format!(r#"{{"called":"{}"}}"#, any_called())
    };
    let key = Some(format!("{:x}", rand::random::<u128>()));
    NewRun { kind: RunKind::Request, key, ..manual(context.campaign(), &filter, rand::random_bool(0.7)) }
}

/// Records the result of a run.
pub(super) fn note(context: &RaceContext<'_>, log: &mut ActorLog, what: &str, report: Result<PurgeReport, Error>) {
    let report = match report {
        Ok(report) => report,
        Err(Error::KeyTaken(_)) => return log.attack.fault("requests repeated"),
        Err(error) => return log.postpone(what, error),
    };
    log.attack.fault(what);
    if report.counts.archived > 0 {
        context.offer(report.run_id);
    }
    let state = report.outcome.state();
    log.reported.push(ReportedRun { run_id: report.run_id, counts: report.counts, state });
    if let Outcome::Failed(error) = report.outcome {
        log.postpone(what, error);
    }
}
