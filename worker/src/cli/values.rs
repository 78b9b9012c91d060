//! Values of flags: each parser says what it wants.

use std::num::NonZeroUsize;
use std::time::Duration;

use callsweep_core::pace::PaceChange;
use callsweep_core::run::RunKind;

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
        assert!(run_kind("other").unwrap_err().contains("request, policy, manual, restore or prune"));
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
