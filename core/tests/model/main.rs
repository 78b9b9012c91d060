//! Random sequences of all that happens to a campaign, on a real database, against a model in memory. A sequence that
//! breaks the model is shrunk to the shortest that still does.
//!
//! `PROPTEST_CASES=1000` gives the sequences on each backend.
//!
//! Plain proptest: a state machine of `proptest-state-machine` has to know each outcome before it happens, and a crash
//! has several. The model here is told what is to happen, looks at what did, and says whether that may be.
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

/// More find more; these take some seconds on each backend.
const CASES: u64 = 48;

/// What broke, and the shortest sequence that breaks it.
fn words(error: TestError<Vec<Step>>) -> String {
    match error {
        TestError::Fail(why, steps) => {
            let steps: Vec<String> = steps.iter().map(|step| format!("\n    {step:?}")).collect();
            format!("{why}, after{}", steps.concat())
        }
        TestError::Abort(why) => why.to_string(),
    }
}

on_each_backend! {
    fn every_sequence_goes_as_the_model_says(db) {
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
        TestRunner::new(config).run(&steps(), check).unwrap_or_else(|error| panic!("{}", words(error)));
        subject.into_inner().tell();
    }
}
