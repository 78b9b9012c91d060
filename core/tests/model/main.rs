//! Random sequences of operations on a campaign, in a real database, compared with a model in memory. A sequence that
//! violates the model is shrunk to the shortest one that still does.
//!
//! `PROPTEST_CASES=1000` sets the number of sequences on each backend.
//!
//! This uses plain proptest: `proptest-state-machine` needs the outcome of each step in advance, and a crash has
//! several. The model compares the tables before and after a step, and decides whether the change is allowed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod dialler;
mod faults;
mod model;
#[path = "../core/proxy.rs"]
mod proxy;
mod runs;
mod step;
mod subject;
#[allow(dead_code, reason = "the other test programs use the rest")]
#[path = "../core/support.rs"]
mod support;

use std::cell::RefCell;

use callsweep_testkit::attack::times;
use callsweep_testkit::on_each_backend;
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};

use step::{Step, steps};
use subject::Subject;

/// Default number of sequences: takes some seconds on each backend.
const CASES: u64 = 48;

/// The violation, and the shortest sequence that causes it.
fn describe(error: TestError<Vec<Step>>) -> String {
    match error {
        TestError::Fail(why, steps) => {
            let steps: Vec<String> = steps.iter().map(|step| format!("\n    {step:?}")).collect();
            format!("{why}, after{}", steps.concat())
        }
        TestError::Abort(why) => why.to_string(),
    }
}

on_each_backend! {
    fn every_sequence_satisfies_the_model(db) {
        let subject = RefCell::new(Subject::new(db));
        let cases = u32::try_from(times("PROPTEST_CASES", CASES)).unwrap();
        let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
        let check = |steps| {
            let subject = &mut *subject.borrow_mut();
            subject.begin();
            for step in steps {
                subject.take(&step)?;
            }
            subject.end()
        };
        TestRunner::new(config).run(&steps(), check).unwrap_or_else(|error| panic!("{}", describe(error)));
        subject.into_inner().tell();
    }
}
