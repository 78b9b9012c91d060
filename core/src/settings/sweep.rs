//! `[[sweep]]`: policies, the sweeps that come back.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use wildmatch::WildMatch;

use crate::model::bounds::{Bounds, Expected};
use crate::model::campaign::{Campaign, CampaignId};
use crate::model::criteria::RecycleType;
use crate::model::pace::Lanes;
use crate::model::recycle_at::RecycleAt;
use crate::model::schedule::Schedule;
use crate::model::time_window::TimeWindow;
use crate::settings::{ThrottleSettings, Vdns};

/// A sweep that comes back: what goes, when, and how much of it. The name is its identity: on whatever host it stands in
/// the settings, a policy of one name is one policy, and each of its firings happens once.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "SweepSettings")]
pub struct Policy {
    /// What the ledger, the logs and the metrics call it.
    pub name: String,
    /// When it fires, in `worker.time_zone`.
    pub schedule: Schedule,
    /// In which VDNs.
    pub vdns: Vdns,
    /// Which of their campaigns.
    pub campaigns: Campaigns,
    /// How the recycle time selects.
    pub recycle_type: RecycleType,
    /// Counted from the time of the firing, in `worker.time_zone`.
    pub recycle_time: RecycleAt,
    /// Whether the numbers move to history; otherwise they are deleted outright.
    pub archive_history: bool,
    /// How much may go.
    pub bounds: Bounds,
    /// How long a run may take.
    pub max_duration: Option<Duration>,
    /// When it may work, in `worker.time_zone`. A firing waits for it, and a run ends with it.
    pub window: Option<TimeWindow>,
    /// A file that ends its runs while it is there.
    pub stop_file: Option<PathBuf>,
    /// How fast it goes; what is not said is as `[worker]` says.
    pub pace: PolicyPace,
    /// How many of the firings that were missed while no daemon ran are made up, newest first.
    pub catch_up: usize,
    /// What is dangerous and meant.
    pub allow: Vec<Allow>,
    /// What makes it wait for others, instead of `[worker.throttle]`.
    pub throttle: Option<ThrottleSettings>,
}

/// What a policy says about its pace.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[allow(missing_docs, reason = "as in purge::Pace")]
pub struct PolicyPace {
    pub target_chunk: Option<Duration>,
    pub max_chunk: Option<NonZeroUsize>,
    /// Every chunk is of this size.
    pub chunk_size: Option<NonZeroUsize>,
    pub sleep_ratio: Option<f64>,
    pub lanes: Option<Lanes>,
}

/// Which campaigns a policy means.
#[derive(Debug, Clone, PartialEq)]
pub enum Campaigns {
    /// `"all"`, those to come included.
    All,
    /// Those with these ids.
    Ids(BTreeSet<CampaignId>),
    /// Those with such a name; `*` is any text and `?` any character.
    Named(WildMatch),
}

impl Campaigns {
    /// Reads `all` or a pattern of names.
    ///
    /// # Errors
    /// The text is empty.
    pub fn named(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            text if text.trim().is_empty() => {
                Err("must not be empty. Give \"all\", ids, or a pattern of names such as \"Spring*\"".to_owned())
            }
            text => Ok(Self::Named(WildMatch::new(text))),
        }
    }

    /// Whether a campaign is meant.
    #[must_use]
    pub fn contains(&self, campaign: &Campaign) -> bool {
        match self {
            Self::All => true,
            Self::Ids(ids) => ids.contains(&campaign.id),
            Self::Named(pattern) => pattern.matches(&campaign.name),
        }
    }
}

/// What is refused unless a policy says that it is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Allow {
    /// With recycle type 1 an age of 0, or `today`: numbers go that are due later on that day.
    NoAge,
    /// With recycle type 1 a day in the future: numbers go that are not due.
    Future,
}

