//! Checks the promises on the data as it is. It reads in windows, locks nothing and changes nothing.
//!
//! What a run changes while it is looked at is not held against it: such runs are skipped, and named.

use std::collections::BTreeMap;

use chrono::NaiveDateTime;
use serde::Serialize;

use crate::engine::error::Error;
use crate::model::rules::Barred;
use crate::model::run::{RestoreCriteria, RunKind};
use crate::store::db::{AnyConnection, Store, StoreError, columns};
use crate::store::ledger::runs::DEAD_AFTER;
use crate::store::ledger::{RunRow, runs};
use crate::store::tables::history::{Scope, Which, next_campaign};
use crate::store::upkeep::audit;
use crate::store::upkeep::audit::Account;

/// A promise, or a part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// No number is in `call_data` and in history: the same campaign, id and time of creation.
    InBothTables,
    /// No number is in history twice.
    TwiceInHistory,
    /// What a run archived, less what was restored and pruned, is what history has of it.
    LedgerMatchesHistory,
    /// What matched was deleted or barred, and what was archived was deleted.
    RunAddsUp,
    /// A run's row is the sum of the rows of its campaigns.
    RunIsSumOfCampaigns,
    /// What names a run names one that is in the ledger.
    WithoutRun,
    /// Numbers belong to a campaign that there is.
    WithoutCampaign,
    /// History can hold every column of `call_data`.
    HistoryHoldsColumns,
}

/// A promise that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Violation {
    /// Which.
    pub check: Check,
    /// Where, and by how much.
    pub detail: String,
}

/// What was looked at, and what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Campaigns that have numbers or history.
    pub campaigns: i64,
    /// Rows of history.
    pub history_rows: i64,
    /// Runs of the ledger.
    pub runs: i64,
    /// Runs that were at work meanwhile, with the reason why their sums were left out.
    pub skipped: Vec<(i64, String)>,
    /// Promises that do not hold.
    pub violations: Vec<Violation>,
}

impl Report {
    fn add(&mut self, check: Check, detail: String) {
        self.violations.push(Violation { check, detail });
    }
}

/// Ids that a violation names, of all that there are.
const NAMED: usize = 20;

/// Looks at everything. `progress` is told after each window, and says whether to go on; a look that is stopped is `None`.
///
/// It keeps one count for each run that has rows in history, and nothing else that grows.
///
/// # Errors
/// The database's.
pub fn verify(store: &Store, progress: &mut dyn FnMut(&Report) -> bool) -> Result<Option<Report>, Error> {
    let since = store.clock().timestamp();
    let mut conn = store.connection()?;
    let mut report = Report::default();
    let Some(mut archived) = history(&mut conn, &mut report, progress)? else { return Ok(None) };
    let Some(found) = ledger(&mut conn, since, &mut archived, &mut report, progress)? else { return Ok(None) };
    for (run_id, detail) in found.mismatches {
        if let Some(restore) = found.restored.get(&run_id) {
            report.skipped.push((run_id, format!("restored by run {restore} meanwhile")));
        } else if let Some(prune) = found.prune {
            report.skipped.push((run_id, format!("run {prune} prunes meanwhile")));
        } else if !agrees_by_now(&mut conn, run_id)? {
            report.add(Check::LedgerMatchesHistory, detail);
        }
    }
    for (run_id, rows) in archived {
        if found.prune.is_none() {
            let detail = format!("{rows} row(s) of call_data_history name run {run_id}, which is not in the ledger");
            report.add(Check::WithoutRun, detail);
        }
    }
    if !orphans(&mut conn, &mut report, progress)? {
        return Ok(None);
    }
    for difference in columns::differences(&mut conn)?.iter().filter(|difference| difference.forbids_archive()) {
        report.add(Check::HistoryHoldsColumns, StoreError::from(difference.clone()).to_string());
    }
    report.violations.sort_by_key(|violation| violation.check);
    Ok(Some(report))
}

/// Rows of history by run.
type Archived = BTreeMap<i64, i64>;

