//! Throttles: each tells whether it holds a run, and why.

use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use callsweep_core::clock::Clock;
use callsweep_core::settings::{DatabaseSettings, ThrottleSettings};
use callsweep_core::store::load::{self, ReplicaPosition};
use callsweep_core::store::{Backend, Store, StoreError};

use crate::cli::exit::Failure;

/// How long an HTTP check may take.
const HTTP_TIMEOUT: Duration = Duration::from_secs(5);

/// Something that a run waits for.
pub(super) enum Throttle {
    /// PostgreSQL knows its replicas.
    ReplicaLag { max: Duration, log: LogPositions },
    /// A replica of MariaDB that is asked itself.
    Replica { name: usize, replica: Store, max: Duration },
    /// Queries that the server is running.
    RunningQueries { max: i64 },
    /// A query of the settings.
    Query { query: String, max: i64 },
    /// An address that answers 2xx.
    Http { url: String, agent: ureq::Agent },
    /// A file that exists.
    FlagFile(PathBuf),
}

impl Throttle {
    /// All throttles of the settings.
    ///
    /// # Errors
    /// A replica cannot be reached, or the settings ask for what the database cannot tell.
    pub(super) fn all(settings: &ThrottleSettings, store: &Store) -> Result<Vec<Self>, Failure> {
        let mut all: Vec<Self> = settings.flag_file.iter().cloned().map(Self::FlagFile).collect();
        if let Some(max) = settings.max_replica_lag {
            match (store.backend(), &settings.replicas[..]) {
                (Backend::Postgres, _) => all.push(Self::ReplicaLag { max, log: LogPositions::default() }),
                (Backend::Mysql, []) => {
                    return Err(Failure::usage(
                        "max_replica_lag needs the replicas' URLs on MariaDB: give throttle.replicas or --replica URL",
                    ));
                }
                (Backend::Mysql, urls) => {
                    for (name, url) in (1..).zip(urls) {
                        let settings = DatabaseSettings { url: url.clone(), ..DatabaseSettings::default() };
                        all.push(Self::Replica { name, replica: Store::open(&settings, Clock::system())?, max });
                    }
                }
                (Backend::Sqlite, _) => {
                    return Err(Failure::usage("max_replica_lag: SQLite has no replicas. Leave it out"));
                }
            }
        }
        all.extend(settings.max_running_queries.map(|max| Self::RunningQueries { max }));
        all.extend(settings.query.clone().map(|query| Self::Query { query, max: settings.query_max }));
        all.extend(settings.http.clone().map(|url| Self::Http { url, agent: agent() }));
        Ok(all)
    }

    /// Why it holds the run, if it does.
    ///
    /// # Errors
    /// It gives no answer.
    pub(super) fn ask(&mut self, store: &Store) -> Result<Option<String>, AskError> {
        let name = self.name();
        Ok(match self {
            Self::FlagFile(file) => file.exists().then_some(name),
            Self::Http { url, agent } => {
                let status = agent.get(url.as_str()).call().map_err(AskError::Http)?.status();
                (!status.is_success()).then(|| format!("{name}, which answers {}", status.as_u16()))
            }
            Self::ReplicaLag { max, log } => match load::replica_position(&mut *store.connection()?)? {
                None => None,
                Some(ReplicaPosition { replayed: None, .. }) => {
                    Some(format!("{name}, which this user may not see: GRANT pg_monitor"))
                }
                Some(ReplicaPosition { written, replayed: Some(replayed) }) => {
                    let lag = log.lag(Instant::now(), written, replayed);
                    (lag > *max).then(|| format!("{name} above {} s", max.as_secs_f64()))
                }
            },
            Self::Replica { replica, max, .. } => match load::own_lag(&mut *replica.connection()?)? {
                Some(lag) if lag <= *max => None,
                Some(_) => Some(format!("{name} above {} s", max.as_secs_f64())),
                None => Some(format!("{name}: it is not replicating")),
            },
            Self::RunningQueries { max } => {
                let running = load::running_queries(&mut *store.connection()?)?;
                (running > *max).then(|| format!("{name} above {max}"))
            }
            Self::Query { query, max } => {
                let value = load::scalar(&mut *store.connection()?, query)?;
                (value > *max).then(|| format!("{name} above {max}"))
            }
        })
    }

    /// As messages name it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::ReplicaLag { .. } => "replica lag".to_owned(),
            Self::Replica { name, .. } => format!("lag of replica {name}"),
            Self::RunningQueries { .. } => "running queries".to_owned(),
            Self::Query { .. } => "the throttle query".to_owned(),
            Self::Http { url, .. } => without_secrets(url),
            Self::FlagFile(file) => format!("the flag file {}", file.display()),
        }
    }
}

/// Why a throttle gives no answer.
#[derive(Debug)]
pub(super) enum AskError {
    Store(StoreError),
    Http(ureq::Error),
}

impl From<StoreError> for AskError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            // ureq repeats the URL that it cannot read, and secrets may stand in it.
            Self::Http(ureq::Error::BadUri(_)) => f.write_str("it is not a valid URL"),
            Self::Http(error) => error.fmt(f),
        }
    }
}

/// A URL without user, password and query: what holds a run is kept in the ledger for everybody to read.
fn without_secrets(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", ""));
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    let host = rest[..end].rfind('@').map_or(0, |at| at + 1);
    format!("{scheme}://{}", &rest[host..end])
}

/// When the primary was where: PostgreSQL tells how many bytes a replica is behind, and of a replica that stands still not
/// for how long.
#[derive(Debug, Default)]
pub(super) struct LogPositions(VecDeque<(Instant, i64)>);

/// Positions that are kept: hours of a replica that stands still.
const POSITIONS_MAX: usize = 10_000;

impl LogPositions {
    /// How long ago the primary wrote the first byte that has not been replayed, as far as we have seen.
    fn lag(&mut self, now: Instant, written: i64, replayed: i64) -> Duration {
        if self.0.len() < POSITIONS_MAX && self.0.back().is_none_or(|(_, last)| *last < written) {
            self.0.push_back((now, written));
        }
        while self.0.front().is_some_and(|(_, position)| *position <= replayed) {
            self.0.pop_front();
        }
        self.0.front().map_or(Duration::ZERO, |(when, _)| now.saturating_duration_since(*when))
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().timeout_global(Some(HTTP_TIMEOUT)).http_status_as_error(false).build().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        assert_eq!(without_secrets("http://u:p@h:80/hold?token=t#f"), "http://h:80/hold");
        assert_eq!(without_secrets("https://h/hold"), "https://h/hold");
        assert_eq!(without_secrets("u:p@h"), "http://");
    }

    #[test]
    fn a_replica_that_stands_still_falls_behind_second_by_second() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut log = LogPositions::default();
        assert_eq!(log.lag(at(0), 100, 100), Duration::ZERO);
        assert_eq!(log.lag(at(1), 200, 100), Duration::ZERO);
        assert_eq!(log.lag(at(9), 300, 100), Duration::from_secs(8));
        // Nothing is written any more, and still it is behind.
        assert_eq!(log.lag(at(20), 300, 100), Duration::from_secs(19));
        assert_eq!(log.lag(at(21), 300, 200), Duration::from_secs(12));
        assert_eq!(log.lag(at(22), 300, 300), Duration::ZERO);
        assert!(log.0.is_empty());
    }
}
