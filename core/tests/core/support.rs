//! Helpers of the tests: engines, runs, locks of other programs, and checks of the ledger.

use std::num::NonZeroUsize;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use callsweep_core::bounds::Bounds;
use callsweep_core::campaign::{CampaignId, CampaignStatus};
use callsweep_core::criteria::Criteria;
use callsweep_core::engine::Error;
use callsweep_core::engine::preview::{Preview, preview};
use callsweep_core::engine::verify::verify;
use callsweep_core::engine::{Control, Engine, Gate, Outcome, Progress, PurgeReport, purge, resume};
use callsweep_core::number::{NewNumber, NumberStatus};
use callsweep_core::pace::Pace;
use callsweep_core::rules::OngoingTask;
use callsweep_core::run::{NewRun, Run, RunKind, Target};
use callsweep_core::stop_reason::StopReason;
use callsweep_core::store::{AnyConnection, Backend, Store, runs};
use callsweep_core::walk::Walk;
use callsweep_testkit::{TestDatabase, sample};
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

/// Every status that Callsweep knows.
pub(crate) const STATUSES: [NumberStatus; 5] =
    [NumberStatus::Waiting, NumberStatus::Loaded, NumberStatus::Calling, NumberStatus::Failed, NumberStatus::Succeeded];

/// An engine under the default rules.
pub(crate) fn engine(store: Store, chunk_size: usize) -> Engine {
    Engine { store, rules: OngoingTask::Campaign, pace: Pace::fixed(NonZeroUsize::new(chunk_size).unwrap()) }
}

/// Criteria from the members of a request.
pub(crate) fn criteria(json: &str) -> Criteria {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

/// A manual run with the filter of these request members.
pub(crate) fn manual(campaign: CampaignId, json: &str, archive_history: bool) -> NewRun {
    NewRun {
        kind: RunKind::Manual,
        policy: None,
        actor: "tester".to_owned(),
        targets: vec![Target { vdn_id: sample::vdn(), campaign_id: campaign }],
        criteria: criteria(json),
        archive_history,
        bounds: Bounds::default(),
        key: None,
        request: None,
    }
}

/// Runs a sweep to its end. It must succeed.
pub(crate) fn sweep(engine: &Engine, run: &NewRun) -> PurgeReport {
    let report = purge(engine, run, &mut Control::unattended()).unwrap();
    assert!(matches!(report.outcome, Outcome::Succeeded), "{:?}", report.outcome);
    report
}

/// Runs a sweep to its end, whatever its outcome, and calls `progress` after each chunk.
pub(crate) fn watch(engine: &Engine, run: &NewRun, progress: impl FnMut(&Progress)) -> PurgeReport {
    purge(engine, run, &mut after_each_chunk(progress)).unwrap()
}

/// As [`watch`], but resumes a run of the ledger.
pub(crate) fn resume_with_progress(engine: &Engine, run_id: i64, progress: impl FnMut(&Progress)) -> PurgeReport {
    resume(engine, run_id, Bounds::default(), &mut after_each_chunk(progress)).unwrap()
}

pub(crate) fn after_each_chunk<'a>(mut look: impl FnMut(&Progress) + 'a) -> Control<'a> {
    let progress = move |now: &Progress| {
        if now.chunk.is_some() {
            look(now);
        }
    };
    Control { progress: Box::new(progress), ..Control::unattended() }
}

/// Runs a sweep that a person stops after this many chunks.
pub(crate) fn stop_after(engine: &Engine, run: &NewRun, chunks: i64) -> PurgeReport {
    let gate = |now: &Progress| if now.chunks == chunks { Gate::Stop(StopReason::Person) } else { Gate::Go };
    let report = purge(engine, run, &mut Control { gate: Box::new(gate), ..Control::unattended() }).unwrap();
    assert!(matches!(report.outcome, Outcome::Stopped(StopReason::Person)), "{:?}", report.outcome);
    report
}

/// The preview of a run's only campaign.
pub(crate) fn preview_of(engine: &Engine, run: &NewRun, stop: bool) -> Result<Option<Preview>, Error> {
    preview(engine, run.targets[0], &run.criteria, &|| stop)
}

/// The index that the run's only campaign was scanned by.
pub(crate) fn walk(report: &PurgeReport) -> Option<Walk> {
    report.campaigns[0].walk
}

