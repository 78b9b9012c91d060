//! Safe to repeat: a request that is sent again gets the first answer, and nothing is done twice.
//!
//! What makes two requests the same one is a key in the run's row of the ledger, unique, and written in the transaction that
//! deletes. So it holds for copies that arrive at once, on several servers, and after a crash.

use std::thread;
use std::time::{Duration, Instant};

use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderName};
use callsweep_core::error::Error;
use callsweep_core::purge::{Control, Engine, PurgeReport, Unanswered, purge, resume, settle};
use callsweep_core::result_code::ResultCode;
use callsweep_core::run::{NewRun, Run, RunState};
use callsweep_core::store::runs;
use sha2::{Digest, Sha256};

/// The header of the IETF draft "The Idempotency-Key HTTP Header Field".
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The longest Idempotency-Key that is taken, in bytes. The draft's own are UUIDs.
pub const IDEMPOTENCY_KEY_MAX: usize = 255;

/// How often a copy looks whether the first request has its answer.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long it looks: as long as the first request may wait for a lock.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a request is known by when it comes again: its Idempotency-Key, else its signature.
///
/// # Errors
/// The Idempotency-Key is empty, too long, not ASCII, or there twice.
pub fn key(headers: &HeaderMap, access_key: &str) -> Result<Option<String>, BadKey> {
    let mut given = headers.get_all(IDEMPOTENCY_KEY);
    if let Some(value) = given.next() {
        let bytes = value.as_bytes();
        let fits = (1..=IDEMPOTENCY_KEY_MAX).contains(&bytes.len()) && bytes.iter().all(|b| (b' '..=b'~').contains(b));
        if !fits || given.next().is_some() {
            return Err(BadKey);
        }
        // Two clients may choose the same text.
        return Ok(Some(digest("key", &[access_key.as_bytes(), bytes])));
    }
    Ok(headers.get(AUTHORIZATION).map(|signature| digest("signature", &[signature.as_bytes()])))
}

/// An Idempotency-Key that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadKey;

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
        Err(Error::KeyTaken(key)) => first(engine, new, &key),
        Err(error) => Err(error),
    }
}

/// Waits for the answer to the first copy of a request. Where its server died at work, or the database failed it, this one
/// goes on in its place.
fn first(engine: &Engine, new: &NewRun, key: &str) -> Result<Done, Error> {
    let begun = Instant::now();
    loop {
        let found = runs::find_by_key(&mut *engine.store.connection()?, key)?;
        // Gone again: its transaction was rolled back, or its row was pruned.
        let Some(run) = found else { return purge(engine, new, &mut Control::unattended()).map(Done::Now) };
        if !is_same(&run, new) {
            return Ok(Done::OtherRequest);
        }
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
            _ => return Ok(Done::Before(Box::new(run))),
        }
        if begun.elapsed() > PATIENCE {
            return Ok(Done::UnderWay);
        }
        thread::sleep(LOOK_EVERY);
    }
}

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

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn key_of(idempotency: &[&str], signature: &str, access_key: &str) -> Result<Option<String>, BadKey> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(signature).unwrap());
        for value in idempotency {
            headers.append(IDEMPOTENCY_KEY, HeaderValue::from_str(value).unwrap());
        }
        key(&headers, access_key)
    }

    #[test]
    fn the_signature_is_the_key_unless_the_client_gives_one() {
        assert_eq!(key_of(&[], "a", "k"), key_of(&[], "a", "k"));
        assert_ne!(key_of(&[], "a", "k"), key_of(&[], "b", "k"));
        assert_eq!(key_of(&["1"], "a", "k"), key_of(&["1"], "b", "k"));
        assert_ne!(key_of(&["1"], "a", "k"), key_of(&["1"], "a", "l"));
        assert_ne!(key_of(&["1"], "a", "k"), key_of(&["2"], "a", "k"));
        assert_ne!(key_of(&["23"], "a", "1"), key_of(&["3"], "a", "12"));
        // The ledger's column has 128 characters.
        assert!(key_of(&["1"], "a", "k").unwrap().unwrap().len() <= 128);
    }

    #[test]
    fn a_key_that_cannot_be_used_is_refused() {
        let long = "x".repeat(IDEMPOTENCY_KEY_MAX + 1);
        for keys in [&[""][..], &[long.as_str()], &["1", "1"]] {
            assert_eq!(key_of(keys, "a", "k"), Err(BadKey), "{keys:?}");
        }
    }
}
