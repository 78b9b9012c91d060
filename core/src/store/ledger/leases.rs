//! Leases: they prevent two sweeps from working on the same campaign.
//!
//! A lease is valid as long as its run is alive. When that run has ended, or its process has stopped writing heartbeats, the
//! next sweep takes over the lease.

use chrono::NaiveDateTime;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error};
use diesel::sql_types::BigInt;

use crate::model::campaign::CampaignId;
use crate::model::run::Run;
use crate::store::db::schema::campaign_lease;
use crate::store::db::statement::Statement;
use crate::store::db::{AnyConnection, Backend, StoreError, write_transaction};
use crate::store::ledger;
use crate::store::ledger::runs;
use crate::store::ledger::runs::DEAD_AFTER;

/// The result of trying to take a lease.
#[derive(Debug)]
pub(crate) enum Lease {
    /// The run has the lease now.
    Taken,
    /// Another run has the lease.
    HeldBy(Box<Run>),
}

/// Takes the lease of a campaign for a run. Idempotent.
pub(crate) fn take(
    conn: &mut AnyConnection,
    campaign: CampaignId,
    run_id: i64,
    now: NaiveDateTime,
) -> Result<Lease, StoreError> {
    // If the clock has jumped forward, `interrupt_dead` would interrupt this run too. A fresh heartbeat prevents that.
    ledger::beat(conn, run_id, now)?;
    // A process that was only suspended notices with its next chunk that it has lost the run (`StoreError::RunLost`), and
    // rolls that chunk back.
    runs::interrupt_dead(conn, now)?;
    match try_take(conn, campaign, run_id, now) {
        // There was no row to lock, and another sweep inserted one at the same time. Now there is a row to lock.
        Err(StoreError::Database(Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _))) => {
            try_take(conn, campaign, run_id, now)
        }
        taken => taken,
    }
}

fn try_take(
    conn: &mut AnyConnection,
    campaign: CampaignId,
    run_id: i64,
    now: NaiveDateTime,
) -> Result<Lease, StoreError> {
    write_transaction(conn, |conn| {
        let row = campaign_lease::table.filter(campaign_lease::campaign_id.eq(campaign.get()));
        match lock(conn, campaign)? {
            None => {
                let lease = (campaign_lease::campaign_id.eq(campaign.get()), campaign_lease::run_id.eq(run_id));
                diesel::insert_into(campaign_lease::table).values(lease).execute(conn)?;
            }
            Some(holder) if holder == run_id => {}
            Some(holder) => {
                if let Some(holder) = runs::find(conn, holder)?.filter(|holder| is_alive(holder, now)) {
                    return Ok(Lease::HeldBy(Box::new(holder)));
                }
                diesel::update(row).set(campaign_lease::run_id.eq(run_id)).execute(conn)?;
            }
        }
        Ok(Lease::Taken)
    })
}

/// Whether a process works on a run, judged by the run's heartbeat.
pub(crate) fn is_alive(holder: &Run, now: NaiveDateTime) -> bool {
    holder.state.is_active() && holder.heartbeat_at >= now - DEAD_AFTER
}

/// Releases a lease.
pub(crate) fn release(conn: &mut AnyConnection, campaign: CampaignId, run_id: i64) -> Result<(), StoreError> {
    let mine = campaign_lease::campaign_id.eq(campaign.get()).and(campaign_lease::run_id.eq(run_id));
    diesel::delete(campaign_lease::table.filter(mine)).execute(conn)?;
    Ok(())
}

/// Reads which run has the lease, and locks the row until the transaction ends. On SQLite the write transaction is the lock.
fn lock(conn: &mut AnyConnection, campaign: CampaignId) -> Result<Option<i64>, StoreError> {
    #[derive(QueryableByName)]
    struct Holder {
        #[diesel(sql_type = BigInt)]
        run_id: i64,
    }
    let lock = if conn.backend() == Backend::Sqlite { "" } else { " FOR UPDATE" };
    let found: Vec<Holder> =
        Statement::new("/* leases::lock */ SELECT run_id FROM campaign_lease WHERE campaign_id = ")
            .big_int(campaign.get())
            .sql(lock)
            .load(conn)?;
    Ok(found.first().map(|holder| holder.run_id))
}
