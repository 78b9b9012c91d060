//! Space after a big run, for the commands and the daemon alike.

use callsweep_core::store::Store;
use callsweep_core::store::space::{Reclaimed, reclaim};

use crate::cli::output;
use crate::process::stop::Stop;

/// A run that removed so many rows leaves space worth giving back.
const BIG: i64 = 10_000;

/// Gives space back after a run that removed so many rows. What fails here takes nothing from the run's account.
pub(crate) fn after(store: &Store, removed: i64, stop: &Stop) -> Option<Reclaimed> {
    if removed < BIG {
        return None;
    }
    let reclaimed = reclaim(store, &|| stop.requested());
    reclaimed.inspect_err(|error| output::note(format_args!("no space was given back: {error}"))).ok()
}
