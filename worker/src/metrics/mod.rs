//! Metrics for Prometheus: of the daemon by HTTP, of single runs by a file.

mod backlog;
mod file;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use callsweep_core::engine::Progress;
use callsweep_core::run::RunState;
use prometheus_client::encoding::{EncodeLabelSet, prometheus_text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

pub(crate) use backlog::refresh;
pub(crate) use file::MetricsFile;
pub(crate) use prometheus_text::CONTENT_TYPE;

/// `policy=""` is a sweep by hand that has none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPolicy {
    policy: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Because {
    reason: String,
}

type Seconds = Counter<f64, AtomicU64>;
type Number = Gauge<f64, AtomicU64>;

/// Upper bounds in seconds: around the usual target of 250 ms, up to the longest wait for a lock.
const CHUNK_BUCKETS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

/// Everything that is measured.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    deleted: Family<OfPolicy, Counter>,
    archived: Family<OfPolicy, Counter>,
    chunks: Family<OfPolicy, Counter>,
    chunk_seconds: Histogram,
    retries: Family<Because, Counter>,
    throttled: Family<Because, Seconds>,
    in_progress: Family<OfPolicy, Gauge>,
    last_success: Family<OfPolicy, Number>,
    due_rows: Family<OfPolicy, Gauge>,
    oldest_due: Family<OfPolicy, Number>,
    backlog_days: Family<OfPolicy, Number>,
    policy_campaigns: Family<OfPolicy, Gauge>,
}

impl Metrics {
    /// All at nothing.
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("callsweep");
        let metrics = Self {
            deleted: Family::default(),
            archived: Family::default(),
            chunks: Family::default(),
            chunk_seconds: Histogram::new(CHUNK_BUCKETS),
            retries: Family::default(),
            throttled: Family::default(),
            in_progress: Family::default(),
            last_success: Family::default(),
            due_rows: Family::default(),
            oldest_due: Family::default(),
            backlog_days: Family::default(),
            policy_campaigns: Family::default(),
            registry: Registry::default(),
        };
        registry.register("rows_deleted", "Numbers that left call_data", metrics.deleted.clone());
        registry.register("rows_archived", "Numbers that moved to call_data_history", metrics.archived.clone());
        registry.register("chunks", "Chunks committed", metrics.chunks.clone());
        registry.register("chunk_seconds", "How long chunks took", metrics.chunk_seconds.clone());
        registry.register("retries", "Retries of chunks", metrics.retries.clone());
        registry.register("throttled_seconds", "How long runs were held", metrics.throttled.clone());
        registry.register("run_in_progress", "1 while this process works on a run", metrics.in_progress.clone());
        registry.register(
            "last_success_timestamp_seconds",
            "When a run of the policy last succeeded, by the ledger",
            metrics.last_success.clone(),
        );
        registry.register(
            "due_rows",
            "Numbers that would go now; at least so many where more than a million had to be looked at",
            metrics.due_rows.clone(),
        );
        registry.register(
            "oldest_due_timestamp_seconds",
            "The oldest recycle time of a number that would go now",
            metrics.oldest_due.clone(),
        );
        registry.register(
            "backlog_days",
            "Days until what is due will be gone, at the pace of the last week; +Inf: never",
            metrics.backlog_days.clone(),
        );
        registry.register(
            "policy_campaigns",
            "Campaigns that the policy matches now; 0: it does nothing",
            metrics.policy_campaigns.clone(),
        );
        Self { registry, ..metrics }
    }

    /// In the text format of Prometheus.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a String does not fail.
        let _ = prometheus_text::encode(&mut text, &self.registry);
        text
    }

    /// Watches one run, of a policy or by hand.
    pub(crate) fn watch(&self, policy: Option<&str>) -> RunWatch<'_> {
        let policy = OfPolicy { policy: policy.unwrap_or_default().to_owned() };
        self.in_progress.get_or_create(&policy).set(1);
        // So that rates begin at 0 and not at the first chunk.
        for counter in [&self.deleted, &self.archived, &self.chunks] {
            counter.get_or_create(&policy).inc_by(0);
        }
        RunWatch { metrics: self, policy, retries: BTreeMap::new(), held: Duration::ZERO, held_by: None }
    }

    /// Removes the state of policies, some of which may have left the settings.
    pub(crate) fn clear_policies(&self) {
        for family in [&self.last_success, &self.oldest_due, &self.backlog_days] {
            family.clear();
        }
        self.due_rows.clear();
        self.policy_campaigns.clear();
    }
}

/// Counts what one run does. When it goes, the run is over.
pub(crate) struct RunWatch<'a> {
    metrics: &'a Metrics,
    policy: OfPolicy,
    retries: BTreeMap<String, i64>,
    held: Duration,
    held_by: Option<String>,
}

impl RunWatch<'_> {
    /// Takes note of where the run stands: after a chunk, and whenever its gate is asked.
    pub(crate) fn see(&mut self, progress: &Progress) {
        let metrics = self.metrics;
        if let Some(chunk) = &progress.chunk {
            let count = |number: i64| u64::try_from(number).unwrap_or(0);
            metrics.deleted.get_or_create(&self.policy).inc_by(count(chunk.counts.deleted));
            metrics.archived.get_or_create(&self.policy).inc_by(count(chunk.counts.archived));
            metrics.chunks.get_or_create(&self.policy).inc();
            metrics.chunk_seconds.observe(chunk.took.as_secs_f64());
        }
        for (reason, times) in progress.retries.by_reason() {
            let reason = snake_case(&format!("{reason:?}"));
            let before = self.retries.insert(reason.clone(), times).unwrap_or(0);
            let more = u64::try_from(times - before).unwrap_or(0);
            metrics.retries.get_or_create(&Because { reason }).inc_by(more);
        }
        if matches!(progress.state, RunState::Throttled | RunState::Paused) {
            self.held_by = progress.held_by.as_deref().map(held_because);
        }
        let more = progress.held.saturating_sub(self.held);
        if let (false, Some(reason)) = (more.is_zero(), &self.held_by) {
            metrics.throttled.get_or_create(&Because { reason: reason.clone() }).inc_by(more.as_secs_f64());
        }
        self.held = progress.held;
    }
}

