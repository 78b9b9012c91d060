//! One answer for each code and each status: what they look like, written by the code that answers.

use actix_web::http::StatusCode;
use callsweep_core::campaign::{CampaignId, VdnId};
use callsweep_core::invalid::{InvalidParameter, Problem};
use callsweep_core::number::Called;
use callsweep_core::result_code::ResultCode;
use callsweep_core::rules::Barred;

use crate::call::answer::{Answer, Detail};
use crate::call::body::{A_STRING, BODY};

/// When a code is answered, and one such answer.
pub(super) fn example(code: ResultCode) -> (&'static str, Answer) {
    let invalid = |name: &'static str, problem| Answer::from(InvalidParameter::new(name, problem));
    // The shared list's codes that no input of this call can cause.
    let shared = "on the vendor's shared list; this call never answers it";
    match code {
        ResultCode::Success => {
            ("done; nothing matched where successCount is 0 and resultDesc empty", Answer::of(code, 1))
        }
        ResultCode::ParameterError => {
            ("a member that the page does not name, or one given twice", invalid("callee", Problem::Unknown))
        }
        ResultCode::DatabaseError => {
            ("the database failed; what had been committed by then is counted", Answer::of(code, 0))
        }
        ResultCode::NoSuchCampaign => ("no such campaign in this VDN", no_such_campaign()),
        ResultCode::StateForbids => (
            "all that matched must stay, or the campaign is executing",
            Answer::of(code, 0).with(Detail::Stayed(Barred { call_ongoing: 1, ..Barred::default() })),
        ),
        ResultCode::TimeFormat => {
            ("recycleTime is no real date and time", invalid("recycleTime", Problem::NotADateTime))
        }
        ResultCode::Empty => ("no filter, an empty string, an empty body", invalid("sessionId", Problem::Empty)),
        ResultCode::Characters => ("a character that is not allowed", invalid("called", Problem::Characters)),
        ResultCode::TooLong => ("too long", invalid("called", Problem::TooLong { max_chars: Called::MAX_CHARS })),
        ResultCode::Type => {
            ("another JSON type, or a path number that is no integer", invalid("sessionId", Problem::Type(A_STRING)))
        }
        ResultCode::Value => ("outside the allowed values", out_of_range()),
        ResultCode::Conversion => (
            "not JSON, or not UTF-8",
            invalid(BODY, Problem::NotJson("EOF while parsing an object at line 1 column 1".to_owned())),
        ),
        ResultCode::Combination => {
            ("recycleTime and recycleType not together", invalid("recycleType", Problem::Without("recycleTime")))
        }
        ResultCode::TooMany => ("more than six members", invalid(BODY, Problem::TooMany { max: 6 })),
        ResultCode::TooShort | ResultCode::LengthRange | ResultCode::HourAndMinute => (shared, Answer::of(code, 0)),
    }
}

fn no_such_campaign() -> Answer {
    let answer = Answer::of(ResultCode::NoSuchCampaign, 0);
    match (VdnId::parse("1"), CampaignId::parse("99")) {
        (Ok(vdn), Ok(campaign)) => answer.with(Detail::NoSuchCampaign(vdn, campaign)),
        _ => answer,
    }
}

fn out_of_range() -> Answer {
    VdnId::parse("10000").map_or_else(Answer::from, |_| Answer::of(ResultCode::Value, 0))
}

/// One answer for each status but 200. A test holds those that it can cause against the server's.
pub(super) fn refusals() -> [Answer; 14] {
    [
        (StatusCode::BAD_REQUEST, "body: was not received whole"),
        (StatusCode::UNAUTHORIZED, "Authorization: not accepted"),
        (StatusCode::FORBIDDEN, "vdnId: this access key has no right to it"),
        (StatusCode::NOT_FOUND, "path: there is nothing here"),
        (StatusCode::METHOD_NOT_ALLOWED, "method: must be POST"),
        (StatusCode::REQUEST_TIMEOUT, "body: did not arrive in time"),
        (StatusCode::PAYLOAD_TOO_LARGE, "body: is too large"),
        (StatusCode::URI_TOO_LONG, "path: is too long"),
        (StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type: must be application/json; charset=UTF-8"),
        (StatusCode::UNPROCESSABLE_ENTITY, "Idempotency-Key: belongs to another request"),
        (StatusCode::TOO_MANY_REQUESTS, "too many requests"),
        (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers: are too large"),
        (StatusCode::INTERNAL_SERVER_ERROR, "the server failed"),
        (StatusCode::SERVICE_UNAVAILABLE, "the server is busy, try again"),
    ]
    .map(|(status, text)| Answer::refusal(status, text, ""))
}
