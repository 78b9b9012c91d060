//! Fault injection in the model test: a crash at a fail point, or a connection lost at a COMMIT.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use callsweep_core::failpoint;

use crate::proxy::{Cut, Proxy, When};

/// The armed fault, and how often its fail point was passed.
enum Armed {
    Nothing,
    /// Every thread crashes that passes a fail point from this passing on: a lane, and then the run that redoes its
    /// chunk.
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

/// Fail points are global: only one step runs at a time, across all backends.
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
                // A panic without the message of the panic hook.
                resume_unwind(Box::new("crash"));
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

/// Runs `work` and crashes it at the given passing of a fail point. `None`: it crashed.
pub(crate) fn crash<T>(at: u8, work: impl FnOnce() -> T) -> Option<T> {
    *armed() = Armed::Crash { at, passed: 0 };
    let done = catch_unwind(AssertUnwindSafe(work));
    let died = matches!(&*armed(), Armed::Crash { at, passed } if passed >= at);
    *armed() = Armed::Nothing;
    match done {
        // A lane crashed and the run's own thread passed no fail point after it: discard the result, as a crash would.
        _ if died => None,
        Ok(done) => Some(done),
        Err(panic) => resume_unwind(panic),
    }
}

/// Runs `work` on connections through this proxy, which loses the given COMMIT or the answer to it.
pub(crate) fn lose<T>(at: u8, when: When, proxy: &Proxy, work: impl FnOnce() -> T) -> T {
    let proxy = proxy.clone();
    *armed() = Armed::Commit { at, passed: 0, arm: Box::new(move || proxy.arm(Cut { commit: true, when })) };
    let done = work();
    *armed() = Armed::Nothing;
    done
}
