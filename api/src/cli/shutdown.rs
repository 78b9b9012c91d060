//! The end of the process where the database does not answer.

use std::process;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tracing::{error, warn};

use crate::limits::InFlightCount;
use crate::telemetry::Telemetry;

/// How long after `api.shutdown_timeout_seconds` the process may take to end by itself: the workers look once a second.
const GRACE: Duration = Duration::from_secs(3);

const UNANSWERED: &str =
    "ending without waiting for the database, which does not answer; the ledger has what its requests committed";

/// The log's writer, flushed by whoever ends the process.
pub(super) type SharedTelemetry = Arc<Mutex<Option<Telemetry>>>;

/// Writes what is still buffered.
pub(super) fn flush(telemetry: &SharedTelemetry) {
    drop(telemetry.lock().unwrap_or_else(PoisonError::into_inner).take());
}

/// Logs how many requests are still being executed, if any.
pub(super) fn tell_what_is_left(in_flight: &InFlightCount) {
    let requests = in_flight.get();
    if requests > 0 {
        error!(requests, "{UNANSWERED}");
    }
}

/// Ends the process after `timeout` and a grace period, unless it has ended by then. A thread that waits for an answer of
/// the database cannot be interrupted, and the runtime waits for its threads.
pub(super) fn end_after(timeout: Duration, in_flight: InFlightCount, telemetry: SharedTelemetry) {
    let end = move || {
        thread::sleep(timeout + GRACE);
        error!(requests = in_flight.get(), "{UNANSWERED}");
        flush(&telemetry);
        process::exit(1);
    };
    if let Err(error) = thread::Builder::new().name("shutdown".to_owned()).spawn(end) {
        warn!(%error, "the shutdown has no time limit");
    }
}
