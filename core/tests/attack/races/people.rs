//! Those who come less often: sweeps, a restore, an import, the switch that lets campaigns execute, and `verify`.

use std::sync::PoisonError;
use std::thread;
use std::time::Duration;

use callsweep_core::bounds::Bounds;
use callsweep_core::campaign::CampaignId;
use callsweep_core::engine::Error;
use callsweep_core::engine::restore::{Restore, restore as take_back};
use callsweep_core::engine::verify::verify as look_at_all;
use callsweep_core::engine::{Control, Gate, Outcome, Progress, purge, resume};
use callsweep_core::run::Counts;
use callsweep_core::stop_reason::StopReason;
use callsweep_core::store::{AnyConnection, Backend, numbers};
use callsweep_testkit::tables::NumberRow;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::integrator::note;
use super::scene::{Diary, Scene, Told, new_number};
use crate::support::{engine, manual};

/// Numbers of a campaign up to which the import brings more.
const NUMBERS: i64 = 1_500;
/// Numbers of one import.
const LOT: i64 = 100;

/// Sweeps one campaign after the other, by any walk, in small chunks. Some sweeps are stopped and go on later.
pub(super) fn sweep(scene: &Scene<'_>, diary: &mut Diary) {
    while !scene.is_over() {
        scene.let_others_write();
        let mut engine = engine(scene.store.clone(), rand::random_range(5..=60));
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
                if scene.is_over() || now.chunks >= chunks { Gate::Stop(StopReason::Person) } else { Gate::Go }
            }),
            ..Control::unattended()
        };
        let report = purge(&engine, &manual(scene.campaign(), &filter, true), &mut until(stop_at));
        let stopped = report.as_ref().ok().filter(|report| matches!(report.outcome, Outcome::Stopped(_)));
        let stopped = stopped.map(|report| report.run_id);
        note(scene, diary, "sweeps", report);
        if let Some(run_id) = stopped {
            note(scene, diary, "sweeps resumed", resume(&engine, run_id, Bounds::default(), &mut until(i64::MAX)));
        }
    }
}

/// Takes runs back, one after the other.
pub(super) fn restore(scene: &Scene<'_>, diary: &mut Diary) {
    while !scene.is_over() {
        scene.let_others_write();
        let engine = engine(scene.store.clone(), rand::random_range(5..=60));
        let next = scene.restorable.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let Some(run_id) = next else {
            thread::sleep(Duration::from_millis(1));
            continue;
        };
        let wish = Restore { run_id, actor: "tester".to_owned(), into_executing: false };
        match take_back(&engine, &wish, &mut Control::unattended()) {
            Ok(report) => {
                diary.attack.fault("restores");
                let counts = Counts { matched: report.numbers, ..Counts::default() };
                diary.told.push(Told { run_id: report.run_id, counts, state: report.outcome.state() });
                if !matches!(report.outcome, Outcome::Succeeded) {
                    scene.offer(run_id);
                }
                if let Outcome::Failed(error) = report.outcome {
                    diary.put_off("a restore", error);
                }
            }
            // A sweep that goes on, or one that an earlier restore has taken all from.
            Err(Error::NotRestorable { .. }) => diary.attack.fault("restores refused"),
            Err(error) => diary.put_off("a restore", error),
        }
    }
}

/// Brings numbers as long as there is room for them.
pub(super) fn import(scene: &Scene<'_>, diary: &mut Diary) {
    while !scene.is_over() {
        let campaign = scene.campaign();
        let there = scene.store.connection().and_then(|mut conn| numbers::count(&mut conn, campaign));
        if there.is_ok_and(|there| there < NUMBERS) {
            bring(scene, diary, campaign, LOT);
        } else {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Brings what is there when the race begins.
pub(super) fn fill(scene: &Scene<'_>, diary: &mut Diary) {
    for campaign in scene.campaigns {
        bring(scene, diary, campaign, NUMBERS);
    }
}

fn bring(scene: &Scene<'_>, diary: &mut Diary, campaign: CampaignId, count: i64) {
    let new: Vec<_> = (0..count).map(|_| new_number(scene.store.ids().next_id())).collect();
    let now = scene.store.clock().timestamp();
    match scene.store.connection().and_then(|mut conn| numbers::insert(&mut conn, campaign, &new, now)) {
        Ok(()) => {
            diary.attack.fault("imports");
            diary.imported.extend(new.into_iter().map(|number| NumberRow::imported(campaign, number, now)));
        }
        Err(error) => diary.put_off("an import", error),
    }
}

/// Lets a campaign execute for a while: meanwhile nothing may leave it, nor come back.
pub(super) fn switch(scene: &Scene<'_>, diary: &mut Diary) {
    let mut conn = scene.connect();
    while !scene.is_over() {
        thread::sleep(Duration::from_millis(rand::random_range(50..150)));
        let campaign = scene.campaign();
        let put = |conn: &mut AnyConnection, status: i16| {
            diesel::sql_query(format!("UPDATE campaign SET status = {status} WHERE id = {campaign}")).execute(conn)
        };
        if let Err(error) = put(&mut conn, 2) {
            diary.put_off_by("a switch", error);
            continue;
        }
        diary.attack.fault("campaigns executed");
        let before = moved(&mut conn, campaign);
        thread::sleep(Duration::from_millis(rand::random_range(5..30)));
        let after = moved(&mut conn, campaign);
        diary.attack.holds(before == after, || {
            format!("campaign {campaign} executed, and {before:?} numbers deleted and restored became {after:?}")
        });
        while let Err(error) = put(&mut conn, 3) {
            diary.put_off_by("a switch", error);
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

/// What has left a campaign, and come back, according to the ledger.
fn moved(conn: &mut AnyConnection, campaign: CampaignId) -> Moved {
    let signed = if conn.backend() == Backend::Mysql { "SIGNED" } else { "BIGINT" };
    let query = format!(
        "SELECT CAST(coalesce(sum(deleted), 0) AS {signed}) AS deleted, \
         CAST(coalesce(sum(restored), 0) AS {signed}) AS restored FROM purge_run WHERE campaign_id = {campaign}"
    );
    diesel::sql_query(query).get_result(conn).unwrap()
}

/// Looks at everything as a person would while all the others are at work.
pub(super) fn verify(scene: &Scene<'_>, diary: &mut Diary) {
    while !scene.is_over() {
        match look_at_all(&scene.store, &mut |_| !scene.is_over()) {
            Ok(Some(report)) => {
                diary.attack.fault("looks of verify");
                let found = report.violations;
                diary.attack.holds(found.is_empty(), || format!("verify beside the others found {found:?}"));
            }
            Ok(None) => {}
            Err(error) => diary.put_off("a look of verify", error),
        }
        thread::sleep(Duration::from_millis(100));
    }
}