/// The members of `[[sweep]]`, each valid by itself.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SweepSettings {
    name: String,
    schedule: String,
    vdns: Vdns,
    campaigns: CampaignsText,
    recycle_type: String,
    recycle_time: String,
    archive_history: i64,
    max_rows: Option<i64>,
    max_percent: Option<f64>,
    expect: Option<i64>,
    expect_tolerance_percent: Option<f64>,
    #[serde(default, with = "humantime_serde::option")]
    max_duration: Option<Duration>,
    window: Option<String>,
    stop_file: Option<PathBuf>,
    #[serde(default, with = "humantime_serde::option")]
    target_chunk: Option<Duration>,
    max_chunk: Option<NonZeroUsize>,
    chunk_size: Option<NonZeroUsize>,
    sleep_ratio: Option<f64>,
    lanes: Option<i64>,
    catch_up: Option<usize>,
    #[serde(default)]
    allow: Vec<Allow>,
    throttle: Option<ThrottleSettings>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected \"all\", a list of campaign ids, or a pattern of names such as \"Spring*\"")]
enum CampaignsText {
    Text(String),
    Ids(BTreeSet<CampaignId>),
}

/// Characters that a name may have, so that a firing's key fits `purge_run.request_key`.
const NAME_MAX_CHARS: usize = 64;

/// Firings that are made up at most: after that, a sweep of all that is due is the better way.
const CATCH_UP_MAX: usize = 100;

impl TryFrom<SweepSettings> for Policy {
    type Error = String;

    fn try_from(given: SweepSettings) -> Result<Self, String> {
        let name = given.name.clone();
        Self::read(given).map_err(|problem| format!("[[sweep]] {name:?}: {problem}"))
    }
}

impl Policy {
    fn read(given: SweepSettings) -> Result<Self, String> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if given.name.is_empty() || given.name.chars().count() > NAME_MAX_CHARS || !given.name.chars().all(is_name) {
            return Err(format!("name must be 1 to {NAME_MAX_CHARS} of A-Z a-z 0-9 - _ ."));
        }
        let recycle_type = RecycleType::parse(&given.recycle_type)
            .map_err(|_| "recycle_type must be \"1\", \"2\" or \"3\"".to_owned())?;
        let policy = Self {
            schedule: given.schedule.parse().map_err(|problem| format!("schedule {problem}"))?,
            recycle_time: recycle_time(&given.recycle_time, recycle_type, &given.allow)?,
            recycle_type,
            campaigns: campaigns(given.campaigns)?,
            archive_history: match given.archive_history {
                0 => false,
                1 => true,
                other => {
                    return Err(format!(
                        "archive_history = {other} must be 0 (delete outright) or 1 (move to history)"
                    ));
                }
            },
            bounds: Bounds {
                max_rows: within(given.max_rows, "max_rows", "1 or more", |rows| rows >= 1)?,
                max_percent: within(given.max_percent, "max_percent", "above 0 and at most 100", |p| {
                    p > 0.0 && p <= 100.0
                })?,
                expect: expected(given.expect, given.expect_tolerance_percent)?,
            },
            max_duration: given.max_duration,
            window: given.window.map(|text| text.parse()).transpose()?,
            stop_file: given.stop_file,
            pace: PolicyPace {
                target_chunk: given.target_chunk,
                max_chunk: given.max_chunk,
                chunk_size: given.chunk_size,
                sleep_ratio: within(given.sleep_ratio, "sleep_ratio", "0 or more", |r| r >= 0.0 && r.is_finite())?,
                lanes: given.lanes.map(Lanes::try_from).transpose()?,
            },
            catch_up: within(given.catch_up, "catch_up", "from 0 to 100", |n| n <= CATCH_UP_MAX)?.unwrap_or(1),
            allow: given.allow,
            throttle: given.throttle,
            vdns: given.vdns,
            name: given.name,
        };
        policy.check()
    }

    /// What no member tells by itself.
    fn check(self) -> Result<Self, String> {
        if matches!(&self.vdns, Vdns::Some(vdns) if vdns.is_empty()) {
            return Err("vdns = [] names no VDN. Give \"all\" or some".to_owned());
        }
        for (key, duration) in [("max_duration", self.max_duration), ("target_chunk", self.pace.target_chunk)] {
            if duration.is_some_and(|duration| duration.is_zero()) {
                return Err(format!("{key} must be longer than 0"));
            }
        }
        if self.pace.chunk_size.is_some() && (self.pace.target_chunk.is_some() || self.pace.max_chunk.is_some()) {
            return Err("chunk_size fixes what target_chunk and max_chunk let vary. Give one or the other".to_owned());
        }
        if self.throttle.as_ref().is_some_and(|throttle| throttle.window.is_some()) {
            return Err("throttle.window: a policy has its window beside its schedule. Move it there".to_owned());
        }
        Ok(self)
    }

    /// Whether something dangerous is meant.
    #[must_use]
    pub fn allows(&self, what: Allow) -> bool {
        self.allow.contains(&what)
    }
}

