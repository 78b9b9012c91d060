//! Another program: it steps in while a run is under way, and remembers where it left each number.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use callsweep_core::campaign::CampaignId;
use callsweep_core::store::AnyConnection;
use callsweep_testkit::sample::dial;

/// On the campaign, with its own connection.
pub(crate) struct Dialler {
    pub(crate) conn: AnyConnection,
    pub(crate) campaign: CampaignId,
    pub(crate) moments: std::vec::IntoIter<Vec<(i64, i16)>>,
    /// As it left each number.
    pub(crate) status: BTreeMap<i64, i16>,
    pub(crate) done: Vec<(i64, i16)>,
}

pub(crate) fn lock(dialler: &Mutex<Option<Dialler>>) -> MutexGuard<'_, Option<Dialler>> {
    dialler.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The dialler's next moment.
pub(crate) fn step_in(dialler: &Mutex<Option<Dialler>>) {
    let mut dialler = lock(dialler);
    let Some(Dialler { conn, campaign, moments, status, done }) = dialler.as_mut() else { return };
    for (id, to) in moments.next().unwrap_or_default() {
        // No such number, or it is gone already: nothing to dial.
        let Some(from) = status.get_mut(&id) else { continue };
        if dial(conn, *campaign, id, *from, to) {
            *from = to;
            done.push((id, to));
        }
    }
}