fn history(
    conn: &mut AnyConnection,
    report: &mut Report,
    progress: &mut dyn FnMut(&Report) -> bool,
) -> Result<Option<Archived>, Error> {
    let (mut archived, mut campaign) = (Archived::new(), None);
    while let Some(campaign_id) = next_campaign(conn, "call_data_history", campaign)? {
        report.campaigns += 1;
        let (mut both, mut twice) = (Ids::default(), Ids::default());
        let mut after = None;
        while let Some(window) = audit::history(conn, campaign_id, after)? {
            for (run_id, rows) in window.by_run {
                *archived.entry(run_id).or_default() += rows;
                report.history_rows += rows;
            }
            both.add(window.in_both);
            twice.add(window.twice);
            if !progress(report) {
                return Ok(None);
            }
            if window.last {
                break;
            }
            after = Some(window.upto);
        }
        if both.count > 0 {
            let detail = format!("campaign {campaign_id}: {} in call_data and in call_data_history", both.text());
            report.add(Check::InBothTables, detail);
        }
        if twice.count > 0 {
            report.add(Check::TwiceInHistory, format!("campaign {campaign_id}: {} in history twice", twice.text()));
        }
        campaign = Some(campaign_id);
    }
    Ok(Some(archived))
}

/// Ids, of which the first are named.
#[derive(Default)]
struct Ids {
    count: usize,
    first: Vec<i64>,
}

impl Ids {
    fn add(&mut self, ids: Vec<i64>) {
        self.count += ids.len();
        self.first.extend(ids.into_iter().take(NAMED - self.first.len()));
    }

    /// "3 number(s), id 1, 2, 3"
    fn text(&self) -> String {
        let ids: Vec<String> = self.first.iter().map(i64::to_string).collect();
        let more = if self.count > self.first.len() { ", …" } else { "" };
        format!("{} number(s), id {}{more}", self.count, ids.join(", "))
    }
}

/// What the ledger says.
#[derive(Default)]
struct Ledger {
    /// Runs whose sums are not those of history.
    mismatches: Vec<(i64, String)>,
    /// Runs that a restore has taken from since the look began, and which restore that is.
    restored: BTreeMap<i64, i64>,
    /// A prune that has been at work since, and may have taken from any run.
    prune: Option<i64>,
}

impl Ledger {
    /// Notes a run that has been at work since the look began. It came after those that it changes, and is met after them.
    fn at_work(&mut self, run: &RunRow) {
        match run.kind {
            RunKind::Prune => self.prune = Some(run.id),
            RunKind::Restore => {
                let criteria = serde_json::from_str::<RestoreCriteria>(&run.criteria).ok();
                self.restored.extend(criteria.map(|criteria| (criteria.restored_run, run.id)));
            }
            _ => {}
        }
    }
}

/// Goes through the ledger, and takes its runs out of `archived`.
fn ledger(
    conn: &mut AnyConnection,
    since: NaiveDateTime,
    archived: &mut Archived,
    report: &mut Report,
    progress: &mut dyn FnMut(&Report) -> bool,
) -> Result<Option<Ledger>, Error> {
    let (mut found, mut after) = (Ledger::default(), None);
    loop {
        let accounts = audit::runs(conn, after)?;
        let Some((last, ..)) = accounts.last() else { return Ok(Some(found)) };
        after = Some(last.id);
        for account in accounts {
            let run = &account.0;
            report.runs += 1;
            let rows = archived.remove(&run.id).unwrap_or(0);
            let is_active = run.state.is_active();
            if is_active || run.heartbeat_at >= since {
                found.at_work(run);
            }
            if is_active && run.heartbeat_at >= since - DEAD_AFTER {
                report.skipped.push((run.id, format!("it is {}", run.state)));
                continue;
            }
            // One that had stopped may have gone on between the looks at its own row and at those of its campaigns.
            if !is_sum(&account) && runs::find_row(conn, run.id)?.as_ref() != Some(run) {
                report.skipped.push((run.id, "it went on meanwhile".to_owned()));
                continue;
            }
            adds_up(&account, report);
            let left = run.archived - run.restored - run.pruned;
            if left == rows {
                continue;
            }
            if run.heartbeat_at >= since {
                report.skipped.push((run.id, "it ended meanwhile".to_owned()));
                continue;
            }
            let detail = format!(
                "run {}: archived {} - restored {} - pruned {} = {left}, but history has {rows} row(s) of it",
                run.id, run.archived, run.restored, run.pruned
            );
            found.mismatches.push((run.id, detail));
        }
        if !progress(report) {
            return Ok(None);
        }
    }
}

