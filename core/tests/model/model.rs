//! The model: where each number is, and what each run has done. It does not predict the outcome of a step: it compares
//! the tables after the step, decides whether the change is allowed, and adopts it.

use std::collections::{BTreeMap, BTreeSet};

use callsweep_core::campaign::CampaignId;
use callsweep_core::run::{Run, RunKind};
use callsweep_core::store::AnyConnection;
use callsweep_core::store::runs::{self, RunFilter};
use callsweep_testkit::tables::{self, HistoryRow, NumberRow};
use chrono::NaiveDateTime;
use proptest::test_runner::TestCaseError;

/// Fails the sequence.
macro_rules! must {
    ($is_so:expr, $($otherwise:tt)*) => {
        if !$is_so {
            return Err(proptest::test_runner::TestCaseError::fail(format!($($otherwise)*)));
        }
    };
}
pub(crate) use must;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In `call_data`.
    Here,
    /// In history, archived by this run.
    History(i64),
    Gone,
}

/// A number that was imported once. Its id may have been imported again later.
#[derive(Debug)]
pub(crate) struct Number {
    /// The row as the import and the dialler left it. Nothing else may change it.
    pub(crate) row: NumberRow,
    pub(crate) place: Place,
}

#[derive(Debug)]
pub(crate) struct Known {
    /// The ledger row after the last step.
    pub(crate) run: Run,
    /// Numbers that it must have removed if it succeeds: they matched at its start, and since then no rule has barred
    /// them and nothing else has moved them.
    pub(crate) must: BTreeSet<usize>,
}

/// The move of a number in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) number: usize,
    pub(crate) from: Place,
    pub(crate) to: Place,
}

/// The tables after a step.
pub(crate) struct Seen {
    numbers: Vec<NumberRow>,
    pub(crate) history: Vec<HistoryRow>,
    pub(crate) runs: Vec<Run>,
}

impl Seen {
    pub(crate) fn look(conn: &mut AnyConnection, campaign: CampaignId) -> Self {
        let runs = runs::list(conn, &RunFilter { limit: u32::MAX >> 1, ..RunFilter::default() }).unwrap();
        Self { numbers: tables::numbers(conn, campaign), history: tables::history(conn, campaign), runs }
    }

    pub(crate) fn run(&self, id: i64) -> Option<&Run> {
        self.runs.iter().find(|run| run.id == id)
    }
}

/// The runs that caused the changes of a step.
#[derive(Default)]
pub(crate) struct Doers {
    /// The run of a restore or a prune.
    pub(crate) own: Option<i64>,
    /// The runs that deleted numbers without archive, by number.
    pub(crate) deleted: BTreeMap<usize, i64>,
    /// Ledger rows of runs that ended before this time may be deleted.
    pub(crate) ended_before: Option<NaiveDateTime>,
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) numbers: Vec<Number>,
    /// By id; of several imports of an id, the newest is last.
    pub(crate) runs: BTreeMap<i64, Known>,
    pub(crate) executing: bool,
}

impl Model {
    /// Index of the number with this id in `call_data`.
    pub(crate) fn here(&self, id: i64) -> Option<usize> {
        self.numbers.iter().position(|number| number.row.id == id && number.place == Place::Here)
    }

    /// The numbers in `call_data` that a request selects.
    pub(crate) fn matching(&self, members: &serde_json::Value) -> BTreeSet<usize> {
        let matches = |index: &usize| {
            let number = &self.numbers[*index];
            number.place == Place::Here && number.row.matches(members)
        };
        (0..self.numbers.len()).filter(matches).collect()
    }

    pub(crate) fn waits(&self, number: usize) -> bool {
        self.numbers[number].row.status == 0
    }

    /// The numbers in history that a run archived.
    pub(crate) fn archived_by(&self, run_id: i64) -> BTreeSet<usize> {
        (0..self.numbers.len()).filter(|index| self.numbers[*index].place == Place::History(run_id)).collect()
    }

    /// Records that the dialler set the status of a number.
    pub(crate) fn dialled(&mut self, number: usize, status: i16) {
        self.numbers[number].row.status = status;
        if status != 0 {
            self.runs.values_mut().for_each(|known| _ = known.must.remove(&number));
        }
    }

