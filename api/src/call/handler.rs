//! The call itself: each step of the contract's order (section 2) in one line, first failure wins.

use std::net::IpAddr;

use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use callsweep_core::bounds::Bounds;
use callsweep_core::campaign::{CampaignId, VdnId};
use callsweep_core::engine::Error;
use callsweep_core::run::{NewRun, RequestOrigin, RunKind, Target};
use tracing::Instrument;

use super::answer::{self, Answer};
use super::body::DeleteCall;
use super::endpoint::Endpoint;
use super::idempotency_key::{self, IdempotencyKeyProblem};
use super::outcome::answer_to;
use super::request::{ROUTE, check_content_type, check_headers, check_uri, decoded, no_such_route, read_body, route};
use crate::auth::canonical::WireRequest;
use crate::auth::client_address::client_address;
use crate::auth::{Caller, Fingerprint, Origin};
use crate::execution::{Job, RequestOutcome};
use crate::limits::OverLimit;
use crate::limits::connections::ActiveRequest;
use crate::telemetry::AccessLog;

/// Answers every request that reaches the server; there is one route, and the rest is 404.
pub async fn handle(request: HttpRequest, payload: web::Payload, endpoint: web::Data<Endpoint>) -> HttpResponse {
    let _active = ActiveRequest::of(&request);
    let mut log = AccessLog::begin(&request, &endpoint.metrics);
    let span = log.span();
    let answered = execute_call(&request, payload, &endpoint, &mut log).instrument(span).await;
    let answer = answered.unwrap_or_else(|refused| refused);
    log.answered(answer.status.as_u16(), answer.code.as_str());
    answer.into_response(answer::locale(&request), log.request_id())
}

async fn execute_call(
    request: &HttpRequest,
    payload: web::Payload,
    endpoint: &web::Data<Endpoint>,
    log: &mut AccessLog,
) -> Result<Answer, Answer> {
    let peer = request.peer_addr().map(|address| address.ip());
    let address = client_address(peer, request.headers(), &endpoint.trusted_proxies);
    if let Some(address) = address {
        endpoint.rate_limits.take_by_address(address).map_err(|over| over_limit(over, log))?;
    }
    check_headers(request, endpoint.max_headers)?;
    let (vdn, campaign) = route(request.uri().path()).ok_or_else(no_such_route)?;
    log.route = Some(ROUTE);
    check_uri(request, endpoint.max_uri)?;
    if request.method() != Method::POST {
        return Err(Answer::refusal(StatusCode::METHOD_NOT_ALLOWED, "method: must be POST", "method：必须是POST"));
    }
    check_content_type(request)?;
    let body = read_body(request, payload, endpoint.max_body, endpoint.body_timeout).await?;
    let caller = authenticate(request, &body, address, endpoint, log)?;
    let key = &caller.key;
    log.access_key = Some(key.access_key.clone());
    log.by_previous_secret = caller.by_previous_secret;
    let in_flight = endpoint.rate_limits.take_by_key(&key.access_key).map_err(|over| over_limit(over, log))?;
    let idempotency_key = idempotency_key::of_header(request.headers(), &caller).map_err(bad_idempotency_key)?;

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
        key: idempotency_key::of_signature(request.headers()),
        request: Some(RequestOrigin { id: log.id().to_owned(), client_address, idempotency_key }),
    };
    let outcome = endpoint.executor.execute(Job { run, in_flight }).await;
    log_outcome(&outcome, log);
    Ok(answer_to(&outcome))
}

fn log_outcome(outcome: &RequestOutcome, log: &mut AccessLog) {
    match outcome {
        RequestOutcome::Executed(report) => log.report(report),
        RequestOutcome::Replayed(run) => log.replayed(run),
        RequestOutcome::Failed(error @ Error::Store(_)) => log.failed(error),
        RequestOutcome::Panicked => log.failed(&"its execution panicked"),
        RequestOutcome::Failed(_) | RequestOutcome::InProgress | RequestOutcome::KeyReused | RequestOutcome::Busy => {}
    }
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
    Answer::refusal(StatusCode::TOO_MANY_REQUESTS, english, chinese).retry_after(over.wait)
}

fn authenticate<'r>(
    request: &'r HttpRequest,
    body: &'r [u8],
    address: Option<IpAddr>,
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
    let origin = Origin { address, certificate: request.conn_data::<Fingerprint>().copied() };
    endpoint.keys.load().verify(wire, origin, endpoint.executor.engine().store.clock().now()).map_err(|refusal| {
        log.unauthorized(&refusal, request, address);
        // Never which part was wrong (contract, section 2).
        Answer::refusal(StatusCode::UNAUTHORIZED, "Authorization: not accepted", "Authorization：未通过认证")
    })
}
