//! The command line of `callsweep-api`.

pub mod client;
mod demo;
mod diagnosis;
mod shutdown;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::rt::System;
use callsweep_core::clock::Clock;
use callsweep_core::settings::{ApiSettings, Settings, warnings};
use callsweep_core::store::Store;
use chrono::{DateTime, Utc};
use clap::{Args, Parser, Subcommand};
use secrecy::SecretString;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::warn;

use self::client::ClientCall;
use self::diagnosis::diagnose;
use self::shutdown::SharedTelemetry;
use crate::auth::{self, authorization::parse_timestamp};
use crate::http::credentials::Credentials;
use crate::http::reload::Reload;
use crate::http::server::Application;
use crate::openapi;
use crate::telemetry;

/// Deletes outbound numbers over signed HTTP calls.
#[derive(Debug, Parser)]
#[command(name = "callsweep-api", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the endpoint (what happens without a command, too)
    Serve(ServeArgs),
    /// Try it out: a SQLite database with sample numbers, a server, and a call to paste
    Demo(DemoArgs),
    /// Sign a request, and print its Authorization header, its canonical request and a curl line
    Sign(SignArgs),
    /// Print the OpenAPI document of the endpoint
    Openapi,
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// The settings [default: callsweep.toml in the working directory, where there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// `demo`
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// The SQLite file; it is made where it is missing
    #[arg(long, value_name = "FILE", default_value = "callsweep-demo.db")]
    pub database: PathBuf,
    /// Where the endpoint listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Where health checks listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    pub ops_listen: SocketAddr,
}

#[derive(Debug, Args)]
struct SignArgs {
    /// The public half of the key
    #[arg(long, value_name = "KEY")]
    access_key: String,
    /// The secret half; better in the environment, where other users of the machine do not see it
    #[arg(long, value_name = "SECRET", env = "SIGN_SECRET_KEY", hide_env_values = true)]
    secret_key: SecretString,
    /// The HTTP method
    #[arg(long, default_value = "POST")]
    method: String,
    /// The whole URL, as the client sends it
    #[arg(long)]
    url: String,
    /// The body, byte for byte
    #[arg(long, default_value = "")]
    body: String,
    /// A header to send and sign, as "Name: value"; may be repeated
    #[arg(long = "header", value_name = "HEADER")]
    headers: Vec<String>,
    /// The time of the signature, as in 2024-10-31T14:06:52Z; with --verify, the server's time [default: now]
    #[arg(long)]
    timestamp: Option<String>,
    /// The Authorization header that a client made for this request: say which part disagrees. Give with --header
    /// the headers that it sends; Content-Type is the page's unless it is among them
    #[arg(long, value_name = "HEADER")]
    verify: Option<String>,
}

/// Runs the program: 0 done, 1 failed with one line on stderr, 2 not understood.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(args) => serve(&args),
        Command::Demo(args) => demo(&args),
        Command::Sign(args) => match &args.verify {
            Some(header) => verify(&args, header),
            None => sign(&args),
        },
        Command::Openapi => io::stdout().write_all(openapi::json().as_bytes()).map_err(Failure::from),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where stderr is gone there is nobody to tell.
            let _ = writeln!(io::stderr(), "callsweep-api: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whatever went wrong: it is told and the program ends.
pub(crate) type Failure = Box<dyn std::error::Error>;

fn serve(args: &ServeArgs) -> Result<(), Failure> {
    let settings = Settings::load(args.config.as_deref())?;
    let telemetry: SharedTelemetry = Arc::new(Mutex::new(Some(telemetry::init(&settings.api)?)));
    for warning in warnings(&settings, args.config.as_deref(), Clock::system().now()) {
        warn!("{warning}");
    }
    let timeout = Duration::from_secs(settings.api.shutdown_timeout_seconds);
    let served = System::new().block_on(async {
        let stop = stop_signals()?;
        let hangup = signal(SignalKind::hangup())?;
        let credentials = Credentials::load(&settings.api)?;
        let store = Store::open(&settings.database, Clock::system())?;
        let application = Application::build(&settings, credentials, store)?;
        actix_web::rt::spawn(reload_on(hangup, application.reload(), args.config.clone()));
        // Not the server itself: its end waits for what is in progress.
        let (in_flight, telemetry) = (application.in_flight(), telemetry.clone());
        let stop = async move {
            stop.await;
            shutdown::end_after(timeout, in_flight, telemetry);
        };
        let in_flight = application.in_flight();
        application.run_until_stopped(stop).await?;
        shutdown::tell_what_is_left(&in_flight);
        Ok(())
    });
    shutdown::flush(&telemetry);
    served
}

/// Reads keys and certificates again at each signal.
async fn reload_on(mut hangup: Signal, reload: Reload, config: Option<PathBuf>) {
    while hangup.recv().await.is_some() {
        let settings = Settings::load(config.as_deref());
        reload.all(settings.as_ref());
    }
}

fn demo(args: &DemoArgs) -> Result<(), Failure> {
    let _telemetry = telemetry::init(&ApiSettings::default())?;
    System::new().block_on(async {
        let stop = stop_signals()?;
        let application = demo::prepare(args, &mut io::stdout())?;
        Ok(application.run_until_stopped(stop).await?)
    })
}

/// Resolves on SIGTERM, from a service manager, or SIGINT, from Ctrl-C.
fn stop_signals() -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn sign(args: &SignArgs) -> Result<(), Failure> {
    let call = ClientCall::new(&args.method, &args.url, &args.headers, &args.body)?;
    // As it was given: milliseconds are signed too.
    let timestamp = match &args.timestamp {
        Some(timestamp) => given_time(timestamp).map(|_| timestamp.clone())?,
        None => auth::timestamp(Clock::system().now()),
    };
    let signed = call.sign(&args.access_key, &args.secret_key, &timestamp)?;
    let mut out = io::stdout().lock();
    writeln!(out, "# Authorization header\nAuthorization: {}\n", signed.authorization)?;
    writeln!(out, "# Canonical request: lines end in \\n, nothing follows the last\n{}\n", signed.canonical_request)?;
    writeln!(out, "# Ready to send\n{}", call.curl(&signed.authorization))?;
    Ok(())
}

/// Fails where a part disagrees, so that a script may ask.
fn verify(args: &SignArgs, header: &str) -> Result<(), Failure> {
    let call = ClientCall::new(&args.method, &args.url, &args.headers, &args.body)?;
    let now = args.timestamp.as_deref().map_or_else(|| Ok(Clock::system().now()), given_time)?;
    let diagnosis = diagnose(header, call.request(), &args.access_key, &args.secret_key, now);
    write!(io::stdout(), "{diagnosis}")?;
    if diagnosis.agrees() { Ok(()) } else { Err("the header does not fit the request".into()) }
}

fn given_time(text: &str) -> Result<DateTime<Utc>, Failure> {
    let form = || format!("--timestamp {text:?} must be UTC in the form 2024-10-31T14:06:52Z or …52.123Z").into();
    parse_timestamp(text).ok_or_else(form)
}
