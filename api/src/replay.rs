//! Idempotency: a request that is sent again gets the first answer, and nothing is removed twice.
//!
//! Two keys identify a request in its row of the ledger: the digest of its signature, and of its Idempotency-Key where the
//! client signed one. Each is unique there and is written in the transaction that deletes, so both hold for copies that
//! arrive at the same time, on several servers, and after a crash. The signature's is always written: whatever else comes
//! with a captured request, it is known.

use std::thread;
use std::time::{Duration, Instant};

use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderName};
use callsweep_core::engine::Error;
use callsweep_core::engine::{Control, Engine, PurgeReport, Unanswered, purge, resume, settle};
use callsweep_core::result_code::ResultCode;
use callsweep_core::run::{NewRun, Run, RunState};
use callsweep_core::settings::ApiSettings;
use callsweep_core::store::runs;
use sha2::{Digest, Sha256};

use crate::auth::Caller;

/// The header of the IETF draft "The Idempotency-Key HTTP Header Field".
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The longest Idempotency-Key that is taken, in bytes. The draft's own are UUIDs.
pub const IDEMPOTENCY_KEY_MAX: usize = 255;

/// How often a copy looks whether the first request has its answer.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long it looks: as long as the first request may wait for a lock.
const PATIENCE: Duration = Duration::from_secs(10);

/// The settings ask for requests to be answered anew when they are sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "api.replay_answers = false is not supported: whoever captures a signed request could send it again and remove more \
     numbers. Remove the setting, or set it to true"
)]
pub struct ReplayTurnedOff;

/// Refuses settings under which a captured request could remove more numbers.
///
/// # Errors
/// `api.replay_answers` is false.
pub fn check_settings(settings: &ApiSettings) -> Result<(), ReplayTurnedOff> {
    if settings.replay_answers { Ok(()) } else { Err(ReplayTurnedOff) }
}

/// The digest of a request's signature. A request that was authenticated has one.
#[must_use]
pub fn signature_key(headers: &HeaderMap) -> Option<String> {
    headers.get(AUTHORIZATION).map(|signature| digest("signature", &[signature.as_bytes()]))
}

/// The digest of a request's Idempotency-Key.
///
/// # Errors
/// It is not signed, or has not its form.
pub fn idempotency_key(headers: &HeaderMap, caller: &Caller<'_>) -> Result<Option<String>, IdempotencyKeyProblem> {
    let mut given = headers.get_all(IDEMPOTENCY_KEY);
    let Some(value) = given.next() else { return Ok(None) };
    // Otherwise whoever captures a request could give it a key of its own, and with it another identity.
    if !caller.has_signed(&IDEMPOTENCY_KEY) {
        return Err(IdempotencyKeyProblem::Unsigned);
    }
    let bytes = value.as_bytes();
    let fits = (1..=IDEMPOTENCY_KEY_MAX).contains(&bytes.len()) && bytes.iter().all(|b| (b' '..=b'~').contains(b));
    if !fits || given.next().is_some() {
        return Err(IdempotencyKeyProblem::Form);
    }
    // Two clients may choose the same text.
    Ok(Some(digest("key", &[caller.key.access_key.as_bytes(), bytes])))
}

/// Why an Idempotency-Key is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdempotencyKeyProblem {
    /// The signature does not cover it.
    Unsigned,
    /// Empty, too long, not printable ASCII, or there twice.
    Form,
}

/// A text of fixed length for the ledger, which does not show what it was made of.
fn digest(kind: &str, parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // With its length, so that the parts cannot run into each other.
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{kind}:{hex}")
}

/// What became of a request.
#[derive(Debug)]
pub enum Done {
    /// It was done now.
    Now(PurgeReport),
    /// It had been done before: this is its row of the ledger.
    Before(Box<Run>),
    /// Its first copy is still at work.
    UnderWay,
    /// The Idempotency-Key belongs to another request.
    OtherRequest,
}

/// Runs the engine, unless the same request has been here before. `begun`: it was done with others, and whether it was
/// committed is not known.
///
/// # Errors
/// As [`purge`].
pub fn execute(engine: &Engine, new: &NewRun, begun: Option<&Unanswered>) -> Result<Done, Error> {
    let mut control = Control::unattended();
    let done = match begun {
        None => purge(engine, new, &mut control),
        Some(begun) => settle(engine, new, begun, &mut control),
    };
    match done {
        Ok(report) => Ok(Done::Now(report)),
        Err(Error::KeyTaken(_)) => first(engine, new),
        Err(error) => Err(error),
    }
}

/// Waits for the answer to the first copy of a request. Where its server died at work, or the database failed it, this one
/// goes on in its place.
fn first(engine: &Engine, new: &NewRun) -> Result<Done, Error> {
    let begun = Instant::now();
    loop {
        let run = match find_first(engine, new)? {
            First::Found(run) => run,
            First::OtherRequest => return Ok(Done::OtherRequest),
            // Gone again: its transaction was rolled back, or its row was pruned.
            First::Gone => match purge(engine, new, &mut Control::unattended()) {
                // Another copy was faster.
                Err(Error::KeyTaken(_)) if begun.elapsed() <= PATIENCE => continue,
                Err(Error::KeyTaken(_)) => return Ok(Done::UnderWay),
                done => return done.map(Done::Now),
            },
        };
        let is_dead = run.heartbeat_at < engine.store.clock().timestamp() - runs::DEAD_AFTER;
        match RunState::from_column(&run.state) {
            Some(state)
                if matches!(state, RunState::Interrupted | RunState::Failed) || state.is_active() && is_dead =>
            {
                match resume(engine, run.id, new.bounds, &mut Control::unattended()) {
                    // Another copy was faster.
                    Err(Error::NotResumable { .. }) => {}
                    resumed => return resumed.map(Done::Now),
                }
            }
            Some(state) if state.is_active() => {}
            _ => return Ok(Done::Before(run)),
        }
        if begun.elapsed() > PATIENCE {
            return Ok(Done::UnderWay);
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// The row of the ledger that has a key of a request.
enum First {
    /// It is the same request's.
    Found(Box<Run>),
    /// It has the Idempotency-Key, and is another call's.
    OtherRequest,
    /// There is none.
    Gone,
}

fn find_first(engine: &Engine, new: &NewRun) -> Result<First, Error> {
    let mut conn = engine.store.connection()?;
    // The same signature is the same request, to the byte.
    if let Some(key) = &new.key
        && let Some(run) = runs::find_by_key(&mut conn, key)?
    {
        return Ok(First::Found(Box::new(run)));
    }
    let Some(key) = new.idempotency_key() else { return Ok(First::Gone) };
    Ok(match runs::find_by_idempotency_key(&mut conn, key)? {
        Some(run) if is_same(&run, new) => First::Found(Box::new(run)),
        Some(_) => First::OtherRequest,
        None => First::Gone,
    })
}

/// Whether the ledger's run is the call that a new signature asks for.
fn is_same(run: &Run, new: &NewRun) -> bool {
    let target = new.targets.first().map(|target| (target.vdn_id.get(), Some(target.campaign_id.get())));
    target == Some((run.vdn_id, run.campaign_id))
        && run.archive_history == new.archive_history
        && serde_json::to_value(&new.criteria).is_ok_and(|criteria| criteria == run.criteria)
}

/// The code that the first answer had.
#[must_use]
pub fn result_code(run: &Run) -> ResultCode {
    let code = run.result_code.as_deref();
    ResultCode::ALL.iter().copied().find(|known| Some(known.as_str()) == code).unwrap_or(ResultCode::DatabaseError)
}
