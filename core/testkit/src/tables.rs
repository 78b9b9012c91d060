//! Reads the tables independently of the store.

use std::collections::BTreeSet;

use chrono::NaiveDateTime;
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;

use callsweep_core::campaign::CampaignId;
use callsweep_core::number::NewNumber;
use callsweep_core::store::schema::{call_data, call_data_history};
use callsweep_core::store::{AnyConnection, Backend};

use crate::TestDatabase;

/// A row of `call_data`, every column.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
#[allow(missing_docs, reason = "the columns of the table")]
pub struct NumberRow {
    pub campaign_id: i64,
    pub id: i64,
    pub session_id: Option<String>,
    pub called: String,
    pub caller: Option<String>,
    pub custom_field: Option<String>,
    pub call_data: Option<String>,
    pub priority: i16,
    pub recycle_time: Option<NaiveDateTime>,
    pub status: i16,
    pub created_at: NaiveDateTime,
    pub updated_at: NaiveDateTime,
}

impl NumberRow {
    /// The row that an import writes for a number.
    #[must_use]
    pub fn imported(campaign: CampaignId, number: NewNumber, now: NaiveDateTime) -> Self {
        Self {
            campaign_id: campaign.get(),
            id: number.id,
            session_id: number.session_id.map(Into::into),
            called: number.called.into(),
            caller: number.caller,
            custom_field: number.custom_field.map(Into::into),
            call_data: number.call_data,
            priority: number.priority,
            recycle_time: number.recycle_time,
            status: number.status as i16,
            created_at: now,
            updated_at: now,
        }
    }

    /// Whether the filters of a request select the number: a second implementation of the filters, without SQL.
    #[must_use]
    pub fn matches(&self, members: &serde_json::Value) -> bool {
        let asked = |member: &str| members[member].as_str();
        let equal = |member: &str, value: Option<&String>| {
            asked(member).is_none_or(|asked| value.is_some_and(|value| asked == value))
        };
        let time = self.recycle_time.map(|time| time.to_string());
        let is_due = |kind: &str, asked: &str| {
            time.as_deref().is_some_and(|time| match kind {
                "1" => time[..10] <= asked[..10],
                "2" => time[..10] == asked[..10],
                _ => time == asked,
            })
        };
        equal("sessionId", self.session_id.as_ref())
            && equal("called", Some(&self.called))
            && equal("customField", self.custom_field.as_ref())
            && asked("recycleType").zip(asked("recycleTime")).is_none_or(|(kind, asked)| is_due(kind, asked))
    }

    /// Whether a scan at this cursor has passed the number. A cursor is an id, or a recycle time and an id.
    #[must_use]
    pub fn is_behind(&self, cursor: &str) -> bool {
        let Some((time, id)) = cursor.rsplit_once('/') else { return self.id <= cursor.parse().expect("an id") };
        let time = NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M:%S%.f").expect("a time");
        self.recycle_time.is_some_and(|own| (own, self.id) <= (time, id.parse().expect("an id")))
    }
}

/// A row of `call_data_history`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRow {
    /// The columns that it shares with `call_data`.
    pub number: NumberRow,
    /// When it was archived.
    pub archived_at: NaiveDateTime,
    /// The run that archived it.
    pub run_id: i64,
}

/// Reads several tables in one snapshot, regardless of concurrent transactions.
pub fn snapshot<T>(conn: &mut AnyConnection, read: impl FnOnce(&mut AnyConnection) -> T) -> T {
    let read = |conn: &mut AnyConnection| {
        if conn.backend() == Backend::Postgres {
            conn.batch_execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")?;
        }
        Ok::<T, diesel::result::Error>(read(conn))
    };
    conn.transaction(read).expect("reads a snapshot")
}

/// A campaign's numbers, by id.
#[must_use]
pub fn numbers(conn: &mut AnyConnection, campaign: CampaignId) -> Vec<NumberRow> {
    let rows = call_data::table.filter(call_data::campaign_id.eq(campaign.get())).order(call_data::id);
    rows.load(conn).expect("reads call_data")
}

