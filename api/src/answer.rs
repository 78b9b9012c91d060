//! The answer: always the five documented members, in the documented order (contract, section 2).

use std::borrow::Cow;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use callsweep_core::campaign::{CampaignId, VdnId};
use callsweep_core::invalid::{InvalidParameter, Problem};
use callsweep_core::result_code::{Locale, ResultCode};
use callsweep_core::rules::Barred;
use serde::Serialize;

/// What the client is told.
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

/// What a code's text alone does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detail {
    /// A parameter, by its name.
    Parameter(InvalidParameter),
    /// The campaign does not exist there.
    NoSuchCampaign(VdnId, CampaignId),
    /// The campaign bars all its numbers.
    CampaignExecuting,
    /// Some or all numbers stayed.
    Stayed(Barred),
    /// More numbers would go than the key may remove by one call.
    MaxRows {
        /// How many would go.
        numbers: i64,
        /// How many may.
        max: i64,
    },
    /// What is wrong with the HTTP around the call: in English and in Chinese.
    Http(&'static str, &'static str),
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

    /// Asks the client to come back after this time: in whole seconds, and not at once.
    #[must_use]
    pub fn come_back_after(self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Self { retry_after: Some(seconds.max(1)), ..self }
    }

    /// The same, with a detail.
    #[must_use]
    pub fn with(self, detail: Detail) -> Self {
        Self { detail: Some(detail), ..self }
    }

    /// The text of the code, then the detail.
    fn description(&self, locale: Locale) -> String {
        let text = self.code.text(locale);
        let detail = self.detail.as_ref().map(|detail| detail.text(locale)).unwrap_or_default();
        let separator = if locale == Locale::ZhCn || text.is_empty() || detail.is_empty() { "" } else { " " };
        format!("{text}{separator}{detail}")
    }

    /// The answer as it travels.
    #[must_use]
    pub fn into_response(self, locale: Locale, request_id: HeaderValue) -> HttpResponse {
        let body = self.body(locale);
        let mut response = HttpResponse::build(self.status);
        response.insert_header((header::CONTENT_TYPE, "application/json; charset=UTF-8"));
        response.insert_header((REQUEST_ID, request_id));
        match self.status {
            StatusCode::METHOD_NOT_ALLOWED => response.insert_header((header::ALLOW, "POST")),
            StatusCode::UNAUTHORIZED => response.insert_header((header::WWW_AUTHENTICATE, "auth-v2")),
            // The rest of the request is not waited for.
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

/// Carries the id by which the log knows a request, in and out.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

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

impl Detail {
    fn text(&self, locale: Locale) -> Cow<'static, str> {
        match (self, locale) {
            (Self::Parameter(invalid), Locale::EnUs) => invalid.to_string().into(),
            (Self::Parameter(invalid), Locale::ZhCn) => parameter_in_chinese(invalid).into(),
            (Self::NoSuchCampaign(vdn, campaign), Locale::EnUs) => {
                format!("campaignId: there is no campaign {campaign} in VDN {vdn}").into()
            }
            (Self::NoSuchCampaign(vdn, campaign), Locale::ZhCn) => {
                format!("campaignId：VDN {vdn}中没有外呼活动{campaign}").into()
            }
            (Self::CampaignExecuting, Locale::EnUs) => "campaignId: the campaign is executing".into(),
            (Self::CampaignExecuting, Locale::ZhCn) => "campaignId：外呼活动正在执行".into(),
            (Self::Stayed(barred), Locale::EnUs) => barred.to_string().into(),
            (Self::Stayed(barred), Locale::ZhCn) => stayed_in_chinese(*barred).into(),
            (Self::MaxRows { numbers, max }, Locale::EnUs) => {
                format!("{numbers} numbers are more than the {max} that one call may remove").into()
            }
            (Self::MaxRows { numbers, max }, Locale::ZhCn) => {
                format!("{numbers}个号码，超过单次请求允许删除的{max}个").into()
            }
            (Self::Http(english, _), Locale::EnUs) => (*english).into(),
            (Self::Http(_, chinese), Locale::ZhCn) => (*chinese).into(),
        }
    }
}

/// "3个号码未删除：2个通话中，1个呼叫已完成"
fn stayed_in_chinese(barred: Barred) -> String {
    let Barred { call_ongoing, call_completed, ongoing_task, unknown_status } = barred;
    let reasons = [
        ("通话中", call_ongoing),
        ("呼叫已完成", call_completed),
        ("在进行中的任务中", ongoing_task),
        ("状态未知", unknown_status),
    ];
    let reasons: Vec<String> = reasons
        .iter()
        .filter(|(_, numbers)| *numbers > 0)
        .map(|(reason, numbers)| format!("{numbers}个{reason}"))
        .collect();
    format!("{}个号码未删除：{}", barred.total(), reasons.join("，"))
}

fn parameter_in_chinese(InvalidParameter { name, problem }: &InvalidParameter) -> String {
    let problem: Cow<'static, str> = match problem {
        Problem::Empty => "不能为空".into(),
        Problem::Characters => "包含不允许的字符".into(),
        Problem::TooLong { max_chars } => format!("超过{max_chars}个字符").into(),
        Problem::Type(_) | Problem::Value(_) => format!("必须是{}", allowed_in_chinese(name, problem)).into(),
        Problem::NotADateTime => "必须是真实的日期和时间，格式为yyyy-mm-dd hh:mm:ss".into(),
        Problem::Without(other) => format!("必须与{other}同时设置").into(),
        Problem::Unknown => "不是此接口的参数".into(),
        Problem::Repeated => "重复".into(),
        Problem::TooMany { max } => format!("参数超过{max}个").into(),
        // The reason is the parser's own and has no translation.
        Problem::NotJson(reason) => format!("不是有效的UTF-8编码的JSON：{reason}").into(),
    };
    format!("{name}：{problem}")
}

