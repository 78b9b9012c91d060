//! Campaigns.

use std::sync::Arc;

use chrono::NaiveDateTime;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, SmallInt, Text};
use serde::Serialize;

use crate::model::campaign::{Campaign, CampaignId, CampaignStatus, VdnId};
use crate::store::db::catalogue::{Catalogue, fingerprint};
use crate::store::db::columns::Columns;
use crate::store::db::schema::campaign;
use crate::store::db::statement::Statement;
use crate::store::db::{AnyConnection, Backend, StoreError};

/// The campaign with this id in this VDN.
///
/// # Errors
/// The database's.
pub fn find(conn: &mut AnyConnection, vdn: VdnId, id: CampaignId) -> Result<Option<Campaign>, StoreError> {
    let row = campaign::table
        .filter(campaign::id.eq(id.get()).and(campaign::vdn_id.eq(vdn.get())))
        .select(COLUMNS)
        .first(conn)
        .optional()?;
    row.map(from_row).transpose()
}

/// The campaign with this name in this VDN.
///
/// # Errors
/// The database's.
pub fn find_by_name(conn: &mut AnyConnection, vdn: VdnId, name: &str) -> Result<Option<Campaign>, StoreError> {
    let row = campaign::table
        .filter(campaign::vdn_id.eq(vdn.get()).and(campaign::name.eq(name)))
        .select(COLUMNS)
        .first(conn)
        .optional()?;
    // Where the collation ignores case it may be another name.
    let found = row.map(from_row).transpose()?;
    Ok(found.filter(|campaign| campaign.name == name))
}

/// The campaigns of a VDN, or of all VDNs, by id.
///
/// # Errors
/// The database's.
pub fn list(conn: &mut AnyConnection, vdn: Option<VdnId>) -> Result<Vec<Campaign>, StoreError> {
    let all = campaign::table.select(COLUMNS).order(campaign::id);
    let rows = match vdn {
        Some(vdn) => all.filter(campaign::vdn_id.eq(vdn.get())).load(conn)?,
        None => all.load(conn)?,
    };
    rows.into_iter().map(from_row).collect()
}

/// Creates a campaign.
///
/// # Errors
/// The database's, such as a name that the VDN already has.
pub fn create(conn: &mut AnyConnection, new: &Campaign, now: NaiveDateTime) -> Result<(), StoreError> {
    diesel::insert_into(campaign::table)
        .values((
            campaign::id.eq(new.id.get()),
            campaign::vdn_id.eq(new.vdn_id.get()),
            campaign::name.eq(&new.name),
            campaign::status.eq(new.status.to_column()),
            campaign::created_at.eq(now),
            campaign::updated_at.eq(now),
        ))
        .execute(conn)?;
    Ok(())
}

/// Sets the status of a campaign, as the dialler does.
///
/// # Errors
/// The database's.
pub fn set_status(
    conn: &mut AnyConnection,
    id: CampaignId,
    status: CampaignStatus,
    now: NaiveDateTime,
) -> Result<(), StoreError> {
    diesel::update(campaign::table.filter(campaign::id.eq(id.get())))
        .set((campaign::status.eq(status.to_column()), campaign::updated_at.eq(now)))
        .execute(conn)?;
    Ok(())
}

/// The campaign that the transaction has locked, and the columns that archiving copies.
pub(crate) struct LockedCampaign {
    pub(crate) status: CampaignStatus,
    pub(crate) columns: Arc<Columns>,
}

/// Locks a campaign in share mode and reads its status, which then cannot change until the transaction ends; nor can the
/// columns of the tables. `None`: the campaign does not exist.
///
/// # Errors
/// [`StoreError::UnsafeTable`]: numbers could be lost in a table. Or the database's.
pub(crate) fn lock(
    conn: &mut AnyConnection,
    catalogue: &Catalogue,
    id: CampaignId,
) -> Result<Option<LockedCampaign>, StoreError> {
    #[derive(QueryableByName)]
    struct Locked {
        #[diesel(sql_type = SmallInt)]
        status: i16,
        #[diesel(sql_type = Text)]
        fingerprint: String,
    }
    let found: Vec<Locked> = lock_statement(conn.backend(), id).load(conn)?;
    let Some(found) = found.into_iter().next() else { return Ok(None) };
    let columns = catalogue.columns(conn, &found.fingerprint)?;
    Ok(Some(LockedCampaign { status: CampaignStatus::from_column(found.status), columns }))
}

