//! From flags to what the engine takes.

use callsweep_core::bounds::{Bounds, Expected};
use callsweep_core::clock::Clock;
use callsweep_core::criteria::{Criteria, CriteriaMembers};
use callsweep_core::engine::Engine;
use callsweep_core::pace::Pace;
use callsweep_core::recycle_at;
use callsweep_core::run::{NewRun, RunKind, Target};
use callsweep_core::settings::{Policy, Settings, ThrottleSettings};
use callsweep_core::store::Store;

use crate::actor::actor;
use crate::cli::{BoundArgs, FilterArgs, PaceArgs, SweepArgs, ThrottleArgs};
use crate::exit::Failure;
use crate::gate::Limits;
use crate::{database, policy};

/// What the flags ask for, and what it is done with. A run that is resumed has nothing new.
pub(super) fn of_flags(args: &SweepArgs, settings: &Settings) -> Result<(Option<NewRun>, Engine), Failure> {
    let new = if args.resume.is_some() { None } else { Some(new_run(args, settings, &Clock::system())?) };
    let store = database::open(settings)?;
    Ok((new, Engine { store, rules: settings.rules.ongoing_task, pace: pace(&args.pace, settings) }))
}

/// What a policy asks for when it fires now, by hand.
pub(super) fn of_policy(
    policy: &Policy,
    settings: &Settings,
    store: &Store,
) -> Result<(Option<NewRun>, Engine), Failure> {
    let now = store.clock().now();
    policy::check(settings, now)?;
    let targets = policy::targets(policy, &mut *store.connection()?)?;
    let new = policy::new_run(policy, settings.worker.time_zone, now, targets, actor())?;
    Ok((Some(new), policy::engine(policy, settings, store)))
}

/// What the command line asks for.
pub(super) fn new_run(args: &SweepArgs, settings: &Settings, clock: &Clock) -> Result<NewRun, Failure> {
    let vdn_id = args.vdn.ok_or_else(|| Failure::usage("give --vdn N"))?;
    let mut targets: Vec<Target> = Vec::new();
    for campaign_id in &args.campaigns {
        let target = Target { vdn_id, campaign_id: *campaign_id };
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    Ok(NewRun {
        kind: RunKind::Manual,
        policy: None,
        actor: actor(),
        targets,
        criteria: criteria(&args.filter, settings, clock)?,
        archive_history: args.archive_history,
        bounds: bounds(&args.bounds),
        key: None,
        request: None,
    })
}

fn criteria(args: &FilterArgs, settings: &Settings, clock: &Clock) -> Result<Criteria, Failure> {
    let FilterArgs { session_id, called, custom_field, recycle_type, recycle_time } = args.clone();
    let now = clock.now().with_timezone(&settings.worker.time_zone).naive_local();
    let recycle_time = match (recycle_time, recycle_type) {
        (Some(text), Some(recycle_type)) => {
            let time = recycle_at::recycle_time("--recycle-time", &text, recycle_type, now);
            Some(time.map_err(Failure::usage)?)
        }
        _ => None,
    };
    Criteria::new(CriteriaMembers { session_id, called, custom_field, recycle_time, recycle_type }).map_err(|_| {
        Failure::usage(
            "sweep needs a filter, or it would take the whole campaign. Give --session-id, --called, --custom-field, or \
             --recycle-type with --recycle-time",
        )
    })
}

pub(super) fn bounds(args: &BoundArgs) -> Bounds {
    let tolerance_percent = args.expect_tolerance;
    Bounds {
        max_rows: args.max_rows,
        max_percent: args.max_percent,
        expect: args.expect.map(|rows| Expected { rows, tolerance_percent }),
    }
}

pub(super) fn pace(args: &PaceArgs, settings: &Settings) -> Pace {
    let usual = settings.worker.pace();
    let sleep_ratio = args.sleep_ratio.unwrap_or(usual.sleep_ratio);
    let lanes = args.lanes.unwrap_or(usual.lanes);
    match args.chunk_size {
        Some(size) => Pace { sleep_ratio, lanes, ..Pace::fixed(size) },
        None => Pace {
            max_chunk: args.max_chunk.unwrap_or(usual.max_chunk),
            target_chunk: args.target_chunk.or(usual.target_chunk),
            sleep_ratio,
            lanes,
        },
    }
}

/// What ends or holds the run: each flag beats its setting.
pub(super) fn limits(args: &SweepArgs, settings: &Settings) -> Limits {
    let ThrottleArgs {
        max_replica_lag,
        replicas,
        max_running_queries,
        throttle_query,
        throttle_query_max,
        throttle_http,
        throttle_file,
    } = args.throttle.clone();
    let usual = settings.worker.throttle.clone();
    let query_max = if throttle_query.is_some() { throttle_query_max } else { usual.query_max };
    Limits {
        max_duration: args.bounds.max_duration,
        stop_file: args.bounds.stop_file.clone(),
        window: args.bounds.window,
        throttle: ThrottleSettings {
            max_replica_lag: max_replica_lag.or(usual.max_replica_lag),
            replicas: if replicas.is_empty() { usual.replicas } else { replicas },
            max_running_queries: max_running_queries.or(usual.max_running_queries),
            query: throttle_query.or(usual.query),
            query_max,
            http: throttle_http.or(usual.http),
            flag_file: throttle_file.or(usual.flag_file),
            window: usual.window.filter(|_| args.bounds.window.is_none()),
        },
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};
    use crate::exit::Exit;

    fn planned(flags: &[&str]) -> Result<NewRun, Failure> {
        let words = ["callsweep-worker", "sweep", "--vdn", "1", "--campaign", "5"];
        let Command::Sweep(args) = Cli::parse_from(words.iter().chain(flags)).command else { panic!("no sweep") };
        let clock = Clock::from_fn(|| "2026-03-01T06:07:08Z".parse().unwrap());
        new_run(&args, &Settings::default(), &clock)
    }

    #[test]
    fn an_age_becomes_a_time() {
        let run = planned(&["--recycle-type", "1", "--recycle-time", "-30d", "--archive-history"]).unwrap();
        let criteria = serde_json::to_string(&run.criteria).unwrap();
        assert_eq!(criteria, r#"{"recycleTime":"2026-01-30 06:07:08","recycleType":"1"}"#);
        assert!(run.archive_history);
        assert_eq!(run.kind, RunKind::Manual);
    }

    #[test]
    fn no_filter_is_refused() {
        let failure = planned(&[]).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.to_string().contains("--recycle-type with --recycle-time"), "{failure}");
    }

    #[test]
    fn a_campaign_that_is_given_twice_is_swept_once() {
        assert_eq!(planned(&["--campaign", "6", "--campaign", "5", "--called", "1"]).unwrap().targets.len(), 2);
    }
}
