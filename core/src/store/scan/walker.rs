//! A walk through a campaign, window by window.

use std::num::NonZeroUsize;

use crate::model::position::Position;
use crate::model::walk::Walk;
use crate::store::db::{AnyConnection, StoreError};
use crate::store::scan::choose::SCAN_FACTOR;
use crate::store::scan::window::{ScanScope, Window};

/// A walk under way: where it is, and how far it looks at a time.
#[derive(Debug, Clone)]
pub(crate) struct ScanWalker<'a> {
    pub(crate) scope: ScanScope<'a>,
    /// Numbers that a window may hold.
    chunk: i64,
    /// Rows of the leading index that the next window looks at.
    scan: i64,
    /// Numbers that may still go.
    left: i64,
    position: Option<Position>,
    ended: bool,
}

impl<'a> ScanWalker<'a> {
    /// Begins a walk, or goes on with one. `chunk`: how many matching numbers a window holds at most. `rows_per_match`: see
    /// [`ScanPlan`](crate::store::scan::choose::ScanPlan).
    pub(crate) fn new(scope: ScanScope<'a>, chunk: NonZeroUsize, rows_per_match: i64, from: Option<Position>) -> Self {
        let chunk = i64::try_from(chunk.get()).unwrap_or(i64::MAX);
        let scan = if scope.walk == Walk::PrimaryKey {
            let matches = (aim(chunk) / FIRST_LOOK).max(SHORT_LOOK.min(chunk));
            matches.saturating_mul(rows_per_match.clamp(1, SCAN_FACTOR))
        } else {
            chunk
        };
        Self { scope, chunk, scan, left: i64::MAX, position: from, ended: false }
    }

    /// What is meant, and where.
    pub(crate) fn scope(&self) -> &ScanScope<'a> {
        &self.scope
    }

    /// From now on a window holds so many matching numbers at most, and no more that may go than are `left` to go.
    pub(crate) fn resize(&mut self, chunk: NonZeroUsize, left: Option<i64>) {
        self.left = left.unwrap_or(i64::MAX).max(0);
        let chunk = i64::try_from(chunk.get()).unwrap_or(i64::MAX);
        if chunk != self.chunk {
            // Looks as far as before, in proportion.
            let scan = i128::from(self.scan) * i128::from(chunk) / i128::from(self.chunk);
            self.scan = i64::try_from(scan).unwrap_or(i64::MAX).max(1);
            self.chunk = chunk;
        }
    }

    /// The window at which the walk stands; the same one until [`ScanWalker::advance`]. `None` at the end.
    pub(crate) fn window(&mut self, conn: &mut AnyConnection) -> Result<Option<Window>, StoreError> {
        while !self.ended {
            let Some((window, scanned)) = self.scope.window(conn, self.position.as_ref(), self.scan)? else { break };
            let matched = window.removable + window.barred.total();
            // By recycle time the end of the window is read by a second statement: others may have come in between.
            let last = scanned < self.scan && self.scope.walk != Walk::RecycleTime;
            if self.left > 0 && window.removable > self.left {
                self.scan = (scanned / 2).max(1);
                continue;
            }
            // Looks as far as a window's worth of matches is likely to reach, from the share that matched here.
            if self.scope.walk == Walk::PrimaryKey {
                let (shortest, longest) = if matched > self.chunk { (1, scanned - 1) } else { (self.chunk, i64::MAX) };
                let longest = longest.min(self.chunk.saturating_mul(SCAN_FACTOR));
                self.scan = scanned.saturating_mul(aim(self.chunk)).div_euclid(matched.max(1)).clamp(shortest, longest);
            }
            if matched <= self.chunk {
                return Ok(Some(Window { last, most: self.chunk.min(self.left), ..window }));
            }
        }
        Ok(None)
    }

    /// Goes back to the beginning of a window that was left behind and is not done.
    pub(crate) fn return_to(&mut self, window: &Window) {
        self.position = window.after.clone();
        self.ended = false;
    }

    /// Leaves a window behind. Says whether the walk ends there.
    pub(crate) fn advance(&mut self, window: &Window) -> bool {
        self.position = Some(window.upto.clone());
        self.ended = window.last;
        self.ended
    }
}

/// The first window over a primary key is so many times smaller than it may be: to look for a window takes about a quarter
/// of the time that it takes to remove it, and while the first one is looked for nothing is removed.
const FIRST_LOOK: i64 = 4;
/// To look for so many matches takes no time worth saving.
const SHORT_LOOK: i64 = 2_000;

/// Matches that a window over the primary key is to hold: a little room, so that few windows have to be looked for again.
fn aim(chunk: i64) -> i64 {
    (chunk - chunk / 10).max(1)
}
