//! The less frequent actors of the races: sweeps, a restore, an import, the switch that starts campaigns, and `verify`.

use std::sync::PoisonError;
use std::thread;
use std::time::Duration;

use callsweep_core::bounds::Bounds;
use callsweep_core::campaign::CampaignId;
use callsweep_core::engine::Error;
use callsweep_core::engine::restore::{Restore, restore as restore_of};
use callsweep_core::engine::verify::verify as run_verify;
use callsweep_core::engine::{Control, Gate, Outcome, Progress, purge, resume};
use callsweep_core::run::Counts;
use callsweep_core::stop_reason::StopReason;
use callsweep_core::store::{AnyConnection, Backend, numbers};
use callsweep_testkit::tables::NumberRow;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::context::{ActorLog, RaceContext, ReportedRun, new_number};
use super::integrator::note;
use crate::support::{engine, manual};

/// The import adds numbers up to this many in a campaign.
const NUMBERS: i64 = 1_500;
/// Numbers of one import.
const LOT: i64 = 100;

/// Sweeps one campaign after the other, along any index, in small chunks. Some sweeps are stopped and resumed later.
pub(super) fn sweep(context: &RaceContext<'_>, log: &mut ActorLog) {
    while !context.is_over() {
        context.let_others_write();
        let mut engine = engine(context.store.clone(), rand::random_range(5..=60));
        engine.pace.lanes = rand::random_range(1..=3_i64).try_into().unwrap();
        let day = rand::random_range(1..=30);
        let filter = match rand::random_range(0..3) {
            0 => format!(r#"{{"recycleType":"1","recycleTime":"2020-11-{day:02} 00:00:00"}}"#),
            1 => format!(r#"{{"recycleType":"2","recycleTime":"2020-12-{day:02} 00:00:00"}}"#),
            _ => r#"{"recycleType":"1","recycleTime":"2020-12-31 00:00:00"}"#.to_owned(),
        };
        let stop_at = if rand::random() { i64::MAX } else { rand::random_range(1..=4) };
        let until = |chunks: i64| Control {
            gate: Box::new(move |now: &Progress| {
                if context.is_over() || now.chunks >= chunks { Gate::Stop(StopReason::Person) } else { Gate::Go }
            }),
            ..Control::unattended()
        };
        let report = purge(&engine, &manual(context.campaign(), &filter, true), &mut until(stop_at));
        let stopped = report.as_ref().ok().filter(|report| matches!(report.outcome, Outcome::Stopped(_)));
        let stopped = stopped.map(|report| report.run_id);
        note(context, log, "sweeps", report);
        if let Some(run_id) = stopped {
            note(context, log, "sweeps resumed", resume(&engine, run_id, Bounds::default(), &mut until(i64::MAX)));
        }
    }
}

/// Restores runs, one after the other.
pub(super) fn restore(context: &RaceContext<'_>, log: &mut ActorLog) {
    while !context.is_over() {
        context.let_others_write();
        let engine = engine(context.store.clone(), rand::random_range(5..=60));
        let next = context.restorable.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let Some(run_id) = next else {
            thread::sleep(Duration::from_millis(1));
            continue;
        };
        let request = Restore { run_id, actor: "tester".to_owned(), into_executing: false };
        match restore_of(&engine, &request, &mut Control::unattended()) {
            Ok(report) => {
                log.attack.fault("restores");
                let counts = Counts { matched: report.numbers, ..Counts::default() };
                log.reported.push(ReportedRun { run_id: report.run_id, counts, state: report.outcome.state() });
                if !matches!(report.outcome, Outcome::Succeeded) {
                    context.offer(run_id);
                }
                if let Outcome::Failed(error) = report.outcome {
                    log.postpone("a restore", error);
                }
            }
            // The sweep is in progress again, or an earlier restore has restored all of it.
            Err(Error::NotRestorable { .. }) => log.attack.fault("restores refused"),
            Err(error) => log.postpone("a restore", error),
        }
    }
}

/// Imports numbers while a campaign has less than the limit.
pub(super) fn import(context: &RaceContext<'_>, log: &mut ActorLog) {
    while !context.is_over() {
        let campaign = context.campaign();
        let there = context.store.connection().and_then(|mut conn| numbers::count(&mut conn, campaign));
        if there.is_ok_and(|there| there < NUMBERS) {
            import_numbers(context, log, campaign, LOT);
        } else {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Imports the numbers that exist at the start of the race.
pub(super) fn fill(context: &RaceContext<'_>, log: &mut ActorLog) {
    for campaign in context.campaigns {
        import_numbers(context, log, campaign, NUMBERS);
    }
}

fn import_numbers(context: &RaceContext<'_>, log: &mut ActorLog, campaign: CampaignId, count: i64) {
    let new: Vec<_> = (0..count).map(|_| new_number(context.store.ids().next_id())).collect();
    let now = context.store.clock().timestamp();
    match context.store.connection().and_then(|mut conn| numbers::insert(&mut conn, campaign, &new, now)) {
        Ok(()) => {
            log.attack.fault("imports");
            log.imported.extend(new.into_iter().map(|number| NumberRow::imported(campaign, number, now)));
        }
        Err(error) => log.postpone("an import", error),
    }
}

/// Lets a campaign execute for a while. Meanwhile nothing may be removed from it or restored to it.
pub(super) fn switch(context: &RaceContext<'_>, log: &mut ActorLog) {
    let mut conn = context.connect();
    while !context.is_over() {
        thread::sleep(Duration::from_millis(rand::random_range(50..150)));
        let campaign = context.campaign();
        let put = |conn: &mut AnyConnection, status: i16| {
            diesel::sql_query(format!("UPDATE campaign SET status = {status} WHERE id = {campaign}")).execute(conn)
        };
        if let Err(error) = put(&mut conn, 2) {
            log.postpone_after("a switch", error);
            continue;
        }
        log.attack.fault("campaigns executed");
        let before = moved(&mut conn, campaign);
        thread::sleep(Duration::from_millis(rand::random_range(5..30)));
        let after = moved(&mut conn, campaign);
        log.attack.holds(before == after, || {
            format!("campaign {campaign} was executing, and the counts of deleted and restored numbers changed from {before:?} to {after:?}")
        });
        while let Err(error) = put(&mut conn, 3) {
            log.postpone_after("a switch", error);
        }
    }
}

#[derive(Debug, PartialEq, Eq, QueryableByName)]
struct Moved {
    #[diesel(sql_type = BigInt)]
    deleted: i64,
    #[diesel(sql_type = BigInt)]
    restored: i64,
}

/// How many numbers were removed from a campaign and restored to it, according to the ledger.
fn moved(conn: &mut AnyConnection, campaign: CampaignId) -> Moved {
    let signed = if conn.backend() == Backend::Mysql { "SIGNED" } else { "BIGINT" };
    let query = format!(
        "SELECT CAST(coalesce(sum(deleted), 0) AS {signed}) AS deleted, \
         CAST(coalesce(sum(restored), 0) AS {signed}) AS restored FROM purge_run WHERE campaign_id = {campaign}"
    );
    diesel::sql_query(query).get_result(conn).unwrap()
}

/// Runs `verify` while all other actors are active.
pub(super) fn verify(context: &RaceContext<'_>, log: &mut ActorLog) {
    while !context.is_over() {
        match run_verify(&context.store, &mut |_| !context.is_over()) {
            Ok(Some(report)) => {
                log.attack.fault("runs of verify");
                let found = report.violations;
                log.attack.holds(found.is_empty(), || format!("verify found {found:?} during the race"));
            }
            Ok(None) => {}
            Err(error) => log.postpone("a run of verify", error),
        }
        thread::sleep(Duration::from_millis(100));
    }
}
