//! Fault-injection tests ("attacks"): they inject faults, check the invariants, and report the counts of both.

use std::collections::BTreeMap;
use std::io::Write as _;

use chrono::TimeDelta;
use diesel::prelude::*;

use crate::tables::{self, NumberRow};
use callsweep_core::campaign::CampaignId;
use callsweep_core::engine::verify::verify;
use callsweep_core::run::{Run, RunKind};
use callsweep_core::store::runs::{self, RunFilter};
use callsweep_core::store::schema::purge_run;
use callsweep_core::store::{AnyConnection, Backend, Store};

/// The number of repetitions from an environment variable, or `otherwise`. The default is small, for every test run; a
/// longer attack sets the variable.
///
/// # Panics
/// If the variable is not a number.
#[must_use]
pub fn times(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable)
        .map_or(otherwise, |text| text.parse().unwrap_or_else(|error| panic!("{variable}={text}: {error}")))
}

/// The most violations that a failure prints.
const VIOLATIONS_SHOWN: usize = 20;

/// Moves the heartbeats of unfinished runs one minute back, so that they are considered dead without waiting.
///
/// # Panics
/// If the database fails.
pub fn let_a_minute_pass(conn: &mut AnyConnection, runs: &[Run]) {
    for run in runs.iter().filter(|run| run.finished_at.is_none()) {
        let row = purge_run::table.filter(purge_run::id.eq(run.id));
        let then = run.heartbeat_at - TimeDelta::minutes(1);
        diesel::update(row).set(purge_run::heartbeat_at.eq(then)).execute(conn).expect("writes to the ledger");
    }
}

/// An attack in progress: its injected faults, checked operations and violations.
#[derive(Debug)]
pub struct Attack {
    name: String,
    faults: BTreeMap<String, u64>,
    operations: u64,
    violations: Vec<String>,
}

impl Attack {
    /// An attack without faults.
    #[must_use]
    pub fn new(what: &str, backend: Backend) -> Self {
        let name = format!("{what} on {backend}");
        Self { name, faults: BTreeMap::new(), operations: 0, violations: Vec::new() }
    }

    /// Counts an injected fault.
    pub fn fault(&mut self, what: &str) {
        *self.faults.entry(what.to_owned()).or_default() += 1;
    }

    /// Adds the results of a part of the attack.
    pub fn absorb(&mut self, part: Self) {
        for (what, times) in part.faults {
            *self.faults.entry(what).or_default() += times;
        }
        self.operations += part.operations;
        self.violations.extend(part.violations);
    }

    /// The number of faults so far.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.faults.values().sum()
    }

    /// The number of faults of this kind so far.
    #[must_use]
    pub fn faults_of(&self, what: &str) -> u64 {
        self.faults.get(what).copied().unwrap_or_default()
    }

    /// Checks a condition. If it is false, `otherwise` describes the violation.
    pub fn holds(&mut self, is_so: bool, otherwise: impl FnOnce() -> String) {
        self.operations += 1;
        if !is_so {
            self.violations.push(otherwise());
        }
    }

    /// Checks the invariants of every number of a campaign and every run on it. `before`: the numbers before the attack. All
    /// tables are read in one snapshot, because the server may still execute the last COMMIT of a killed client.
    pub fn promises(&mut self, conn: &mut AnyConnection, campaign: CampaignId, before: &[NumberRow]) -> Vec<Run> {
        tables::snapshot(conn, |conn| {
            let (left, history) = (tables::numbers(conn, campaign), tables::history(conn, campaign));
            let filter = RunFilter { campaign: Some(campaign), limit: u32::MAX >> 1, ..RunFilter::default() };
            let runs = runs::list(conn, &filter).expect("reads the ledger");
            self.holds(history.iter().all(|row| row.number.status == 0), || "a barred number left".to_owned());
            self.numbers(before, left, history.iter().map(|row| row.number.clone()), &runs);
            let mut by_run: BTreeMap<i64, i64> = BTreeMap::new();
            for row in &history {
                *by_run.entry(row.run_id).or_default() += 1;
            }
            for run in &runs {
                let archived = by_run.get(&run.id).copied().unwrap_or_default();
                let Run { id, counts, .. } = run;
                self.holds(counts.archived - run.restored - run.pruned == archived, || {
                    format!("run {id}: history has {archived} of its numbers, the ledger {counts:?}")
                });
                // A restore deletes nothing, so its counts do not add up to `matched`.
                let adds_up = run.kind == RunKind::Restore
                    || counts.matched == counts.deleted + counts.barred.total()
                        && counts.archived == if run.archive_history { counts.deleted } else { 0 };
                self.holds(adds_up, || format!("run {id} does not add up: {counts:?}"));
            }
            let of_runs: i64 = runs.iter().map(|run| run.counts.archived - run.restored - run.pruned).sum();
            self.holds(of_runs == count(history.len()), || {
                format!("the ledger has {of_runs} in history, which has {}", history.len())
            });
            runs
        })
    }

    fn numbers(
        &mut self,
        before: &[NumberRow],
        left: Vec<NumberRow>,
        history: impl Iterator<Item = NumberRow>,
        runs: &[Run],
    ) {
        let mut found: BTreeMap<i64, Vec<NumberRow>> = BTreeMap::new();
        for number in left.into_iter().chain(history) {
            found.entry(number.id).or_default().push(number);
        }
        let mut gone = 0;
        for number in before {
            match found.remove(&number.id).unwrap_or_default().as_slice() {
                [] => gone += 1,
                [one] => self.holds(one == number, || format!("number {} changed", number.id)),
                several => self.holds(false, || format!("number {} is in {} places", number.id, several.len())),
            }
        }
        self.holds(found.is_empty(), || format!("numbers that were never there: {:?}", found.keys()));
        let deleted: i64 = runs.iter().map(|run| run.counts.deleted - run.counts.archived).sum();
        self.holds(gone == deleted, || format!("{gone} numbers are gone; {deleted} were deleted on purpose"));
    }

    /// Checks everything that `verify` checks. No run may be in progress.
    pub fn verify(&mut self, store: &Store) {
        let report = verify(store, &mut |_| true).expect("reads everything").expect("is not stopped");
        self.holds(report.skipped.is_empty(), || format!("verify skipped {:?}", report.skipped));
        self.holds(report.violations.is_empty(), || format!("verify found {:?}", report.violations));
    }

    /// Reports the counts.
    ///
    /// # Panics
    /// If an invariant was violated.
    pub fn end(self) {
        let faults: Vec<String> = self.faults.iter().map(|(what, times)| format!("{what} {times}")).collect();
        let Self { name, operations, violations, .. } = self;
        let told = format!(
            "attack {name}: faults injected: {}; operations checked: {operations}; violations found: {}\n",
            faults.join(", "),
            violations.len()
        );
        // Not eprintln!: the test harness captures it and shows it for failed tests only.
        let _ = std::io::stderr().write_all(told.as_bytes());
        let first = &violations[..violations.len().min(VIOLATIONS_SHOWN)];
        assert!(violations.is_empty(), "{name}: {} violations, at first {first:#?}", violations.len());
    }
}

fn count(rows: usize) -> i64 {
    i64::try_from(rows).expect("a number of rows")
}
