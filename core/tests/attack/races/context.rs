//! What the actors of a race share, and what each of them records.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use callsweep_core::campaign::CampaignId;
use callsweep_core::clock::Clock;
use callsweep_core::engine::Error;
use callsweep_core::number::{Called, NewNumber, NumberStatus, SessionId};
use callsweep_core::run::{Counts, NewRun, RunState};
use callsweep_core::settings::DatabaseSettings;
use callsweep_core::store::{AnyConnection, Backend, Store, StoreError};
use callsweep_testkit::TestDatabase;
use callsweep_testkit::attack::Attack;
use callsweep_testkit::sample;
use callsweep_testkit::tables::NumberRow;
use diesel::prelude::*;
use diesel::sql_types::Text;

use crate::support::{campaign, execute};

/// Different sessionIds, and as many called numbers. A few numbers of a campaign share each of them.
const VALUES: i64 = 400;

/// The isolation level of other programs, which is also the default of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    ReadCommitted,
    RepeatableRead,
    /// The only level of SQLite.
    Serializable,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReadCommitted => "READ COMMITTED",
            Self::RepeatableRead => "REPEATABLE READ",
            Self::Serializable => "SERIALIZABLE",
        })
    }
}

/// What all actors share.
pub(super) struct RaceContext<'a> {
    db: &'a TestDatabase,
    level: Level,
    pub(super) store: Store,
    pub(super) campaigns: [CampaignId; 2],
    /// Runs that archived something and have not been restored.
    pub(super) restorable: Mutex<Vec<i64>>,
    /// The last request: a client without an answer repeats it.
    asked: Mutex<Option<NewRun>>,
    over: AtomicBool,
}

impl<'a> RaceContext<'a> {
    pub(super) fn new(db: &'a TestDatabase, level: Level) -> Self {
        if db.backend() == Backend::Postgres {
            let url = db.url();
            let name = url.rsplit('/').next().unwrap();
            let default = format!("ALTER DATABASE {name} SET default_transaction_isolation = '{level}'");
            execute(&mut db.connect(), &default.to_lowercase());
        }
        let settings = DatabaseSettings { pool_size: 16.try_into().unwrap(), ..db.settings() };
        Self {
            db,
            level,
            store: Store::open(&settings, Clock::system()).unwrap(),
            campaigns: [campaign(db, 1, &[]), campaign(db, 2, &[])],
            restorable: Mutex::default(),
            asked: Mutex::default(),
            over: AtomicBool::new(false),
        }
    }

    /// A connection of another program, at the isolation level of this race.
    pub(super) fn connect(&self) -> AnyConnection {
        let (mut conn, level) = (self.db.connect(), self.level);
        match conn.backend() {
            Backend::Sqlite => {}
            Backend::Postgres => {
                execute(&mut conn, &format!("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {level}"));
            }
            Backend::Mysql => execute(&mut conn, &format!("SET SESSION TRANSACTION ISOLATION LEVEL {level}")),
        }
        conn
    }

    /// The isolation level of Callsweep's own sessions, which does not depend on the default of the database.
    pub(super) fn product_level(&self) -> String {
        #[derive(QueryableByName)]
        struct Now {
            #[diesel(sql_type = Text)]
            level: String,
        }
        let query = match self.store.backend() {
            Backend::Sqlite => return Level::Serializable.to_string(),
            Backend::Postgres => "SELECT upper(current_setting('transaction_isolation')) AS level",
            Backend::Mysql => "SELECT replace(@@tx_isolation, '-', ' ') AS level",
        };
        let mut conn = self.store.connection().unwrap();
        diesel::sql_query(query).get_result::<Now>(&mut *conn).unwrap().level
    }

    pub(super) fn campaign(&self) -> CampaignId {
        self.campaigns[rand::random_range(0..self.campaigns.len())]
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// SQLite has no queue of writers: an actor that writes again at once starves the others.
    pub(super) fn let_others_write(&self) {
        if self.store.backend() == Backend::Sqlite {
            thread::sleep(Duration::from_millis(rand::random_range(1..=5)));
        }
    }

    /// A new request, or sometimes the last request of any client once more.
    pub(super) fn ask(&self, new: NewRun) -> NewRun {
        let mut last = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(last) if rand::random_bool(0.1) => last.clone(),
            _ => last.insert(new).clone(),
        }
    }

    /// From now on this run may be restored.
    pub(super) fn offer(&self, run_id: i64) {
        self.restorable.lock().unwrap_or_else(PoisonError::into_inner).push(run_id);
    }
}

pub(super) fn any_session_id() -> String {
    format!("s{}", rand::random_range(0..VALUES))
}

pub(super) fn any_called() -> String {
    format!("1380{:07}", rand::random_range(0..VALUES))
}

/// A waiting number, with values that it shares with others.
pub(super) fn new_number(id: i64) -> NewNumber {
    let [mut number] = <[NewNumber; 1]>::try_from(sample::numbers(1, rand::random())).unwrap();
    number.id = id;
    number.session_id = Some(SessionId::parse(&any_session_id()).unwrap());
    number.called = Called::parse(&any_called()).unwrap();
    number.status = NumberStatus::Waiting;
    number
}

/// How a run ended, as reported to its caller.
#[derive(Debug)]
pub(super) struct ReportedRun {
    pub(super) run_id: i64,
    pub(super) counts: Counts,
    pub(super) state: RunState,
}

/// What one actor did and saw.
pub(super) struct ActorLog {
    pub(super) attack: Attack,
    /// The numbers as they were imported.
    pub(super) imported: Vec<NumberRow>,
    /// Steps of the dialler for each number, and its status if the dialler still holds it.
    pub(super) dialled: Vec<(i64, i16, i16)>,
    pub(super) reported: Vec<ReportedRun>,
}

impl ActorLog {
    pub(super) fn new(backend: Backend) -> Self {
        let (imported, dialled, reported) = (Vec::new(), Vec::new(), Vec::new());
        Self { attack: Attack::new("an actor", backend), imported, dialled, reported }
    }

    /// Records a conflict with another actor, which is allowed; the actor retries later.
    pub(super) fn postpone(&mut self, what: &str, error: impl Into<Error>) {
        let error = error.into();
        let passes = match &error {
            Error::Locked { .. } => true,
            Error::Store(error) => error.is_transient().is_some() || error.is_busy(),
            _ => false,
        };
        if passes {
            self.attack.fault(&format!("{what} postponed"));
        } else {
            self.attack.holds(false, || format!("{what}: {error}"));
        }
    }

    /// As [`ActorLog::postpone`], for an error of the actor's own statement.
    pub(super) fn postpone_after(&mut self, what: &str, error: diesel::result::Error) {
        self.postpone(what, StoreError::from(error));
    }
}
