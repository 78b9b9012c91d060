//! The call itself: each step of the contract's order (section 2) in one line, first failure wins.

use std::time::Duration;

use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::http::{Method, StatusCode};
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse};
use arc_swap::ArcSwap;
use callsweep_core::bounds::{Bounds, Exceeded};
use callsweep_core::campaign::{CampaignId, VdnId};
use callsweep_core::engine::Error;
use callsweep_core::engine::{Engine, Outcome, PurgeReport};
use callsweep_core::result_code::ResultCode;
use callsweep_core::run::{NewRun, RequestOrigin, Run, RunKind, RunState, Target};
use callsweep_core::stop_reason::StopReason;
use percent_encoding::percent_decode_str;
use tokio::time::timeout;
use tracing::Instrument;

use crate::answer::{self, Answer, Detail};
use crate::auth::canonical::WireRequest;
use crate::auth::{Caller, Keys};
use crate::body::DeleteCall;
use crate::connections::Busy;
use crate::gather::{Gather, Work};
use crate::limits::{Limits, OverLimit};
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::replay::{self, Done, IdempotencyKeyProblem};
use crate::telemetry::AccessLog;
use crate::work::{self, NotDone};

/// What the endpoint works with.
#[derive(Debug)]
pub struct Endpoint {
    /// Removes the numbers.
    pub engine: Engine,
    /// Who may call, at the moment.
    pub keys: ArcSwap<Keys>,
    /// How much they may ask for.
    pub limits: Limits,
    /// Where requests for a few numbers wait to be done together.
    pub gather: Gather,
    /// Where the others wait for the database.
    pub queue: Queue,
    /// How long a request waits for its turn.
    pub queue_timeout: Duration,
    /// Counts what happens.
    pub metrics: Metrics,
    /// Bytes that a body may have.
    pub max_body: usize,
    /// Bytes that the headers may have.
    pub max_headers: usize,
    /// Bytes that path and query may have.
    pub max_uri: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
}

/// The route as logs and metrics name it.
pub const ROUTE: &str = "/rest/isales/v1/openapi/campaigns/{vdnId}/calldata/{campaignId}/delete";

/// Answers every request that reaches the server; there is one route, and the rest is 404.
pub async fn handle(request: HttpRequest, payload: web::Payload, endpoint: web::Data<Endpoint>) -> HttpResponse {
    let _busy = Busy::of(&request);
    let mut log = AccessLog::begin(&request, &endpoint.metrics);
    let span = log.span();
    let answered = answer(&request, payload, &endpoint, &mut log).instrument(span).await;
    let answer = answered.unwrap_or_else(|refused| refused);
    log.answered(&answer);
    answer.into_response(answer::locale(&request), log.request_id())
}

async fn answer(
    request: &HttpRequest,
    payload: web::Payload,
    endpoint: &web::Data<Endpoint>,
    log: &mut AccessLog,
) -> Result<Answer, Answer> {
    let address = request.peer_addr().map(|address| address.ip());
    if let Some(address) = address {
        endpoint.limits.take_by_address(address).map_err(|over| over_limit(over, log))?;
    }
    check_uri(request, endpoint.max_uri)?;
    check_headers(request, endpoint.max_headers)?;
    let (vdn, campaign) = route(request.uri().path()).ok_or_else(no_such_route)?;
    log.route = Some(ROUTE);
    if request.method() != Method::POST {
        return Err(Answer::refusal(StatusCode::METHOD_NOT_ALLOWED, "method: must be POST", "method：必须是POST"));
    }
    check_content_type(request)?;
    let body = read_body(request, payload, endpoint).await?;
    let caller = authenticate(request, &body, endpoint, log)?;
    let key = &caller.key;
    log.access_key = Some(key.access_key.clone());
    log.by_previous_secret = caller.by_previous_secret;
    let in_flight = endpoint.limits.take_by_key(&key.access_key).map_err(|over| over_limit(over, log))?;
    let idempotency_key = replay::idempotency_key(request.headers(), &caller).map_err(bad_idempotency_key)?;

    let vdn = VdnId::parse(&decoded(vdn));
    if !key.may_use(vdn.as_ref().ok().copied()) {
        let (english, chinese) = ("vdnId: this access key has no right to it", "vdnId：此accessKey没有权限");
        return Err(Answer::refusal(StatusCode::FORBIDDEN, english, chinese));
    }
    let vdn_id = vdn?;
    log.vdn = Some(vdn_id);
    let campaign_id = CampaignId::parse(&decoded(campaign))?;
    log.campaign = Some(campaign_id);
    let DeleteCall { criteria, archive_history } = DeleteCall::parse(&body)?;

    let actor = key.access_key.clone();
    let client_address = address.map(|address| address.to_string()).unwrap_or_default();
    let run = NewRun {
        kind: RunKind::Request,
        policy: None,
        actor,
        targets: vec![Target { vdn_id, campaign_id }],
        criteria,
        archive_history,
        bounds: Bounds { max_rows: key.max_rows, ..Bounds::default() },
        key: replay::signature_key(request.headers()),
        request: Some(RequestOrigin { id: log.id().to_owned(), client_address, idempotency_key }),
    };
    remove(endpoint, Work { run, in_flight }, log).await
}

