//! The backlog: how many numbers are due for removal, and since when.

use std::num::NonZeroUsize;

use chrono::NaiveDateTime;

use crate::engine::control::Engine;
use crate::engine::error::Error;
use crate::model::criteria::Criteria;
use crate::model::run::Target;
use crate::model::walk::Walk;
use crate::store::scan::walker::ScanWalker;
use crate::store::scan::window::ScanScope;
use crate::store::tables::campaigns;

/// The most numbers that one query counts.
const WINDOW: NonZeroUsize = NonZeroUsize::new(50_000).unwrap();

/// The numbers that are due for removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Numbers that a run would remove now.
    pub rows: i64,
    /// The oldest recycle time among them.
    pub oldest: Option<NaiveDateTime>,
    /// Whether there may be more: the count ended at its limit.
    pub at_least: bool,
}

/// Counts the numbers that criteria with a recycle time select, along the index on `recycle_time`. Stops after about
/// `limit` numbers. Campaigns that the rules bar or that do not exist have no backlog.
///
/// # Errors
/// The database's.
pub fn backlog(engine: &Engine, targets: &[Target], criteria: &Criteria, limit: i64) -> Result<Backlog, Error> {
    let Engine { store, rules, .. } = engine;
    let mut conn = store.connection()?;
    let mut backlog = Backlog::default();
    let mut looked_at = 0;
    for target in targets {
        let campaign = campaigns::find(&mut conn, target.vdn_id, target.campaign_id)?;
        if campaign.is_none_or(|campaign| rules.bars_campaign(campaign.status)) {
            continue;
        }
        let scope =
            ScanScope { campaign: target.campaign_id, criteria, walk: Walk::RecycleTime, backend: store.backend() };
        let mut walker = ScanWalker::new(scope, WINDOW, 1, None);
        let mut oldest = None;
        while let Some(window) = walker.window(&mut conn)? {
            if window.removable > 0 && oldest.is_none() {
                oldest = scope.oldest(&mut conn, &window)?;
            }
            backlog.rows += window.removable;
            looked_at += window.removable + window.barred.total();
            if looked_at >= limit && !window.last {
                backlog.at_least = true;
                break;
            }
            walker.advance(&window);
        }
        backlog.oldest = backlog.oldest.into_iter().chain(oldest).min();
        if backlog.at_least {
            break;
        }
    }
    Ok(backlog)
}
