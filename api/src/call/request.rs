//! What is checked of the HTTP request around the call: path, headers, content type, and the size of the body.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::web::{self, Bytes};
use percent_encoding::percent_decode_str;
use tokio::time::timeout;

use super::answer::Answer;

/// The route as logs and metrics name it.
pub const ROUTE: &str = "/rest/isales/v1/openapi/campaigns/{vdnId}/calldata/{campaignId}/delete";

/// Limits the bytes of the headers' names and values. actix-web itself accepts 128 KiB and 96 headers.
pub(super) fn check_headers(request: &HttpRequest, max: usize) -> Result<(), Answer> {
    let bytes: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes <= max {
        return Ok(());
    }
    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    Err(Answer::refusal(status, "headers: are too large", "headers：过大"))
}

/// Each part of the query is decoded, encoded and sorted before the signature is known to be right: this bounds the cost.
/// actix-web itself takes 64 KiB.
pub(super) fn check_uri(request: &HttpRequest, max: usize) -> Result<(), Answer> {
    let bytes = request.uri().path_and_query().map_or(0, |uri| uri.as_str().len());
    if bytes <= max {
        return Ok(());
    }
    Err(Answer::refusal(StatusCode::URI_TOO_LONG, "path: is too long", "path：过长"))
}

/// The two path numbers as they are written. The path is matched as received: what is encoded or ends in a slash is
/// another route.
pub(super) fn route(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix("/rest/isales/v1/openapi/campaigns/")?;
    let rest = rest.strip_suffix("/delete")?;
    let (vdn, campaign) = rest.split_once("/calldata/")?;
    let is_segment = |text: &str| !text.is_empty() && !text.contains('/');
    (is_segment(vdn) && is_segment(campaign)).then_some((vdn, campaign))
}

pub(super) fn no_such_route() -> Answer {
    Answer::refusal(StatusCode::NOT_FOUND, "path: there is nothing here", "path：路径不存在")
}

/// A path number, percent-decoded. What is not UTF-8 then is not a number either.
pub(super) fn decoded(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

/// `application/json` in any letter case, with `charset=UTF-8` or without a charset.
pub(super) fn check_content_type(request: &HttpRequest) -> Result<(), Answer> {
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

/// Reads a body of at most `max` bytes: a longer one is refused by its Content-Length, and without one, by the first byte
/// too many.
pub(super) async fn read_body(
    request: &HttpRequest,
    payload: web::Payload,
    max: usize,
    within: Duration,
) -> Result<Bytes, Answer> {
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let max_bytes = u64::try_from(max).unwrap_or(u64::MAX);
    let too_large = || Answer::refusal(StatusCode::PAYLOAD_TOO_LARGE, "body: is too large", "body：过大");
    if announced.is_some_and(|length| length > max_bytes) {
        return Err(too_large());
    }
    let body = timeout(within, payload.to_bytes_limited(max))
        .await
        .map_err(|_| Answer::refusal(StatusCode::REQUEST_TIMEOUT, "body: did not arrive in time", "body：接收超时"))?;
    let body = body.map_err(|_| too_large())?;
    // The transfer was aborted or malformed: there is no call to answer.
    body.map_err(|_| Answer::refusal(StatusCode::BAD_REQUEST, "body: was not received whole", "body：接收不完整"))
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
