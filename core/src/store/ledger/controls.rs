//! Operator commands to a run in progress: the table `purge_run_control`. The run reads it before each chunk.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use crate::model::pace::PaceChange;
use crate::model::run::RunState;
use crate::store::db::schema::{purge_run, purge_run_control};
use crate::store::db::{AnyConnection, StoreError, write_transaction};

/// A command to hold or stop a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Wait before the next chunk until the run is resumed.
    Pause,
    /// Stop before the next chunk.
    Cancel,
}

impl Wanted {
    fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Cancel => "cancel",
        }
    }

    fn from_column(text: &str) -> Option<Self> {
        [Self::Pause, Self::Cancel].into_iter().find(|wanted| wanted.as_str() == text)
    }
}

/// The current commands to a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunControl {
    /// `None`: continue.
    pub wanted: Option<Wanted>,
    /// All changes of its pace, combined.
    pub pace: PaceChange,
    /// Who gave the last command. Empty if there was none.
    pub actor: String,
}

/// Reads the commands to a run.
///
/// # Errors
/// The database's.
pub fn read(conn: &mut AnyConnection, run_id: i64) -> Result<RunControl, StoreError> {
    let found: Option<(Option<String>, String, String)> = purge_run_control::table
        .filter(purge_run_control::run_id.eq(run_id))
        .select((purge_run_control::wanted, purge_run_control::pace, purge_run_control::actor))
        .first(conn)
        .optional()?;
    let Some((wanted, pace, actor)) = found else { return Ok(RunControl::default()) };
    let pace = serde_json::from_str(&pace)
        .map_err(|error| StoreError::Unreadable(format!("purge_run_control.pace of run {run_id}: {error}")))?;
    Ok(RunControl { wanted: wanted.as_deref().and_then(Wanted::from_column), pace, actor })
}

/// Clears the command that stopped a run, so that the run can be resumed. Changes of its pace remain.
///
/// # Errors
/// The database's.
pub(crate) fn clear_request(conn: &mut AnyConnection, run_id: i64) -> Result<(), StoreError> {
    let of_run = purge_run_control::table.filter(purge_run_control::run_id.eq(run_id));
    diesel::update(of_run).set(purge_run_control::wanted.eq(None::<String>)).execute(conn)?;
    Ok(())
}

/// Replaces the commands to a run. `change` computes the new ones from the current ones, so that it can keep earlier changes
/// of the pace.
///
/// # Errors
/// The database's.
pub fn request_control(
    conn: &mut AnyConnection,
    run_id: i64,
    change: impl FnOnce(RunControl) -> RunControl,
    now: NaiveDateTime,
) -> Result<(), StoreError> {
    write_transaction(conn, |conn| {
        let RunControl { wanted, pace, actor } = change(read(conn, run_id)?);
        let pace = serde_json::to_string(&pace)
            .map_err(|error| StoreError::Unreadable(format!("the pace of run {run_id}: {error}")))?;
        diesel::delete(purge_run_control::table.filter(purge_run_control::run_id.eq(run_id))).execute(conn)?;
        diesel::insert_into(purge_run_control::table)
            .values((
                purge_run_control::run_id.eq(run_id),
                purge_run_control::wanted.eq(wanted.map(Wanted::as_str)),
                purge_run_control::pace.eq(pace),
                purge_run_control::actor.eq(actor),
                purge_run_control::updated_at.eq(now),
            ))
            .execute(conn)?;
        if wanted == Some(Wanted::Cancel) {
            let active = purge_run::id.eq(run_id).and(purge_run::state.eq_any(RunState::ACTIVE));
            let stopping = purge_run::state.eq(RunState::Stopping);
            diesel::update(purge_run::table.filter(active)).set(stopping).execute(conn)?;
        }
        Ok(())
    })
}