fn bad_idempotency_key(problem: IdempotencyKeyProblem) -> Answer {
    let (english, chinese) = match problem {
        IdempotencyKeyProblem::Unsigned => (
            "Idempotency-Key: must be signed: add idempotency-key to signedHeaders in Authorization, as in \
             content-type;host;idempotency-key, and its line to canonicalHeaders",
            "Idempotency-Key：必须签名：在Authorization的signedHeaders中加入idempotency-key，例如\
             content-type;host;idempotency-key，并在canonicalHeaders中加入对应的一行",
        ),
        IdempotencyKeyProblem::Form => (
            "Idempotency-Key: must be one text of 1 to 255 printable ASCII characters",
            "Idempotency-Key：必须是1到255个可打印ASCII字符",
        ),
    };
    Answer::refusal(StatusCode::BAD_REQUEST, english, chinese)
}

fn over_limit(over: OverLimit, log: &AccessLog) -> Answer {
    log.over_limit(over);
    let (english, chinese) = match over.limit {
        "key_concurrency" => ("too many requests of this key at the same time", "此accessKey的并发请求过多"),
        _ => ("too many requests", "请求过于频繁"),
    };
    Answer::refusal(StatusCode::TOO_MANY_REQUESTS, english, chinese).come_back_after(over.wait)
}

/// By the time that the client comes back another request has usually ended.
fn busy() -> Answer {
    let (english, chinese) = ("the server is busy, try again", "服务器繁忙，请重试");
    Answer::refusal(StatusCode::SERVICE_UNAVAILABLE, english, chinese).come_back_after(Duration::from_secs(1))
}

/// Counts the headers' names and values. actix-web itself takes 128 KiB and 96 headers.
fn check_headers(request: &HttpRequest, max: usize) -> Result<(), Answer> {
    let bytes: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes <= max {
        return Ok(());
    }
    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    Err(Answer::refusal(status, "headers: are too large", "headers：过大"))
}

/// Each part of the query is decoded, encoded and sorted before the signature is known to be right: this bounds the cost.
/// actix-web itself takes 64 KiB.
fn check_uri(request: &HttpRequest, max: usize) -> Result<(), Answer> {
    let bytes = request.uri().path_and_query().map_or(0, |uri| uri.as_str().len());
    if bytes <= max {
        return Ok(());
    }
    Err(Answer::refusal(StatusCode::URI_TOO_LONG, "path: is too long", "path：过长"))
}

/// The two path numbers as they are written. The path is matched as received: what is encoded or ends in a slash is
/// another route.
fn route(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix("/rest/isales/v1/openapi/campaigns/")?;
    let rest = rest.strip_suffix("/delete")?;
    let (vdn, campaign) = rest.split_once("/calldata/")?;
    let is_segment = |text: &str| !text.is_empty() && !text.contains('/');
    (is_segment(vdn) && is_segment(campaign)).then_some((vdn, campaign))
}

fn no_such_route() -> Answer {
    Answer::refusal(StatusCode::NOT_FOUND, "path: there is nothing here", "path：路径不存在")
}

