//! Random numbers, random criteria and a dialler that steps in at random moments, against a model in memory.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use callsweep_core::campaign::CampaignId;
use callsweep_core::clock::Clock;
use callsweep_core::number::{Called, CustomField, NewNumber, SessionId};
use callsweep_core::on_each_backend;
use callsweep_core::store::AnyConnection;
use callsweep_core::testkit::sample::{created_at, dial, number, time};
use callsweep_core::testkit::tables;
use proptest::option::{of, weighted};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;

use crate::support::{STATUSES, engine, ledger_of, manual, watch};

/// More find more; these take some seconds on each backend.
const CASES: u32 = 96;

/// Few values, so that they meet.
const TEXTS: [&str; 3] = ["1", "1", "2"];
const TIMES: [&str; 5] =
    ["2020-12-03 23:59:59", "2020-12-04 00:00:00", "2020-12-04 17:57:00", "2020-12-04 17:57:01", "2020-12-05 00:00:00"];

#[derive(Debug, Clone)]
struct Case {
    numbers: Vec<NewNumber>,
    filters: Filters,
    archive: bool,
    chunk_size: usize,
    /// What the dialler does at each moment: which number it puts into which status.
    moments: Vec<Vec<(i64, i16)>>,
}

#[derive(Debug, Clone)]
struct Filters {
    session_id: Option<&'static str>,
    called: Option<&'static str>,
    custom_field: Option<&'static str>,
    recycle: Option<(&'static str, &'static str)>,
}

fn cases() -> impl Strategy<Value = Case> {
    let columns =
        (of(select(&TEXTS)), select(&TEXTS), of(select(&TEXTS)), of(select(&TIMES)), select(&STATUSES), any::<bool>());
    let numbers = prop::collection::vec(columns, 0..16).prop_map(|numbers| {
        let numbers = (1..).zip(numbers).map(|(id, (session, called, custom, recycle, status, waiting))| NewNumber {
            session_id: session.map(|text| SessionId::parse(text).unwrap()),
            called: Called::parse(called).unwrap(),
            custom_field: custom.map(|text| CustomField::parse(text).unwrap()),
            recycle_time: recycle.map(time),
            status: if waiting { STATUSES[0] } else { status },
            ..number(id)
        });
        numbers.collect()
    });
    let filter = || weighted(0.2, select(&TEXTS));
    let recycle = weighted(0.8, (select(&["1", "2", "3"]), select(&TIMES)));
    let filters = (filter(), filter(), filter(), recycle)
        .prop_map(|(session_id, called, custom_field, recycle)| Filters { session_id, called, custom_field, recycle })
        .prop_filter("a filter is needed", |filters| filters.members() != "{}");
    let status = select(&[0, 0, 1, 2, 5, 6, 77]);
    let moments = prop::collection::vec(prop::collection::vec((1..16_i64, status), 0..6), 0..24);
    (numbers, filters, any::<bool>(), 1..6_usize, moments).prop_map(
        |(numbers, filters, archive, chunk_size, moments)| Case { numbers, filters, archive, chunk_size, moments },
    )
}

