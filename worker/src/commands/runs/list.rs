//! The newest runs, one line each.

use std::fmt;

use callsweep_core::run::{Run, RunKind};
use serde::Serialize;

use crate::cli::output::{grouped, printable};
use crate::cli::table::{self, Column};

/// The list.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct Runs(pub(super) Vec<Run>);

impl fmt::Display for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return writeln!(f, "no runs");
        }
        let cells = |cell: fn(&Run) -> String| self.0.iter().map(cell);
        let columns = [
            Column::text("RUN", 0, cells(|run| run.id.to_string())),
            Column::text("STARTED (UTC)", 0, cells(|run| run.started_at.format("%Y-%m-%d %H:%M").to_string())),
            Column::text("KIND", 0, cells(|run| run.kind.to_string())),
            Column::text("STATE", 0, cells(|run| run.state.to_string())),
            Column::numbers("NUMBERS", 0, cells(|run| grouped(numbers(run)))),
            Column::text("POLICY", 1, cells(|run| shown(run.policy.as_ref()))).flexible(),
            Column::text("ACTOR", 2, cells(|run| printable(&run.actor).into_owned())).flexible(),
            Column::text("CAMPAIGN", 3, cells(|run| shown(run.campaign_id.as_ref()))),
            Column::numbers("VDN", 4, cells(|run| shown(run.vdn_id.as_ref()))),
            Column::numbers("ARCHIVED", 5, cells(|run| grouped(run.counts.archived))),
            Column::numbers("BARRED", 6, cells(|run| grouped(run.counts.barred.total()))),
        ];
        f.write_str(&table::render(&columns, table::terminal_width()))
    }
}

/// What the run did: numbers restored by a restore, rows pruned or numbers deleted by the others.
fn numbers(run: &Run) -> i64 {
    match run.kind {
        RunKind::Restore => run.counts.matched,
        _ => run.counts.deleted,
    }
}

fn shown(value: Option<&impl fmt::Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| printable(&value.to_string()).into_owned())
}
