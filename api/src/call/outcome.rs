//! The answer to the outcome of a request.

use std::time::Duration;

use actix_web::http::StatusCode;
use callsweep_core::bounds::Exceeded;
use callsweep_core::engine::Error;
use callsweep_core::engine::{Outcome, PurgeReport};
use callsweep_core::outcome_code::OutcomeCode;
use callsweep_core::result_code::ResultCode;
use callsweep_core::run::{Run, RunState};
use callsweep_core::stop_reason::StopReason;

use super::answer::{Answer, Detail};
use crate::execution::RequestOutcome;

/// The answer that the contract gives to an outcome.
pub(super) fn answer_to(outcome: &RequestOutcome) -> Answer {
    match outcome {
        RequestOutcome::Executed(report) => answer_to_report(report),
        RequestOutcome::Replayed(run) => answer_again(run),
        RequestOutcome::InProgress | RequestOutcome::Busy => busy(),
        RequestOutcome::KeyReused => {
            let (english, chinese) =
                ("Idempotency-Key: belongs to another request", "Idempotency-Key：已用于另一个请求");
            Answer::refusal(StatusCode::UNPROCESSABLE_ENTITY, english, chinese)
        }
        RequestOutcome::Failed(error) => answer_to_error(error, 0),
        RequestOutcome::Panicked => {
            let (english, chinese) = ("the server failed", "服务器内部错误");
            Answer::refusal(StatusCode::INTERNAL_SERVER_ERROR, english, chinese)
        }
    }
}

/// After a second another request has usually ended.
fn busy() -> Answer {
    let (english, chinese) = ("the server is busy, try again", "服务器繁忙，请重试");
    Answer::refusal(StatusCode::SERVICE_UNAVAILABLE, english, chinese).retry_after(Duration::from_secs(1))
}

fn answer_to_report(report: &PurgeReport) -> Answer {
    let counts = &report.counts;
    let answer = Answer::of(report.result_code(), counts.deleted);
    match &report.outcome {
        Outcome::Refused(error) | Outcome::Failed(error) => answer_to_error(error, counts.deleted),
        Outcome::Stopped(StopReason::CampaignExecuting) => answer.with(Detail::CampaignExecuting),
        _ if counts.barred.total() > 0 => answer.with(Detail::Stayed(counts.barred)),
        _ => answer,
    }
}

/// The first answer to a request, from its row of the ledger.
fn answer_again(run: &Run) -> Answer {
    // A run that ended by an error may have no code.
    let code = run.result_code.unwrap_or(ResultCode::DatabaseError);
    let answer = Answer::of(code, run.counts.deleted);
    let is_executing = match run.outcome_code {
        Some(outcome) => outcome == OutcomeCode::CampaignExecuting,
        // Written by a server of 0.1.0 that still runs on the new schema.
        None => run.state == RunState::Refused && code == ResultCode::StateForbids,
    };
    match code {
        _ if is_executing => answer.with(Detail::CampaignExecuting),
        ResultCode::Success | ResultCode::StateForbids if run.counts.barred.total() > 0 => {
            answer.with(Detail::Stayed(run.counts.barred))
        }
        _ => answer,
    }
}

/// The database's message may name hosts and statements: it goes to the log, not to the client.
fn answer_to_error(error: &Error, deleted: i64) -> Answer {
    let answer = Answer::of(ResultCode::from(error), deleted);
    match error {
        Error::InvalidParameter(invalid) => answer.with(Detail::Parameter(invalid.clone())),
        Error::NoSuchCampaign { vdn, campaign } => answer.with(Detail::NoSuchCampaign(*vdn, *campaign)),
        Error::CampaignExecuting => answer.with(Detail::CampaignExecuting),
        Error::Bound(Exceeded::MaxRows { max, rows }) => answer.with(Detail::MaxRows { numbers: *rows, max: *max }),
        // 503 tells the client that nothing was done.
        Error::Store(error) if error.is_busy() && deleted == 0 => busy(),
        _ => answer,
    }
}
