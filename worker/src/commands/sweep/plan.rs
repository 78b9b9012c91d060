//! From flags to what the engine takes.

use callsweep_core::bounds::{Bounds, Expected};
use callsweep_core::campaign::Campaign;
use callsweep_core::clock::Clock;
use callsweep_core::criteria::{Criteria, CriteriaMembers};
use callsweep_core::engine::Engine;
use callsweep_core::pace::Pace;
use callsweep_core::recycle_at;
use callsweep_core::run::{NewRun, RunKind, Target};
use callsweep_core::settings::{Policy, Settings};
use callsweep_core::store::{AnyConnection, campaigns};

use crate::cli::exit::Failure;
use crate::cli::values::{CampaignChoice, VdnChoice};
use crate::cli::{BoundArgs, FilterArgs, SweepArgs};
use crate::process::actor::actor;
use crate::process::database;
use crate::run::gate::Limits;
use crate::run::{limits, policy};

/// A sweep, ready to be previewed or executed.
pub(super) struct Plan<'a> {
    /// The policy that it follows, where it follows one.
    pub(super) policy: Option<&'a Policy>,
    pub(super) work: Work,
    pub(super) engine: Engine,
    pub(super) limits: Limits,
}

/// What is done.
pub(super) enum Work {
    /// A new run.
    New(Box<NewRun>),
    /// The rest of a run that was stopped, failed or interrupted.
    Resume { run_id: i64, bounds: Bounds },
}

impl<'a> Plan<'a> {
    /// Reads the flags, or the policy that they name.
    ///
    /// # Errors
    /// They cannot be used; the database cannot be opened; the policy matches no campaign.
    pub(super) fn new(args: &SweepArgs, settings: &'a Settings) -> Result<Self, Failure> {
        match &args.policy {
            Some(name) => Self::of_policy(policy::find(settings, name)?, settings),
            None => Self::of_flags(args, settings),
        }
    }

    fn of_flags(args: &SweepArgs, settings: &Settings) -> Result<Self, Failure> {
        let work = match args.resume {
            Some(run_id) => Work::Resume { run_id, bounds: bounds(&args.bounds) },
            None => Work::New(Box::new(new_run(args, settings, &Clock::system())?)),
        };
        let store = database::open(settings)?;
        let work = match work {
            Work::New(new) => {
                let targets = targets(args, &mut *store.connection()?)?;
                Work::New(Box::new(NewRun { targets, ..*new }))
            }
            resume @ Work::Resume { .. } => resume,
        };
        let pace = limits::pace(&args.control.pace, settings);
        let pace = Pace { lanes: args.lanes.unwrap_or(pace.lanes), ..pace };
        let engine = Engine { store, rules: settings.rules.ongoing_task, pace };
        Ok(Self { policy: None, work, engine, limits: limits::limits(&args.control, settings) })
    }

    /// A policy as it would fire now.
    fn of_policy(policy: &'a Policy, settings: &Settings) -> Result<Self, Failure> {
        let store = database::open(settings)?;
        let now = store.clock().now();
        policy::check(settings, now)?;
        let targets = policy::targets(policy, &mut *store.connection()?)?;
        if targets.is_empty() {
            return Err(Failure::no_campaign(format_args!(
                "policy {:?} matches no campaign: nothing was begun. `campaigns` lists those that exist",
                policy.name
            )));
        }
        let new = policy::new_run(policy, settings.worker.time_zone, now, targets, actor())?;
        Ok(Self {
            policy: Some(policy),
            work: Work::New(Box::new(new)),
            engine: policy::engine(policy, settings, &store),
            limits: policy::limits(policy, settings),
        })
    }
}

/// What the command line asks for, without its targets.
pub(super) fn new_run(args: &SweepArgs, settings: &Settings, clock: &Clock) -> Result<NewRun, Failure> {
    Ok(NewRun {
        kind: RunKind::Manual,
        policy: None,
        actor: actor(),
        targets: Vec::new(),
        criteria: criteria(&args.filter, settings, clock)?,
        archive_history: args.archive_history,
        bounds: bounds(&args.bounds),
        key: None,
        request: None,
    })
}

/// The campaigns of --vdn and --campaign, each once. Ids in one VDN are not looked up: the engine says what is wrong with
/// each of them.
fn targets(args: &SweepArgs, conn: &mut AnyConnection) -> Result<Vec<Target>, Failure> {
    let vdn = args.vdn.ok_or_else(|| Failure::usage("give --vdn N, or --vdn all"))?;
    let listed = match vdn {
        VdnChoice::One(vdn_id) if args.campaigns.iter().all(|choice| matches!(choice, CampaignChoice::Id(_))) => {
            let ids = args.campaigns.iter().filter_map(|choice| match choice {
                CampaignChoice::Id(campaign_id) => Some(Target { vdn_id, campaign_id: *campaign_id }),
                CampaignChoice::Named(_) => None,
            });
            return Ok(distinct(ids));
        }
        VdnChoice::One(vdn_id) => campaigns::list(conn, Some(vdn_id))?,
        VdnChoice::All => campaigns::list(conn, None)?,
    };
    let mut found = Vec::new();
    for choice in &args.campaigns {
        let is_meant = |campaign: &&Campaign| match choice {
            CampaignChoice::Id(id) => campaign.id == *id,
            CampaignChoice::Named(names) => names.contains(campaign),
        };
        let before = found.len();
        let target = |campaign: &Campaign| Target { vdn_id: campaign.vdn_id, campaign_id: campaign.id };
        found.extend(listed.iter().filter(is_meant).map(target));
        if found.len() == before {
            return Err(Failure::no_campaign(
                "--campaign: no campaign matches; nothing was begun. `campaigns` lists those that exist",
            ));
        }
    }
    Ok(distinct(found.into_iter()))
}

fn distinct(targets: impl Iterator<Item = Target>) -> Vec<Target> {
    let mut distinct: Vec<Target> = Vec::new();
    for target in targets {
        if !distinct.contains(&target) {
            distinct.push(target);
        }
    }
    distinct
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

fn bounds(args: &BoundArgs) -> Bounds {
    let tolerance_percent = args.expect_tolerance;
    Bounds {
        max_rows: args.max_rows,
        max_percent: args.max_percent,
        expect: args.expect.map(|rows| Expected { rows, tolerance_percent }),
    }
}

#[cfg(test)]
mod tests {
    use callsweep_core::campaign::{CampaignId, VdnId};
    use clap::Parser;

    use super::*;
    use crate::cli::exit::Exit;
    use crate::cli::{Cli, Command};

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
        let words = "callsweep-worker sweep --vdn 1 --campaign 5 --campaign 6 --campaign 5 --called 1";
        let Command::Sweep(args) = Cli::parse_from(words.split(' ')).command else { panic!("no sweep") };
        let CampaignChoice::Id(five) = args.campaigns[0] else { panic!("{args:?}") };
        let target = |campaign_id| Target { vdn_id: VdnId::parse("1").unwrap(), campaign_id };
        let six = CampaignId::parse("6").unwrap();
        let targets = [five, six, five].map(target);
        assert_eq!(distinct(targets.into_iter()), targets[..2]);
    }
}
