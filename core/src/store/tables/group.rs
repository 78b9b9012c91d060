//! The statements of a group commit: small requests that share one transaction.
//!
//! Each statement serves all requests on a campaign, so that the number of statements does not grow with the number of
//! requests. Lists of values are padded to a power of two, so that there are few different statements to prepare.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::NaiveDateTime;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, SmallInt, Text};

use crate::model::campaign::{CampaignId, CampaignStatus};
use crate::model::rules::REMOVABLE;
use crate::store::db::catalogue::{Catalogue, fingerprint};
use crate::store::db::columns::Columns;
use crate::store::db::statement::{Statement, rows};
use crate::store::db::{AnyConnection, Backend, StoreError};
use crate::store::scan::predicate;
use crate::store::scan::predicate::ByValue;
use crate::store::tables::moving::{Direction, Move, Under};

/// A matching number, as it was when it was locked.
#[derive(Debug, Clone, QueryableByName)]
pub(crate) struct Match {
    #[diesel(sql_type = BigInt)]
    pub(crate) id: i64,
    #[diesel(sql_type = SmallInt)]
    pub(crate) status: i16,
    /// The requested value that it matches.
    #[diesel(sql_type = Text)]
    pub(crate) value: String,
}

/// Those of the given keys that are in the ledger.
pub(crate) fn taken_request_keys(conn: &mut AnyConnection, keys: &[&str]) -> Result<HashSet<String>, StoreError> {
    taken(conn, "/* group::keys */ SELECT request_key AS taken FROM purge_run WHERE request_key IN (", keys)
}

/// Those of the given Idempotency-Keys that are in the ledger.
pub(crate) fn taken_idempotency_keys(conn: &mut AnyConnection, keys: &[&str]) -> Result<HashSet<String>, StoreError> {
    let head =
        "/* group::idempotency_keys */ SELECT idempotency_key AS taken FROM purge_run WHERE idempotency_key IN (";
    taken(conn, head, keys)
}

fn taken(conn: &mut AnyConnection, head: &'static str, keys: &[&str]) -> Result<HashSet<String>, StoreError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        taken: String,
    }
    if keys.is_empty() {
        return Ok(HashSet::new());
    }
    let rows: Vec<Row> = Statement::new(head).list(keys, |list, key| list.text(key)).sql(")").load(conn)?;
    Ok(rows.into_iter().map(|row| row.taken).collect())
}

/// The campaigns that the transaction has locked, and the columns that archiving copies.
pub(crate) struct LockedCampaigns {
    /// The VDN and status of each campaign.
    pub(crate) campaigns: HashMap<CampaignId, (i32, CampaignStatus)>,
    pub(crate) columns: Arc<Columns>,
}

/// Locks these campaigns in share mode and reads their VDN and status, which then cannot change until the transaction ends;
/// nor can the columns of the tables. Campaigns that another transaction has locked are left out. `None`: none remains.
///
/// # Errors
/// [`StoreError::UnsafeTable`]: numbers could be lost in a table. Or the database's.
pub(crate) fn lock_campaigns(
    conn: &mut AnyConnection,
    catalogue: &Catalogue,
    campaigns: &[CampaignId],
) -> Result<Option<LockedCampaigns>, StoreError> {
    #[derive(QueryableByName)]
    struct Locked {
        #[diesel(sql_type = BigInt)]
        id: i64,
        #[diesel(sql_type = Integer)]
        vdn_id: i32,
        #[diesel(sql_type = SmallInt)]
        status: i16,
        #[diesel(sql_type = Text)]
        fingerprint: String,
    }
    if campaigns.is_empty() {
        return Ok(None);
    }
    let backend = conn.backend();
    let lock = match backend {
        Backend::Sqlite => "",
        Backend::Postgres => " FOR SHARE SKIP LOCKED",
        // MySQL does not support SKIP LOCKED with this lock, so it waits there.
        Backend::Mysql => " LOCK IN SHARE MODE /*M!100600 SKIP LOCKED */",
    };
    let head = Statement::new("/* group::campaigns */ SELECT id, vdn_id, status");
    let list = fingerprint(head, backend).sql(" FROM campaign WHERE id IN (");
    let list = list.list(campaigns, |list, campaign| list.big_int(campaign.get()));
    let locked: Vec<Locked> = list.sql(")").sql(lock).load(conn)?;
    let Some(first) = locked.first() else { return Ok(None) };
    let columns = catalogue.columns(conn, &first.fingerprint)?;
    let campaigns = locked.into_iter().filter_map(|row| {
        let id = CampaignId::try_from(row.id).ok()?;
        Some((id, (row.vdn_id, CampaignStatus::from_column(row.status))))
    });
    Ok(Some(LockedCampaigns { campaigns: campaigns.collect(), columns }))
}