/// Executes SQL of another program.
pub(crate) fn execute(conn: &mut AnyConnection, sql: &str) {
    conn.batch_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// Opens a transaction of another program and executes `sql` in it.
pub(crate) fn begin(db: &TestDatabase, sql: &str) -> AnyConnection {
    let mut conn = db.connect();
    execute(&mut conn, if db.backend() == Backend::Sqlite { "BEGIN IMMEDIATE" } else { "BEGIN" });
    execute(&mut conn, sql);
    conn
}

/// How many sessions of this database wait for a lock. SQLite cannot report that.
pub(crate) fn waiting(conn: &mut AnyConnection) -> i64 {
    #[derive(QueryableByName)]
    struct Sessions {
        #[diesel(sql_type = BigInt)]
        sessions: i64,
    }
    let query = match conn.backend() {
        Backend::Sqlite => return 0,
        Backend::Postgres => {
            "SELECT count(*) AS sessions FROM pg_stat_activity \
             WHERE datname = current_database() AND wait_event_type = 'Lock'"
        }
        Backend::Mysql => {
            "SELECT count(*) AS sessions FROM information_schema.innodb_trx t \
             JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id \
             WHERE t.trx_state = 'LOCK WAIT' AND p.db = DATABASE()"
        }
    };
    diesel::sql_query(query).get_result::<Sessions>(conn).unwrap().sessions
}

/// Returns when this many sessions wait for a lock.
pub(crate) fn wait_for_lock_waits(db: &TestDatabase, sessions: i64) {
    let mut conn = db.connect();
    while waiting(&mut conn) < sessions {
        thread::sleep(POLL_INTERVAL);
    }
}

/// InnoDB refreshes its lock tables only if they were not read for 100 ms.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(150);

/// The ledger row of a run, which must agree with the report.
pub(crate) fn ledger_of(conn: &mut AnyConnection, report: &PurgeReport) -> Run {
    let row = ledger(conn, report.run_id);
    assert_eq!((row.counts, row.chunks), (report.counts, report.chunks));
    assert_sums(&row);
    let campaigns = runs::campaigns(conn, report.run_id).unwrap();
    for (campaign, of) in campaigns.iter().zip(&report.campaigns) {
        assert_eq!((campaign.counts, campaign.chunks), (of.counts, of.chunks));
    }
    row
}

/// Conditions that hold for every ledger row.
pub(crate) fn assert_sums(row: &Run) {
    let counts = row.counts;
    // Numbers that a restore moves are not deleted.
    if row.kind != RunKind::Restore {
        assert_eq!(counts.matched, counts.deleted + counts.barred.total());
    }
    assert_eq!(counts.archived, if row.archive_history { counts.deleted } else { 0 });
}

/// `verify` finds no violation and skips no run.
#[track_caller]
pub(crate) fn assert_no_violation(store: &Store) {
    let report = verify(store, &mut |_| true).unwrap().unwrap();
    assert_eq!((report.violations, report.skipped), (vec![], vec![]));
}

/// The ledger row of a run.
pub(crate) fn ledger(conn: &mut AnyConnection, run_id: i64) -> Run {
    runs::find(conn, run_id).unwrap().expect("the run is in the ledger")
}

/// A campaign that is not executing, with these numbers.
pub(crate) fn campaign(db: &TestDatabase, id: i64, numbers: &[NewNumber]) -> CampaignId {
    let mut conn = db.connect();
    let campaign = sample::campaign(&mut conn, id, CampaignStatus::Suspended);
    sample::insert(&mut conn, campaign, numbers);
    campaign
}

/// Runs `work`, and sends to `retried` for each retry of the engine in this thread.
pub(crate) fn with_retry_signal<T>(retried: mpsc::Sender<()>, work: impl FnOnce() -> T) -> T {
    tracing::subscriber::with_default(Retries(retried), work)
}

/// Receives the log events of the store's retry loop.
struct Retries(mpsc::Sender<()>);

impl tracing::Subscriber for Retries {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        // By the file's own name, so that moving it to another folder does not silence the signal.
        metadata.target().starts_with("callsweep_core::") && metadata.target().ends_with("::retry")
    }

    fn event(&self, _: &tracing::Event<'_>) {
        // The channel is closed when the test needs no more signals.
        let _ = self.0.send(());
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}
