//! `sweep --show-sql`: what a run would execute.

use std::fmt;

use callsweep_core::engine::Engine;
use callsweep_core::engine::show_sql::CampaignSql;
use callsweep_core::run::{NewRun, Target};
use callsweep_core::store::StatementText;
use serde::Serialize;

use super::explain;
use crate::cli::exit::Failure;

/// The statements of a run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SqlReport {
    /// The database that they are for.
    backend: String,
    archive_history: bool,
    campaigns: Vec<SqlOfCampaign>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SqlOfCampaign {
    #[serde(flatten)]
    target: Target,
    #[serde(flatten)]
    sql: CampaignSql,
}

/// The statements for each campaign of a run that is not begun.
pub(super) fn show_sql(engine: &Engine, new: &NewRun) -> Result<SqlReport, Failure> {
    let of_campaign = |target: &Target| {
        let sql = callsweep_core::engine::show_sql::show_sql(engine, *target, &new.criteria, new.archive_history);
        sql.map(|sql| SqlOfCampaign { target: *target, sql }).map_err(|error| explain(engine, error))
    };
    Ok(SqlReport {
        backend: engine.store.backend().to_string(),
        archive_history: new.archive_history,
        campaigns: new.targets.iter().map(of_campaign).collect::<Result<_, _>>()?,
    })
}

impl fmt::Display for SqlReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "-- SQL for {}. Nothing was changed. Values of filters are masked.", self.backend)?;
        for SqlOfCampaign { target: Target { vdn_id, campaign_id }, sql } in &self.campaigns {
            writeln!(f, "\n-- Campaign {campaign_id} in VDN {vdn_id}. Walk: {}.", sql.walk)?;
            part(f, "Find the first window", &sql.first_window)?;
            if sql.chunk.is_empty() {
                writeln!(f, "\n-- It finds nothing: a run would remove nothing.")?;
                continue;
            }
            part(f, "In one transaction: lock the campaign, and remove what may go of the window", &sql.chunk)?;
            part(
                f,
                "In the same transaction, only if numbers have changed since: count those that stay",
                &sql.recount,
            )?;
            writeln!(
                f,
                "\n-- In the same transaction: save counts and cursor in the ledger (purge_run, purge_run_campaign)."
            )?;
            part(f, "Find the next window. Those after it differ in the position", &sql.next_window)?;
        }
        Ok(())
    }
}

fn part(f: &mut fmt::Formatter<'_>, title: &str, statements: &[StatementText]) -> fmt::Result {
    if statements.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n-- {title}:")?;
    for StatementText { sql, values } in statements {
        writeln!(f, "{sql};")?;
        if !values.is_empty() {
            writeln!(f, "-- values: {}", values.join(", "))?;
        }
    }
    Ok(())
}
