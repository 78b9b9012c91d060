//! `callsweep-api demo`: something to try, in one command.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use callsweep_core::clock::Clock;
use callsweep_core::demo::{DemoCampaign, populate};
use callsweep_core::settings::{All, ApiSettings, DatabaseSettings, KeySettings, Settings, Vdns};
use callsweep_core::store::{Store, migrations};
use secrecy::{ExposeSecret, SecretString};

use super::client::{ClientCall, quoted};
use super::{DemoArgs, Failure};
use crate::auth;
use crate::http::credentials::Credentials;
use crate::http::server::Application;

const ACCESS_KEY: &str = "demo";

/// Makes or reuses the demo's database, takes the addresses, and writes what to try to `out`.
///
/// # Errors
/// The database's, or an address is taken.
pub(super) fn prepare(args: &DemoArgs, out: &mut impl Write) -> Result<Application, Failure> {
    // New each time: a fixed one would be known to everybody, on every machine where the demo was left running.
    let secret_key = SecretString::from(format!("{:032x}", rand::random::<u128>()));
    let settings = settings(args, &secret_key);
    let store = Store::create(&settings.database, Clock::system())?;
    migrations::run(&mut *store.connection()?)?;
    // The addresses first: who has to choose others should not wait for 200,000 numbers before.
    let application = Application::build(&settings, Credentials::load(&settings.api)?, store.clone())?;
    writeln!(out, "Preparing {}: 200,000 numbers, which takes a while the first time.", args.database.display())?;
    out.flush()?;
    let campaigns = populate(&store)?;
    guide(out, &campaigns, &secret_key, application.address(), &args.database, &store)?;
    Ok(application)
}

fn settings(args: &DemoArgs, secret_key: &SecretString) -> Settings {
    let key = KeySettings::new(ACCESS_KEY, secret_key.clone(), Vdns::All(All::All));
    let (listen, ops_listen) = (args.listen, args.ops_listen);
    Settings {
        database: DatabaseSettings { url: database_url(&args.database).into(), ..DatabaseSettings::default() },
        api: ApiSettings { listen, ops_listen, docs: true, keys: vec![key], ..ApiSettings::default() },
        ..Settings::default()
    }
}

fn database_url(file: &Path) -> String {
    format!("sqlite://{}", file.display())
}

/// Says what is there and what to try.
fn guide(
    out: &mut impl Write,
    campaigns: &[DemoCampaign],
    secret_key: &SecretString,
    address: SocketAddr,
    database: &Path,
    store: &Store,
) -> Result<(), Failure> {
    writeln!(out, "\nCampaigns in VDN 1:")?;
    for DemoCampaign { campaign, numbers, .. } in campaigns {
        let status = format!("{:?}", campaign.status).to_lowercase();
        writeln!(out, "  {:>2}  {:<20} {status:<10} {numbers:>7} numbers", campaign.id, campaign.name)?;
    }
    let secret_key_text = secret_key.expose_secret();
    writeln!(out, "\nThe endpoint: http://{address}   access key: {ACCESS_KEY}   secret key: {secret_key_text}")?;

    let removable = campaigns.iter().find_map(|demo| Some((demo, demo.session_id.as_deref()?)));
    let Some((DemoCampaign { campaign, .. }, session_id)) = removable else {
        writeln!(out, "\nEvery number that may go is gone. Delete {} to begin anew.", database.display())?;
        return Ok(());
    };
    let url = format!(
        "http://{}/rest/isales/v1/openapi/campaigns/{}/calldata/{}/delete",
        reachable(address),
        campaign.vdn_id,
        campaign.id
    );
    let body = format!(r#"{{"sessionId":"{session_id}"}}"#);
    let call = ClientCall::new("POST", &url, &[], &body)?;
    let signed = call.sign(ACCESS_KEY, secret_key, &auth::timestamp(store.clock().now()))?;
    writeln!(out, "\nDelete one number (in another terminal; the signature holds for 15 minutes):\n")?;
    writeln!(out, "  {}", call.curl(&signed.authorization))?;
    writeln!(out, "\nSign a call of your own:\n")?;
    writeln!(
        out,
        "  SIGN_SECRET_KEY={secret_key_text} cargo run --release -p callsweep-api -- sign --access-key {ACCESS_KEY} \
         --url {url} --body '{{\"customField\":\"batch-001\"}}'"
    )?;
    writeln!(out, "\nPreview a sweep into the history table; add --execute to do it:\n")?;
    writeln!(
        out,
        "  export CALLSWEEP_DATABASE__URL={}\n  cargo run --release -p callsweep-worker -- sweep --vdn {} --campaign {} \
         --recycle-type 1 --recycle-time '-7d' --archive-history",
        quoted(&database_url(database)),
        campaign.vdn_id,
        campaign.id
    )?;
    writeln!(out, "\nStop with Ctrl-C. Running the demo again keeps what is there.\n")?;
    out.flush()?;
    Ok(())
}

/// An address to call where the server listens on all of them.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    address
}
