//! The choice of a way through a campaign: which index leads.

use diesel::prelude::*;
use diesel::sql_types::BigInt;

use crate::model::campaign::CampaignId;
use crate::model::criteria::Criteria;
use crate::model::walk::Walk;
use crate::store::db::statement::Statement;
use crate::store::db::{AnyConnection, StoreError};
use crate::store::scan::predicate;

/// A window over the primary key looks at this many rows at most for each that a chunk may hold. Where less than
/// one row in this many matches, the recycle_time index leads instead.
pub(crate) const SCAN_FACTOR: i64 = 20;

/// Fewer matches than this are not worth an estimate: the recycle_time index serves them in no time.
const FEW: i64 = 20_000;

/// Matches are counted up to this many for the estimate: some 20 ms.
const MANY: i64 = 200_000;

/// Rows at either end of the campaign that are looked at first: 250 matches among them are as dense as it takes.
const END: i64 = 5_000;

/// The way through a campaign, and what to expect on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScanPlan {
    pub(crate) walk: Walk,
    /// Rows of the leading index for each that matches. 1 where nothing is known.
    pub(crate) rows_per_match: i64,
    /// So few matches that they are not worth a connection more.
    pub(crate) few: bool,
}

impl ScanPlan {
    /// Along a walk of which nothing more is known.
    pub(crate) fn on(walk: Walk) -> Self {
        Self { walk, rows_per_match: 1, few: false }
    }
}

/// Chooses the walk. A filter on one value leads by its own index; a recycle filter by the share that it matches.
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
    // Ids follow the time of import, and so may recycle times. Where both ends are dense the middle is taken to be: to
    // count it all would cost as much as to move a part of it.
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

/// Rows for each match at one end of the campaign.
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
