//! Scan planning: chooses the index along which a run scans a campaign.
//!
//! The program chooses, not the planner of the database: all chunks of a run must use the same index, because its cursor is
//! only valid for that index.

use diesel::prelude::*;
use diesel::sql_types::BigInt;

use crate::model::campaign::CampaignId;
use crate::model::criteria::Criteria;
use crate::model::walk::Walk;
use crate::store::db::statement::Statement;
use crate::store::db::{AnyConnection, StoreError};
use crate::store::scan::predicate;

/// A window over the primary key reads at most this many rows per number that a chunk may hold. If fewer than one row in
/// this many matches, the recycle_time index is scanned instead.
pub(crate) const SCAN_FACTOR: i64 = 20;

/// With fewer matches than this the recycle_time index is used without an estimate: reading them along it is cheap.
const FEW: i64 = 20_000;

/// The estimate counts at most this many matches, which takes about 20 ms.
const MANY: i64 = 200_000;

/// How many rows at each end of the campaign are sampled first. The campaign counts as dense if one row in [`SCAN_FACTOR`]
/// matches, so 250 of these.
const END: i64 = 5_000;

/// The index to scan in a campaign, and the expected number of matches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScanPlan {
    pub(crate) walk: Walk,
    /// Rows of the index per match. 1 if it was not estimated.
    pub(crate) rows_per_match: i64,
    /// Whether there are so few matches that additional connections do not pay off.
    pub(crate) few: bool,
}

impl ScanPlan {
    /// A plan without an estimate.
    pub(crate) fn on(walk: Walk) -> Self {
        Self { walk, rows_per_match: 1, few: false }
    }
}

/// Chooses the index. A filter on an exact value uses the index of that column. For a recycle filter it depends on the share
/// of the campaign that matches.
pub(crate) fn choose(
    conn: &mut AnyConnection,
    campaign: CampaignId,
    criteria: &Criteria,
) -> Result<ScanPlan, StoreError> {
    if let Some(walk) = Walk::of_value(criteria) {
        return Ok(ScanPlan::on(walk));
    }
    let all = || Statement::new("SELECT id FROM call_data WHERE campaign_id = ").big_int(campaign.get());
    let backend = conn.backend();
    let matching = || predicate::criteria(all(), criteria, backend);
    if count(conn, matching(), FEW)? < FEW {
        return Ok(ScanPlan { few: true, ..ScanPlan::on(Walk::RecycleTime) });
    }
    // Ids increase with the time of import, and so may recycle times: one end of the campaign may match much better than the
    // other. If both ends are dense, the middle is assumed to be. Counting all of it would cost as much as removing a part.
    let ends =
        [ratio_at(conn, campaign, criteria, " ORDER BY id")?, ratio_at(conn, campaign, criteria, " ORDER BY id DESC")?];
    let rows_per_match = ends.into_iter().max().unwrap_or(i64::MAX);
    if rows_per_match <= SCAN_FACTOR {
        return Ok(ScanPlan { rows_per_match, ..ScanPlan::on(Walk::PrimaryKey) });
    }
    let matches = count(conn, matching(), MANY)?;
    let sparse = matches < MANY && count(conn, all(), matches * SCAN_FACTOR)? == matches * SCAN_FACTOR;
    Ok(ScanPlan::on(if sparse { Walk::RecycleTime } else { Walk::PrimaryKey }))
}

/// Rows per match at one end of the campaign.
fn ratio_at(
    conn: &mut AnyConnection,
    campaign: CampaignId,
    criteria: &Criteria,
    order: &'static str,
) -> Result<i64, StoreError> {
    #[derive(QueryableByName)]
    struct Ratio {
        #[diesel(sql_type = BigInt)]
        numbers: i64,
        #[diesel(sql_type = BigInt)]
        scanned: i64,
    }
    let head =
        "/* walk::ratio_at */ SELECT count(matched) AS numbers, count(*) AS scanned FROM (SELECT CASE WHEN 1 = 1";
    let rows = predicate::criteria(Statement::new(head), criteria, conn.backend())
        .sql(" THEN 1 END AS matched FROM call_data WHERE campaign_id = ")
        .big_int(campaign.get());
    let found: Vec<Ratio> = rows.sql(order).sql(" LIMIT ").big_int(END).sql(") scanned").load(conn)?;
    Ok(found.first().map_or(i64::MAX, |end| end.scanned.checked_div(end.numbers).unwrap_or(i64::MAX)))
}

/// Counts rows, up to a limit.
fn count(conn: &mut AnyConnection, rows: Statement, limit: i64) -> Result<i64, StoreError> {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        numbers: i64,
    }
    let counted: Vec<Count> = Statement::new("/* walk::count */ SELECT count(*) AS numbers FROM (")
        .append(rows)
        .sql(" LIMIT ")
        .big_int(limit)
        .sql(") counted")
        .load(conn)?;
    Ok(counted.first().map_or(0, |count| count.numbers))
}
