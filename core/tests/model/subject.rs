//! The system under test: executes each step on the database, and has the model check the result.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use callsweep_core::campaign::{CampaignId, CampaignStatus};
use callsweep_core::clock::Clock;
use callsweep_core::engine::{Control, Engine};
use callsweep_core::number::{Called, CustomField, NewNumber, SessionId};
use callsweep_core::settings::DatabaseSettings;
use callsweep_core::store::{AnyConnection, Backend, Store, campaigns, numbers};
use callsweep_testkit::TestDatabase;
use callsweep_testkit::attack::Attack;
use callsweep_testkit::clock::ManualClock;
use callsweep_testkit::sample::{self, dial, number, time};
use callsweep_testkit::tables::NumberRow;
use chrono::TimeDelta;
use proptest::test_runner::TestCaseError;

use crate::dialler::{Dialler, lock, step_in};
use crate::faults;
use crate::model::{Doers, Model, Move, Number, Place, Seen, must};
use crate::proxy::{self, Proxy, When};
use crate::step::{Columns, Conditions, Fault, Step};
use crate::support::{campaign, engine, execute};

pub(crate) type Outcome = Result<(), TestCaseError>;

pub(crate) struct Subject<'a> {
    db: &'a TestDatabase,
    pub(crate) conn: AnyConnection,
    pub(crate) clock: ManualClock,
    dialler: Arc<Mutex<Option<Dialler>>>,
    store: Store,
    /// Connects through a proxy that loses a COMMIT or its answer. `None` on SQLite, which has no connection to lose.
    losing: Option<(Proxy, Store)>,
    pub(crate) campaign: CampaignId,
    pub(crate) model: Model,
    /// Numbers that the dialler has barred by their status in this step.
    pub(crate) touched: BTreeSet<usize>,
    pub(crate) requests: u64,
    pub(crate) tally: Attack,
}

impl<'a> Subject<'a> {
    pub(crate) fn new(db: &'a TestDatabase) -> Self {
        let clock = ManualClock::at("2026-01-01T00:00:00Z");
        let dialler: Arc<Mutex<Option<Dialler>>> = Arc::default();
        // The engine reads the clock after it has found a window and before it locks it. The dialler acts there, too,
        // not only between chunks.
        let (at_the_clock, time) = (Arc::clone(&dialler), clock.clock());
        let clock_with_dialler = Clock::from_fn(move || {
            step_in(&at_the_clock);
            time.now()
        });
        let through_a_proxy = || {
            let proxy = proxy::before(db);
            let settings = DatabaseSettings { url: proxy.url.clone().into(), ..DatabaseSettings::default() };
            let store = Store::open(&settings, clock_with_dialler.clone()).unwrap();
            (proxy, store)
        };
        let losing = (db.backend() != Backend::Sqlite).then(through_a_proxy);
        Self {
            db,
            conn: connect(db),
            store: db.store_at(clock_with_dialler.clone()),
            losing,
            clock,
            dialler,
            campaign: campaign(db, 1, &[]),
            model: Model::default(),
            touched: BTreeSet::new(),
            requests: 0,
            tally: Attack::new("model", db.backend()),
        }
    }

    /// Starts a sequence with empty tables.
    pub(crate) fn begin(&mut self) {
        let _turn = faults::turn();
        for table in ["call_data", "call_data_history", "purge_run", "purge_run_campaign", "campaign_lease"] {
            execute(&mut self.conn, &format!("DELETE FROM {table}"));
        }
        self.execute(false);
        self.model = Model::default();
        self.tally.fault("sequences");
    }

    pub(crate) fn take(&mut self, step: &Step) -> Outcome {
        let _turn = faults::turn();
        // A run that crashed counts as dead in the next step.
        self.clock.advance(TimeDelta::minutes(1));
        self.touched.clear();
        self.tally.fault("steps");
        match step {
            Step::Import(numbers, fault) => self.import(numbers, *fault),
            Step::Dial(steps) => self.dial(steps),
            Step::Execute(executes) => {
                self.execute(*executes);
                self.model.executing = *executes;
                Ok(())
            }
            Step::Remove(removal) => self.remove(removal),
            Step::Together(specs, fault) => self.together(specs, *fault),
            Step::Resume(pick, conditions) => self.resume(*pick, conditions),
            Step::Restore(pick, conditions) => self.restore(*pick, conditions),
            Step::Prune(ago, conditions) => self.prune(*ago, conditions),
        }
    }

    /// Ends a sequence: `verify` must find nothing.
    pub(crate) fn end(&mut self) -> Outcome {
        let _turn = faults::turn();
        self.clock.advance(TimeDelta::minutes(1));
        let report = callsweep_core::engine::verify::verify(&self.store, &mut |_| true).unwrap().unwrap();
        must!(report.skipped.is_empty() && report.violations.is_empty(), "verify found {report:?}");
        Ok(())
    }

    /// Prints what was done.
    pub(crate) fn tell(self) {
        self.tally.end();
    }

    fn execute(&mut self, executes: bool) {
        let status = if executes { CampaignStatus::Executing } else { CampaignStatus::Suspended };
        campaigns::set_status(&mut self.conn, self.campaign, status, sample::created_at()).unwrap();
    }

