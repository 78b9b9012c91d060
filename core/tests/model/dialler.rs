//! The dialler of the model test: it acts while a run is in progress, and records the status of each number it touched.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use callsweep_core::campaign::CampaignId;
use callsweep_core::store::AnyConnection;
use callsweep_testkit::sample::dial;

/// The dialler of a campaign, with its own connection.
pub(crate) struct Dialler {
    pub(crate) conn: AnyConnection,
    pub(crate) campaign: CampaignId,
    pub(crate) moments: std::vec::IntoIter<Vec<(i64, i16)>>,
    /// The last status that it gave to each number.
    pub(crate) status: BTreeMap<i64, i16>,
    pub(crate) done: Vec<(i64, i16)>,
}

pub(crate) fn lock(dialler: &Mutex<Option<Dialler>>) -> MutexGuard<'_, Option<Dialler>> {
    dialler.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Executes the dialler's next actions.
pub(crate) fn step_in(dialler: &Mutex<Option<Dialler>>) {
    let mut dialler = lock(dialler);
    let Some(Dialler { conn, campaign, moments, status, done }) = dialler.as_mut() else { return };
    for (id, to) in moments.next().unwrap_or_default() {
        // The number does not exist (any more).
        let Some(from) = status.get_mut(&id) else { continue };
        if dial(conn, *campaign, id, *from, to) {
            *from = to;
            done.push((id, to));
        }
    }
}