impl Drop for RunWatch<'_> {
    fn drop(&mut self) {
        self.metrics.in_progress.get_or_create(&self.policy).set(0);
    }
}

/// `LockTimeout` as `lock_timeout`.
fn snake_case(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}

/// What holds a run, without what changes from one time to the next: a label has few values.
fn held_because(by: &str) -> String {
    const CUTS: [&str; 4] = [" above ", ", which ", " (", ": "];
    if by.starts_with("paused by ") {
        return "paused".to_owned();
    }
    let end = CUTS.iter().filter_map(|cut| by.find(cut)).min().unwrap_or(by.len());
    by[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use callsweep_core::engine::ChunkProgress;
    use callsweep_core::run::Counts;
    use callsweep_core::store::Retries;

    use super::*;

    fn progress(state: RunState, held_by: Option<&str>, held: u64, deleted: Option<i64>) -> Progress {
        let counts = Counts { matched: 7, deleted: deleted.unwrap_or(0), archived: 3, ..Counts::default() };
        Progress {
            run_id: 1,
            campaign_id: Some(1),
            state,
            held_by: held_by.map(str::to_owned),
            counts,
            chunks: 1,
            retries: Retries::default(),
            held: Duration::from_secs(held),
            chunk: deleted.map(|_| ChunkProgress { counts, took: Duration::from_millis(30), next_size: 1 }),
        }
    }

    #[test]
    fn a_run_is_counted() {
        let metrics = Metrics::new();
        let mut watch = metrics.watch(Some("nightly"));
        assert!(metrics.text().contains("callsweep_run_in_progress{policy=\"nightly\"} 1\n"), "{}", metrics.text());
        watch.see(&progress(RunState::Running, None, 0, Some(4)));
        watch.see(&progress(RunState::Throttled, Some("replica lag above 3 s"), 0, None));
        watch.see(&progress(RunState::Throttled, Some("replica lag above 3 s"), 2, None));
        watch.see(&progress(RunState::Running, None, 3, Some(2)));
        drop(watch);
        let text = metrics.text();
        for line in [
            "callsweep_rows_deleted_total{policy=\"nightly\"} 6",
            "callsweep_rows_archived_total{policy=\"nightly\"} 6",
            "callsweep_chunks_total{policy=\"nightly\"} 2",
            "callsweep_chunk_seconds_bucket{le=\"0.05\"} 2",
            "callsweep_chunk_seconds_bucket{le=\"0.025\"} 0",
            "callsweep_throttled_seconds_total{reason=\"replica lag\"} 3.0",
            "callsweep_run_in_progress{policy=\"nightly\"} 0",
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line} is missing in:\n{text}");
        }
    }

    /// The words of an expression that are metrics of ours, without what a histogram adds.
    fn metrics_in(expression: &str) -> Vec<String> {
        let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let ours = words.filter(|word| word.starts_with("callsweep_"));
        ours.map(|word| word.trim_end_matches("_bucket").to_owned()).collect()
    }

    #[test]
    fn every_alert_is_about_a_metric_that_is_there() {
        let metrics = Metrics::new();
        drop(metrics.watch(Some("nightly")));
        // What has no value yet is not shown.
        for family in [&metrics.last_success, &metrics.oldest_due, &metrics.backlog_days] {
            family.get_or_create(&OfPolicy { policy: "nightly".to_owned() }).set(0.0);
        }
        for family in [&metrics.due_rows, &metrics.policy_campaigns] {
            family.get_or_create(&OfPolicy { policy: "nightly".to_owned() }).set(0);
        }
        metrics.retries.get_or_create(&Because { reason: "busy".to_owned() }).inc();
        metrics.throttled.get_or_create(&Because { reason: "paused".to_owned() }).inc_by(1.0);
        let text = metrics.text();
        let has = |metric: &str| text.contains(&format!("# TYPE {metric} "));
        let rules = yaml_rust2::YamlLoader::load_from_str(include_str!("../../../docs/operators/alerts.yml")).unwrap();
        let rules = rules[0]["groups"][0]["rules"].as_vec().unwrap();
        let mut named = std::collections::BTreeSet::new();
        for rule in rules {
            let alert = rule["alert"].as_str().unwrap();
            assert!(rule["annotations"]["summary"].as_str().is_some(), "{alert} says nothing");
            for metric in metrics_in(rule["expr"].as_str().unwrap()) {
                assert!(has(&metric), "{alert}: there is no {metric} in:\n{text}");
                named.insert(metric);
            }
        }
        assert!(named.len() >= 6, "{named:?}");
        let page = include_str!("../../../docs/operators/metrics.md");
        for metric in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
            assert!(page.contains(&format!("| `{metric}` |")), "metrics.md lacks {metric}");
        }
    }

    #[test]
    fn labels_have_few_values() {
        assert_eq!(held_because("paused by dba@host"), "paused");
        assert_eq!(held_because("lag of replica 2: it is not replicating"), "lag of replica 2");
        assert_eq!(held_because("http://a:80/x, which answers 503"), "http://a:80/x");
        assert_eq!(held_because("the flag file /run/hold"), "the flag file /run/hold");
        assert_eq!(snake_case("LockTimeout"), "lock_timeout");
    }
}