    fn import(&mut self, columns: &BTreeMap<i64, Columns>, fault: Fault) -> Outcome {
        let now = self.clock.clock().timestamp();
        let new: Vec<NewNumber> = columns
            .iter()
            .filter(|(id, _)| self.model.here(**id).is_none())
            .map(|(id, columns)| columns.number(*id))
            .collect();
        let campaign = self.campaign;
        let rows = new.iter().map(|number| NumberRow::imported(campaign, number.clone(), now));
        self.model.numbers.extend(rows.map(|row| Number { row, place: Place::Gone }));
        let imported =
            self.under(fault, &[], |store| numbers::insert(&mut store.connection().unwrap(), campaign, &new, now));
        let moves = self.observe(&Doers::default())?.1;
        must!(
            moves.iter().all(|moved| (moved.from, moved.to) == (Place::Gone, Place::Here)),
            "an import did {moves:?}"
        );
        let all = moves.len() == new.len();
        must!(all || moves.is_empty(), "{} of {} numbers were imported", moves.len(), new.len());
        must!(all || !matches!(imported, Some(Ok(()))), "none of {} numbers were imported", new.len());
        Ok(())
    }

    fn dial(&mut self, steps: &[(i64, i16)]) -> Outcome {
        for (id, to) in steps {
            let Some(number) = self.model.here(*id) else { continue };
            let from = self.model.numbers[number].row.status;
            must!(dial(&mut self.conn, self.campaign, *id, from, *to), "number {id} does not exist with status {from}");
            self.model.dialled(number, *to);
        }
        Ok(())
    }

    /// Runs `work` with an armed fault and an active dialler. `None`: it crashed.
    pub(crate) fn under<T>(
        &mut self,
        fault: Fault,
        moments: &[Vec<(i64, i16)>],
        work: impl FnOnce(&Store) -> T,
    ) -> Option<T> {
        let here = self.model.numbers.iter().filter(|number| number.place == Place::Here);
        let status = here.map(|number| (number.row.id, number.row.status)).collect();
        let moments = Vec::from(moments).into_iter();
        let (conn, campaign) = (connect(self.db), self.campaign);
        *lock(&self.dialler) = Some(Dialler { conn, campaign, moments, status, done: Vec::new() });
        let done = match (fault, &self.losing) {
            (Fault::Crash(at), _) => faults::crash(at, || work(&self.store)),
            (Fault::Commit(at), Some((proxy, store))) => Some(faults::lose(at, When::Before, proxy, || work(store))),
            (Fault::Answer(at), Some((proxy, store))) => Some(faults::lose(at, When::After, proxy, || work(store))),
            _ => Some(work(&self.store)),
        };
        match (&done, fault) {
            (None, _) => self.tally.fault("crashes"),
            (_, Fault::Commit(_) | Fault::Answer(_)) if self.losing.is_some() => {
                self.tally.fault("lost commits armed");
            }
            _ => {}
        }
        let dialler = lock(&self.dialler).take();
        for (id, to) in dialler.into_iter().flat_map(|dialler| dialler.done) {
            let number = self.model.here(id).expect("the number exists");
            self.model.dialled(number, to);
            if to != 0 {
                self.touched.insert(number);
            }
        }
        done
    }

    /// As [`Subject::under`], for an engine under these conditions.
    pub(crate) fn go<T>(
        &mut self,
        conditions: &Conditions,
        work: impl FnOnce(&Engine, &mut Control<'_>) -> T,
    ) -> Option<T> {
        let dialler = Arc::clone(&self.dialler);
        self.under(conditions.fault, &conditions.moments, |store| {
            let mut engine = engine(store.clone(), conditions.chunk_size);
            engine.pace.lanes = i64::from(conditions.lanes).try_into().unwrap();
            let progress = |_: &callsweep_core::engine::Progress| step_in(&dialler);
            work(&engine, &mut Control { progress: Box::new(progress), ..Control::unattended() })
        })
    }

    /// Reads the tables after a step whose runs are known, and has the model check them.
    pub(crate) fn observe(&mut self, doers: &Doers) -> Result<(Seen, Vec<Move>), TestCaseError> {
        let seen = self.look();
        let moves = self.model.observe(&seen)?;
        self.account(&seen, &moves, doers)?;
        Ok((seen, moves))
    }

    pub(crate) fn look(&mut self) -> Seen {
        Seen::look(&mut self.conn, self.campaign)
    }

    pub(crate) fn account(&mut self, seen: &Seen, moves: &[Move], doers: &Doers) -> Outcome {
        for _ in 0..self.model.numbers.len() + seen.runs.len() {
            self.tally.holds(true, String::new);
        }
        self.model.account(seen, moves, doers)
    }
}

/// The connection of the test. SQLite may skip flushes here: no test loses unflushed data.
fn connect(db: &TestDatabase) -> AnyConnection {
    let mut conn = db.connect();
    if db.backend() == Backend::Sqlite {
        execute(&mut conn, "PRAGMA synchronous = OFF");
    }
    conn
}

impl Columns {
    fn number(&self, id: i64) -> NewNumber {
        NewNumber {
            session_id: self.session_id.map(|text| SessionId::parse(text).unwrap()),
            called: Called::parse(self.called).unwrap(),
            custom_field: self.custom_field.map(|text| CustomField::parse(text).unwrap()),
            recycle_time: self.recycle_time.map(time),
            status: self.status,
            ..number(id)
        }
    }
}