/// The statement of [`lock`].
pub(crate) fn lock_statement(backend: Backend, id: CampaignId) -> Statement {
    let lock = match backend {
        // The transaction already has the only write lock.
        Backend::Sqlite => "",
        Backend::Postgres => " FOR SHARE",
        Backend::Mysql => " LOCK IN SHARE MODE",
    };
    let head = fingerprint(Statement::new("/* campaigns::lock */ SELECT status"), backend);
    head.sql(" FROM campaign WHERE id = ").big_int(id.get()).sql(lock)
}

type Row = (i64, i32, String, i16);

const COLUMNS: (campaign::id, campaign::vdn_id, campaign::name, campaign::status) =
    (campaign::id, campaign::vdn_id, campaign::name, campaign::status);

fn from_row((id, vdn_id, name, status): Row) -> Result<Campaign, StoreError> {
    let unreadable =
        |error: crate::model::invalid::InvalidParameter| StoreError::Unreadable(format!("campaign {id}: {error}"));
    Ok(Campaign {
        id: CampaignId::try_from(id).map_err(unreadable)?,
        vdn_id: VdnId::try_from(i64::from(vdn_id)).map_err(unreadable)?,
        name,
        status: CampaignStatus::from_column(status),
    })
}

/// The numbers of a campaign, counted up to a bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CampaignNumbers {
    /// Waiting for a call.
    pub waiting: i64,
    /// Loaded by the dialler, or their call is ongoing.
    pub in_use: i64,
    /// Their call is completed: finally failed, or succeeded.
    pub completed: i64,
    /// With a status that Callsweep does not know.
    pub other: i64,
    /// Those of the waiting ones whose recycle time has passed.
    pub due: i64,
    /// In `call_data_history`.
    pub history: i64,
    /// Whether there are more in `call_data` or in history than were counted.
    pub is_bounded: bool,
}

/// Counts the numbers of a campaign by status, at most `bound` in `call_data` and `bound` in history. `now`: the wall-clock
/// time to compare recycle times with.
///
/// # Errors
/// The database's.
pub fn count_numbers(
    conn: &mut AnyConnection,
    campaign: CampaignId,
    now: NaiveDateTime,
    bound: i64,
) -> Result<CampaignNumbers, StoreError> {
    #[derive(QueryableByName)]
    struct OfStatus {
        #[diesel(sql_type = SmallInt)]
        status: i16,
        #[diesel(sql_type = BigInt)]
        numbers: i64,
        #[diesel(sql_type = BigInt)]
        due: i64,
    }
    #[derive(QueryableByName)]
    struct InHistory {
        #[diesel(sql_type = BigInt)]
        numbers: i64,
    }
    let backend = conn.backend();
    let rows: Vec<OfStatus> = Statement::new(
        "/* campaigns::count_numbers */ SELECT status, count(*) AS numbers, count(CASE WHEN recycle_time <= ",
    )
    .wall_clock(now, backend)
    .sql(" THEN 1 END) AS due FROM (SELECT status, recycle_time FROM call_data WHERE campaign_id = ")
    .big_int(campaign.get())
    .sql(" LIMIT ")
    .big_int(bound)
    .sql(") counted GROUP BY status")
    .load(conn)?;
    let history: InHistory = Statement::new(
        "/* campaigns::count_history */ SELECT count(*) AS numbers FROM (SELECT id FROM call_data_history WHERE campaign_id = ",
    )
    .big_int(campaign.get())
    .sql(" LIMIT ")
    .big_int(bound)
    .sql(") counted")
    .get_result(conn)?;
    let mut counted = CampaignNumbers { history: history.numbers, ..CampaignNumbers::default() };
    for OfStatus { status, numbers, due } in rows {
        match status {
            0 => (counted.waiting, counted.due) = (numbers, due),
            1 | 2 => counted.in_use += numbers,
            5 | 6 => counted.completed += numbers,
            _ => counted.other += numbers,
        }
    }
    let in_call_data = counted.waiting + counted.in_use + counted.completed + counted.other;
    counted.is_bounded = in_call_data >= bound || counted.history >= bound;
    Ok(counted)
}
