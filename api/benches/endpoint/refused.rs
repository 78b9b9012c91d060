//! Requests that are refused before any database access, compared with an echo handler.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use actix_web::rt::System;
use actix_web::web::{self, Bytes};
use actix_web::{App, HttpResponse, HttpServer};
use callsweep_core::store::Backend;
use callsweep_testkit::{TestDatabase, big};

use crate::Size;
use crate::data::{Data, Work};
use crate::ours::Server;
use crate::process::Failure;
use crate::report::{Comparison, Goal, Report};
use crate::requests::{body, signed};
use crate::turns::{Contender, Run, take_turns};
use crate::wrk;

const SIGNATURE: &str = "Callsweep, invalid signature";
const BODY: &str = "Callsweep, valid signature, body is not JSON";
const ECHO: &str = "actix-web, echo handler";

/// Enough numbers to check that none is removed.
const NUMBERS: i64 = 100;

/// Compares Callsweep with actix-web alone, in the same build and with the same number of workers.
pub(crate) fn measure(size: Size, report: &mut Report) -> Result<(), Failure> {
    if report.lacks("refused requests", wrk::installed(), wrk::MISSING) {
        return Ok(());
    }
    let data = Data { numbers: NUMBERS };
    let full = big::database(Backend::Sqlite, data.numbers);
    let dir = tempfile::tempdir()?;
    let target = data.target(0);
    let right = signed(&target, &body(&target))?;
    let wrong_signature = right.replace(r#""archiveHistory":1"#, r#""archiveHistory":0"#);
    let no_json = signed(&target, body(&target).trim_end_matches('}'))?;

    let refused = |database: &TestDatabase, request: &str, status: u16, code: &str| {
        let server = Server::start(database.url(), dir.path())?;
        let run = refuse(size, server.address, dir.path(), request, status, code);
        server.stop()?;
        run
    };
    let echo = echo()?;
    let contenders = [
        Contender::new(SIGNATURE, |database| refused(database, &wrong_signature, 401, "0200001")),
        Contender::new(BODY, |database| refused(database, &no_json, 200, "02000008")),
        Contender::new(ECHO, |_| refuse(size, echo, dir.path(), &right, 200, "archiveHistory")),
    ];
    let comparisons = [SIGNATURE, BODY].map(|what| Comparison::new(what, ECHO, &[Goal::RateAtLeast(0.6)]));
    let measured = take_turns(size, &full, data, &contenders)?;
    report.add(&comparisons, &measured)
}

/// Sends one request repeatedly. Each answer must have this status, and the first one must contain `words`.
fn refuse(
    size: Size,
    address: SocketAddr,
    dir: &Path,
    request: &str,
    status: u16,
    words: &str,
) -> Result<Run, Failure> {
    let answer = ask(address, request)?;
    if !answer.starts_with(&format!("HTTP/1.1 {status} ")) || !answer.contains(words) {
        return Err(format!("the answer is not {status} with {words}: {answer}").into());
    }
    let file = dir.join("requests");
    fs::write(&file, request)?;
    wrk::drive(address, &file, size.warm_up)?;
    let answers = wrk::drive(address, &file, size.seconds)?;
    let of_status = if status == 200 { answers.answered - answers.not_2xx } else { answers.not_2xx };
    if of_status != answers.answered {
        return Err(format!("not all answers were {status}: {answers:?}").into());
    }
    // No number may be removed, and the ledger must be empty.
    let work = Work { answered: 0, in_flight: 0, ledger: true };
    Ok(Run { rate: answers.rate, p99_ms: answers.p99_ms, work })
}

/// Sends one request over a new connection.
fn ask(address: SocketAddr, request: &str) -> Result<String, Failure> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(request.replacen("\r\n", "\r\nConnection: close\r\n", 1).as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Starts the echo handler, which runs until this process ends.
fn echo() -> Result<SocketAddr, Failure> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        System::new().block_on(async move {
            let workers = thread::available_parallelism().map_or(1, NonZeroUsize::get);
            let handler = |body: Bytes| async { HttpResponse::Ok().content_type("application/json").body(body) };
            let server = HttpServer::new(move || App::new().default_service(web::to(handler)));
            let bound = server.workers(workers).disable_signals().bind(("127.0.0.1", 0))?;
            // The receiver exists until the process ends.
            let _ = tell.send(bound.addrs()[0]);
            bound.run().await
        })
    });
    Ok(told.recv()?)
}
