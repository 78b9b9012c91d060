//! Between two chunks: whether to go on, to wait, or to end.

use std::thread;
use std::time::{Duration, Instant};

use crate::engine::control::{Control, Gate};
use crate::engine::error::Error;
use crate::engine::open_run::OpenRun;
use crate::model::run::RunState;
use crate::model::stop_reason::StopReason;
use crate::store::ledger::controls::{RunControl, Wanted};
use crate::store::ledger::{controls, fit_stop_reason};

/// How often a run that is held looks whether it may go on.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What is wished for, just before the next chunk.
pub(crate) enum Wish {
    Go,
    /// The run is to wait: in which state, held by what.
    Wait(RunState, Option<String>),
    Stop(StopReason),
}

impl OpenRun<'_> {
    /// Asks people, through the ledger, and the caller's gate.
    pub(crate) fn ask(&mut self, campaign: Option<i64>, control: &mut Control<'_>) -> Result<Wish, Error> {
        let run_id = self.ledger.run.id;
        // A request is over before anybody could speak to it.
        let said =
            if self.is_request() { RunControl::default() } else { self.retry(|conn| controls::read(conn, run_id))? };
        self.sizer.change(said.pace);
        let gate = (control.gate)(&self.progress(campaign, None));
        Ok(match (said.wanted, gate) {
            (_, Gate::Stop(reason)) => Wish::Stop(reason),
            (Some(Wanted::Cancel), _) => Wish::Stop(StopReason::Cancelled { actor: said.actor }),
            (Some(Wanted::Pause), _) => Wish::Wait(RunState::Paused, Some(format!("paused by {}", said.actor))),
            (None, Gate::Hold(by)) => Wish::Wait(RunState::Throttled, Some(fit_stop_reason(&by))),
            (None, Gate::Go) => Wish::Go,
        })
    }

    /// Waits as long as a throttle or a person holds the run. Says why it is to end, if it is.
    pub(crate) fn hold(
        &mut self,
        campaign: Option<i64>,
        control: &mut Control<'_>,
    ) -> Result<Option<StopReason>, Error> {
        loop {
            let (state, by) = match self.ask(campaign, control)? {
                Wish::Stop(reason) => return Ok(Some(reason)),
                Wish::Wait(state, by) => (state, by),
                Wish::Go => (RunState::Running, None),
            };
            if (state, &by) != (self.state, &self.ledger.run.throttled_by) {
                self.enter(state, by)?;
                (control.progress)(&self.progress(campaign, None));
            }
            if state == RunState::Running {
                return Ok(None);
            }
            let begun = Instant::now();
            thread::sleep(LOOK_EVERY);
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
