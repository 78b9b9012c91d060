//! Policies: from the settings to what the engine takes, for the daemon and for `sweep --policy`.

use callsweep_core::campaign::CampaignId;
use callsweep_core::criteria::{Criteria, Recycle, RecycleTime};
use callsweep_core::engine::Engine;
use callsweep_core::recycle_at::is_in_the_future;
use callsweep_core::run::{NewRun, RunKind, Target};
use callsweep_core::settings::{Allow, Campaigns, Policy, Settings, Vdns};
use callsweep_core::store::{AnyConnection, Store, campaigns};
use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use tracing::warn;

use super::gate::Limits;
use crate::cli::exit::Failure;

/// The policy of this name.
pub(crate) fn find<'a>(settings: &'a Settings, name: &str) -> Result<&'a Policy, Failure> {
    settings.sweep.iter().find(|policy| policy.name == name).ok_or_else(|| {
        let names: Vec<&str> = settings.sweep.iter().map(|policy| policy.name.as_str()).collect();
        let there = if names.is_empty() {
            "There is no [[sweep]]".to_owned()
        } else {
            format!("There are {}", names.join(", "))
        };
        Failure::usage(format_args!("--policy: the settings have no policy {name:?}. {there}"))
    })
}

/// Refuses policies that select numbers which are not due, unless they say that it is meant.
pub(crate) fn check(settings: &Settings, now: DateTime<Utc>) -> Result<(), Failure> {
    for policy in &settings.sweep {
        let time = recycle_time(policy, settings.worker.time_zone, now)?;
        let today = now.with_timezone(&settings.worker.time_zone).naive_local();
        if is_in_the_future(time, policy.recycle_type, today) && !policy.allows(Allow::Future) {
            return Err(Failure::usage(format_args!(
                "settings: [[sweep]] {:?}: recycle_time {time} is in the future: with recycle_type 1 that takes numbers \
                 which are not due. Give an earlier day, or allow = [\"future\"] if it is meant",
                policy.name
            )));
        }
    }
    Ok(())
}

fn recycle_time(policy: &Policy, zone: Tz, at: DateTime<Utc>) -> Result<RecycleTime, Failure> {
    policy.recycle_time.resolve(at.with_timezone(&zone).naive_local()).map_err(|problem| {
        Failure::usage(format_args!("settings: [[sweep]] {:?}: recycle_time {problem}", policy.name))
    })
}

/// What a policy selects when it fires at this time.
pub(crate) fn criteria(policy: &Policy, zone: Tz, at: DateTime<Utc>) -> Result<Criteria, Failure> {
    let time = recycle_time(policy, zone, at)?.get();
    Ok(Criteria::recycled(Recycle { recycle_type: policy.recycle_type, time }))
}

/// The campaigns that a policy means, as the table has them now.
pub(crate) fn targets(policy: &Policy, conn: &mut AnyConnection) -> Result<Vec<Target>, Failure> {
    let is_in = |vdn| match &policy.vdns {
        Vdns::All(_) => true,
        Vdns::Some(vdns) => vdns.contains(&vdn),
    };
    let mut all = campaigns::list(conn, None)?;
    all.retain(|campaign| is_in(campaign.vdn_id) && policy.campaigns.contains(campaign));
    if let Campaigns::Ids(ids) = &policy.campaigns {
        let is_there = |id: &CampaignId| all.iter().any(|campaign| campaign.id == *id);
        for campaign in ids.iter().filter(|id| !is_there(id)) {
            warn!(policy = policy.name, %campaign, "the policy names a campaign that is not in its VDNs");
        }
    }
    Ok(all.iter().map(|campaign| Target { vdn_id: campaign.vdn_id, campaign_id: campaign.id }).collect())
}

/// A run of a policy, as of a firing or of now.
pub(crate) fn new_run(
    policy: &Policy,
    zone: Tz,
    at: DateTime<Utc>,
    targets: Vec<Target>,
    actor: String,
) -> Result<NewRun, Failure> {
    Ok(NewRun {
        kind: RunKind::Policy,
        policy: Some(policy.name.clone()),
        actor,
        targets,
        criteria: criteria(policy, zone, at)?,
        archive_history: policy.archive_history,
        bounds: policy.bounds,
        key: None,
        request: None,
    })
}

/// What the ledger has once for each firing, however many daemons there are.
pub(crate) fn key(policy: &str, firing: DateTime<Utc>) -> String {
    format!("sweep:{policy}:{}", firing.to_rfc3339_opts(SecondsFormat::Secs, true))
}

/// The firing that a key is about.
pub(crate) fn firing_of(key: &str, policy: &str) -> Option<DateTime<Utc>> {
    key.strip_prefix("sweep:")?.strip_prefix(policy)?.strip_prefix(':')?.parse().ok()
}

/// What a policy's runs are made with.
pub(crate) fn engine(policy: &Policy, settings: &Settings, store: &Store) -> Engine {
    Engine { store: store.clone(), rules: settings.rules.ongoing_task, pace: settings.worker.pace_of(policy.pace) }
}

/// What ends or holds a policy's runs.
pub(crate) fn limits(policy: &Policy, settings: &Settings) -> Limits {
    Limits {
        max_duration: policy.max_duration,
        stop_file: policy.stop_file.clone(),
        window: None,
        stop_outside: policy.window,
        throttle: policy.throttle.clone().unwrap_or_else(|| settings.worker.throttle.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_its_firing() {
        let firing = "2026-11-25T02:17:00Z".parse().unwrap();
        let longest = "n".repeat(64);
        let key = key(&longest, firing);
        assert!(key.len() <= 128, "the column has 128 characters");
        assert_eq!(firing_of(&key, &longest), Some(firing));
        assert_eq!(firing_of("sweep:nightly:2026-11-25T02:17:00Z", "nightly"), Some(firing));
        assert_eq!(firing_of("sweep:nightly-2:2026-11-25T02:17:00Z", "nightly"), None);
        assert_eq!(firing_of("other", "nightly"), None);
    }
}
