//! Throttles: each says whether it holds a run, and why.

use std::path::PathBuf;
use std::time::Duration;

use callsweep_core::clock::Clock;
use callsweep_core::settings::{DatabaseSettings, ThrottleSettings};
use callsweep_core::store::{Backend, Store, StoreError, load};

use crate::exit::Failure;

/// How long an HTTP check may take: a check that does not answer holds.
const HTTP_TIMEOUT: Duration = Duration::from_secs(5);

/// Something that a run waits for.
pub(super) enum Throttle {
    /// PostgreSQL knows its replicas.
    ReplicaLag { max: Duration },
    /// A replica of MariaDB that is asked itself.
    Replica { name: usize, replica: Store, max: Duration },
    /// Queries that the server is running.
    RunningQueries { max: i64 },
    /// A query of the settings.
    Query { query: String, max: i64 },
    /// An address that answers 2xx.
    Http { url: String, agent: ureq::Agent },
    /// A file that is there.
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
                (Backend::Postgres, _) => all.push(Self::ReplicaLag { max }),
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

    /// Why it holds the run, if it does. What cannot be asked holds: nobody knows whether the run would do harm.
    pub(super) fn holds(&self, store: &Store) -> Option<String> {
        match self {
            Self::FlagFile(file) => file.exists().then(|| format!("the flag file {}", file.display())),
            Self::Http { url, agent } => match agent.get(url).call() {
                Ok(answer) if answer.status().is_success() => None,
                Ok(answer) => Some(format!("{url}, which answers {}", answer.status().as_u16())),
                Err(error) => Some(format!("{url}, which does not answer ({error})")),
            },
            _ => self.ask_database(store).unwrap_or_else(|error| Some(format!("{}: {error}", self.name()))),
        }
    }

    fn ask_database(&self, store: &Store) -> Result<Option<String>, StoreError> {
        Ok(match self {
            Self::ReplicaLag { max } => {
                let lag = load::replica_lag(&mut *store.connection()?)?;
                lag.filter(|lag| lag > max).map(|_| format!("{} above {} s", self.name(), max.as_secs_f64()))
            }
            Self::Replica { replica, max, .. } => match load::own_lag(&mut *replica.connection()?)? {
                Some(lag) if lag <= *max => None,
                Some(_) => Some(format!("{} above {} s", self.name(), max.as_secs_f64())),
                None => Some(format!("{}: it is not replicating", self.name())),
            },
            Self::RunningQueries { max } => {
                let running = load::running_queries(&mut *store.connection()?)?;
                (running > *max).then(|| format!("{} above {max}", self.name()))
            }
            Self::Query { query, max } => {
                let value = load::scalar(&mut *store.connection()?, query)?;
                (value > *max).then(|| format!("{} above {max}", self.name()))
            }
            Self::FlagFile(_) | Self::Http { .. } => None,
        })
    }

    fn name(&self) -> String {
        match self {
            Self::ReplicaLag { .. } => "replica lag".to_owned(),
            Self::Replica { name, .. } => format!("lag of replica {name}"),
            Self::RunningQueries { .. } => "running queries".to_owned(),
            Self::Query { .. } => "the throttle query".to_owned(),
            Self::Http { url, .. } => url.clone(),
            Self::FlagFile(file) => file.display().to_string(),
        }
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().timeout_global(Some(HTTP_TIMEOUT)).http_status_as_error(false).build().into()
}
