//! From flags and settings to what paces, ends and holds a run.

use callsweep_core::pace::Pace;
use callsweep_core::settings::{Settings, ThrottleSettings};

use super::gate::Limits;
use crate::cli::{ControlArgs, PaceArgs, ThrottleArgs};

/// How fast a run goes: each flag overrides its setting.
pub(crate) fn pace(args: &PaceArgs, settings: &Settings) -> Pace {
    let usual = settings.worker.pace();
    let sleep_ratio = args.sleep_ratio.unwrap_or(usual.sleep_ratio);
    let lanes = usual.lanes;
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

/// What ends or holds a run: each flag overrides its setting.
pub(crate) fn limits(args: &ControlArgs, settings: &Settings) -> Limits {
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
        max_duration: args.limits.max_duration,
        stop_file: args.limits.stop_file.clone(),
        window: args.limits.window,
        stop_outside: None,
        throttle: ThrottleSettings {
            max_replica_lag: max_replica_lag.or(usual.max_replica_lag),
            replicas: if replicas.is_empty() { usual.replicas } else { replicas },
            max_running_queries: max_running_queries.or(usual.max_running_queries),
            query: throttle_query.or(usual.query),
            query_max,
            http: throttle_http.or(usual.http),
            flag_file: throttle_file.or(usual.flag_file),
            window: usual.window.filter(|_| args.limits.window.is_none()),
        },
    }
}
