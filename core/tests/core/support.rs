//! What most tests here begin with.

use std::num::NonZeroUsize;

use callsweep_core::bounds::Bounds;
use callsweep_core::campaign::{CampaignId, CampaignStatus};
use callsweep_core::criteria::Criteria;
use callsweep_core::number::{NewNumber, NumberStatus};
use callsweep_core::purge::{Control, Engine, Outcome, Pace, PurgeReport, purge};
use callsweep_core::rules::OngoingTask;
use callsweep_core::run::{NewRun, Run, RunKind, Target};
use callsweep_core::store::{AnyConnection, Store, runs};
use callsweep_core::testkit::{TestDatabase, sample};

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

/// What a person asks for: the members of a request.
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

/// Lets a run go to its end. It must succeed.
pub(crate) fn sweep(engine: &Engine, run: &NewRun) -> PurgeReport {
    let report = purge(engine, run, &mut Control::unattended()).unwrap();
    assert!(matches!(report.outcome, Outcome::Succeeded), "{:?}", report.outcome);
    report
}

/// The ledger's row.
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