/// A path number with its percent-encoding undone. What is no text afterwards is no number either.
fn decoded(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

/// `application/json` in any letter case, with `charset=UTF-8` or without a charset.
fn check_content_type(request: &HttpRequest) -> Result<(), Answer> {
    let mut values = request.headers().get_all(CONTENT_TYPE);
    let value = values.next().and_then(|value| value.to_str().ok()).filter(|_| values.next().is_none());
    if value.is_some_and(is_json_in_utf8) {
        return Ok(());
    }
    let (english, chinese) = (
        "Content-Type: must be application/json; charset=UTF-8",
        "Content-Type：必须是application/json; charset=UTF-8",
    );
    Err(Answer::refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, english, chinese))
}

fn is_json_in_utf8(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let is_json = parts.next().is_some_and(|media_type| media_type.eq_ignore_ascii_case("application/json"));
    is_json
        && parts.all(|parameter| match parameter.split_once('=') {
            Some((name, value)) if name.eq_ignore_ascii_case("charset") => {
                let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
                quoted.unwrap_or(value).eq_ignore_ascii_case("utf-8")
            }
            _ => true,
        })
}

/// Reads a body no longer than allowed: a longer one is refused by its announced length, and where none is
/// announced, by the first byte too many. One that takes too long is not waited for.
async fn read_body(request: &HttpRequest, payload: web::Payload, endpoint: &Endpoint) -> Result<Bytes, Answer> {
    let max = endpoint.max_body;
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let max_bytes = u64::try_from(max).unwrap_or(u64::MAX);
    let too_large = || Answer::refusal(StatusCode::PAYLOAD_TOO_LARGE, "body: is too large", "body：过大");
    if announced.is_some_and(|length| length > max_bytes) {
        return Err(too_large());
    }
    let body = timeout(endpoint.body_timeout, payload.to_bytes_limited(max))
        .await
        .map_err(|_| Answer::refusal(StatusCode::REQUEST_TIMEOUT, "body: did not arrive in time", "body：接收超时"))?;
    let body = body.map_err(|_| too_large())?;
    // The transfer broke off or was garbled: there is no call to answer.
    body.map_err(|_| Answer::refusal(StatusCode::BAD_REQUEST, "body: was not received whole", "body：接收不完整"))
}

fn authenticate<'r>(
    request: &'r HttpRequest,
    body: &'r [u8],
    endpoint: &Endpoint,
    log: &mut AccessLog,
) -> Result<Caller<'r>, Answer> {
    let wire = WireRequest {
        method: request.method().as_str(),
        path: request.uri().path(),
        query: request.uri().query(),
        headers: request.headers(),
        body,
    };
    let address = request.peer_addr().map(|address| address.ip());
    endpoint.keys.load().verify(wire, address, endpoint.engine.store.clock().now()).map_err(|refusal| {
        log.unauthorized(&refusal);
        // Never which part was wrong (contract, section 2).
        Answer::refusal(StatusCode::UNAUTHORIZED, "Authorization: not accepted", "Authorization：未通过认证")
    })
}

/// Lets the engine do it, and says what came of it.
async fn remove(endpoint: &web::Data<Endpoint>, work: Work, log: &mut AccessLog) -> Result<Answer, Answer> {
    match work::work(endpoint, work, endpoint.queue_timeout).await {
        Ok(Done::Now(report)) => {
            log.report(&report);
            Ok(answer_to(&report))
        }
        Ok(Done::Before(run)) => {
            log.replayed(&run);
            Ok(answer_again(&run))
        }
        Ok(Done::UnderWay) | Err(NotDone::Busy) => Err(busy()),
        Ok(Done::OtherRequest) => {
            let (english, chinese) =
                ("Idempotency-Key: belongs to another request", "Idempotency-Key：已用于另一个请求");
            Err(Answer::refusal(StatusCode::UNPROCESSABLE_ENTITY, english, chinese))
        }
        Err(NotDone::Error(error)) => {
            if matches!(error, Error::Store(_)) {
                log.failed(&error);
            }
            Err(answer_to_error(&error, 0))
        }
        Err(NotDone::Panicked) => {
            log.failed(&"its work panicked");
            let (english, chinese) = ("the server failed", "服务器内部错误");
            Err(Answer::refusal(StatusCode::INTERNAL_SERVER_ERROR, english, chinese))
        }
    }
}

