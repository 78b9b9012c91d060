//! Sample campaigns and numbers.

use chrono::{NaiveDate, NaiveDateTime, TimeDelta};
use diesel::prelude::*;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use callsweep_core::campaign::{Campaign, CampaignId, CampaignStatus, VdnId};
use callsweep_core::criteria::RecycleTime;
use callsweep_core::number::{Called, CustomField, NewNumber, NumberStatus, SessionId};
use callsweep_core::store::schema::call_data;
use callsweep_core::store::{AnyConnection, campaigns, numbers};

/// The VDN that the sample campaigns belong to.
#[must_use]
pub fn vdn() -> VdnId {
    VdnId::try_from(1).unwrap()
}

/// The creation time of the sample rows: long before any test, with microseconds.
#[must_use]
pub fn created_at() -> NaiveDateTime {
    time("2020-01-02 03:04:05") + TimeDelta::microseconds(678_901)
}

/// Parses a wall-clock time, `yyyy-mm-dd hh:mm:ss`.
#[must_use]
pub fn time(text: &str) -> NaiveDateTime {
    RecycleTime::parse(text).expect("a time such as 2020-12-04 17:57:00").get()
}

/// Creates a campaign in [`vdn`].
pub fn campaign(conn: &mut AnyConnection, id: i64, status: CampaignStatus) -> CampaignId {
    let id = CampaignId::try_from(id).unwrap();
    let campaign = Campaign { id, vdn_id: vdn(), name: format!("campaign {id}"), status };
    campaigns::create(conn, &campaign, created_at()).expect("creates a campaign");
    id
}

/// A number that no rule bars, with a value in every column. Use it as `NewNumber { …, ..number(1) }`.
#[must_use]
pub fn number(id: i64) -> NewNumber {
    NewNumber {
        id,
        session_id: Some(SessionId::parse(&format!("s{id}")).unwrap()),
        called: Called::parse(&format!("1380{id:07}")).unwrap(),
        caller: Some("4001234567".to_owned()),
        custom_field: Some(CustomField::parse("batch").unwrap()),
        call_data: Some(r#"{"name":"推荐","note":"a\tb"}"#.to_owned()),
        priority: 3,
        recycle_time: Some(time("2020-12-04 17:57:00")),
        status: NumberStatus::Waiting,
    }
}

/// Numbers 1 to `count` as in a contact centre: most are waiting, some completed, a few loaded or calling. Recycle times are
/// within sixty days from 2020-11-01, and 5 percent have none. Each customField has a hundred numbers. The same seed gives
/// the same numbers.
#[must_use]
pub fn numbers(count: i64, seed: u64) -> Vec<NewNumber> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let first_day = NaiveDateTime::from(NaiveDate::from_ymd_opt(2020, 11, 1).unwrap());
    let one = |id| {
        let status = match rng.random_range(0..100) {
            0..70 => NumberStatus::Waiting,
            70..73 => NumberStatus::Loaded,
            73..75 => NumberStatus::Calling,
            75..86 => NumberStatus::Failed,
            _ => NumberStatus::Succeeded,
        };
        let recycle_time = first_day + TimeDelta::seconds(rng.random_range(0..60 * 24 * 60 * 60));
        NewNumber {
            called: Called::parse(&format!("1380{:07}", rng.random_range(0..10_000_000))).unwrap(),
            custom_field: Some(CustomField::parse(&format!("batch-{}", id / 100)).unwrap()),
            priority: rng.random_range(1..=5),
            recycle_time: rng.random_bool(0.95).then_some(recycle_time),
            status,
            ..number(id)
        }
    };
    (1..=count).map(one).collect()
}

/// Inserts numbers with the creation time [`created_at`].
pub fn insert(conn: &mut AnyConnection, campaign: CampaignId, new: &[NewNumber]) {
    numbers::insert(conn, campaign, new, created_at()).expect("inserts numbers");
}

/// Simulates the dialler: changes the status of a number from `from` to `to`, which may be any value. Returns whether the
/// number existed with the status `from`.
pub fn dial(conn: &mut AnyConnection, campaign: CampaignId, id: i64, from: i16, to: i16) -> bool {
    try_dial(conn, campaign, id, from, to).expect("updates a number")
}

/// As [`dial`], for a dialler that runs concurrently with sweeps and may be the victim of a deadlock.
///
/// # Errors
/// The database's.
pub fn try_dial(conn: &mut AnyConnection, campaign: CampaignId, id: i64, from: i16, to: i16) -> QueryResult<bool> {
    let number = call_data::campaign_id.eq(campaign.get()).and(call_data::id.eq(id)).and(call_data::status.eq(from));
    Ok(diesel::update(call_data::table.filter(number)).set(call_data::status.eq(to)).execute(conn)? == 1)
}