fn allowed_in_chinese(name: &str, problem: &Problem) -> &'static str {
    match (name, problem) {
        ("vdnId", _) => "1到9999的整数",
        ("campaignId", _) => "1到9223372036854775807的整数",
        ("archiveHistory", _) => "整数0或1",
        ("recycleType", Problem::Value(_)) => "\"1\"、\"2\"或\"3\"",
        (crate::body::BODY, _) => "JSON对象",
        _ => "字符串",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_the_code_comes_first_and_the_detail_names_the_parameter() {
        let answer = Answer::from(InvalidParameter::new("called", Problem::TooLong { max_chars: 24 }));
        let english = "The parameter length cannot exceed the maximum length. called: is longer than 24 characters";
        assert_eq!(answer.description(Locale::EnUs), english);
        assert_eq!(answer.description(Locale::ZhCn), "参数长度不能超过最大长度。called：超过24个字符");
    }

    #[test]
    fn a_success_has_no_text_unless_numbers_stayed() {
        let success = Answer::of(ResultCode::Success, 5);
        assert_eq!(success.description(Locale::EnUs), "");
        let barred = Barred { call_ongoing: 2, call_completed: 1, ..Barred::default() };
        let partly = success.with(Detail::Stayed(barred));
        assert_eq!(partly.description(Locale::EnUs), "3 stayed: 2 call ongoing, 1 call completed");
        assert_eq!(partly.description(Locale::ZhCn), "3个号码未删除：2个通话中，1个呼叫已完成");
    }

    #[test]
    fn every_problem_has_a_chinese_text() {
        let problems = [
            Problem::Empty,
            Problem::Characters,
            Problem::TooLong { max_chars: 1 },
            Problem::Type("x"),
            Problem::Value("x"),
            Problem::NotADateTime,
            Problem::Without("recycleTime"),
            Problem::Unknown,
            Problem::Repeated,
            Problem::TooMany { max: 6 },
        ];
        for problem in problems {
            let text = parameter_in_chinese(&InvalidParameter::new("recycleType", problem));
            let rest = text.strip_prefix("recycleType：").unwrap();
            assert!(!rest.is_ascii() && !rest.contains('x'), "{text}");
        }
    }
}
