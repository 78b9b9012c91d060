//! Breaks what a step does: the process dies at a fail point, or the connection is lost at a COMMIT.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use callsweep_core::failpoint;

use crate::proxy::{Cut, Proxy, When};

/// What breaks, and how often its point was passed.
enum Armed {
    Nothing,
    /// From this passing on whoever passes a point dies: a lane, and then the run that does its chunk again.
    Crash {
        at: u8,
        passed: u8,
    },
    Commit {
        at: u8,
        passed: u8,
        arm: Box<dyn Fn() + Send>,
    },
}

static ARMED: Mutex<Armed> = Mutex::new(Armed::Nothing);

/// Fail points do not know whose transaction passes them: one step at a time, of all backends.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    static WATCH: Once = Once::new();
    WATCH.call_once(|| failpoint::watch(pass));
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn armed() -> MutexGuard<'static, Armed> {
    ARMED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn pass(point: &'static str) {
    match &mut *armed() {
        Armed::Nothing => {}
        Armed::Crash { at, passed } => {
            *passed = passed.saturating_add(1);
            if passed >= at {
                // As a panic, without its words.
                resume_unwind(Box::new("the process died"));
            }
        }
        Armed::Commit { at, passed, arm } => {
            *passed += u8::from(point == "committing");
            if passed == at && point == "committing" {
                arm();
            }
        }
    }
}

/// Does `work` in a process that dies at the so-manieth point. `None`: it died.
pub(crate) fn crash<T>(at: u8, work: impl FnOnce() -> T) -> Option<T> {
    *armed() = Armed::Crash { at, passed: 0 };
    let done = catch_unwind(AssertUnwindSafe(work));
    let died = matches!(&*armed(), Armed::Crash { at, passed } if passed >= at);
    *armed() = Armed::Nothing;
    match done {
        // A lane died, and the run's own thread passed no point after it: what it still said nobody has heard.
        _ if died => None,
        Ok(done) => Some(done),
        Err(panic) => resume_unwind(panic),
    }
}

/// Does `work` on connections through this proxy, which loses the so-manieth COMMIT or the answer to it.
pub(crate) fn lose<T>(at: u8, when: When, proxy: &Proxy, work: impl FnOnce() -> T) -> T {
    let proxy = proxy.clone();
    *armed() = Armed::Commit { at, passed: 0, arm: Box::new(move || proxy.arm(Cut { commit: true, when })) };
    let done = work();
    *armed() = Armed::Nothing;
    done
}