impl Filters {
    /// As a request has them.
    fn members(&self) -> String {
        let text = |name, value: Option<&str>| value.map(|value| format!(r#""{name}":"{value}""#));
        let members = [
            text("sessionId", self.session_id),
            text("called", self.called),
            text("customField", self.custom_field),
            text("recycleType", self.recycle.map(|(recycle_type, _)| recycle_type)),
            text("recycleTime", self.recycle.map(|(_, time)| time)),
        ];
        format!("{{{}}}", members.into_iter().flatten().collect::<Vec<_>>().join(","))
    }
}

/// The model: the numbers that match, and what is known of each number's status.
struct Model {
    matching: BTreeSet<i64>,
    /// As the dialler left it. It is the status with which a number went, because nobody else writes it.
    status: BTreeMap<i64, i16>,
    /// Those that were barred for a while: a chunk may have looked at them just then.
    once_barred: BTreeSet<i64>,
}

impl Model {
    fn new(case: &Case) -> Self {
        let Filters { session_id, called, custom_field, recycle } = case.filters;
        let equal = |filter: Option<&str>, value: Option<&str>| filter.is_none() || filter == value;
        let matches = |number: &&NewNumber| {
            let time = number.recycle_time.map(|time| time.to_string());
            equal(session_id, number.session_id.as_ref().map(SessionId::as_str))
                && equal(called, Some(number.called.as_str()))
                && equal(custom_field, number.custom_field.as_ref().map(CustomField::as_str))
                && recycle.is_none_or(|(recycle_type, asked)| match recycle_type {
                    "1" => time.is_some_and(|time| time[..10] <= asked[..10]),
                    "2" => time.is_some_and(|time| time[..10] == asked[..10]),
                    _ => time.is_some_and(|time| time == asked),
                })
        };
        Self {
            matching: case.numbers.iter().filter(matches).map(|number| number.id).collect(),
            status: case.numbers.iter().map(|number| (number.id, number.status as i16)).collect(),
            once_barred: case.numbers.iter().filter(|n| n.status as i16 != 0).map(|number| number.id).collect(),
        }
    }

    fn dialled(&mut self, id: i64, to: i16) {
        self.status.insert(id, to);
        if to != 0 {
            self.once_barred.insert(id);
        }
    }

    /// Which numbers may be gone, and which must be.
    fn may_and_must_go(&self) -> (BTreeSet<i64>, BTreeSet<i64>) {
        let may: BTreeSet<i64> = self.matching.iter().copied().filter(|id| self.status[id] == 0).collect();
        let must = &may - &self.once_barred;
        (may, must)
    }
}

/// Another program on the campaign, with its own connection.
struct Dialler {
    conn: AnyConnection,
    campaign: CampaignId,
    moments: std::vec::IntoIter<Vec<(i64, i16)>>,
    model: Model,
}

impl Dialler {
    fn step(&mut self) {
        for (id, to) in self.moments.next().unwrap_or_default() {
            // No such number in this case, or it is gone already: nothing to dial.
            let Some(&from) = self.model.status.get(&id) else { continue };
            if dial(&mut self.conn, self.campaign, id, from, to) {
                self.model.dialled(id, to);
            }
        }
    }
}

on_each_backend! {
    fn what_goes_is_what_the_model_says(db) {
        let dialler: Arc<Mutex<Option<Dialler>>> = Arc::default();
        let step = {
            let dialler = Arc::clone(&dialler);
            move || if let Some(dialler) = dialler.lock().unwrap_or_else(PoisonError::into_inner).as_mut() { dialler.step() }
        };
        // The engine looks at the clock after it has found a window and before it locks it: the dialler steps in there
        // too, not only between chunks.
        let at_the_clock = step.clone();
        let store = db.store_at(Clock::from_fn(move || {
            at_the_clock();
            created_at().and_utc()
        }));
        let (conn, campaigns) = (RefCell::new(db.connect()), Cell::new(0));
        let check = |case: Case| {
            let conn = &mut *conn.borrow_mut();
            campaigns.set(campaigns.get() + 1);
            let campaign = crate::support::campaign(db, campaigns.get(), &case.numbers);
            let run = manual(campaign, &case.filters.members(), case.archive);
            let (model, moments) = (Model::new(&case), case.moments.into_iter());
            *dialler.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(Dialler { conn: db.connect(), campaign, moments, model });
            let report = watch(&engine(store.clone(), case.chunk_size), &run, |_| step());
            let model = dialler.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap().model;

            let left: BTreeMap<i64, i16> = tables::numbers(conn, campaign).iter().map(|n| (n.id, n.status)).collect();
            let gone: BTreeSet<i64> = model.status.keys().copied().filter(|id| !left.contains_key(id)).collect();
            let (may, must) = model.may_and_must_go();
            prop_assert!(gone.is_subset(&may), "{gone:?} went, only {may:?} may");
            prop_assert!(must.is_subset(&gone), "{gone:?} went, all of {must:?} must");
            prop_assert!(left.iter().all(|(id, status)| model.status[id] == *status), "a status was changed");
            prop_assert_eq!(tables::history_ids(conn, campaign), if case.archive { gone.clone() } else { BTreeSet::new() });
            let row = ledger_of(conn, &report);
            prop_assert_eq!(row.state, "succeeded");
            prop_assert_eq!(row.counts.deleted, i64::try_from(gone.len()).unwrap());
            prop_assert_eq!(row.counts.matched, i64::try_from(model.matching.len()).unwrap());
            Ok(())
        };
        let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
        TestRunner::new(config).run(&cases(), check).unwrap_or_else(|error| panic!("{error}"));
    }
}
