//! Preview of a run (dry run). It uses the same scan and the same filter as the run, and changes nothing.

use std::num::NonZeroUsize;

use serde::Serialize;

use crate::engine::control::Engine;
use crate::engine::error::Error;
use crate::model::criteria::Criteria;
use crate::model::number::mask;
use crate::model::rules::Barred;
use crate::model::run::Target;
use crate::model::walk::Walk;
use crate::store::db::AnyConnection;
use crate::store::scan::choose;
use crate::store::scan::choose::ScanPlan;
use crate::store::scan::walker::ScanWalker;
use crate::store::scan::window::ScanScope;
use crate::store::tables::campaigns;

/// The most sample numbers in a preview.
const SAMPLE_SIZE: usize = 10;

/// The most numbers that one query counts. A preview takes no locks, so this may be larger than a chunk.
const WINDOW: NonZeroUsize = NonZeroUsize::new(50_000).unwrap();

/// What a run would do if it started now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    /// Which index the run would scan.
    pub walk: Walk,
    /// Numbers that pass every filter.
    pub matched: i64,
    /// Matching numbers that the run would remove.
    pub removable: i64,
    /// Matching numbers that the rules bar, by reason.
    pub barred: Barred,
    /// Some of the numbers that the run would remove. They are shown even if the campaign's state bars them.
    pub sample: Vec<SampleNumber>,
    /// Whether the campaign's state bars all its numbers.
    pub campaign_executing: bool,
}

/// A number of a preview, masked: recognisable, but not readable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SampleNumber {
    /// The called number, all but its last two characters masked.
    pub called: String,
    /// The column `status`.
    pub status: i16,
    /// Wall-clock time without a zone, as the database prints it: other programs may have stored values that are not times.
    pub recycle_time: Option<String>,
}

/// Scans and counts as the run would. `stop` is called before each window; if it returns true, the result is `None`.
///
/// # Errors
/// No such campaign, or the database's.
pub fn preview(
    engine: &Engine,
    target: Target,
    criteria: &Criteria,
    stop: &dyn Fn() -> bool,
) -> Result<Option<Preview>, Error> {
    preview_on(engine, &mut *engine.store.connection()?, target, criteria, stop)
}

/// As [`preview`], on a given connection.
pub(crate) fn preview_on(
    engine: &Engine,
    conn: &mut AnyConnection,
    target: Target,
    criteria: &Criteria,
    stop: &dyn Fn() -> bool,
) -> Result<Option<Preview>, Error> {
    let Engine { store, rules, .. } = engine;
    let campaign = campaigns::find(conn, target.vdn_id, target.campaign_id)?
        .ok_or(Error::NoSuchCampaign { vdn: target.vdn_id, campaign: target.campaign_id })?;
    let ScanPlan { walk, rows_per_match, .. } = choose::choose(conn, target.campaign_id, criteria)?;
    let scope = ScanScope { campaign: target.campaign_id, criteria, walk, backend: store.backend() };
    let mut preview = Preview {
        walk,
        matched: 0,
        removable: 0,
        barred: Barred::default(),
        sample: Vec::new(),
        campaign_executing: rules.bars_campaign(campaign.status),
    };
    let mut walker = ScanWalker::new(scope, WINDOW, rows_per_match, None);
    while let Some(window) = walker.window(conn)? {
        if stop() {
            return Ok(None);
        }
        preview.removable += window.removable;
        preview.barred += window.barred;
        let wanted = SAMPLE_SIZE - preview.sample.len();
        if wanted > 0 && window.removable > 0 {
            let found = scope.sample(conn, &window, i64::try_from(wanted).unwrap_or(i64::MAX))?;
            preview.sample.extend(found.into_iter().map(|number| SampleNumber {
                called: mask(&number.called),
                status: number.status,
                recycle_time: number.recycle_time.map(|time| time.trim_end_matches(".000000").to_owned()),
            }));
        }
        walker.advance(&window);
    }
    if preview.campaign_executing {
        preview.barred.add(crate::model::rules::REMOVABLE as i16, preview.removable);
        preview.removable = 0;
    }
    preview.matched = preview.removable + preview.barred.total();
    Ok(Some(preview))
}
