//! A scenario that executes every statement: each filter, walk and command once or twice.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use callsweep_core::bounds::Bounds;
use callsweep_core::campaign::{CampaignId, CampaignStatus};
use callsweep_core::clock::Clock;
use callsweep_core::criteria::Criteria;
use callsweep_core::engine::backlog::backlog;
use callsweep_core::engine::preview::preview;
use callsweep_core::engine::prune::{self, Prune};
use callsweep_core::engine::restore::{self, Restore};
use callsweep_core::engine::show_sql::show_sql;
use callsweep_core::engine::verify::verify;
use callsweep_core::engine::{BatchOutcome, Control, Engine, Gate, Outcome, Progress, PurgeReport, purge, purge_batch};
use callsweep_core::number::{Called, CustomField, NewNumber, SessionId};
use callsweep_core::pace::Pace;
use callsweep_core::rules::OngoingTask;
use callsweep_core::run::{NewRun, RequestOrigin, RunKind, Target};
use callsweep_core::stop_reason::StopReason;
use callsweep_core::store::{AnyConnection, Backend, campaigns, columns, inspect, load, migrations, numbers, space};
use callsweep_core::walk::Walk;
use callsweep_testkit::TestDatabase;
use callsweep_testkit::sample::{self, number, time};
use chrono::TimeDelta;

/// Each filter alone, and all of them.
const FILTERS: [&str; 7] = [
    r#"{"sessionId":"s-yes"}"#,
    r#"{"called":"1001"}"#,
    r#"{"customField":"yes"}"#,
    r#"{"recycleTime":"2020-12-04 08:00:00","recycleType":"1"}"#,
    r#"{"recycleTime":"2020-12-04 08:00:00","recycleType":"2"}"#,
    r#"{"recycleTime":"2020-12-04 08:00:00","recycleType":"3"}"#,
    r#"{"sessionId":"s-yes","called":"1001","customField":"yes","recycleTime":"2020-12-04 08:00:00","recycleType":"1"}"#,
];

/// Executes everything. Returns what `show_sql` showed of the runs.
pub(crate) fn run(db: &TestDatabase) -> Vec<String> {
    let dialler = Dialler::default();
    let engine = Engine {
        store: db.store_at(dialler.clock()),
        rules: OngoingTask::Campaign,
        pace: Pace::fixed(NonZeroUsize::new(4).unwrap()),
    };
    let mut shown = Vec::new();
    let mut archived = Vec::new();
    for (id, filter) in (1..).zip(FILTERS) {
        for (id, archive) in [(id, false), (id + 50, true)] {
            let campaign = campaign(db, id, (1..=6).map(matching));
            let new = manual(campaign, filter, archive);
            shown.extend(show(&engine, &new));
            preview(&engine, new.targets[0], &new.criteria, &|| false).unwrap().unwrap();
            let report = succeeds(&engine, &new);
            assert_eq!(report.counts.deleted, 6, "{filter}");
            archived.extend(archive.then_some((campaign, report.run_id)));
        }
    }
    many(db, &engine, &mut shown);
    a_number_changes_meanwhile(db, &engine, &dialler);
    groups(db, &engine);
    history(db, &engine, &archived);
    upkeep(&engine);
    shown
}

/// A number that each filter selects.
fn matching(id: i64) -> NewNumber {
    NewNumber {
        session_id: Some(SessionId::parse("s-yes").unwrap()),
        called: Called::parse("1001").unwrap(),
        custom_field: Some(CustomField::parse("yes").unwrap()),
        recycle_time: Some(time("2020-12-04 08:00:00")),
        ..number(id)
    }
}

