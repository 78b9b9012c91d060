//! Requests as raw bytes, signed before the measurement.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::ops::Range;
use std::path::Path;

use callsweep_api::auth;
use callsweep_api::cli::client::ClientCall;
use callsweep_core::clock::Clock;
use secrecy::SecretString;

use crate::data::{Data, Target};
use crate::process::Failure;

/// The access key of the requests.
pub(crate) const ACCESS_KEY: &str = "bench";
/// Its secret key.
pub(crate) const SECRET_KEY: &str = "of no worth outside the benchmark";
/// The separator of requests in a file; `wrk.lua` splits at it.
const SEPARATOR: u8 = 30;

/// Writes the requests for this range of the order to a file.
pub(crate) fn write(file: &Path, data: Data, order: Range<i64>) -> Result<(), Failure> {
    let mut file = BufWriter::new(File::create(file)?);
    for k in order {
        let target = data.target(k);
        file.write_all(signed(&target, &body(&target))?.as_bytes())?;
        file.write_all(&[SEPARATOR])?;
    }
    Ok(file.flush()?)
}

/// The body of a request that moves a number to history.
pub(crate) fn body(target: &Target) -> String {
    format!(r#"{{"sessionId":"{}","archiveHistory":1}}"#, target.session_id)
}

/// A signed request.
pub(crate) fn signed(target: &Target, body: &str) -> Result<String, Failure> {
    // The Host header is signed, so it must not depend on the server's port.
    let host = "callsweep.example";
    let path = format!("/rest/isales/v1/openapi/campaigns/1/calldata/{}/delete", target.campaign);
    let call = ClientCall::new("POST", &format!("http://{host}{path}"), &[], body)?;
    let timestamp = auth::timestamp(Clock::system().now());
    let signed = call.sign(ACCESS_KEY, &SecretString::from(SECRET_KEY), &timestamp)?;
    Ok(format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json; charset=UTF-8\r\n\
         Content-Length: {}\r\nAuthorization: {}\r\n\r\n{body}",
        body.len(),
        signed.authorization
    ))
}
