//! The store, as commands want it: with the schema that they were built for.

use callsweep_core::campaign::{CampaignId, VdnId};
use callsweep_core::clock::Clock;
use callsweep_core::settings::Settings;
use callsweep_core::store::{AnyConnection, Store, campaigns, migrations};

use crate::cli::exit::Failure;
use crate::cli::output::printable;

/// Campaigns that an error text names at most.
const NAMED: usize = 10;

/// Opens the database of the settings and checks that its schema is current.
pub(crate) fn open(settings: &Settings) -> Result<Store, Failure> {
    let store = Store::open(&settings.database, Clock::system())?;
    migrations::check_current(&mut *store.connection()?)?;
    Ok(store)
}

/// Says that a campaign does not exist, and which ones do.
pub(crate) fn no_such_campaign(conn: &mut AnyConnection, vdn: VdnId, id: CampaignId) -> Result<Failure, Failure> {
    let there = campaigns::list(conn, Some(vdn))?;
    let mut named: Vec<String> =
        there.iter().take(NAMED).map(|c| format!("{} ({})", c.id, printable(&c.name))).collect();
    if there.len() > NAMED {
        named.push(format!("and {} more", there.len() - NAMED));
    }
    let hint = if named.is_empty() {
        "That VDN has no campaigns. Check --vdn".to_owned()
    } else {
        format!("There are {}", named.join(", "))
    };
    Ok(Failure::usage(format_args!("--campaign: campaign {id} does not exist in VDN {vdn}. {hint}")))
}