/// So many matches that the primary key may lead.
fn many(db: &TestDatabase, engine: &Engine, shown: &mut Vec<String>) {
    let late = time("2020-12-20 08:00:00");
    let one =
        |id| NewNumber { recycle_time: if id <= 5_000 { Some(late) } else { number(id).recycle_time }, ..number(id) };
    let campaign = campaign(db, 100, (1..=30_000).map(one));
    let engine = Engine { pace: Pace::fixed(NonZeroUsize::new(5_000).unwrap()), ..engine.clone() };
    // None of the first numbers matches: the walk is chosen by a count.
    let one_day = criteria(r#"{"recycleTime":"2020-12-04 00:00:00","recycleType":"2"}"#);
    preview(&engine, target(campaign), &one_day, &|| false).unwrap().unwrap();

    let all = r#"{"recycleTime":"2020-12-31 00:00:00","recycleType":"1"}"#;
    let archiving = manual(campaign, all, true);
    shown.extend(show(&engine, &archiving));
    let gate = |now: &Progress| if now.chunks == 1 { Gate::Stop(StopReason::Person) } else { Gate::Go };
    let report = purge(&engine, &archiving, &mut Control { gate: Box::new(gate), ..Control::unattended() }).unwrap();
    assert_eq!(report.campaigns[0].walk, Some(Walk::PrimaryKey));
    let deleting = manual(campaign, all, false);
    shown.extend(show(&engine, &deleting));
    assert_eq!(succeeds(&engine, &deleting).campaigns[0].walk, Some(Walk::PrimaryKey));
}

/// The dialler loads numbers between the search for a window and its lock.
fn a_number_changes_meanwhile(db: &TestDatabase, engine: &Engine, dialler: &Dialler) {
    let campaign = campaign(db, 101, (1..=30).map(matching));
    dialler.begin(db.connect(), campaign);
    let new = NewRun { kind: RunKind::Request, key: Some("one".to_owned()), ..manual(campaign, FILTERS[2], false) };
    succeeds(engine, &new);
    dialler.end();
}

/// Group commit.
fn groups(db: &TestDatabase, engine: &Engine) {
    let campaign = campaign(db, 102, (1..=9).map(number));
    let idempotency_key = Some("once".to_owned());
    let origin = RequestOrigin { id: "r".to_owned(), client_address: "192.0.2.1".to_owned(), idempotency_key };
    let request = |id: i64, filter: &str, archive| NewRun {
        kind: RunKind::Request,
        key: Some(format!("request {id}")),
        request: (id == 1).then(|| origin.clone()),
        ..manual(campaign, filter, archive)
    };
    for archive in [true, false] {
        let first = if archive { 1 } else { 5 };
        let by_session = (first..first + 2).map(|id| request(id, &format!(r#"{{"sessionId":"s{id}"}}"#), archive));
        let by_called =
            (first + 2..first + 4).map(|id| request(id, &format!(r#"{{"called":"1380{id:07}"}}"#), archive));
        let runs: Vec<NewRun> = by_session.chain(by_called).collect();
        let done = purge_batch(engine, &mut engine.store.connection().unwrap(), &runs);
        assert!(done.iter().all(|one| matches!(one, BatchOutcome::Committed(_))), "{done:?}");
    }
}

/// Restore and prune what the runs archived.
fn history(db: &TestDatabase, engine: &Engine, archived: &[(CampaignId, i64)]) {
    let wish = |run_id| Restore { run_id, actor: "tester".to_owned(), into_executing: false };
    let (campaign, clashing) = archived[0];
    sample::insert(&mut db.connect(), campaign, &[matching(1)]);
    // Refused or not: the number that is in both tables is looked for.
    let _ = restore::preview(engine, &wish(clashing), &|| false);
    let refused = restore::restore(engine, &wish(clashing), &mut Control::unattended()).unwrap();
    assert!(matches!(refused.outcome, Outcome::Refused(_)), "{:?}", refused.outcome);
    let restored = restore::restore(engine, &wish(archived[1].1), &mut Control::unattended()).unwrap();
    assert!(matches!(restored.outcome, Outcome::Succeeded), "{:?}", restored.outcome);

    verify(&engine.store, &mut |_| true).unwrap().unwrap();
    let archived_before = engine.store.clock().timestamp() + TimeDelta::seconds(1);
    let wish = Prune { archived_before, bounds: Bounds::default(), actor: "tester".to_owned() };
    let pruned = prune::prune(engine, &wish, &mut Control::unattended()).unwrap();
    assert!(matches!(pruned.history.outcome, Outcome::Succeeded), "{:?}", pruned.history.outcome);
}

/// Counts, metrics, and what `doctor` asks.
fn upkeep(engine: &Engine) {
    let conn = &mut *engine.store.connection().unwrap();
    let [campaign, due] = [101, 102].map(|id| CampaignId::try_from(id).unwrap());
    assert!(migrations::pending(conn).unwrap().is_empty());
    numbers::count(conn, campaign).unwrap();
    campaigns::count_numbers(conn, campaign, time("2020-12-05 00:00:00"), 1_000).unwrap();
    backlog(engine, &[target(due)], &criteria(FILTERS[3]), 1_000).unwrap();
    columns::differences(conn).unwrap();
    inspect::inspect(conn).unwrap();
    match engine.store.backend() {
        Backend::Sqlite => {}
        Backend::Postgres => {
            load::running_queries(conn).unwrap();
            load::replica_position(conn).unwrap();
        }
        Backend::Mysql => {
            load::running_queries(conn).unwrap();
            load::own_lag(conn).unwrap();
        }
    }
    load::scalar(conn, "SELECT 1").unwrap();
    space::reclaim(&engine.store, &|| false).unwrap();
}

/// The statements that `show_sql` shows, but for those that depend on what other programs do.
fn show(engine: &Engine, new: &NewRun) -> Vec<String> {
    let shown = show_sql(engine, new.targets[0], &new.criteria, new.archive_history).unwrap();
    assert!(!shown.chunk.is_empty() && !shown.next_window.is_empty(), "{shown:?}");
    // PostgreSQL takes the rest of a window only if rows have moved out of its pages.
    let certain = if shown.chunk.iter().any(|one| one.sql.contains("ctid")) { 2 } else { shown.chunk.len() };
    let chunk = shown.chunk.into_iter().take(certain);
    shown.first_window.into_iter().chain(shown.next_window).chain(chunk).map(|one| one.sql).collect()
}

/// A clock that stands still. While it has a campaign, each look at it loads that campaign's next number.
#[derive(Clone, Default)]
struct Dialler(Arc<Mutex<Option<(AnyConnection, CampaignId, i64)>>>);

impl Dialler {
    fn clock(&self) -> Clock {
        let dialler = Arc::clone(&self.0);
        Clock::from_fn(move || {
            if let Some((conn, campaign, id)) = &mut *dialler.lock().unwrap_or_else(PoisonError::into_inner) {
                *id += 1;
                sample::try_dial(conn, *campaign, *id, 0, 1).expect("loads a number");
            }
            "2024-02-29T12:00:00Z".parse().unwrap()
        })
    }

    fn begin(&self, conn: AnyConnection, campaign: CampaignId) {
        *self.0.lock().unwrap() = Some((conn, campaign, 0));
    }

    fn end(&self) {
        *self.0.lock().unwrap() = None;
    }
}

fn campaign(db: &TestDatabase, id: i64, numbers: impl Iterator<Item = NewNumber>) -> CampaignId {
    let mut conn = db.connect();
    let campaign = sample::campaign(&mut conn, id, CampaignStatus::Suspended);
    sample::insert(&mut conn, campaign, &numbers.collect::<Vec<_>>());
    campaign
}

fn target(campaign_id: CampaignId) -> Target {
    Target { vdn_id: sample::vdn(), campaign_id }
}

fn criteria(json: &str) -> Criteria {
    serde_json::from_str(json).unwrap()
}

fn manual(campaign: CampaignId, filter: &str, archive_history: bool) -> NewRun {
    NewRun {
        kind: RunKind::Manual,
        policy: None,
        actor: "tester".to_owned(),
        targets: vec![target(campaign)],
        criteria: criteria(filter),
        archive_history,
        bounds: Bounds::default(),
        key: None,
        request: None,
    }
}

fn succeeds(engine: &Engine, new: &NewRun) -> PurgeReport {
    let report = purge(engine, new, &mut Control::unattended()).unwrap();
    assert!(matches!(report.outcome, Outcome::Succeeded), "{:?}", report.outcome);
    report
}