/// Locks and reads the numbers of a campaign with one of these values, at most `most`. Numbers that another transaction has
/// locked are left out.
pub(crate) fn lock_matches(
    conn: &mut AnyConnection,
    campaign: CampaignId,
    by: ByValue,
    values: &[&str],
    most: i64,
) -> Result<Vec<Match>, StoreError> {
    let lock = match conn.backend() {
        Backend::Sqlite => "",
        Backend::Postgres => " FOR UPDATE SKIP LOCKED",
        // Older versions have no SKIP LOCKED and wait.
        Backend::Mysql => " FOR UPDATE /*M!100600 SKIP LOCKED */ /*!80001 SKIP LOCKED */",
    };
    Ok(matches("/* group::lock */ SELECT id, status, ", campaign, by, values, most).sql(lock).load(conn)?)
}

/// As [`lock_matches`], without locks. A number that is only in this result is locked by another transaction.
pub(crate) fn read_matches(
    conn: &mut AnyConnection,
    campaign: CampaignId,
    by: ByValue,
    values: &[&str],
    most: i64,
) -> Result<Vec<Match>, StoreError> {
    Ok(matches("/* group::look */ SELECT id, status, ", campaign, by, values, most).load(conn)?)
}

fn matches(head: &'static str, campaign: CampaignId, by: ByValue, values: &[&str], most: i64) -> Statement {
    let from = Statement::new(head).sql(by.column()).sql(" AS value FROM call_data WHERE campaign_id = ");
    predicate::one_of(from.big_int(campaign.get()), by, values).sql(" LIMIT ").big_int(most)
}

/// Archives locked numbers of a campaign, given as (id, run id). Returns how many were moved.
pub(crate) fn archive(
    conn: &mut AnyConnection,
    campaign: CampaignId,
    numbers: &[(i64, i64)],
    columns: &Columns,
    now: NaiveDateTime,
) -> Result<i64, StoreError> {
    if numbers.is_empty() {
        return Ok(0);
    }
    let columns = columns.archived()?;
    let ids: Vec<i64> = numbers.iter().map(|(id, _)| *id).collect();
    let run = Under::ByNumber(numbers.to_vec());
    let which = removable(Statement::default(), campaign, &ids);
    Move { direction: Direction::Archive { run, now }, columns, which }.run(conn)
}

/// Deletes locked numbers of a campaign without archiving them. Returns how many were deleted.
pub(crate) fn delete(conn: &mut AnyConnection, campaign: CampaignId, ids: &[i64]) -> Result<i64, StoreError> {
    if ids.is_empty() {
        return Ok(0);
    }
    let head = Statement::new("/* group::delete */ DELETE FROM call_data WHERE ");
    Ok(rows(removable(head, campaign, ids).execute(conn)?))
}

fn removable(head: Statement, campaign: CampaignId, ids: &[i64]) -> Statement {
    let campaign = head.sql("campaign_id = ").big_int(campaign.get()).sql(" AND id IN (");
    campaign.list(ids, |list, id| list.big_int(*id)).sql(") AND status = ").small_int(REMOVABLE as i16)
}
