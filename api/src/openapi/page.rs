//! The documentation that the server itself serves (`api.docs`): the OpenAPI document and Swagger UI. Nothing is
//! loaded from elsewhere.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use actix_web::guard::{self, GuardContext};
use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse, web};
use utoipa_swagger_ui::Config;

use crate::limits::connections::ActiveRequest;
use crate::openapi;

/// Scripts, styles and calls of this server alone; Swagger UI sets styles and shows pictures of its own.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What the page is made of, by its path below `/docs/`.
const FILES: [&str; 6] = ["", "page.css", "page.js", "swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"];

/// The routes. Any other path or method is left to the endpoint, which answers it by the contract.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/openapi.json").guard(guard::fn_guard(is_read)).to(document))
        .service(web::resource("/docs").guard(guard::fn_guard(is_read)).to(to_page));
    for name in FILES {
        let path = format!("/docs/{name}");
        config.service(web::resource(path).guard(guard::fn_guard(is_read)).to(
            move |request: HttpRequest| async move {
                let _active = ActiveRequest::of(&request);
                file(name)
            },
        ));
    }
}

fn is_read(context: &GuardContext<'_>) -> bool {
    [Method::GET, Method::HEAD].contains(&context.head().method)
}

async fn document(request: HttpRequest) -> HttpResponse {
    static DOCUMENT: LazyLock<String> = LazyLock::new(openapi::json);
    let _active = ActiveRequest::of(&request);
    respond("application/json", DOCUMENT.as_bytes())
}

/// The page names its parts by relative paths.
async fn to_page(request: HttpRequest) -> HttpResponse {
    let _active = ActiveRequest::of(&request);
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "docs/")).finish()
}

fn file(name: &str) -> HttpResponse {
    match name {
        "" => respond("text/html; charset=utf-8", include_bytes!("page/page.html").as_slice()),
        "page.css" => respond("text/css; charset=utf-8", include_bytes!("page/page.css").as_slice()),
        "page.js" => respond("text/javascript; charset=utf-8", include_bytes!("page/page.js").as_slice()),
        _ => match utoipa_swagger_ui::serve(name, Arc::new(Config::default())) {
            Ok(Some(file)) => respond(&file.content_type, file.bytes),
            // A test asks for every file: none is missing.
            _ => HttpResponse::NotFound().finish(),
        },
    }
}

fn respond(content_type: &str, body: impl Into<Cow<'static, [u8]>>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, content_type))
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        // Asked for again after an update.
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(body.into().into_owned())
}