fn answer_to(report: &PurgeReport) -> Answer {
    let counts = &report.counts;
    let answer = Answer::of(report.result_code(), counts.deleted);
    match &report.outcome {
        Outcome::Refused(error) | Outcome::Failed(error) => answer_to_error(error, counts.deleted),
        Outcome::Stopped(StopReason::CampaignExecuting) => answer.with(Detail::CampaignExecuting),
        _ if counts.barred.total() > 0 => answer.with(Detail::Stayed(counts.barred)),
        _ => answer,
    }
}

/// The first answer to a request, made again from its row of the ledger.
fn answer_again(run: &Run) -> Answer {
    let (code, counts) = (replay::result_code(run), run.counts);
    let answer = Answer::of(code, counts.deleted);
    let began_to_execute = StopReason::CampaignExecuting.to_string();
    let is_state = |state: RunState| run.state == state.as_str();
    match code {
        ResultCode::StateForbids if is_state(RunState::Refused) => answer.with(Detail::CampaignExecuting),
        _ if is_state(RunState::Stopped) && run.stop_reason.as_ref() == Some(&began_to_execute) => {
            answer.with(Detail::CampaignExecuting)
        }
        ResultCode::Success | ResultCode::StateForbids if counts.barred.total() > 0 => {
            answer.with(Detail::Stayed(counts.barred))
        }
        _ => answer,
    }
}

/// The database's own words may name hosts and statements: they go to the log, not to the client.
fn answer_to_error(error: &Error, deleted: i64) -> Answer {
    let answer = Answer::of(ResultCode::from(error), deleted);
    match error {
        Error::InvalidParameter(invalid) => answer.with(Detail::Parameter(invalid.clone())),
        Error::NoSuchCampaign { vdn, campaign } => answer.with(Detail::NoSuchCampaign(*vdn, *campaign)),
        Error::CampaignExecuting => answer.with(Detail::CampaignExecuting),
        Error::Bound(Exceeded::MaxRows { max, rows }) => answer.with(Detail::MaxRows { numbers: *rows, max: *max }),
        // A status that tells the client to come back is right only where nothing has been done yet.
        Error::Store(error) if error.is_busy() && deleted == 0 => busy(),
        _ => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_route_is_matched_as_received() {
        let path = "/rest/isales/v1/openapi/campaigns/1/calldata/%33/delete";
        assert_eq!(route(path), Some(("1", "%33")));
        for path in [
            "/",
            "*",
            "",
            "/rest/isales/v1/openapi/campaigns/1/calldata/3/delete/",
            "/rest/isales/v1/openapi/campaigns/1/calldata/3",
            "/rest/isales/v1/openapi/campaigns//calldata/3/delete",
            "/rest/isales/v1/openapi/campaigns/1/calldata//delete",
            "//rest/isales/v1/openapi/campaigns/1/calldata/3/delete",
            "/rest/isales/v1/openapi/campaigns/1/2/calldata/3/delete",
            "/rest/isales/v1/openapi/campaigns/1/calldata/3/4/delete",
            "/rest/isales/v1/openapi/campaigns/1/calldata/3/DELETE",
            "/rest/isales/v1/openapi/campaigns/1/calldat%61/3/delete",
        ] {
            assert_eq!(route(path), None, "{path}");
        }
    }

    #[test]
    fn content_types() {
        for accepted in [
            "application/json",
            "application/json; charset=UTF-8",
            "application/json;charset=utf-8",
            "APPLICATION/JSON ; Charset=\"Utf-8\"",
            "application/json;",
            "application/json; version=1; charset=utf-8",
        ] {
            assert!(is_json_in_utf8(accepted), "{accepted}");
        }
        for refused in [
            "",
            "text/plain",
            "application/jsonp",
            "application/json; charset=iso-8859-1",
            "application/json; charset=",
            "application/json, text/plain",
            "application/json; charset=utf-8; charset=gbk",
            "application/x-www-form-urlencoded",
            "application/json; charset=utf8",
        ] {
            assert!(!is_json_in_utf8(refused), "{refused}");
        }
    }
}
