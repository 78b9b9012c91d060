//! `campaigns`: what a sweep may name, and how many numbers each has.

use std::fmt;

use callsweep_core::campaign::{Campaign, CampaignStatus};
use callsweep_core::settings::Settings;
use callsweep_core::store::campaigns::{self, CampaignNumbers};
use serde::Serialize;

use crate::cli::CampaignsArgs;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{self, Format, grouped, printable};
use crate::cli::table::{self, Column};
use crate::process::database;
use crate::process::stop::Stop;

/// Runs the command.
pub(crate) fn run(args: &CampaignsArgs, settings: &Settings, format: Format, stop: &Stop) -> Result<Exit, Failure> {
    let store = database::open(settings)?;
    let mut conn = store.connection()?;
    let mut found = campaigns::list(&mut conn, args.vdn)?;
    if let Some(name) = &args.name {
        found.retain(|campaign| name.contains(campaign));
    }
    let matched = found.len();
    found.truncate(args.limit as usize);
    let now = store.clock().now().with_timezone(&settings.worker.time_zone).naive_local();
    let mut listed = Vec::with_capacity(found.len());
    for campaign in found {
        if stop.requested() {
            return Err(Failure::stopped("stopped by an operator"));
        }
        let numbers = campaigns::count_numbers(&mut conn, campaign.id, now, args.count_up_to)?;
        listed.push(Listed { campaign: CampaignRow::from(campaign), numbers });
    }
    let exit = if listed.is_empty() { Exit::NothingToDo } else { Exit::Done };
    output::print(format, &Campaigns { left_out: matched - listed.len(), count_up_to: args.count_up_to, listed })?;
    Ok(exit)
}

#[derive(Serialize)]
#[serde(transparent)]
struct Campaigns {
    listed: Vec<Listed>,
    #[serde(skip)]
    left_out: usize,
    #[serde(skip)]
    count_up_to: i64,
}

#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    campaign: CampaignRow,
    #[serde(flatten)]
    numbers: CampaignNumbers,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CampaignRow {
    vdn_id: i32,
    campaign_id: i64,
    name: String,
    status: String,
}

impl From<Campaign> for CampaignRow {
    fn from(campaign: Campaign) -> Self {
        let Campaign { id, vdn_id, name, status } = campaign;
        let status = match status {
            CampaignStatus::Unknown(column) => format!("status {column}"),
            known => format!("{known:?}").to_lowercase(),
        };
        Self { vdn_id: vdn_id.get(), campaign_id: id.get(), name, status }
    }
}

impl fmt::Display for Campaigns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.listed.is_empty() {
            return writeln!(f, "no campaigns");
        }
        let cells = |cell: fn(&Listed) -> String| self.listed.iter().map(cell);
        // A plus marks a campaign that has more than were counted.
        let waiting = |of: &Listed| grouped(of.numbers.waiting) + if of.numbers.is_bounded { "+" } else { "" };
        let columns = [
            Column::numbers("VDN", 0, cells(|of| of.campaign.vdn_id.to_string())),
            Column::text("CAMPAIGN", 0, cells(|of| of.campaign.campaign_id.to_string())),
            Column::text("STATUS", 1, cells(|of| of.campaign.status.clone())),
            Column::numbers("WAITING", 0, cells(waiting)),
            Column::numbers("DUE", 0, cells(|of| grouped(of.numbers.due))),
            Column::numbers("HISTORY", 3, cells(|of| grouped(of.numbers.history))),
            Column::numbers("IN USE", 4, cells(|of| grouped(of.numbers.in_use))),
            Column::numbers("COMPLETED", 4, cells(|of| grouped(of.numbers.completed))),
            Column::numbers("OTHER", 5, cells(|of| grouped(of.numbers.other))),
            Column::text("NAME", 1, cells(|of| printable(&of.campaign.name).into_owned())).flexible(),
        ];
        f.write_str(&table::render(&columns, table::terminal_width()))?;
        if self.listed.iter().any(|of| of.numbers.is_bounded) {
            let bound = grouped(self.count_up_to);
            writeln!(f, "\n+ has more numbers, or more history, than the {bound} that were counted (--count-up-to)")?;
        }
        if self.left_out > 0 {
            writeln!(
                f,
                "\n{} more are not listed (--limit)",
                grouped(i64::try_from(self.left_out).unwrap_or(i64::MAX))
            )?;
        }
        Ok(())
    }
}
