//! The steps of a sequence, and how they are generated.

use std::collections::BTreeMap;

use callsweep_core::number::NumberStatus;
use proptest::option::{of, weighted};
use proptest::prelude::*;
use proptest::sample::select;

use crate::support::STATUSES;

/// Few values, so that filters match several numbers.
const TEXTS: [&str; 3] = ["1", "1", "2"];
const TIMES: [&str; 5] =
    ["2020-12-03 23:59:59", "2020-12-04 00:00:00", "2020-12-04 17:57:00", "2020-12-04 17:57:01", "2020-12-05 00:00:00"];
/// The highest id; an id whose number was removed may be imported again.
const IDS: i64 = 15;

#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Imports numbers by id; ids that the campaign has are skipped.
    Import(BTreeMap<i64, Columns>, Fault),
    /// The dialler sets the status of numbers.
    Dial(Vec<(i64, i16)>),
    /// Starts or suspends the campaign.
    Execute(bool),
    Remove(Removal),
    /// Requests for one value each, in a group commit.
    Together(Vec<RequestSpec>, Fault),
    /// Resumes a run.
    Resume(Pick, Conditions),
    /// Restores a run.
    Restore(Pick, Conditions),
    /// Prunes what was archived this many steps ago or earlier.
    Prune(u8, Conditions),
}

#[derive(Debug, Clone)]
pub(crate) struct Columns {
    pub(crate) session_id: Option<&'static str>,
    pub(crate) called: &'static str,
    pub(crate) custom_field: Option<&'static str>,
    pub(crate) recycle_time: Option<&'static str>,
    pub(crate) status: NumberStatus,
}

/// Selects a run of the ledger, counted from the newest, modulo the number of runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pick(pub(crate) usize);

#[derive(Debug, Clone)]
pub(crate) struct Removal {
    pub(crate) spec: RequestSpec,
    /// A request of the endpoint; if false, a sweep.
    pub(crate) request: bool,
    pub(crate) conditions: Conditions,
}

/// A filter, as the members of a request.
#[derive(Debug, Clone)]
pub(crate) struct RequestSpec {
    pub(crate) members: String,
    pub(crate) archive: bool,
}

/// Conditions under which a run executes.
#[derive(Debug, Clone)]
pub(crate) struct Conditions {
    pub(crate) chunk_size: usize,
    pub(crate) lanes: u8,
    /// The actions of the dialler each time it acts: number and new status.
    pub(crate) moments: Vec<Vec<(i64, i16)>>,
    pub(crate) fault: Fault,
}

/// The fault injected into a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// The process crashes at this passing of a fail point, counted from 1.
    Crash(u8),
    /// The server never receives this COMMIT, counted from 1, and the connection is lost.
    Commit(u8),
    /// The server commits this COMMIT, and the answer is lost with the connection.
    Answer(u8),
}

/// Sequences of different lengths.
pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let later = prop_oneof![
        2 => (imports(8), faults()).prop_map(|(numbers, fault)| Step::Import(numbers, fault)),
        2 => dialled(1..6).prop_map(Step::Dial),
        1 => weighted(0.3, Just(())).prop_map(|executes| Step::Execute(executes.is_some())),
        6 => (request_specs(), any::<bool>(), any_conditions())
            .prop_map(|(spec, request, conditions)| Step::Remove(Removal { spec, request, conditions })),
        2 => (prop::collection::vec(values(), 1..4), faults()).prop_map(|(specs, fault)| Step::Together(specs, fault)),
        3 => (picks(), any_conditions()).prop_map(|(pick, conditions)| Step::Resume(pick, conditions)),
        3 => (picks(), any_conditions()).prop_map(|(pick, conditions)| Step::Restore(pick, conditions)),
        1 => (0..12_u8, any_conditions()).prop_map(|(ago, conditions)| Step::Prune(ago, conditions)),
    ];
    (imports(15), prop::collection::vec(later, 1..14)).prop_map(|(first, later)| {
        let mut steps = vec![Step::Import(first, Fault::None)];
        steps.extend(later);
        steps
    })
}

/// Fewer numbers than `below`.
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

fn any_conditions() -> impl Strategy<Value = Conditions> {
    let moments = prop_oneof![Just(Vec::new()), prop::collection::vec(dialled(0..5), 0..12)];
    (prop_oneof![3 => 1..3_usize, 1 => 3..6_usize], 1..3_u8, moments, faults())
        .prop_map(|(chunk_size, lanes, moments, fault)| Conditions { chunk_size, lanes, moments, fault })
}

/// Any filter, and any combination of filters.
fn request_specs() -> impl Strategy<Value = RequestSpec> {
    let filter =
        |name: &'static str| weighted(0.12, select(&TEXTS)).prop_map(move |value| value.map(|value| (name, value)));
    let recycle = weighted(0.8, (select(&["1", "1", "1", "2", "3"]), select(&TIMES)));
    (filter("sessionId"), filter("called"), filter("customField"), recycle, any::<bool>())
        .prop_map(|(session_id, called, custom_field, recycle, archive)| {
            let recycle = recycle.map(|(kind, time)| [("recycleType", kind), ("recycleTime", time)]);
            let members = [session_id, called, custom_field].into_iter().flatten().chain(recycle.into_iter().flatten());
            RequestSpec { members: json(members), archive }
        })
        .prop_filter("a filter is needed", |spec| spec.members != "{}")
}

/// A filter for one value, as required for a group commit.
fn values() -> impl Strategy<Value = RequestSpec> {
    (select(&["sessionId", "called"]), select(&TEXTS), any::<bool>())
        .prop_map(|(name, value, archive)| RequestSpec { members: json([(name, value)].into_iter()), archive })
}

fn json(members: impl Iterator<Item = (&'static str, &'static str)>) -> String {
    let members: Vec<String> = members.map(|(name, value)| format!(r#""{name}":"{value}""#)).collect();
    format!("{{{}}}", members.join(","))
}
