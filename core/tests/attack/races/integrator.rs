//! Integrators: requests for the numbers of one sessionId or called number, several together as the endpoint does them.

use callsweep_core::engine::Error;
use callsweep_core::engine::{Control, Outcome, PurgeReport, Together, purge, purge_together, settle};
use callsweep_core::run::{NewRun, RunKind};

use super::scene::{Diary, Scene, Told, any_called, any_session_id};
use crate::support::{engine, manual};

/// Requests that come together at most.
const TOGETHER: usize = 6;

pub(super) fn delete(scene: &Scene<'_>, diary: &mut Diary) {
    let engine = engine(scene.store.clone(), 50);
    while !scene.is_over() {
        scene.let_others_write();
        let wishes: Vec<NewRun> = (0..rand::random_range(1..=TOGETHER)).map(|_| scene.ask(wish(scene))).collect();
        let together = match engine.store.connection() {
            Ok(mut conn) => purge_together(&engine, &mut conn, &wishes),
            Err(error) => {
                diary.put_off("a request", error);
                continue;
            }
        };
        for (wish, outcome) in wishes.iter().zip(together) {
            let control = &mut Control::unattended();
            let (what, report) = match outcome {
                Together::Done(report) => ("requests done together", Ok(report)),
                Together::Alone => ("requests done alone", purge(&engine, wish, control)),
                Together::Unanswered(begun) => ("requests settled", settle(&engine, wish, &begun, control)),
            };
            note(scene, diary, what, report);
        }
    }
}

/// Many numbers are archived and some deleted outright.
fn wish(scene: &Scene<'_>) -> NewRun {
    let filter = if rand::random() {
        format!(r#"{{"sessionId":"{}"}}"#, any_session_id())
    } else {
        format!(r#"{{"called":"{}"}}"#, any_called())
    };
    let key = Some(format!("{:x}", rand::random::<u128>()));
    NewRun { kind: RunKind::Request, key, ..manual(scene.campaign(), &filter, rand::random_bool(0.7)) }
}

/// Writes down what became of a run.
pub(super) fn note(scene: &Scene<'_>, diary: &mut Diary, what: &str, report: Result<PurgeReport, Error>) {
    let report = match report {
        Ok(report) => report,
        Err(Error::KeyTaken(_)) => return diary.attack.fault("requests asked again"),
        Err(error) => return diary.put_off(what, error),
    };
    diary.attack.fault(what);
    if report.counts.archived > 0 {
        scene.offer(report.run_id);
    }
    let state = report.outcome.state();
    diary.told.push(Told { run_id: report.run_id, counts: report.counts, state });
    if let Outcome::Failed(error) = report.outcome {
        diary.put_off(what, error);
    }
}