/// Whether a run agrees with history when it alone is looked at again: its last chunk may have been committed between the
/// two looks.
fn agrees_by_now(conn: &mut AnyConnection, run_id: i64) -> Result<bool, Error> {
    let Some(run) = runs::find_row(conn, run_id)? else { return Ok(true) };
    let campaigns = match run.campaign_id {
        Some(campaign) => vec![campaign],
        None => runs::campaign_rows(conn, run_id)?.iter().map(|row| row.campaign_id).collect(),
    };
    let mut rows = 0;
    for campaign_id in campaigns {
        rows += Scope { campaign_id: campaign_id.get(), which: Which::OfRun(run_id) }.count(conn)?;
    }
    Ok(rows == run.archived - run.restored - run.pruned)
}

fn adds_up(account: &Account, report: &mut Report) {
    let (run, sums, rows) = account;
    let by_reason = Barred {
        call_ongoing: run.barred_call_ongoing,
        call_completed: run.barred_call_completed,
        ongoing_task: run.barred_ongoing_task,
        unknown_status: run.barred_unknown_status,
    };
    let RunRow { id, matched, deleted, archived, barred, .. } = run;
    let is_restore = run.kind == RunKind::Restore;
    // A restore deletes nothing: what matched is what came back.
    if !is_restore && *matched != deleted + barred {
        report.add(Check::RunAddsUp, format!("run {id}: matched {matched} is not deleted {deleted} + barred {barred}"));
    }
    if *barred != by_reason.total() {
        let sum = by_reason.total();
        report.add(Check::RunAddsUp, format!("run {id}: barred {barred} is not the sum of its reasons, {sum}"));
    }
    let expected = if run.archive_history { *deleted } else { 0 };
    if *archived != expected {
        report.add(Check::RunAddsUp, format!("run {id}: archived {archived} should be {expected}"));
    }
    if run.restored < 0 || run.pruned < 0 || run.restored + run.pruned > *archived {
        let (restored, pruned) = (run.restored, run.pruned);
        let detail = format!("run {id}: restored {restored} + pruned {pruned} is more than archived {archived}");
        report.add(Check::RunAddsUp, detail);
    }
    if !is_sum(account) {
        for ((name, own), sum) in ["matched", "deleted", "archived", "barred", "chunks"].iter().zip(own(run)).zip(sums)
        {
            if own != *sum {
                let detail = format!("run {id}: {name} {own}, but its {rows} campaign row(s) sum up to {sum}");
                report.add(Check::RunIsSumOfCampaigns, detail);
            }
        }
    }
}

/// Whether a run's row is the sum of the rows of its campaigns, where it has some.
fn is_sum((run, sums, rows): &Account) -> bool {
    let has_none = matches!(run.kind, RunKind::Request | RunKind::Prune);
    has_none && *rows == 0 || own(run) == *sums
}

fn own(run: &RunRow) -> [i64; 5] {
    [run.matched, run.deleted, run.archived, run.barred, run.chunks]
}

/// What belongs to a run or a campaign that is not there. Says whether it went to the end.
fn orphans(
    conn: &mut AnyConnection,
    report: &mut Report,
    progress: &mut dyn FnMut(&Report) -> bool,
) -> Result<bool, Error> {
    for table in ["purge_run_campaign", "purge_run_control"] {
        let mut after = None;
        while let Some((orphans, upto)) = audit::without_run(conn, table, after)? {
            for run_id in orphans {
                let detail = format!("{table} has row(s) of run {run_id}, which is not in the ledger");
                report.add(Check::WithoutRun, detail);
            }
            if !progress(report) {
                return Ok(false);
            }
            after = Some(upto);
        }
    }
    let mut campaign = None;
    while let Some(campaign_id) = next_campaign(conn, "call_data", campaign)? {
        if !audit::campaign_exists(conn, campaign_id)? {
            let detail = format!("call_data has numbers of campaign {campaign_id}, which does not exist");
            report.add(Check::WithoutCampaign, detail);
        }
        if !progress(report) {
            return Ok(false);
        }
        campaign = Some(campaign_id);
    }
    Ok(true)
}
