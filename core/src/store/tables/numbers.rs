//! Inserting and counting numbers.

use chrono::NaiveDateTime;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};

use crate::model::campaign::{Campaign, CampaignId};
use crate::model::number::NewNumber;
use crate::model::rules::REMOVABLE;
use crate::store::db::retry::{UNTIL_RESTARTED, retry};
use crate::store::db::schema::call_data;
use crate::store::db::statement::Statement;
use crate::store::db::wall_clock::WallClock;
use crate::store::db::{AnyConnection, Retries, Store, StoreError, write_once, write_transaction};
use crate::store::tables::campaigns;

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

/// Rows per INSERT. Each has 12 values, and SQLite binds at most 32,766 values per statement.
const ROWS_PER_INSERT: usize = 1_000;

/// Inserts numbers into a campaign in one transaction.
///
/// # Errors
/// The database's, such as an id that the campaign already has.
pub fn insert(
    conn: &mut AnyConnection,
    campaign: CampaignId,
    numbers: &[NewNumber],
    now: NaiveDateTime,
) -> Result<(), StoreError> {
    write_transaction(conn, |conn| insert_rows(conn, campaign, numbers, now))
}

fn insert_rows(
    conn: &mut AnyConnection,
    campaign: CampaignId,
    numbers: &[NewNumber],
    now: NaiveDateTime,
) -> Result<(), StoreError> {
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
}

/// Inserts numbers into a campaign as [`insert`] does, and retries transient errors, such as another writer or a restart of
/// the server. After a COMMIT without an answer it looks for the ids, which nobody else uses.
///
/// # Errors
/// The database's, if it is permanent or lasts longer than two minutes.
pub fn import(store: &Store, campaign: CampaignId, numbers: &[NewNumber]) -> Result<(), StoreError> {
    import_with(store, campaign, None, numbers)
}

/// Creates a campaign with its first numbers in one transaction, and retries as [`import`] does.
///
/// # Errors
/// As [`import`], such as a name that the VDN already has.
pub fn import_into_new(store: &Store, new: &Campaign, numbers: &[NewNumber]) -> Result<(), StoreError> {
    import_with(store, new.id, Some(new), numbers)
}

fn import_with(
    store: &Store,
    campaign: CampaignId,
    new: Option<&Campaign>,
    numbers: &[NewNumber],
) -> Result<(), StoreError> {
    let now = store.clock().timestamp();
    let mut in_doubt = Vec::new();
    // Nobody else uses these ids, so they show whether the COMMIT succeeded.
    let is_committed = |conn: &mut AnyConnection| any_is_there(conn, campaign, numbers);
    retry(store, UNTIL_RESTARTED, &mut Retries::default(), |conn| {
        write_once(conn, &mut in_doubt, is_committed, |conn| {
            if let Some(new) = new {
                campaigns::create(conn, new, now)?;
            }
            insert_rows(conn, campaign, numbers, now)
        })
    })
}

/// Whether any of the numbers is in `call_data`, or in history already.
fn any_is_there(conn: &mut AnyConnection, campaign: CampaignId, numbers: &[NewNumber]) -> Result<bool, StoreError> {
    use crate::store::db::schema::call_data_history;
    for part in numbers.chunks(ROWS_PER_INSERT) {
        let ids = || part.iter().map(|number| number.id);
        let here =
            call_data::table.filter(call_data::campaign_id.eq(campaign.get())).filter(call_data::id.eq_any(ids()));
        let gone = call_data_history::table
            .filter(call_data_history::campaign_id.eq(campaign.get()))
            .filter(call_data_history::id.eq_any(ids()));
        if here.count().get_result::<i64>(conn)? + gone.count().get_result::<i64>(conn)? > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

fn row(campaign: CampaignId, number: &NewNumber, now: NaiveDateTime) -> Row<'_> {
    Row {
        campaign_id: campaign.get(),
        id: number.id,
        session_id: number.session_id.as_ref().map(crate::model::number::SessionId::as_str),
        called: number.called.as_str(),
        caller: number.caller.as_deref(),
        custom_field: number.custom_field.as_ref().map(crate::model::number::CustomField::as_str),
        data: number.call_data.as_deref(),
        priority: number.priority,
        recycle_time: WallClock(number.recycle_time),
        status: number.status as i16,
        created_at: now,
        updated_at: now,
    }
}

/// The most numbers that one query of [`count`] reads.
const COUNT_WINDOW: i64 = 100_000;

/// The number of numbers in a campaign, counted in windows over the primary key.
///
/// # Errors
/// The database's.
pub fn count(conn: &mut AnyConnection, campaign: CampaignId) -> Result<i64, StoreError> {
    #[derive(QueryableByName)]
    struct CountWindow {
        #[diesel(sql_type = BigInt)]
        numbers: i64,
        #[diesel(sql_type = Nullable<BigInt>)]
        last_id: Option<i64>,
    }
    let (mut total, mut after) = (0, None);
    loop {
        let of = Statement::new(
            "/* numbers::count */ SELECT count(*) AS numbers, max(id) AS last_id FROM (SELECT id FROM call_data \
             WHERE campaign_id = ",
        )
        .big_int(campaign.get());
        let beyond = match after {
            Some(id) => of.sql(" AND id > ").big_int(id),
            None => of,
        };
        let window: CountWindow =
            beyond.sql(" ORDER BY id LIMIT ").big_int(COUNT_WINDOW).sql(") counted").get_result(conn)?;
        total += window.numbers;
        after = window.last_id;
        if window.numbers < COUNT_WINDOW {
            return Ok(total);
        }
    }
}

/// The sessionId of any number whose own status does not bar it.
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
