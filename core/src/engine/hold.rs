//! Decides between two chunks whether the run continues, waits or stops.

use std::thread;
use std::time::{Duration, Instant};

use crate::engine::control::{Control, Gate};
use crate::engine::error::Error;
use crate::engine::open_run::OpenRun;
use crate::model::run::RunState;
use crate::model::stop_reason::StopReason;
use crate::store::ledger::controls::{RunControl, Wanted};
use crate::store::ledger::{controls, fit_stop_reason};

/// How often a held run checks whether it may continue. Short enough that an operator sees `runs ID resume` take effect
/// at once.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// What the run does before its next chunk.
pub(crate) enum Decision {
    Proceed,
    /// Wait, in this state, because of this throttle or operator.
    Wait(RunState, Option<String>),
    Stop(StopReason),
}

impl OpenRun<'_> {
    /// Reads the operator's command from the ledger and asks the caller's gate. Applies a changed pace. A command takes
    /// precedence over a throttle, and a stop over both.
    pub(crate) fn decide(&mut self, campaign: Option<i64>, control: &mut Control<'_>) -> Result<Decision, Error> {
        let run_id = self.ledger.run.id;
        // A request ends within seconds, before an operator could send a command: the query would be wasted.
        let requested =
            if self.is_request() { RunControl::default() } else { self.retry(|conn| controls::read(conn, run_id))? };
        self.sizer.change(requested.pace);
        let gate = (control.gate)(&self.progress(campaign, None));
        Ok(match (requested.wanted, gate) {
            (_, Gate::Stop(reason)) => Decision::Stop(reason),
            (Some(Wanted::Cancel), _) => Decision::Stop(StopReason::Cancelled { actor: requested.actor }),
            (Some(Wanted::Pause), _) => {
                Decision::Wait(RunState::Paused, Some(format!("paused by {}", requested.actor)))
            }
            (None, Gate::Hold(by)) => Decision::Wait(RunState::Throttled, Some(fit_stop_reason(&by))),
            (None, Gate::Go) => Decision::Proceed,
        })
    }

    /// Waits while a throttle or an operator holds the run. Returns the reason if the run must stop.
    pub(crate) fn hold(
        &mut self,
        campaign: Option<i64>,
        control: &mut Control<'_>,
    ) -> Result<Option<StopReason>, Error> {
        loop {
            let (state, by) = match self.decide(campaign, control)? {
                Decision::Stop(reason) => return Ok(Some(reason)),
                Decision::Wait(state, by) => (state, by),
                Decision::Proceed => (RunState::Running, None),
            };
            if (state, &by) != (self.state, &self.ledger.run.throttled_by) {
                self.enter(state, by)?;
                (control.progress)(&self.progress(campaign, None));
            }
            if state == RunState::Running {
                return Ok(None);
            }
            let begun = Instant::now();
            thread::sleep(POLL_INTERVAL);
            self.held += begun.elapsed();
        }
    }

    fn enter(&mut self, state: RunState, by: Option<String>) -> Result<(), Error> {
        let mut next = self.ledger.clone();
        next.run.state = state;
        next.run.throttled_by = by;
        next.run.heartbeat_at = self.engine.store.clock().timestamp();
        self.save(next)?;
        self.state = state;
        Ok(())
    }
}