/// A campaign's history, by id and run.
#[must_use]
pub fn history(conn: &mut AnyConnection, campaign: CampaignId) -> Vec<HistoryRow> {
    use call_data_history as h;
    let shared = (
        h::campaign_id,
        h::id,
        h::session_id,
        h::called,
        h::caller,
        h::custom_field,
        h::call_data,
        h::priority,
        h::recycle_time,
        h::status,
        h::created_at,
        h::updated_at,
    );
    let rows: Vec<(NumberRow, NaiveDateTime, i64)> = h::table
        .filter(h::campaign_id.eq(campaign.get()))
        .order((h::id, h::run_id))
        .select((shared, h::archived_at, h::run_id))
        .load(conn)
        .expect("reads call_data_history");
    rows.into_iter().map(|(number, archived_at, run_id)| HistoryRow { number, archived_at, run_id }).collect()
}

/// The ids of a campaign's numbers.
#[must_use]
pub fn ids(conn: &mut AnyConnection, campaign: CampaignId) -> BTreeSet<i64> {
    let rows = call_data::table.filter(call_data::campaign_id.eq(campaign.get())).select(call_data::id);
    rows.load(conn).expect("reads call_data").into_iter().collect()
}

/// The ids in a campaign's history. It fails when one of them is there twice.
#[must_use]
pub fn history_ids(conn: &mut AnyConnection, campaign: CampaignId) -> BTreeSet<i64> {
    use call_data_history as h;
    let rows: Vec<i64> =
        h::table.filter(h::campaign_id.eq(campaign.get())).select(h::id).load(conn).expect("reads call_data_history");
    let ids: BTreeSet<i64> = rows.iter().copied().collect();
    assert_eq!(ids.len(), rows.len(), "a number was archived twice");
    ids
}

/// Difficult column names: quotes of every kind, placeholders, reserved words.
pub const ADDED: [&str; 3] = ["why? \"$1\" `x` 'y", "order", "from"];

/// A name as an identifier of the backend.
#[must_use]
pub fn quoted(backend: Backend, name: &str) -> String {
    match backend {
        Backend::Mysql => format!("`{}`", name.replace('`', "``")),
        Backend::Sqlite | Backend::Postgres => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

/// Adds columns to both tables, as users may: a nullable one, a NOT NULL one with a default, and one generated from
/// `priority`. In history they have another order and other defaults, and the generated column is an ordinary one.
pub fn add_columns(db: &TestDatabase) {
    let [note, grade, doubled] = ADDED.map(|name| quoted(db.backend(), name));
    let kept = if db.backend() == Backend::Postgres { "STORED" } else { "VIRTUAL" };
    let mut conn = db.connect();
    for (table, column) in [
        ("call_data_history", format!("{doubled} INTEGER")),
        ("call_data_history", format!("{grade} INTEGER NOT NULL DEFAULT 0")),
        ("call_data_history", format!("{note} VARCHAR(20)")),
        ("call_data", format!("{note} VARCHAR(20) DEFAULT 'here'")),
        ("call_data", format!("{grade} INTEGER NOT NULL DEFAULT 7")),
        ("call_data", format!("{doubled} INTEGER GENERATED ALWAYS AS (priority * 2) {kept}")),
    ] {
        conn.batch_execute(&format!("ALTER TABLE {table} ADD COLUMN {column}")).expect("adds a column");
    }
}

/// Checks that archived rows have the values that [`add_columns`] gave them in `call_data`.
pub fn check_added_columns(db: &TestDatabase) {
    #[derive(QueryableByName)]
    struct Lost {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        lost: i64,
    }
    let [note, grade, doubled] = ADDED.map(|name| quoted(db.backend(), name));
    // A test inserts rows with the called number 'clash' directly into history.
    let query = format!(
        "SELECT count(*) AS lost FROM call_data_history WHERE called <> 'clash' \
         AND (COALESCE({note}, '') <> 'here' OR {grade} <> 7 OR COALESCE({doubled}, -1) <> priority * 2)"
    );
    let lost: Lost = diesel::sql_query(query).get_result(&mut db.connect()).expect("reads call_data_history");
    assert_eq!(lost.lost, 0, "values of columns that were added are lost");
}
