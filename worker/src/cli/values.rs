//! Values of flags: each parser says what it wants.

use std::num::NonZeroUsize;
use std::time::Duration;

use callsweep_core::campaign::{CampaignId, VdnId};
use callsweep_core::criteria::RecycleTime;
use callsweep_core::number::Called;
use callsweep_core::pace::PaceChange;
use callsweep_core::recycle_at::RecycleAt;
use callsweep_core::run::{RunKind, RunState};
use callsweep_core::settings::Campaigns;
use chrono::NaiveDateTime;

/// Characters that a campaign's name may have: the column's length.
const CAMPAIGN_NAME_MAX_CHARS: usize = 100;

pub(super) fn campaign_name(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("a campaign's name must not be empty".to_owned());
    }
    if text.chars().count() > CAMPAIGN_NAME_MAX_CHARS {
        return Err(format!("a campaign's name has at most {CAMPAIGN_NAME_MAX_CHARS} characters"));
    }
    if text.chars().any(char::is_control) {
        return Err("a campaign's name has no control characters".to_owned());
    }
    Ok(text.to_owned())
}

/// Above this a transaction holds its locks for seconds.
const CHUNK_SIZE_MAX: usize = 100_000;

pub(super) fn chunk_size(text: &str) -> Result<NonZeroUsize, String> {
    let size = text.parse().ok().filter(|size: &NonZeroUsize| size.get() <= CHUNK_SIZE_MAX);
    size.ok_or_else(|| format!("must be an integer from 1 to {CHUNK_SIZE_MAX}"))
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).ok().filter(|duration| !duration.is_zero());
    duration.ok_or_else(|| "must be a time above 0 with its unit, such as 250ms, 30m or 2h".to_owned())
}

pub(super) fn percent(text: &str) -> Result<f64, String> {
    let percent = text.parse().ok().filter(|percent| (0.0..=100.0).contains(percent));
    percent.ok_or_else(|| "must be a number from 0 to 100".to_owned())
}

/// More rest than this is a pause, for which there is `runs ID pause`.
const SLEEP_RATIO_MAX: f64 = 100.0;

pub(super) fn ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse().ok().filter(|ratio| (0.0..=SLEEP_RATIO_MAX).contains(ratio));
    ratio.ok_or_else(|| format!("must be a number from 0 to {SLEEP_RATIO_MAX}"))
}

pub(super) fn pace_change(text: &str) -> Result<PaceChange, String> {
    let none = PaceChange::default();
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    let change = match key {
        "target_chunk" => duration(value).map(|target| PaceChange {
            target_chunk_ms: Some(u64::try_from(target.as_millis()).unwrap_or(u64::MAX).max(1)),
            ..none
        }),
        "max_chunk" => chunk_size(value).map(|max| PaceChange { max_chunk: Some(max), ..none }),
        "sleep_ratio" => ratio(value).map(|ratio| PaceChange { sleep_ratio: Some(ratio), ..none }),
        _ => return Err("must be target_chunk=TIME, max_chunk=N or sleep_ratio=R".to_owned()),
    };
    change.map_err(|error| format!("{key} {error}"))
}

pub(super) fn run_kind(text: &str) -> Result<RunKind, String> {
    let known = RunKind::ALL.into_iter().find(|kind| kind.as_str() == text);
    known.ok_or_else(|| format!("must be one of {}", RunKind::ALL.map(RunKind::as_str).join(", ")))
}

pub(super) fn run_state(text: &str) -> Result<RunState, String> {
    let state = RunState::ALL.into_iter().find(|state| state.as_str() == text);
    state.ok_or_else(|| format!("must be one of {}", RunState::ALL.map(RunState::as_str).join(", ")))
}

/// A time in the past, as a filter of the ledger.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Since(RecycleAt);

impl Since {
    /// The time that it means, in UTC.
    ///
    /// # Errors
    /// It lies before the calendar begins.
    pub(crate) fn resolve(self, now: NaiveDateTime) -> Result<NaiveDateTime, String> {
        self.0.resolve(now).map(RecycleTime::get).map_err(|problem| format!("--since {problem}"))
    }
}

pub(super) fn since(text: &str) -> Result<Since, &'static str> {
    RecycleAt::parse(text).map(Since)
}

pub(super) fn vdn(text: &str) -> Result<VdnId, String> {
    VdnId::parse(text).map_err(|_| format!("a VDN is an integer from 1 to {}", VdnId::MAX))
}

pub(super) fn called(text: &str) -> Result<Called, String> {
    Called::parse(text).map_err(|error| format!("{error}. A called number has 1 to 24 characters of 0-9 * #"))
}

/// The id of a run.
pub(super) fn run_id(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| "a run's id is an integer, as `runs` lists them".to_owned())
}

/// Which VDNs a sweep works in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VdnChoice {
    All,
    One(VdnId),
}

pub(super) fn vdn_choice(text: &str) -> Result<VdnChoice, String> {
    if text == "all" {
        return Ok(VdnChoice::All);
    }
    vdn(text).map(VdnChoice::One).map_err(|error| format!("{error}, or all"))
}

/// Which campaigns a sweep works on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum CampaignChoice {
    Id(CampaignId),
    Named(Campaigns),
}

pub(super) fn campaign_choice(text: &str) -> Result<CampaignChoice, String> {
    if text.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
        let id = CampaignId::parse(text).map_err(|error| format!("{error}"))?;
        return Ok(CampaignChoice::Id(id));
    }
    campaign_pattern(text).map(CampaignChoice::Named)
}

pub(super) fn campaign_pattern(text: &str) -> Result<Campaigns, String> {
    Campaigns::named(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_told() {
        assert!(chunk_size("0").is_err() && chunk_size("100001").is_err() && chunk_size("x").is_err());
        assert_eq!(chunk_size("100000").unwrap().get(), 100_000);
        assert!(
            campaign_name(" ").is_err() && campaign_name("a\nb").is_err() && campaign_name(&"字".repeat(101)).is_err()
        );
        assert_eq!(campaign_name(&"字".repeat(100)).unwrap().chars().count(), 100);
        assert_eq!(run_kind("manual").unwrap(), RunKind::Manual);
        assert!(run_kind("other").unwrap_err().contains("request, policy, manual, restore"));
    }

    #[test]
    fn a_change_of_pace_has_a_key_and_a_value() {
        assert_eq!(pace_change("target_chunk=100ms").unwrap().target_chunk_ms, Some(100));
        assert_eq!(pace_change("max_chunk=7").unwrap().max_chunk, NonZeroUsize::new(7));
        assert_eq!(pace_change("sleep_ratio=0.5").unwrap().sleep_ratio, Some(0.5));
        for (text, says) in [
            ("max_chunk=0", "max_chunk must be an integer from 1"),
            ("target_chunk=0s", "target_chunk must be a time above 0"),
            ("target_chunk", "target_chunk must be a time above 0"),
            ("sleep_ratio=-1", "sleep_ratio must be a number from 0 to 100"),
            ("sleep_ratio=NaN", "sleep_ratio must be a number"),
            ("pace=1", "must be target_chunk=TIME, max_chunk=N or sleep_ratio=R"),
        ] {
            assert!(pace_change(text).unwrap_err().contains(says), "{text}");
        }
    }
}
