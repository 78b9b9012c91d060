//! `runs`: the ledger, and requests to a run that is at work.

mod details;
mod list;
mod request;

use callsweep_core::run::Run;
use callsweep_core::settings::Settings;
use callsweep_core::store::AnyConnection;
use callsweep_core::store::controls;
use callsweep_core::store::runs::{self, RunFilter};

use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{self, Format};
use crate::cli::{RunAction, RunsArgs};
use crate::process::database;
use crate::process::stop::Stop;
use details::OneRun;
use list::Runs;

/// Runs the command.
pub(crate) fn run(args: &RunsArgs, settings: &Settings, format: Format, stop: &Stop) -> Result<Exit, Failure> {
    let store = database::open(settings)?;
    let mut conn = store.connection()?;
    let now = store.clock().timestamp();
    let Some(id) = args.id else {
        let since = args.since.map(|since| since.resolve(now)).transpose().map_err(Failure::usage)?;
        let filter = RunFilter {
            kind: args.kind,
            state: args.state,
            policy: args.policy.clone(),
            vdn: args.vdn,
            campaign: args.campaign,
            actor: args.actor.clone(),
            since,
            limit: args.limit,
        };
        let listed = runs::list(&mut conn, &filter)?.into_iter().map(|run| runs::as_seen_at(now, run));
        output::print(format, &Runs(listed.collect()))?;
        return Ok(Exit::Done);
    };
    let find = |conn: &mut AnyConnection| -> Result<Run, Failure> {
        runs::find(conn, id)?.ok_or_else(|| {
            Failure::usage(format_args!("run {id} is not in the ledger. `runs` without an id lists the newest"))
        })
    };
    if let Some(action) = args.action {
        runs::interrupt_dead(&mut conn, now)?;
        let found = find(&mut conn)?;
        if args.wait && action == RunAction::Set {
            return Err(Failure::usage("--wait goes with pause, resume and cancel: a run does not report its pace"));
        }
        request::request_control(&mut conn, &found, action, &args.changes, now)?;
        if args.wait {
            request::wait(&store, find, action, stop)?;
        }
    }
    let run = runs::as_seen_at(now, find(&mut conn)?);
    let campaigns = runs::campaigns(&mut conn, id)?;
    let pace = controls::read(&mut conn, id)?.pace;
    output::print(format, &OneRun { run, campaigns, pace, requested: args.action })?;
    Ok(Exit::Done)
}
