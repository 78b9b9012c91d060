//! Checks Callsweep's invariants on the stored data. It reads in windows, takes no locks and changes nothing.
//!
//! A run that changes data while `verify` reads cannot be compared reliably. Such runs are skipped and listed.

use std::collections::BTreeMap;

use chrono::NaiveDateTime;
use serde::Serialize;

use crate::engine::error::Error;
use crate::model::rules::Barred;
use crate::model::run::{RestoreCriteria, RunKind};
use crate::store::db::{AnyConnection, Store, StoreError, columns};
use crate::store::ledger::runs::DEAD_AFTER;
use crate::store::ledger::{RunRow, runs};
use crate::store::tables::history::{HistoryScope, Which, next_campaign};
use crate::store::upkeep::audit;
use crate::store::upkeep::audit::RunAudit;

/// An invariant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// No number is both in `call_data` and in history. Two rows are one number if campaign, id and creation time are equal.
    InBothTables,
    /// No number is in history twice.
    TwiceInHistory,
    /// For each run, history has archived - restored - pruned rows.
    LedgerMatchesHistory,
    /// For each run, matched = deleted + barred, and archived = deleted or 0.
    RunAddsUp,
    /// The counts of a run are the sums of the counts of its campaigns.
    RunIsSumOfCampaigns,
    /// Every run id in another table exists in the ledger.
    WithoutRun,
    /// Every number belongs to an existing campaign.
    WithoutCampaign,
    /// The history table has every column of `call_data`.
    HistoryHoldsColumns,
}

/// A violated invariant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Violation {
    /// The invariant.
    pub check: Check,
    /// Which rows violate it, and by how much.
    pub detail: String,
}

/// What was checked, and what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Campaigns that have numbers or history.
    pub campaigns: i64,
    /// Rows of history.
    pub history_rows: i64,
    /// Runs of the ledger.
    pub runs: i64,
    /// Runs whose sums were not checked because they changed meanwhile: (run id, reason).
    pub skipped: Vec<(i64, String)>,
    /// Violated invariants.
    pub violations: Vec<Violation>,
}

impl Report {
    fn add(&mut self, check: Check, detail: String) {
        self.violations.push(Violation { check, detail });
    }
}

/// How many ids a violation lists.
const NAMED: usize = 20;

/// Checks all invariants. `progress` is called after each window; if it returns false, the result is `None`.
///
/// Memory: one count per run that has rows in history. Nothing else grows with the data.
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

/// History rows by run id.
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

/// Counts ids and keeps the first of them.
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

    /// Example: "3 number(s), id 1, 2, 3"
    fn text(&self) -> String {
        let ids: Vec<String> = self.first.iter().map(i64::to_string).collect();
        let more = if self.count > self.first.len() { ", …" } else { "" };
        format!("{} number(s), id {}{more}", self.count, ids.join(", "))
    }
}

/// The differences between the ledger and history.
#[derive(Default)]
struct Ledger {
    /// Runs whose counts differ from history: (run id, detail).
    mismatches: Vec<(i64, String)>,
    /// Runs that were restored since `verify` began, with the run id of the restore.
    restored: BTreeMap<i64, i64>,
    /// A prune that was active since `verify` began. It may have changed the history of any run.
    prune: Option<i64>,
}

impl Ledger {
    /// Records a run that was active since `verify` began. Ids grow with time, so it is read after the runs that it changes;
    /// that is why mismatches are judged only at the end.
    fn note_active(&mut self, run: &RunRow) {
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

/// Compares each run of the ledger with history, and removes it from `archived`.
fn ledger(
    conn: &mut AnyConnection,
    since: NaiveDateTime,
    archived: &mut Archived,
    report: &mut Report,
    progress: &mut dyn FnMut(&Report) -> bool,
) -> Result<Option<Ledger>, Error> {
    let (mut found, mut after) = (Ledger::default(), None);
    loop {
        let audits = audit::runs(conn, after)?;
        let Some((last, ..)) = audits.last() else { return Ok(Some(found)) };
        after = Some(last.id);
        for audit_row in audits {
            let run = &audit_row.0;
            report.runs += 1;
            let rows = archived.remove(&run.id).unwrap_or(0);
            let is_active = run.state.is_active();
            if is_active || run.heartbeat_at >= since {
                found.note_active(run);
            }
            if is_active && run.heartbeat_at >= since - DEAD_AFTER {
                report.skipped.push((run.id, format!("it is {}", run.state)));
                continue;
            }
            // The run's row and the rows of its campaigns are read by two statements. A stopped run may have been resumed in
            // between.
            if !is_sum(&audit_row) && runs::find_row(conn, run.id)?.as_ref() != Some(run) {
                report.skipped.push((run.id, "it went on meanwhile".to_owned()));
                continue;
            }
            adds_up(&audit_row, report);
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

/// Reads one run and its history again, and returns whether they agree now. Its last chunk may have been committed between
/// the first two reads.
fn agrees_by_now(conn: &mut AnyConnection, run_id: i64) -> Result<bool, Error> {
    let Some(run) = runs::find_row(conn, run_id)? else { return Ok(true) };
    let campaigns = match run.campaign_id {
        Some(campaign) => vec![campaign],
        None => runs::campaign_rows(conn, run_id)?.iter().map(|row| row.campaign_id).collect(),
    };
    let mut rows = 0;
    for campaign_id in campaigns {
        rows += HistoryScope { campaign_id: campaign_id.get(), which: Which::OfRun(run_id) }.count(conn)?;
    }
    Ok(rows == run.archived - run.restored - run.pruned)
}

fn adds_up(audit_row: &RunAudit, report: &mut Report) {
    let (run, sums, rows) = audit_row;
    let by_reason = Barred {
        call_ongoing: run.barred_call_ongoing,
        call_completed: run.barred_call_completed,
        ongoing_task: run.barred_ongoing_task,
        unknown_status: run.barred_unknown_status,
    };
    let RunRow { id, matched, deleted, archived, barred, .. } = run;
    let is_restore = run.kind == RunKind::Restore;
    // A restore deletes nothing. Its `matched` counts the restored numbers.
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
    if !is_sum(audit_row) {
        for ((name, own), sum) in ["matched", "deleted", "archived", "barred", "chunks"].iter().zip(own(run)).zip(sums)
        {
            if own != *sum {
                let detail = format!("run {id}: {name} {own}, but its {rows} campaign row(s) sum up to {sum}");
                report.add(Check::RunIsSumOfCampaigns, detail);
            }
        }
    }
}

/// Whether the counts of a run are the sums of the counts of its campaigns. True for kinds of runs without campaign rows.
fn is_sum((run, sums, rows): &RunAudit) -> bool {
    let has_none = matches!(run.kind, RunKind::Request | RunKind::Prune);
    has_none && *rows == 0 || own(run) == *sums
}

fn own(run: &RunRow) -> [i64; 5] {
    [run.matched, run.deleted, run.archived, run.barred, run.chunks]
}

/// Reports rows that belong to a missing run or campaign. Returns false if `progress` ended the check.
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
