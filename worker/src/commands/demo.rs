//! `demo`: a database to try things on.

use std::fmt;

use callsweep_core::clock::Clock;
use callsweep_core::demo::{DemoCampaign, populate};
use callsweep_core::settings::DatabaseSettings;
use callsweep_core::store::{Store, migrations};
use secrecy::SecretString;
use serde::Serialize;

use crate::cli::DemoArgs;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{self, Format, grouped};
use crate::cli::progress;

/// What the demo's database holds, and what to try on it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Demo {
    database: String,
    campaigns: Vec<DemoCampaign>,
    commands: Vec<String>,
}

/// Runs the command. What is there already stays as it is.
pub(crate) fn run(args: &DemoArgs, program: &str, format: Format) -> Result<Exit, Failure> {
    let url = format!("sqlite://{}", args.database);
    let settings = DatabaseSettings { url: SecretString::from(url.as_str()), ..DatabaseSettings::default() };
    let store = Store::create(&settings, Clock::system())?;
    migrations::run(&mut *store.connection()?)?;
    let spinner = progress::spinner("filling the demo's database");
    let populated = populate(&store);
    spinner.finish_and_clear();
    let campaigns = populated?;
    let commands = commands(&campaigns, program, &url)?;
    output::print(format, &Demo { database: args.database.clone(), campaigns, commands })?;
    Ok(Exit::Done)
}

fn commands(campaigns: &[DemoCampaign], program: &str, url: &str) -> Result<Vec<String>, Failure> {
    let quoted = |text| shlex::try_quote(text).map_err(|error| Failure::usage(format_args!("--database: {error}")));
    let (program, url) = (quoted(program)?, quoted(url)?);
    let mut commands = vec![format!("export CALLSWEEP_DATABASE__URL={url}")];
    let sweepable = campaigns.iter().find(|demo| demo.session_id.is_some());
    commands.extend(sweepable.map(|DemoCampaign { campaign, .. }| {
        let (vdn, id) = (campaign.vdn_id, campaign.id);
        let filter = "--recycle-type 1 --recycle-time -7d --archive-history";
        format!("{program} sweep --vdn {vdn} --campaign {id} {filter}")
    }));
    commands.extend(["runs", "doctor"].map(|command| format!("{program} {command}")));
    Ok(commands)
}

impl fmt::Display for Demo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} is ready:", self.database)?;
        for DemoCampaign { campaign, numbers, .. } in &self.campaigns {
            let (id, vdn, name) = (campaign.id, campaign.vdn_id, &campaign.name);
            writeln!(
                f,
                "  VDN {vdn}  campaign {id}  {:>9} numbers  {name} ({:?})",
                grouped(*numbers),
                campaign.status
            )?;
        }
        writeln!(f, "\nTry next:")?;
        self.commands.iter().try_for_each(|command| writeln!(f, "  {command}"))
    }
}
