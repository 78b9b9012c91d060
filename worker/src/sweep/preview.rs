//! What a preview says.

use std::fmt;

use callsweep_core::criteria::Criteria;
use callsweep_core::preview::Preview;
use callsweep_core::rules::Barred;
use callsweep_core::run::NewRun;
use serde::Serialize;

use crate::exit::Exit;
use crate::output::grouped;

/// A preview, with the command that would do it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PreviewReport {
    vdn_id: i32,
    campaign_id: i64,
    criteria: Criteria,
    archive_history: bool,
    #[serde(flatten)]
    preview: Preview,
    execute_command: String,
}

impl PreviewReport {
    pub(super) fn new(run: &NewRun, preview: Preview, execute_command: String) -> Self {
        Self {
            vdn_id: run.targets[0].vdn_id.get(),
            campaign_id: run.targets[0].campaign_id.get(),
            criteria: run.criteria.clone(),
            archive_history: run.archive_history,
            preview,
            execute_command,
        }
    }

    /// The exit code that a run would end with, as far as a preview can know.
    pub(super) fn exit(&self) -> Exit {
        let Preview { matched, removable, campaign_executing, .. } = &self.preview;
        match (campaign_executing, matched, removable) {
            (true, ..) => Exit::RefusedByRules,
            (false, 0, _) => Exit::NothingToDo,
            (false, _, 0) => Exit::RefusedByRules,
            (false, ..) => Exit::Done,
        }
    }
}

impl fmt::Display for PreviewReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let preview = &self.preview;
        writeln!(f, "Preview of campaign {} in VDN {}. Nothing was changed.\n", self.campaign_id, self.vdn_id)?;
        writeln!(f, "{:>11} match", grouped(preview.matched))?;
        reasons(f, preview.barred, "stay")?;
        let how = if self.archive_history { "move to history" } else { "are deleted for good" };
        writeln!(f, "{:>11} {how}", grouped(preview.removable))?;
        writeln!(f, "\nWalk: {}", preview.walk)?;
        if preview.campaign_executing {
            writeln!(f, "The campaign is executing, which bars all its numbers (rules.ongoing_task = \"campaign\").")?;
        }
        if !preview.sample.is_empty() {
            writeln!(f, "\nSome of those that match:")?;
            for number in &preview.sample {
                let recycle_time = number.recycle_time.map_or_else(|| "no recycle time".to_owned(), |t| t.to_string());
                writeln!(f, "  {:<24} {:<10} {recycle_time}", number.called, status(number.status))?;
            }
        }
        if preview.removable > 0 {
            writeln!(f, "\nTo remove them:\n  {}", self.execute_command)?;
        }
        Ok(())
    }
}

/// One line for each reason that kept numbers where they are.
pub(super) fn reasons(f: &mut fmt::Formatter<'_>, barred: Barred, verb: &str) -> fmt::Result {
    for (reason, numbers) in barred.reasons().into_iter().filter(|(_, numbers)| *numbers > 0) {
        writeln!(f, "{:>11} {verb}: {reason}", grouped(numbers))?;
    }
    Ok(())
}

fn status(column: i16) -> String {
    match column {
        0 => "waiting".to_owned(),
        1 => "loaded".to_owned(),
        2 => "calling".to_owned(),
        5 => "failed".to_owned(),
        6 => "succeeded".to_owned(),
        other => format!("status {other}"),
    }
}
