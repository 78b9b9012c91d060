//! What may happen to a campaign, and how it is made up.

use std::collections::BTreeMap;

use callsweep_core::number::NumberStatus;
use proptest::option::{of, weighted};
use proptest::prelude::*;
use proptest::sample::select;

use crate::support::STATUSES;

/// Few values, so that they meet.
const TEXTS: [&str; 3] = ["1", "1", "2"];
const TIMES: [&str; 5] =
    ["2020-12-03 23:59:59", "2020-12-04 00:00:00", "2020-12-04 17:57:00", "2020-12-04 17:57:01", "2020-12-05 00:00:00"];
/// Numbers have ids up to this; one that went may be imported again.
const IDS: i64 = 15;

#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Numbers by id; those that the campaign has are left out.
    Import(BTreeMap<i64, Columns>, Fault),
    /// The dialler puts these numbers into these statuses.
    Dial(Vec<(i64, i16)>),
    /// The campaign executes from now on, or no more.
    Execute(bool),
    Remove(Removal),
    /// Requests for one value each, that share a transaction.
    Together(Vec<Wish>, Fault),
    /// Goes on with a run.
    Resume(Pick, Way),
    /// Takes a run back.
    Restore(Pick, Way),
    /// Ends the retention of what was archived so many steps ago.
    Prune(u8, Way),
}

#[derive(Debug, Clone)]
pub(crate) struct Columns {
    pub(crate) session_id: Option<&'static str>,
    pub(crate) called: &'static str,
    pub(crate) custom_field: Option<&'static str>,
    pub(crate) recycle_time: Option<&'static str>,
    pub(crate) status: NumberStatus,
}

/// A run among those that the ledger has, counted from the newest; past the oldest it begins again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pick(pub(crate) usize);

#[derive(Debug, Clone)]
pub(crate) struct Removal {
    pub(crate) wish: Wish,
    /// A request of the endpoint; otherwise a sweep.
    pub(crate) request: bool,
    pub(crate) way: Way,
}

/// Which numbers are asked for, as a request has it.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) members: String,
    pub(crate) archive: bool,
}

/// How a run goes.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    pub(crate) chunk_size: usize,
    pub(crate) lanes: u8,
    /// What the dialler does at each moment: which number it puts into which status.
    pub(crate) moments: Vec<Vec<(i64, i16)>>,
    pub(crate) fault: Fault,
}

/// What breaks meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// The process dies when it passes the so-manieth of its fail points.
    Crash(u8),
    /// The server never sees the so-manieth COMMIT, and the connection is lost.
    Commit(u8),
    /// The server has committed, and the answer is lost with the connection.
    Answer(u8),
}

/// Sequences, short ones too.
pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let later = prop_oneof![
        2 => (imports(8), faults()).prop_map(|(numbers, fault)| Step::Import(numbers, fault)),
        2 => dialled(1..6).prop_map(Step::Dial),
        1 => weighted(0.3, Just(())).prop_map(|executes| Step::Execute(executes.is_some())),
        6 => (wishes(), any::<bool>(), ways()).prop_map(|(wish, request, way)| Step::Remove(Removal { wish, request, way })),
        2 => (prop::collection::vec(values(), 1..4), faults()).prop_map(|(wishes, fault)| Step::Together(wishes, fault)),
        3 => (picks(), ways()).prop_map(|(pick, way)| Step::Resume(pick, way)),
        3 => (picks(), ways()).prop_map(|(pick, way)| Step::Restore(pick, way)),
        1 => (0..12_u8, ways()).prop_map(|(ago, way)| Step::Prune(ago, way)),
    ];
    (imports(15), prop::collection::vec(later, 1..14)).prop_map(|(first, later)| {
        let mut steps = vec![Step::Import(first, Fault::None)];
        steps.extend(later);
        steps
    })
}

/// Fewer numbers than so many.
fn imports(below: usize) -> impl Strategy<Value = BTreeMap<i64, Columns>> {
    let columns =
        (of(select(&TEXTS)), select(&TEXTS), of(select(&TEXTS)), of(select(&TIMES)), weighted(0.4, select(&STATUSES)));
    let columns = columns.prop_map(|(session_id, called, custom_field, recycle_time, status)| {
        let status = status.unwrap_or(NumberStatus::Waiting);
        Columns { session_id, called, custom_field, recycle_time, status }
    });
    prop::collection::btree_map(1..=IDS, columns, 0..below)
}

fn dialled(steps: std::ops::Range<usize>) -> impl Strategy<Value = Vec<(i64, i16)>> {
    prop::collection::vec((1..=IDS, select(&[0, 0, 1, 2, 5, 6, 77])), steps)
}

fn picks() -> impl Strategy<Value = Pick> {
    prop_oneof![3 => 0..2_usize, 1 => 2..8_usize].prop_map(Pick)
}

fn faults() -> impl Strategy<Value = Fault> {
    prop_oneof![
        4 => Just(Fault::None),
        // A sweep passes four points before its first chunk, and each chunk up to six.
        6 => prop_oneof![1 => 1..5_u8, 4 => 5..24_u8, 1 => 24..48_u8].prop_map(Fault::Crash),
        1 => (1..6_u8).prop_map(Fault::Commit),
        1 => (1..6_u8).prop_map(Fault::Answer),
    ]
}

fn ways() -> impl Strategy<Value = Way> {
    let moments = prop_oneof![Just(Vec::new()), prop::collection::vec(dialled(0..5), 0..12)];
    (prop_oneof![3 => 1..3_usize, 1 => 3..6_usize], 1..3_u8, moments, faults())
        .prop_map(|(chunk_size, lanes, moments, fault)| Way { chunk_size, lanes, moments, fault })
}

/// Any filter, and any of them together.
fn wishes() -> impl Strategy<Value = Wish> {
    let filter =
        |name: &'static str| weighted(0.12, select(&TEXTS)).prop_map(move |value| value.map(|value| (name, value)));
    let recycle = weighted(0.8, (select(&["1", "1", "1", "2", "3"]), select(&TIMES)));
    (filter("sessionId"), filter("called"), filter("customField"), recycle, any::<bool>())
        .prop_map(|(session_id, called, custom_field, recycle, archive)| {
            let recycle = recycle.map(|(kind, time)| [("recycleType", kind), ("recycleTime", time)]);
            let members = [session_id, called, custom_field].into_iter().flatten().chain(recycle.into_iter().flatten());
            Wish { members: json(members), archive }
        })
        .prop_filter("a filter is needed", |wish| wish.members != "{}")
}

/// One value, as requests ask for it that go together.
fn values() -> impl Strategy<Value = Wish> {
    (select(&["sessionId", "called"]), select(&TEXTS), any::<bool>())
        .prop_map(|(name, value, archive)| Wish { members: json([(name, value)].into_iter()), archive })
}

fn json(members: impl Iterator<Item = (&'static str, &'static str)>) -> String {
    let members: Vec<String> = members.map(|(name, value)| format!(r#""{name}":"{value}""#)).collect();
    format!("{{{}}}", members.join(","))
}