    /// Locates each number: exactly one place, unchanged, and no unknown numbers.
    pub(crate) fn observe(&mut self, seen: &Seen) -> Result<Vec<Move>, TestCaseError> {
        let mut found: BTreeMap<(i64, NaiveDateTime), Vec<(Place, &NumberRow)>> = BTreeMap::new();
        let here = seen.numbers.iter().map(|row| (Place::Here, row));
        let history = seen.history.iter().map(|row| (Place::History(row.run_id), &row.number));
        for (place, row) in here.chain(history) {
            found.entry((row.id, row.created_at)).or_default().push((place, row));
        }
        let mut moves = Vec::new();
        for (index, number) in self.numbers.iter_mut().enumerate() {
            let id = number.row.id;
            let to = match &found.remove(&(id, number.row.created_at)).unwrap_or_default()[..] {
                [] => Place::Gone,
                [(place, row)] => {
                    must!(**row == number.row, "number {id} is {row:?} and should be {:?}", number.row);
                    *place
                }
                several => {
                    return Err(proptest::test_runner::TestCaseError::fail(format!(
                        "number {id} is in several places: {several:?}"
                    )));
                }
            };
            if to != number.place {
                moves.push(Move { number: index, from: number.place, to });
                number.place = to;
            }
        }
        must!(found.is_empty(), "numbers that were never imported: {found:?}");
        for moved in &moves {
            self.runs.values_mut().for_each(|known| _ = known.must.remove(&moved.number));
        }
        Ok(moves)
    }

    /// Compares the ledger with the moves, run by run, and adopts it.
    pub(crate) fn account(&mut self, seen: &Seen, moves: &[Move], doers: &Doers) -> Result<(), TestCaseError> {
        let mut changes: BTreeMap<i64, Change> = BTreeMap::new();
        for moved in moves {
            let nobody = || TestCaseError::fail(format!("no run caused {moved:?}"));
            match (moved.from, moved.to) {
                (Place::Here, Place::History(run)) => {
                    let change = changes.entry(run).or_default();
                    (change.deleted, change.archived) = (change.deleted + 1, change.archived + 1);
                }
                (Place::Here, Place::Gone) => {
                    let run = *doers.deleted.get(&moved.number).ok_or_else(nobody)?;
                    changes.entry(run).or_default().deleted += 1;
                }
                (Place::History(run), Place::Here) => {
                    changes.entry(run).or_default().restored += 1;
                    changes.entry(doers.own.ok_or_else(nobody)?).or_default().matched += 1;
                }
                (Place::History(run), Place::Gone) => {
                    changes.entry(run).or_default().pruned += 1;
                    changes.entry(doers.own.ok_or_else(nobody)?).or_default().deleted += 1;
                }
                _ => {}
            }
        }
        for run in &seen.runs {
            let known = self.runs.get(&run.id).map(|known| &known.run);
            check(run, known, &changes.remove(&run.id).unwrap_or_default())?;
        }
        for (id, known) in &self.runs {
            let run = &known.run;
            let left = run.counts.archived - run.restored - run.pruned - pruned(moves, *id);
            let may_end = doers.ended_before.is_some_and(|time| run.heartbeat_at < time) && left == 0;
            must!(seen.run(*id).is_some() || may_end, "run {id} has left the ledger: {run:?}");
            changes.remove(id);
        }
        must!(changes.is_empty(), "the ledger lacks the runs of {changes:?}");
        self.runs.retain(|id, _| seen.run(*id).is_some());
        for run in &seen.runs {
            let known = self.runs.entry(run.id).or_insert_with(|| Known { run: run.clone(), must: BTreeSet::new() });
            known.run = run.clone();
        }
        Ok(())
    }
}

/// The changes of a step that a run's row must show.
#[derive(Debug, Default)]
struct Change {
    matched: i64,
    deleted: i64,
    archived: i64,
    restored: i64,
    pruned: i64,
}

/// Checks that a ledger row is its previous value plus the change.
fn check(run: &Run, known: Option<&Run>, change: &Change) -> Result<(), TestCaseError> {
    let before = |of: fn(&Run) -> i64| known.map_or(0, of);
    let counts = run.counts;
    let expected = [
        ("deleted", before(|run| run.counts.deleted) + change.deleted, counts.deleted),
        ("archived", before(|run| run.counts.archived) + change.archived, counts.archived),
        ("restored", before(|run| run.restored) + change.restored, run.restored),
        ("pruned", before(|run| run.pruned) + change.pruned, run.pruned),
    ];
    for (name, expected, found) in expected {
        must!(expected == found, "{name} should be {expected} in {run:?}");
    }
    let matched = if run.kind == RunKind::Restore {
        before(|run| run.counts.matched) + change.matched
    } else {
        counts.deleted + counts.barred.total()
    };
    must!(matched == counts.matched, "matched should be {matched} in {run:?}");
    must!(run.state.is_active() || known.is_some() || run.finished_at.is_some(), "{run:?}");
    Ok(())
}

fn pruned(moves: &[Move], run_id: i64) -> i64 {
    let of_run = |moved: &&Move| (moved.from, moved.to) == (Place::History(run_id), Place::Gone);
    i64::try_from(moves.iter().filter(of_run).count()).unwrap()
}
