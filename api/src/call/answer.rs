//! The answer: always the five documented members, in the documented order (contract, section 2).

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use callsweep_core::invalid::InvalidParameter;
use callsweep_core::result_code::{Locale, ResultCode};
use serde::Serialize;

pub use super::answer_text::Detail;
use crate::telemetry::REQUEST_ID;

/// What is answered to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// 200 for every business failure: the vendor's client parses JSON on 200 alone.
    pub status: StatusCode,
    /// The code of the page.
    pub code: ResultCode,
    /// What follows the text of the code.
    pub detail: Option<Detail>,
    /// Numbers really deleted and committed.
    pub success_count: i64,
    /// Seconds after which the client may try again.
    pub retry_after: Option<u64>,
}

impl Answer {
    /// A business answer: HTTP 200.
    #[must_use]
    pub fn of(code: ResultCode, success_count: i64) -> Self {
        Self { status: StatusCode::OK, code, detail: None, success_count, retry_after: None }
    }

    /// A refusal that HTTP has a status for.
    #[must_use]
    pub fn refusal(status: StatusCode, english: &'static str, chinese: &'static str) -> Self {
        let code = match status {
            StatusCode::SERVICE_UNAVAILABLE => ResultCode::DatabaseError,
            _ => ResultCode::ParameterError,
        };
        Self { status, code, detail: Some(Detail::Http(english, chinese)), success_count: 0, retry_after: None }
    }

    /// Adds `Retry-After`, in whole seconds, at least 1.
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Self { retry_after: Some(seconds.max(1)), ..self }
    }

    /// The same, with a detail.
    #[must_use]
    pub fn with(self, detail: Detail) -> Self {
        Self { detail: Some(detail), ..self }
    }

    /// The text of the code, then the detail.
    pub(super) fn description(&self, locale: Locale) -> String {
        let text = self.code.text(locale);
        let detail = self.detail.as_ref().map(|detail| detail.text(locale)).unwrap_or_default();
        let separator = if locale == Locale::ZhCn || text.is_empty() || detail.is_empty() { "" } else { " " };
        format!("{text}{separator}{detail}")
    }

    /// The HTTP response.
    #[must_use]
    pub fn into_response(self, locale: Locale, request_id: HeaderValue) -> HttpResponse {
        let body = self.body(locale);
        let mut response = HttpResponse::build(self.status);
        response.insert_header((header::CONTENT_TYPE, "application/json; charset=UTF-8"));
        response.insert_header((REQUEST_ID, request_id));
        match self.status {
            StatusCode::METHOD_NOT_ALLOWED => response.insert_header((header::ALLOW, "POST")),
            StatusCode::UNAUTHORIZED => response.insert_header((header::WWW_AUTHENTICATE, "auth-v2")),
            // The rest of the request is not read.
            StatusCode::REQUEST_TIMEOUT => response.force_close(),
            _ => &mut response,
        };
        if let Some(seconds) = self.retry_after {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        response.body(body)
    }

    /// The five members.
    #[must_use]
    pub fn body(&self, locale: Locale) -> Vec<u8> {
        let description = self.description(locale);
        let members = Members {
            result_code: self.code,
            result_desc: &description,
            return_code: self.code,
            return_desc: &description,
            success_count: self.success_count,
        };
        // Writing five members to memory cannot fail.
        serde_json::to_vec(&members).unwrap_or_default()
    }
}

impl From<InvalidParameter> for Answer {
    fn from(invalid: InvalidParameter) -> Self {
        Self::of((&invalid).into(), 0).with(Detail::Parameter(invalid))
    }
}

/// In the order of the page, table 4.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Members<'a> {
    result_code: ResultCode,
    result_desc: &'a str,
    return_code: ResultCode,
    return_desc: &'a str,
    success_count: i64,
}

/// The language that a request asks for by its header `locale`; en_US unless it says zh_CN.
#[must_use]
pub fn locale(request: &HttpRequest) -> Locale {
    match request.headers().get("locale") {
        Some(locale) if locale.as_bytes().eq_ignore_ascii_case(b"zh_CN") => Locale::ZhCn,
        _ => Locale::EnUs,
    }
}
