//! Steps that are runs: what each is allowed to do, and what it must have done if it reports success.

use std::collections::BTreeSet;

use callsweep_core::bounds::Bounds;
use callsweep_core::engine::Error;
use callsweep_core::engine::prune::{Prune, prune};
use callsweep_core::engine::restore::{Restore, restore};
use callsweep_core::engine::{
    BatchOutcome, Control, Engine, Outcome as Ended, PurgeReport, purge, purge_batch, resolve_unknown_commit, resume,
};
use callsweep_core::run::{NewRun, Run, RunKind, RunState};
use callsweep_core::store::runs;
use chrono::TimeDelta;
use proptest::test_runner::TestCaseError;
use serde_json::Value;

use crate::model::{Doers, Move, Place, Seen, must};
use crate::step::{Conditions, Fault, Pick, Removal, RequestSpec};
use crate::subject::{Outcome, Subject};
use crate::support::{engine, manual};

/// The expectations for a run that removes numbers.
struct Removing {
    /// The run is in the ledger already.
    run_id: Option<i64>,
    archive: bool,
    /// Numbers that match.
    matching: BTreeSet<usize>,
    /// Numbers that must be removed if it succeeds.
    must: BTreeSet<usize>,
}

impl Subject<'_> {
    pub(crate) fn remove(&mut self, removal: &Removal) -> Outcome {
        let RequestSpec { members, archive } = &removal.spec;
        let asked = manual(self.campaign, members, *archive);
        let run = if removal.request { NewRun { kind: RunKind::Request, ..asked } } else { asked };
        let matching = self.model.matching(&json(members));
        let must = matching.iter().copied().filter(|number| self.model.waits(*number)).collect();
        let report = self.go(&removal.conditions, |engine, control| purge(engine, &run, control));
        let of_all = i64::try_from(matching.len()).unwrap();
        let removing = Removing { run_id: None, archive: *archive, matching, must };
        let report = self.removed(removing, report)?;
        if let Some(report) = report.filter(|report| matches!(report.outcome, Ended::Succeeded)) {
            let matched = report.counts.matched;
            must!(matched == of_all, "the run reports {matched} matches, there are {of_all}");
        }
        Ok(())
    }

    pub(crate) fn resume(&mut self, pick: Pick, conditions: &Conditions) -> Outcome {
        let Some(run) = self.pick(pick) else { return Ok(()) };
        let report = self.go(conditions, |engine, control| resume(engine, run.id, Bounds::default(), control));
        let removes = matches!(run.kind, RunKind::Request | RunKind::Manual);
        let ended = matches!(run.state, RunState::Succeeded | RunState::Refused);
        if ended || !removes {
            must!(matches!(report, None | Some(Err(Error::NotResumable { .. }))), "{run:?} was resumed: {report:?}");
            let moves = self.observe(&Doers::default())?.1;
            must!(moves.is_empty(), "{moves:?} by a run that is not resumed");
            return Ok(());
        }
        let matching = self.model.matching(&run.criteria);
        let must = self.model.runs[&run.id].must.clone();
        self.removed(Removing { run_id: Some(run.id), archive: run.archive_history, matching, must }, report)?;
        Ok(())
    }

    /// Checks a run that removes numbers. `report` is `None` if the run crashed.
    fn removed(
        &mut self,
        mut removing: Removing,
        report: Option<Result<PurgeReport, Error>>,
    ) -> Result<Option<PurgeReport>, TestCaseError> {
        let report = match report {
            Some(Err(error)) => return Err(TestCaseError::fail(error.to_string())),
            Some(Ok(report)) => Some(report),
            None => None,
        };
        removing.must.retain(|number| !self.touched.contains(number));
        let clashes = self.clashes(&removing);
        let seen = self.look();
        let moves = self.model.observe(&seen)?;
        let own = removing.run_id.or_else(|| self.new_run(&seen));
        let to = if removing.archive { own.map(Place::History) } else { Some(Place::Gone) };
        for moved in &moves {
            let number = &self.model.numbers[moved.number].row;
            let may = moved.from == Place::Here && Some(moved.to) == to && removing.matching.contains(&moved.number);
            must!(may, "{moved:?} was not asked for: {number:?}");
            must!(number.status == 0 && !self.model.executing, "a barred number was removed: {number:?}");
        }
        let deleted = moves.iter().filter_map(|moved| Some((moved.number, own?))).collect();
        self.account(&seen, &moves, &Doers { deleted, ..Doers::default() })?;
        let went: BTreeSet<usize> = moves.iter().map(|moved| moved.number).collect();
        if let Some(known) = own.and_then(|own| self.model.runs.get_mut(&own)) {
            known.must = &removing.must - &went;
        }
        self.nothing_is_skipped(&seen, own)?;
        let Some(report) = report else { return Ok(None) };
        let row = seen.run(report.run_id);
        let same = row.is_some_and(|row| (row.counts, row.state) == (report.counts, report.outcome.state()));
        must!(same, "the run reports {report:?}, the ledger has {row:?}");
        match &report.outcome {
            Ended::Succeeded => {
                // A resumed run may have nothing left to read.
                let refused = self.model.executing && removing.run_id.is_none();
                must!(!refused, "a run in an executing campaign succeeded");
                must!(
                    removing.must.is_subset(&went),
                    "{went:?} were removed, but all of {:?} should have been",
                    removing.must
                );
            }
            Ended::Failed(_) if clashes => {}
            Ended::Refused(_) | Ended::Stopped(_) if self.model.executing => {}
            other => return Err(TestCaseError::fail(format!("unexpected end of the run: {other:?}"))),
        }
        Ok(Some(report))
    }

    /// A resumed run starts at its cursor, so no number that it must remove may be left before the cursor.
    fn nothing_is_skipped(&mut self, seen: &Seen, own: Option<i64>) -> Outcome {
        let Some(run) = own.and_then(|own| seen.run(own)) else { return Ok(()) };
        let cursors = runs::campaigns(&mut self.conn, run.id).unwrap().into_iter().filter_map(|row| row.cursor);
        for cursor in cursors.chain(run.cursor.clone()) {
            for number in &self.model.runs[&run.id].must {
                let number = &self.model.numbers[*number].row;
                must!(!number.is_behind(&cursor), "the cursor is at {cursor}, and {number:?} is still there");
            }
        }
        Ok(())
    }

    /// Whether a resumed run finds numbers that were imported again after it had archived them.
    fn clashes(&self, removing: &Removing) -> bool {
        let Some(run_id) = removing.run_id.filter(|_| removing.archive) else { return false };
        let id = |number: &usize| self.model.numbers[*number].row.id;
        let archived: BTreeSet<i64> = self.model.archived_by(run_id).iter().map(id).collect();
        removing.matching.iter().any(|number| archived.contains(&id(number)))
    }

    pub(crate) fn together(&mut self, specs: &[RequestSpec], fault: Fault) -> Outcome {
        let mut requests = Vec::new();
        // The outcome must be as if the requests were executed one after the other.
        let mut expected = Vec::new();
        let mut left: BTreeSet<usize> = (0..self.model.numbers.len()).collect();
        for RequestSpec { members, archive } in specs {
            self.requests += 1;
            let key = Some(format!("request {}", self.requests));
            requests.push(NewRun { kind: RunKind::Request, key, ..manual(self.campaign, members, *archive) });
            let mut mine = &self.model.matching(&json(members)) & &left;
            mine.retain(|number| self.model.waits(*number) && !self.model.executing);
            left = &left - &mine;
            expected.push(mine);
        }
        let reports = self.under(fault, &[], |store| all_together(&engine(store.clone(), 50), &requests));
        let seen = self.look();
        let moves = self.model.observe(&seen)?;
        let mut doers = Doers::default();
        let mut meant = Vec::new();
        for (request, mine) in requests.iter().zip(&expected) {
            let Some(run) = seen.runs.iter().find(|run| run.request_key == request.key) else { continue };
            let to = if request.archive_history { Place::History(run.id) } else { Place::Gone };
            doers.deleted.extend(mine.iter().map(|number| (*number, run.id)));
            meant.extend(mine.iter().map(|number| Move { number: *number, from: Place::Here, to }));
        }
        meant.sort_unstable_by_key(|moved| moved.number);
        must!(moves == meant, "grouped requests did {moves:?}, not {meant:?}");
        let done = seen.runs.iter().filter(|run| requests.iter().any(|request| request.key == run.request_key)).count();
        let whole = done == requests.len() || (done == 0 || self.model.executing) && reports.is_none();
        must!(whole, "{done} of {} requests were done", requests.len());
        for report in reports.into_iter().flatten() {
            let report = report.map_err(|error| TestCaseError::fail(error.to_string()))?;
            let row = seen.run(report.run_id);
            must!(
                row.is_some_and(|row| row.counts == report.counts),
                "a request reports {report:?}, the ledger has {row:?}"
            );
        }
        self.account(&seen, &moves, &doers)
    }

    pub(crate) fn restore(&mut self, pick: Pick, conditions: &Conditions) -> Outcome {
        let Some(source) = self.pick(pick) else { return Ok(()) };
        let archived = self.model.archived_by(source.id);
        let clashes = archived.iter().any(|number| self.model.here(self.model.numbers[*number].row.id).is_some());
        let spec = Restore { run_id: source.id, actor: "tester".to_owned(), into_executing: false };
        let report = self.go(conditions, |engine, control| restore(engine, &spec, control));
        let seen = self.look();
        let moves = self.model.observe(&seen)?;
        let own = self.new_run(&seen);
        let back: BTreeSet<usize> = moves.iter().map(|moved| moved.number).collect();
        let may = moves.iter().all(|moved| (moved.from, moved.to) == (Place::History(source.id), Place::Here));
        must!(may, "a restore of run {} did {moves:?}", source.id);
        self.account(&seen, &moves, &Doers { own, ..Doers::default() })?;
        let forbidden = self.model.executing || clashes || archived.is_empty();
        must!(!forbidden || moves.is_empty(), "{moves:?} were restored against the rules");
        match report {
            None => {}
            Some(Ok(report)) if matches!(report.outcome, Ended::Succeeded) => {
                must!(
                    back == archived && !forbidden,
                    "{back:?} were restored, but all of {archived:?} should have been"
                );
            }
            Some(Ok(report)) => must!(forbidden && matches!(report.outcome, Ended::Refused(_)), "{report:?}"),
            Some(Err(error)) => must!(archived.is_empty() && matches!(error, Error::NotRestorable { .. }), "{error}"),
        }
        Ok(())
    }

    pub(crate) fn prune(&mut self, ago: u8, conditions: &Conditions) -> Outcome {
        let before = self.clock.clock().timestamp() - TimeDelta::minutes(ago.into());
        let old = |seen: &Seen| -> BTreeSet<(i64, i64)> {
            let rows = seen.history.iter().filter(|row| row.archived_at < before);
            rows.map(|row| (row.number.id, row.run_id)).collect()
        };
        let due = old(&self.look());
        let spec = Prune { archived_before: before, bounds: Bounds::default(), actor: "tester".to_owned() };
        let report = self.go(conditions, |engine, control| prune(engine, &spec, control));
        let seen = self.look();
        let moves = self.model.observe(&seen)?;
        let own = self.new_run(&seen);
        for moved in &moves {
            let id = self.model.numbers[moved.number].row.id;
            let may = matches!((moved.from, moved.to), (Place::History(run), Place::Gone) if due.contains(&(id, run)));
            must!(may, "a prune of history older than {before} did {moved:?}");
        }
        let ended: Vec<Run> = self.model.runs.values().map(|known| known.run.clone()).collect();
        self.account(&seen, &moves, &Doers { own, ended_before: Some(before), ..Doers::default() })?;
        let Some(report) = report else { return Ok(()) };
        let report = report.map_err(|error| TestCaseError::fail(error.to_string()))?;
        must!(matches!(report.history.outcome, Ended::Succeeded), "{report:?}");
        must!(old(&seen).is_empty(), "history older than {before} was not pruned: {:?}", old(&seen));
        let stays = |run: &Run| seen.run(run.id).is_some_and(|now| now.heartbeat_at < before && is_over(now));
        must!(!ended.iter().any(stays), "a ledger row without history was not deleted");
        Ok(())
    }

    fn pick(&self, Pick(nth): Pick) -> Option<Run> {
        let runs = &self.model.runs;
        let nth = nth.checked_rem(runs.len())?;
        runs.values().rev().nth(nth).map(|known| known.run.clone())
    }

    /// The run that a step has started.
    fn new_run(&self, seen: &Seen) -> Option<i64> {
        seen.runs.iter().map(|run| run.id).find(|id| !self.model.runs.contains_key(id))
    }
}

/// Executes requests as the endpoint does.
fn all_together(engine: &Engine, requests: &[NewRun]) -> Vec<Result<PurgeReport, Error>> {
    let together = purge_batch(engine, &mut engine.store.connection().unwrap(), requests);
    let finish = |(request, together)| match together {
        BatchOutcome::Committed(report) => Ok(report),
        BatchOutcome::NotBatched => purge(engine, request, &mut Control::unattended()),
        BatchOutcome::CommitUnknown(begun) => {
            resolve_unknown_commit(engine, request, &begun, &mut Control::unattended())
        }
    };
    requests.iter().zip(together).map(finish).collect()
}

/// Whether a run has ended and has nothing left in history.
fn is_over(run: &Run) -> bool {
    let is_active = run.state.is_active();
    !is_active && run.counts.archived == run.restored + run.pruned
}

fn json(members: &str) -> Value {
    serde_json::from_str(members).unwrap()
}
