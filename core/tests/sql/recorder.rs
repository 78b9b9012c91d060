//! Records each statement that this process executes, by Diesel's instrumentation.

use std::sync::{Mutex, PoisonError};

use diesel::connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation};

/// A statement and its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) sql: String,
    pub(crate) values: Vec<String>,
}

static RECORDED: Mutex<Vec<Recorded>> = Mutex::new(Vec::new());

struct Recorder;

impl Instrumentation for Recorder {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        if let InstrumentationEvent::StartQuery { query, .. } = event {
            let recorded = Recorded::parse(&query.to_string());
            let mut all = RECORDED.lock().unwrap_or_else(PoisonError::into_inner);
            // The first values of a text stand for all.
            if !all.iter().any(|one| one.sql == recorded.sql) {
                all.push(recorded);
            }
        }
    }
}

/// Records the statements of every connection that is opened from now on.
pub(crate) fn start() {
    stop();
    set_default_instrumentation(|| Some(Box::new(Recorder))).unwrap();
}

/// Takes what was recorded: each text once, in the order of its first execution.
pub(crate) fn stop() -> Vec<Recorded> {
    std::mem::take(&mut *RECORDED.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Recorded {
    /// Diesel shows a statement as its text, ` -- binds: ` and a list.
    fn parse(shown: &str) -> Self {
        let (sql, binds) = shown.rsplit_once(" -- binds: ").unwrap_or((shown, "[]"));
        let binds = binds.strip_prefix('[').and_then(|list| list.strip_suffix(']')).unwrap_or(binds);
        let values = binds.split(", ").filter(|value| !value.is_empty()).map(stable).collect();
        Self { sql: sql.to_owned(), values }
    }

    /// `module::function` of the leading comment.
    pub(crate) fn name(&self) -> Option<&str> {
        self.sql.strip_prefix("/* ")?.split_once(" */").map(|(name, _)| name)
    }

    /// Whether it was written by hand and does not say where. Diesel's own statements quote each name.
    pub(crate) fn lacks_name(&self) -> bool {
        let is_data = ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"].iter().any(|word| self.sql.starts_with(word));
        // What Diesel sends to test a connection that comes out of the pool.
        let is_ping = self.sql == "SELECT 1";
        is_data && !is_ping && !self.sql.contains(['`', '"'])
    }
}

/// Ids of runs have a random part, keys of requests come in the order of a hash, and where rows lie on the disk is the server's
/// choice.
fn stable(value: &str) -> String {
    if value.starts_with("\"request ") {
        "the key of a request".to_owned()
    } else if value.len() > 19 && value.contains('T') && value.contains('.') && !value.contains('"') {
        // The times of the scenario are whole seconds: this one is of the system's clock.
        "now".to_owned()
    } else if value.starts_with("\"(") {
        "a page".to_owned()
    } else if value.len() > 15 && value.bytes().all(|byte| byte.is_ascii_digit()) {
        "the id of a run".to_owned()
    } else {
        value.to_owned()
    }
}
