//! Demo data: four campaigns with 200,000 numbers.

use chrono::{Days, NaiveDateTime, TimeDelta};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::Serialize;

use crate::engine::Error;
use crate::model::campaign::{Campaign, CampaignId, CampaignStatus, VdnId};
use crate::model::number::{Called, CustomField, NewNumber, NumberStatus, SessionId};
use crate::store::db::Store;
use crate::store::tables::{campaigns, numbers};

/// The demo's campaigns: name, state, numbers.
const CAMPAIGNS: [(&str, CampaignStatus, usize); 4] = [
    ("Spring renewals", CampaignStatus::Suspended, 120_000),
    ("Loyalty offer", CampaignStatus::Completed, 60_000),
    ("Payment reminders", CampaignStatus::Executing, 15_000),
    ("Pilot", CampaignStatus::Draft, 5_000),
];

/// The VDN that the demo's campaigns belong to.
const VDN: i64 = 1;

/// Recycle times are within this many days before and after today.
const DAYS_AROUND_TODAY: u64 = 30;

/// Numbers with the same customField, as one import would have.
const BATCH: usize = 2_500;

/// Numbers per inserting transaction.
const INSERT: usize = 5_000;

/// A campaign of the demo.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DemoCampaign {
    /// The campaign.
    pub campaign: Campaign,
    /// How many numbers it has.
    pub numbers: i64,
    /// The sessionId of a number that may be deleted. `None` if the campaign's state bars all numbers.
    pub session_id: Option<String>,
}

/// Creates the campaigns of the demo that do not exist yet, with their numbers.
///
/// # Errors
/// The database's.
pub fn populate(store: &Store) -> Result<Vec<DemoCampaign>, Error> {
    let mut conn = store.connection()?;
    let now = store.clock().timestamp();
    let vdn_id = VdnId::try_from(VDN)?;
    let mut made = Vec::new();
    for (seed, (name, status, wanted)) in (0..).zip(CAMPAIGNS) {
        let campaign = if let Some(campaign) = campaigns::find_by_name(&mut conn, vdn_id, name)? {
            campaign
        } else {
            let campaign = Campaign { id: CampaignId::try_from(seed + 1)?, vdn_id, name: name.to_owned(), status };
            campaigns::create(&mut conn, &campaign, now)?;
            let mut rng = SmallRng::seed_from_u64(seed.unsigned_abs());
            for first in (0..wanted).step_by(INSERT) {
                let upto = (first + INSERT).min(wanted);
                let some: Result<Vec<NewNumber>, Error> =
                    (first..upto).map(|n| number(store, &mut rng, n, now)).collect();
                numbers::insert(&mut conn, campaign.id, &some?, now)?;
            }
            campaign
        };
        let session_id = if campaign.status.is_executing() {
            None
        } else {
            numbers::any_removable_session_id(&mut conn, campaign.id)?
        };
        made.push(DemoCampaign { numbers: numbers::count(&mut conn, campaign.id)?, campaign, session_id });
    }
    Ok(made)
}

/// A random number: most are waiting, some completed, and a few loaded or calling. 95 percent have a recycle time.
fn number(store: &Store, rng: &mut SmallRng, n: usize, now: NaiveDateTime) -> Result<NewNumber, Error> {
    let status = match rng.random_range(0..100) {
        0..70 => NumberStatus::Waiting,
        70..72 => NumberStatus::Loaded,
        72 => NumberStatus::Calling,
        73..85 => NumberStatus::Failed,
        _ => NumberStatus::Succeeded,
    };
    let minutes = rng.random_range(0..2 * i64::try_from(DAYS_AROUND_TODAY).unwrap_or(0) * 24 * 60);
    let first_day = now.date().checked_sub_days(Days::new(DAYS_AROUND_TODAY)).unwrap_or(now.date());
    let recycle_time = NaiveDateTime::from(first_day) + TimeDelta::minutes(minutes);
    Ok(NewNumber {
        id: store.ids().next_id(),
        session_id: Some(SessionId::parse(&format!("s{n:07}"))?),
        called: Called::parse(&format!("1380{:07}", rng.random_range(0..10_000_000)))?,
        caller: Some("4001234567".to_owned()),
        custom_field: Some(CustomField::parse(&format!("batch-{:03}", n / BATCH))?),
        call_data: None,
        priority: rng.random_range(1..=5),
        recycle_time: (rng.random_range(0..20) > 0).then_some(recycle_time),
        status,
    })
}