fn recycle_time(text: &str, recycle_type: RecycleType, allow: &[Allow]) -> Result<RecycleAt, String> {
    let at = RecycleAt::parse(text).map_err(|problem| format!("recycle_time {text:?} {problem}"))?;
    let has_no_age = at.is_age_of_zero() || at == RecycleAt::Today;
    if has_no_age && recycle_type == RecycleType::UpToDay && !allow.contains(&Allow::NoAge) {
        return Err(format!(
            "recycle_time {text:?} with recycle_type 1 takes numbers that are due later on the same day. Give yesterday or \
             an age such as -30d, or allow = [\"no_age\"] if it is meant"
        ));
    }
    Ok(at)
}

fn campaigns(given: CampaignsText) -> Result<Campaigns, String> {
    match given {
        CampaignsText::Ids(ids) if ids.is_empty() => {
            Err("campaigns = [] names no campaign. Give \"all\", ids, or a pattern of names".to_owned())
        }
        CampaignsText::Ids(ids) => Ok(Campaigns::Ids(ids)),
        CampaignsText::Text(text) => Campaigns::named(&text).map_err(|problem| format!("campaigns {problem}")),
    }
}

fn expected(rows: Option<i64>, tolerance_percent: Option<f64>) -> Result<Option<Expected>, String> {
    let rows = within(rows, "expect", "0 or more", |rows| rows >= 0)?;
    let is_tolerance = |percent: f64| percent >= 0.0 && percent.is_finite();
    let tolerance_percent = within(tolerance_percent, "expect_tolerance_percent", "0 or more", is_tolerance)?;
    match (rows, tolerance_percent) {
        (None, Some(_)) => Err("expect_tolerance_percent says nothing without expect. Give both".to_owned()),
        (rows, percent) => Ok(rows.map(|rows| Expected { rows, tolerance_percent: percent.unwrap_or(0.0) })),
    }
}

fn within<T: Copy + std::fmt::Display>(
    value: Option<T>,
    key: &str,
    bounds: &str,
    fits: impl FnOnce(T) -> bool,
) -> Result<Option<T>, String> {
    match value {
        Some(value) if !fits(value) => Err(format!("{key} = {value} must be {bounds}")),
        value => Ok(value),
    }
}

