//! What the ledger and the tables say about policies: last success, what is due, and how long that will take.

use callsweep_core::criteria::{Criteria, Recycle, RecycleType};
use callsweep_core::engine::backlog::{Backlog, backlog};
use callsweep_core::run::RunState;
use callsweep_core::settings::{Policy, Settings};
use callsweep_core::store::Store;
use callsweep_core::store::policies::{self, PolicyRun};
use chrono::{Days, NaiveDateTime, TimeDelta, TimeZone as _};
use chrono_tz::Tz;

use super::{Metrics, OfPolicy};
use crate::cli::exit::Failure;
use crate::run::policy;

/// Numbers that are looked at for one policy. A million take about a second.
const LOOK_AT: i64 = 1_000_000;
/// Over how long the pace of a policy is measured.
const PACE_DAYS: i64 = 7;
/// Runs that are looked at for the pace.
const PACE_RUNS: u32 = 1_000;

/// Brings the metrics of one policy up to date.
pub(crate) fn refresh(metrics: &Metrics, policy: &Policy, settings: &Settings, store: &Store) -> Result<(), Failure> {
    let of = OfPolicy { policy: policy.name.clone() };
    let zone = settings.worker.time_zone;
    let engine = policy::engine(policy, settings, store);
    let (targets, last_success, runs) = {
        let mut conn = store.connection()?;
        let runs = policies::newest_runs(&mut conn, &policy.name, PACE_RUNS)?;
        (policy::targets(policy, &mut conn)?, policies::last_success(&mut conn, &policy.name)?, runs)
    };
    if let Some(at) = last_success {
        metrics.last_success.get_or_create(&of).set(seconds(Tz::UTC, at));
    }
    metrics.policy_campaigns.get_or_create(&of).set(i64::try_from(targets.len()).unwrap_or(i64::MAX));
    if targets.is_empty() {
        // A backlog of 0 would look like a policy that keeps up.
        metrics.due_rows.remove(&of);
        metrics.oldest_due.remove(&of);
        metrics.backlog_days.remove(&of);
        return Ok(());
    }
    let criteria = policy::criteria(policy, zone, store.clock().now())?;
    let due = backlog(&engine, &targets, &criteria, LOOK_AT)?;
    metrics.due_rows.get_or_create(&of).set(due.rows);
    match due.oldest {
        Some(oldest) => _ = metrics.oldest_due.get_or_create(&of).set(seconds(zone, oldest)),
        None => _ = metrics.oldest_due.remove(&of),
    }
    let tomorrow = match tomorrow(&criteria) {
        Some(criteria) => backlog(&engine, &targets, &criteria, LOOK_AT)?.rows,
        None => 0,
    };
    match days_left(due, tomorrow, &runs, store.clock().timestamp()) {
        Some(days) => _ = metrics.backlog_days.get_or_create(&of).set(days),
        None => _ = metrics.backlog_days.remove(&of),
    }
    Ok(())
}

/// What becomes due within the next day.
fn tomorrow(criteria: &Criteria) -> Option<Criteria> {
    let Recycle { recycle_type, time } = criteria.recycle()?;
    let time = time.checked_add_days(Days::new(1))?;
    let is_by_day = recycle_type != RecycleType::Second;
    is_by_day.then(|| Criteria::recycled(Recycle { recycle_type: RecycleType::Day, time }))
}

/// Days until what is due will be gone. `None`: no run has ended yet, so that nobody knows.
///
/// A policy whose newest run came to its end has no backlog: what is due since then goes with its next run. Otherwise it is
/// what is due, over what a day removes more than it brings; where it brings more, never.
#[allow(clippy::cast_precision_loss, reason = "a forecast")]
fn days_left(due: Backlog, tomorrow: i64, runs: &[PolicyRun], now: NaiveDateTime) -> Option<f64> {
    let newest = runs.iter().find(|run| !run.state.is_active())?;
    if newest.state == RunState::Succeeded || due.rows == 0 {
        return Some(0.0);
    }
    let recent: Vec<&PolicyRun> =
        runs.iter().take_while(|run| run.started_at >= now - TimeDelta::days(PACE_DAYS)).collect();
    let since = recent.last().map_or(TimeDelta::zero(), |first| now - first.started_at);
    // A policy that is younger than a day has done its day's work.
    let days = (since.num_seconds() as f64 / 86_400.0).max(1.0);
    let removed = recent.iter().map(|run| run.deleted).sum::<i64>() as f64 / days;
    let gained = removed - tomorrow as f64;
    Some(if gained > 0.0 { due.rows as f64 / gained } else { f64::INFINITY })
}

/// Seconds since 1970 of a wall-clock time.
#[allow(clippy::cast_precision_loss, reason = "exact until the year 285 million")]
fn seconds(zone: Tz, time: NaiveDateTime) -> f64 {
    zone.from_local_datetime(&time).earliest().map_or(time.and_utc().timestamp(), |time| time.timestamp()) as f64
}

#[cfg(test)]
mod tests {
    use callsweep_testkit::sample::time;

    use super::*;

    fn days(rows: i64, tomorrow: i64, runs: &[(RunState, &str, i64)]) -> Option<f64> {
        let run = |(state, started_at, deleted): &(RunState, &str, i64)| PolicyRun {
            state: *state,
            started_at: time(started_at),
            deleted: *deleted,
        };
        let runs: Vec<PolicyRun> = runs.iter().map(run).collect();
        days_left(Backlog { rows, ..Backlog::default() }, tomorrow, &runs, time("2026-11-25 12:00:00"))
    }

    #[test]
    fn a_policy_that_keeps_up_has_no_backlog() {
        assert_eq!(days(500, 500, &[(RunState::Succeeded, "2026-11-25 02:00:00", 500)]), Some(0.0));
        assert_eq!(days(0, 500, &[(RunState::Stopped, "2026-11-25 02:00:00", 500)]), Some(0.0));
    }

    #[test]
    fn one_that_does_not_has_a_forecast() {
        let stopped =
            [(RunState::Stopped, "2026-11-25 12:00:00", 300), (RunState::Stopped, "2026-11-23 12:00:00", 300)];
        assert_eq!(days(1_000, 100, &stopped), Some(5.0));
        assert_eq!(days(1_000, 300, &stopped), Some(f64::INFINITY));
        assert_eq!(days(1_000, 0, &[(RunState::Refused, "2026-11-25 02:00:00", 0)]), Some(f64::INFINITY));
        let running = [(RunState::Running, "2026-11-25 11:00:00", 1), (RunState::Succeeded, "2026-11-24 02:00:00", 1)];
        assert_eq!(days(1_000, 300, &running), Some(0.0));
    }

    #[test]
    fn without_a_run_nobody_knows() {
        assert_eq!(days(1_000, 0, &[]), None);
        assert_eq!(days(1_000, 0, &[(RunState::Running, "2026-11-25 11:00:00", 1)]), None);
    }
}
