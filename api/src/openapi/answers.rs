//! The answers, each with an example that the code itself writes.

use actix_web::http::StatusCode;
use callsweep_core::result_code::{Locale, ResultCode};
use serde_json::Value;
use utoipa::openapi::example::{Example, ExampleBuilder};
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::schema::{AdditionalProperties, ComponentsBuilder, Object, ObjectBuilder, Type};
use utoipa::openapi::{Content, ContentBuilder, Ref, Response, ResponseBuilder, Responses, ResponsesBuilder};

use super::examples::{example, refusals};
use crate::call::answer::Answer;

/// What can be answered with HTTP 200.
const ANSWER: &str = "Answer";
/// What is answered with any other status but 503.
const REFUSAL: &str = "Refusal";
/// What is answered with 503.
const UNAVAILABLE: &str = "Unavailable";

pub(super) fn schemas(components: ComponentsBuilder) -> ComponentsBuilder {
    components
        .schema(
            ANSWER,
            members(
                &ResultCode::ALL,
                "The five members of the page. returnCode and returnDesc repeat the first two.",
                None,
            ),
        )
        .schema(REFUSAL, members(&[ResultCode::ParameterError], "A refusal: nothing was deleted.", Some(0)))
        .schema(UNAVAILABLE, members(&[ResultCode::DatabaseError], "Nothing was deleted; try again.", Some(0)))
}

fn members(codes: &[ResultCode], description: &str, maximum: Option<i64>) -> Object {
    let code =
        || ObjectBuilder::new().schema_type(Type::String).enum_values(Some(codes.iter().map(|code| code.as_str())));
    let text = |about| ObjectBuilder::new().schema_type(Type::String).description(Some(about));
    let count = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(0))
        .maximum(maximum)
        .description(Some("Numbers really deleted and committed."));
    let properties = ObjectBuilder::new()
        .description(Some(description))
        .property("resultCode", code())
        .property("resultDesc", text("The text of the code, then what it is about."))
        .property("returnCode", code().description(Some("Equals resultCode.")))
        .property("returnDesc", text("Equals resultDesc."))
        .property("successCount", count)
        .additional_properties(Some(AdditionalProperties::FreeForm(false)));
    ["resultCode", "resultDesc", "returnCode", "returnDesc", "successCount"]
        .into_iter()
        .fold(properties, ObjectBuilder::required)
        .build()
}

pub(super) fn responses() -> Responses {
    let done = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name(ANSWER)))
        .examples_from_iter(ResultCode::ALL.iter().map(|code| (code.as_str(), of_code(*code))))
        .build();
    let done = response("Done, or refused for a reason that `resultCode` gives.", done).build();
    refusals()
        .into_iter()
        .fold(ResponsesBuilder::new().response("200", done), |responses, answer| {
            let (status, refusal) = refusal(&answer);
            responses.response(status, refusal)
        })
        .build()
}

fn refusal(answer: &Answer) -> (String, Response) {
    let schema = if answer.code == ResultCode::DatabaseError { UNAVAILABLE } else { REFUSAL };
    let content =
        ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).example(Some(value(answer))).build();
    let (about, own_header) = match answer.status {
        StatusCode::BAD_REQUEST => {
            ("The body was not received whole, or the Idempotency-Key is not signed or malformed.", None)
        }
        StatusCode::UNAUTHORIZED => {
            ("Not signed, or not as the server expects. It never says which part is wrong.", Some("WWW-Authenticate"))
        }
        StatusCode::FORBIDDEN => ("The access key has no right to this VDN.", None),
        StatusCode::NOT_FOUND => ("Another path: a trailing slash makes one.", None),
        StatusCode::METHOD_NOT_ALLOWED => ("Another method than POST.", Some("Allow")),
        StatusCode::REQUEST_TIMEOUT => ("The body took too long to arrive.", None),
        StatusCode::PAYLOAD_TOO_LARGE => ("The body is too large.", None),
        StatusCode::URI_TOO_LONG => ("Path and query are too long.", None),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ("The body is not announced as JSON in UTF-8.", None),
        StatusCode::UNPROCESSABLE_ENTITY => ("The Idempotency-Key belongs to another request of this client.", None),
        StatusCode::TOO_MANY_REQUESTS => ("Too many requests; try again.", Some("Retry-After")),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => ("The headers are too large.", None),
        StatusCode::SERVICE_UNAVAILABLE => (
            "The database is busy, or the first copy of this request is under way. Nothing was done; try again.",
            Some("Retry-After"),
        ),
        _ => ("The server failed; its log says why, under the request's id.", None),
    };
    let response = response(about, content);
    let response = match own_header {
        Some("Retry-After") => response.header("Retry-After", header(Type::Integer, "Seconds to wait.")),
        Some("Allow") => response.header("Allow", header(Type::String, "POST")),
        Some(name) => response.header(name, header(Type::String, "auth-v2")),
        None => response,
    };
    (answer.status.as_str().to_owned(), response.build())
}

fn response(description: &str, content: Content) -> ResponseBuilder {
    ResponseBuilder::new()
        .description(description)
        .header("X-Request-Id", header(Type::String, "The id under which the server logs the request."))
        .content("application/json", content)
}

fn header(of: Type, description: &str) -> Header {
    HeaderBuilder::new().schema(Some(Object::with_type(of))).description(Some(description)).build()
}

fn value(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body(Locale::EnUs)).unwrap_or_default()
}

fn of_code(code: ResultCode) -> Example {
    let (summary, answer) = example(code);
    ExampleBuilder::new().summary(format!("{}: {summary}", code.as_str())).value(Some(value(&answer))).build()
}
