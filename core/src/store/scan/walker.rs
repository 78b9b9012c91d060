//! A scan through a campaign, window by window.

use std::num::NonZeroUsize;

use crate::model::position::Position;
use crate::model::walk::Walk;
use crate::store::db::statement::Statement;
use crate::store::db::{AnyConnection, StoreError};
use crate::store::scan::choose::SCAN_FACTOR;
use crate::store::scan::window::{ScanScope, Window};

/// A scan in progress: its position, and how many rows it reads at a time.
#[derive(Debug, Clone)]
pub(crate) struct ScanWalker<'a> {
    pub(crate) scope: ScanScope<'a>,
    /// The most matching numbers in a window.
    chunk: i64,
    /// Index rows to read for the next window.
    scan: i64,
    /// Numbers that may still be removed.
    left: i64,
    position: Option<Position>,
    ended: bool,
}

impl<'a> ScanWalker<'a> {
    /// Begins a scan, or continues one from a position. `chunk`: the most matching numbers in a window. `rows_per_match`: see
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

    /// What is scanned.
    pub(crate) fn scope(&self) -> &ScanScope<'a> {
        &self.scope
    }

    /// From now on a window has at most `chunk` matching numbers, and at most `left` removable ones.
    pub(crate) fn resize(&mut self, chunk: NonZeroUsize, left: Option<i64>) {
        self.left = left.unwrap_or(i64::MAX).max(0);
        let chunk = i64::try_from(chunk.get()).unwrap_or(i64::MAX);
        if chunk != self.chunk {
            // Keep the ratio of rows read to the size of the window.
            let scan = i128::from(self.scan) * i128::from(chunk) / i128::from(self.chunk);
            self.scan = i64::try_from(scan).unwrap_or(i64::MAX).max(1);
            self.chunk = chunk;
        }
    }

    /// The statements that look for the window at the current position.
    pub(crate) fn window_statements(&self) -> Vec<Statement> {
        self.scope.window_statements(self.position.as_ref(), self.scan)
    }

    /// Finds the window at the current position, which stays the same until [`ScanWalker::advance`]. `None`: the scan ended.
    pub(crate) fn window(&mut self, conn: &mut AnyConnection) -> Result<Option<Window>, StoreError> {
        while !self.ended {
            let Some((window, scanned)) = self.scope.window(conn, self.position.as_ref(), self.scan)? else { break };
            let matched = window.removable + window.barred.total();
            // In a scan by recycle time, a second statement reads the end of the window. Numbers may have been inserted
            // between the two statements, so fewer rows than asked for do not prove the end.
            let last = scanned < self.scan && self.scope.walk != Walk::RecycleTime;
            if self.left > 0 && window.removable > self.left {
                self.scan = (scanned / 2).max(1);
                continue;
            }
            // Estimate from the share of matches how many rows contain one window of matches. If this window has too many
            // matches, it is read again with fewer rows.
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

    /// Moves back to the beginning of a window that was not removed.
    pub(crate) fn return_to(&mut self, window: &Window) {
        self.position = window.after.clone();
        self.ended = false;
    }

    /// Moves behind a window. Returns whether the scan ends there.
    pub(crate) fn advance(&mut self, window: &Window) -> bool {
        self.position = Some(window.upto.clone());
        self.ended = window.last;
        self.ended
    }
}

/// The first window over the primary key is smaller by this factor. Finding a window takes about a quarter of the time of
/// removing it, and nothing is removed while the first one is being found.
const FIRST_LOOK: i64 = 4;
/// Finding this many matches is so fast that a smaller first window saves nothing.
const SHORT_LOOK: i64 = 2_000;

/// The number of matches to aim for in a window over the primary key: 90 percent of the most allowed, so that few windows
/// have to be read again because they have too many.
fn aim(chunk: i64) -> i64 {
    (chunk - chunk / 10).max(1)
}
