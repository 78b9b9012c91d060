//! The OpenAPI document of the endpoint, built from the limits and the answers that the code works with.

mod answers;
mod body;
mod examples;
pub mod page;

use callsweep_core::campaign::VdnId;
use utoipa::openapi::path::{HttpMethod, Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::schema::{ComponentsBuilder, KnownFormat, Object, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, License, OpenApi, OpenApiBuilder, PathItem, PathsBuilder, Ref, Required, Schema,
    Server,
};

use crate::call::ROUTE;
use crate::call::idempotency_key::IDEMPOTENCY_KEY_MAX;

/// The name of the security scheme, which is that of the scheme's version.
const SECURITY: &str = crate::auth::authorization::VERSION;

const ABOUT: &str = "Deletes outbound numbers from a campaign: the vendor's call \"Deleting an Outbound Number\".

A business failure travels as HTTP 200 with its code in `resultCode`. Every answer has the same five members. \
`successCount` is the number of rows really deleted and committed.";

const SIGNING: &str = "The header `Authorization`, without a scheme word:

    Authorization    = prefix + \"/\" + signature
    prefix           = \"auth-v2/\" + accessKey + \"/\" + timestamp + \"/\" + signedHeaders
    signingKey       = hexlower(HMAC-SHA256(key = utf8(secretKey),  message = utf8(prefix)))
    signature        = hexlower(HMAC-SHA256(key = utf8(signingKey), message = utf8(canonicalRequest)))
    canonicalRequest = METHOD \\n URI \\n [query \\n] signedHeaders \\n canonicalHeaders \\n normalize(body)

- The key of the second HMAC is the 64 characters of hexadecimal text, not the 32 bytes they stand for. Nothing \
follows the body.
- `URI` is the path as it travels. `query` is `normalize(name)=normalize(value)` for each pair, sorted, joined by \
`&`; without a query its line is absent.
- `signedHeaders` are header names in lower case, joined by `;`. `host` must be among them, and `idempotency-key` where that \
header is sent.
- `canonicalHeaders` has a line `normalize(name):normalize(trimmed value)` for each signed header; the whole lines \
are sorted and joined by `\\n`.
- `normalize` keeps `A-Z a-z 0-9 - . _ ~` and writes every other byte of the UTF-8 text as `%XX` in upper case.
- `timestamp` is UTC, `yyyy-MM-ddTHH:mm:ssZ` or with milliseconds. It may be 15 minutes away from the server's time \
unless the server is set otherwise.

`callsweep-api sign` prints each step for a request. With `--verify HEADER` it says which part of a header disagrees.";

/// The document.
#[must_use]
pub fn document() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Callsweep")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(License::builder().name("MIT").identifier(Some("MIT")).build()))
        .build();
    let scheme = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description("Authorization", SIGNING)));
    let components = answers::schemas(ComponentsBuilder::new())
        .schema(body::NAME, body::schema())
        .security_scheme(SECURITY, scheme)
        .build();
    OpenApiBuilder::new()
        .info(info)
        // The one that served the document.
        .servers(Some([Server::new("/")]))
        .paths(PathsBuilder::new().path(ROUTE, PathItem::new(HttpMethod::Post, operation())).build())
        .components(Some(components))
        .build()
}

/// The document as it is served, printed and committed.
#[must_use]
pub fn json() -> String {
    // Writing plain data to memory cannot fail.
    document().to_pretty_json().unwrap_or_default() + "\n"
}

fn operation() -> Operation {
    OperationBuilder::new()
        .operation_id(Some("deleteNumbers"))
        .tag("Outbound numbers")
        .summary(Some("Delete outbound numbers"))
        .description(Some(
            "Deletes the numbers of a campaign that pass all filters of the body, or moves them to the history \
             table. A number whose call is ongoing or completed stays, and so does one in an ongoing task.",
        ))
        .parameter(path_number("vdnId", "The VDN that the campaign belongs to.", VdnId::MAX.into()))
        .parameter(path_number("campaignId", "The campaign.", i64::MAX))
        .parameter(header("locale", "The language of `resultDesc`: `zh_CN`, or `en_US` for anything else.", Object::with_type(Type::String)))
        .parameter(header(
            "X-Request-Id",
            "The id under which the server logs the request; the answer repeats it. One of 1–64 visible ASCII \
             characters is taken over, anything else is replaced.",
            Object::with_type(Type::String),
        ))
        .parameter(header(
            "Idempotency-Key",
            "One key for one intended deletion, such as `8e03978e-40d5-43dd-bc93-6894a57f9324`, kept when the request is \
             signed anew and sent again: it is answered with the first answer, and nothing is deleted twice. It counts \
             only when it is signed: `idempotency-key` must be among the `signedHeaders`, else the answer is 400. With \
             or without it, requests with the same Authorization are the same request.",
            idempotency_key(),
        ))
        .request_body(Some(request_body()))
        .responses(answers::responses())
        .security(SecurityRequirement::new(SECURITY, Vec::<String>::new()))
        .build()
}

fn path_number(name: &str, description: &str, maximum: i64) -> Parameter {
    let schema = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(1))
        .maximum(Some(maximum));
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(description))
        .schema(Some(schema))
        .example(Some(1.into()))
        .build()
}

/// There is no example: pages fill it in, and ids are to differ.
fn header(name: &str, description: &str, schema: impl Into<Schema>) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema.into()))
        .build()
}

/// Visible at both ends: HTTP takes white space away there.
fn idempotency_key() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .max_length(Some(IDEMPOTENCY_KEY_MAX))
        .pattern(Some("^[!-~]([ -~]*[!-~])?$"))
        .build()
}

fn request_body() -> RequestBody {
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name(body::NAME)))
        .examples_from_iter(body::examples())
        .build();
    RequestBodyBuilder::new()
        .description(Some(
            "`Content-Type: application/json; charset=UTF-8`, the charset optional. Not longer than 16 KiB unless \
             the server is set otherwise. A member given twice is refused.",
        ))
        .required(Some(Required::True))
        .content("application/json", content)
        .build()
}