/// Checks what no policy tells by itself: names are unique.
pub(crate) fn check(policies: &[Policy]) -> Result<(), String> {
    let mut names = BTreeSet::new();
    match policies.iter().find(|policy| !names.insert(&policy.name)) {
        Some(twice) => Err(format!("[[sweep]] {:?}: name: another policy has it. Names are unique", twice.name)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::model::campaign::{CampaignStatus, VdnId};
    use crate::settings::Settings;

    const NIGHTLY: &str = "[[sweep]]\nname = \"nightly\"\nschedule = \"17 2 * * *\"\nvdns = \"all\"\ncampaigns = \"all\"\n\
                           recycle_type = \"1\"\nrecycle_time = \"-30d\"\narchive_history = 1\n";

    fn load(text: &str) -> Result<Vec<Policy>, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("callsweep.toml");
        fs::write(&file, text).unwrap();
        Settings::load(Some(&file)).map(|settings| settings.sweep).map_err(|error| error.to_string())
    }

    /// `NIGHTLY` with one key otherwise, or one more.
    fn with(key: &str, value: &str) -> Result<Policy, String> {
        let lines: Vec<&str> = NIGHTLY.lines().filter(|line| !line.starts_with(&format!("{key} "))).collect();
        load(&format!("{}\n{key} = {value}\n", lines.join("\n"))).map(|mut policies| policies.remove(0))
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let policy = load(NIGHTLY).unwrap().remove(0);
        assert_eq!((policy.name.as_str(), policy.catch_up, policy.archive_history), ("nightly", 1, true));
        assert_eq!((policy.bounds, policy.pace), (Bounds::default(), PolicyPace::default()));
    }

    #[test]
    fn campaigns_are_meant_by_id_or_by_name() {
        let campaign = |id: i64, name: &str| Campaign {
            id: id.try_into().unwrap(),
            vdn_id: VdnId::parse("1").unwrap(),
            name: name.to_owned(),
            status: CampaignStatus::Draft,
        };
        let spring = with("campaigns", "\"Spring*\"").unwrap().campaigns;
        assert!(spring.contains(&campaign(1, "Spring 2026")) && !spring.contains(&campaign(1, "Offspring")));
        let ids = with("campaigns", "[5, 7]").unwrap().campaigns;
        assert!(ids.contains(&campaign(7, "x")) && !ids.contains(&campaign(6, "x")));
    }

    #[test]
    fn a_value_that_does_not_fit_is_named_with_its_policy() {
        for (key, value, way_out) in [
            ("schedule", "\"17 2 * *\"", "five fields"),
            ("recycle_type", "\"4\"", "\"1\", \"2\" or \"3\""),
            ("recycle_time", "\"\"", "an age such as -30d"),
            ("recycle_time", "\"30d\"", "an age such as -30d"),
            ("recycle_time", "\"-0d\"", "no_age"),
            ("recycle_time", "\"today\"", "no_age"),
            ("archive_history", "2", "0 (delete outright) or 1"),
            ("campaigns", "[]", "ids"),
            ("campaigns", "\"\"", "Spring*"),
            ("vdns", "[]", "\"all\""),
            ("max_rows", "0", "1 or more"),
            ("max_percent", "101.0", "at most 100"),
            ("expect", "-1", "0 or more"),
            ("expect_tolerance_percent", "5.0", "Give both"),
            ("max_duration", "\"0s\"", "longer than 0"),
            ("window", "\"1-5\"", "01:00-05:00"),
            ("sleep_ratio", "-0.5", "0 or more"),
            ("lanes", "0", "from 1 to 16"),
            ("catch_up", "101", "from 0 to 100"),
        ] {
            let error = with(key, value).unwrap_err();
            let told = error.contains("nightly") && error.contains(key) && error.contains(way_out);
            assert!(told, "{key} = {value}: {error}");
        }
        assert!(with("chunk_size", "10\nmax_chunk = 5").unwrap_err().contains("one or the other"));
        assert!(with("naem", "1").unwrap_err().contains("naem"));
        assert!(with("allow", "[\"everything\"]").unwrap_err().contains("everything"));
        assert!(load(&format!("{NIGHTLY}{NIGHTLY}")).unwrap_err().contains("Names are unique"));
        assert!(with("name", "\"a:b\"").unwrap_err().contains("A-Z"));
    }

    #[test]
    fn what_is_dangerous_can_be_meant() {
        let policy = with("recycle_time", "\"today\"\nallow = [\"no_age\"]").unwrap();
        assert!(policy.allows(Allow::NoAge) && !policy.allows(Allow::Future));
        // Of other types nothing is taken that is not of that very day.
        assert!(with("recycle_time", "\"today\"\nrecycle_type = \"2\"").is_err(), "a key twice");
    }
}
