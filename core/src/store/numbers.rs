//! Numbers on their way in.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use super::connection::write_transaction;
use super::schema::call_data;
use super::wall_clock::WallClock;
use super::{AnyConnection, StoreError};
use crate::campaign::CampaignId;
use crate::number::NewNumber;
use crate::rules::REMOVABLE;

#[derive(Insertable)]
#[diesel(table_name = call_data, treat_none_as_default_value = false)]
struct Row<'a> {
    campaign_id: i64,
    id: i64,
    session_id: Option<&'a str>,
    called: &'a str,
    caller: Option<&'a str>,
    custom_field: Option<&'a str>,
    data: Option<&'a str>,
    priority: i16,
    recycle_time: WallClock,
    status: i16,
    created_at: NaiveDateTime,
    updated_at: NaiveDateTime,
}

/// Rows of one INSERT: 12 values each, and SQLite binds 32,766 at most.
const ROWS_PER_INSERT: usize = 1_000;

/// Adds numbers to a campaign, all or none of them.
///
/// # Errors
/// The database's: among them an id that the campaign already has.
pub fn insert(
    conn: &mut AnyConnection,
    campaign: CampaignId,
    numbers: &[NewNumber],
    now: NaiveDateTime,
) -> Result<(), StoreError> {
    write_transaction(conn, |conn| {
        for part in numbers.chunks(ROWS_PER_INSERT) {
            let rows: Vec<Row<'_>> = part.iter().map(|number| row(campaign, number, now)).collect();
            let insert = diesel::insert_into(call_data::table).values(&rows);
            match conn {
                AnyConnection::Sqlite(conn) => insert.execute(conn)?,
                #[cfg(feature = "postgres")]
                AnyConnection::Postgres(conn) => insert.execute(conn)?,
                #[cfg(feature = "mysql")]
                AnyConnection::Mysql(conn) => insert.execute(conn)?,
            };
        }
        Ok(())
    })
}

fn row(campaign: CampaignId, number: &NewNumber, now: NaiveDateTime) -> Row<'_> {
    Row {
        campaign_id: campaign.get(),
        id: number.id,
        session_id: number.session_id.as_ref().map(crate::number::SessionId::as_str),
        called: number.called.as_str(),
        caller: number.caller.as_deref(),
        custom_field: number.custom_field.as_ref().map(crate::number::CustomField::as_str),
        data: number.call_data.as_deref(),
        priority: number.priority,
        recycle_time: WallClock(number.recycle_time),
        status: number.status as i16,
        created_at: now,
        updated_at: now,
    }
}

/// How many numbers a campaign has.
///
/// # Errors
/// The database's.
pub fn count(conn: &mut AnyConnection, campaign: CampaignId) -> Result<i64, StoreError> {
    Ok(call_data::table.filter(call_data::campaign_id.eq(campaign.get())).count().get_result(conn)?)
}

/// The sessionId of a number that no rule bars by its own state, if there is one.
///
/// # Errors
/// The database's.
pub fn any_removable_session_id(conn: &mut AnyConnection, campaign: CampaignId) -> Result<Option<String>, StoreError> {
    let found: Option<Option<String>> = call_data::table
        .filter(call_data::campaign_id.eq(campaign.get()))
        .filter(call_data::session_id.is_not_null())
        .filter(call_data::status.eq(REMOVABLE as i16))
        .select(call_data::session_id)
        .first(conn)
        .optional()?;
    Ok(found.flatten())
}
