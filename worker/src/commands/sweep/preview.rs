//! What a preview says.

use std::fmt;

use callsweep_core::bounds::CampaignRemoval;
use callsweep_core::criteria::Criteria;
use callsweep_core::engine::Engine;
use callsweep_core::engine::preview::Preview;
use callsweep_core::rules::Barred;
use callsweep_core::run::{NewRun, Target};
use callsweep_core::store::numbers;
use serde::Serialize;

use super::explain;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::grouped;
use crate::cli::progress;
use crate::process::stop::Stop;

/// A preview, with the command that would do it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PreviewReport {
    criteria: Criteria,
    archive_history: bool,
    /// In all campaigns together, as the two that follow.
    matched: i64,
    removable: i64,
    barred: Barred,
    campaigns: Vec<CampaignPreview>,
    /// The bound that the run would be over, and by how much.
    refused: Option<String>,
    /// The command that executes it. `None` where a bound refuses it.
    execute_command: Option<String>,
}

/// What would happen in one campaign.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CampaignPreview {
    #[serde(flatten)]
    target: Target,
    #[serde(flatten)]
    preview: Preview,
}

/// Looks at each campaign of a run that is not begun. `None`: the operator stops it.
pub(super) fn preview(engine: &Engine, new: &NewRun, stop: &Stop) -> Result<Option<PreviewReport>, Failure> {
    let spinner = progress::spinner("counting");
    let mut campaigns = Vec::new();
    for target in &new.targets {
        let preview = callsweep_core::engine::preview::preview(engine, *target, &new.criteria, &|| stop.requested());
        match preview.map_err(|error| explain(engine, error))? {
            Some(preview) => campaigns.push((*target, preview)),
            None => return Ok(None),
        }
    }
    spinner.finish_and_clear();
    PreviewReport::new(engine, new, campaigns).map(Some)
}

impl PreviewReport {
    fn new(engine: &Engine, new: &NewRun, campaigns: Vec<(Target, Preview)>) -> Result<Self, Failure> {
        let mut removals = Vec::new();
        for (target, preview) in &campaigns {
            let campaign_id = target.campaign_id;
            let total = match new.bounds.max_percent {
                Some(_) => Some(numbers::count(&mut *engine.store.connection()?, campaign_id)?),
                None => None,
            };
            removals.push(CampaignRemoval { campaign_id, removable: preview.removable, total });
        }
        Ok(Self {
            criteria: new.criteria.clone(),
            archive_history: new.archive_history,
            matched: campaigns.iter().map(|(_, preview)| preview.matched).sum(),
            removable: campaigns.iter().map(|(_, preview)| preview.removable).sum(),
            barred: campaigns.iter().fold(Barred::default(), |mut sum, (_, preview)| {
                sum += preview.barred;
                sum
            }),
            campaigns: campaigns.into_iter().map(|(target, preview)| CampaignPreview { target, preview }).collect(),
            refused: new.bounds.check(&removals).err().map(|exceeded| exceeded.to_string()),
            execute_command: None,
        })
    }

    /// The same with the command that executes it, unless a bound refuses it.
    pub(super) fn with_command(self, command: String) -> Self {
        Self { execute_command: self.refused.is_none().then_some(command), ..self }
    }

    /// Numbers that would go.
    pub(super) fn removable(&self) -> i64 {
        self.removable
    }

    /// The exit code that a run would end with, as far as a preview can know.
    pub(super) fn exit(&self) -> Exit {
        let all = |is: fn(&Preview) -> bool| self.campaigns.iter().all(|campaign| is(&campaign.preview));
        if self.refused.is_some() {
            Exit::RefusedByBound
        } else if !self.campaigns.is_empty() && all(|preview| preview.campaign_executing) {
            Exit::RefusedByRules
        } else if self.matched == 0 {
            Exit::NothingToDo
        } else if self.removable == 0 {
            Exit::RefusedByRules
        } else {
            Exit::Done
        }
    }
}

impl fmt::Display for PreviewReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.archive_history { "move to history" } else { "are deleted for good" };
        for CampaignPreview { target, preview } in &self.campaigns {
            let Target { vdn_id, campaign_id } = target;
            writeln!(f, "Preview of campaign {campaign_id} in VDN {vdn_id}. Nothing was changed.\n")?;
            writeln!(f, "{:>11} match", grouped(preview.matched))?;
            reasons(f, preview.barred, "stay")?;
            writeln!(f, "{:>11} {how}", grouped(preview.removable))?;
            writeln!(f, "\nWalk: {}", preview.walk)?;
            if preview.campaign_executing {
                writeln!(
                    f,
                    "The campaign is executing, which bars all its numbers (rules.ongoing_task = \"campaign\")."
                )?;
            }
            if !preview.sample.is_empty() {
                writeln!(f, "\nSome of those that would go:")?;
                for number in &preview.sample {
                    let recycle_time = number.recycle_time.as_deref().unwrap_or("no recycle time");
                    writeln!(f, "  {:<24} {:<10} {recycle_time}", number.called, status(number.status))?;
                }
            }
            writeln!(f)?;
        }
        if self.campaigns.len() > 1 {
            writeln!(f, "All {} campaigns:\n\n{:>11} match", self.campaigns.len(), grouped(self.matched))?;
            reasons(f, self.barred, "stay")?;
            writeln!(f, "{:>11} {how}\n", grouped(self.removable))?;
        }
        if let Some(refused) = &self.refused {
            writeln!(f, "A run would be refused: {refused}.")?;
        }
        if let Some(command) = self.execute_command.as_ref().filter(|_| self.removable > 0) {
            writeln!(f, "To remove them:\n  {command}")?;
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
