//! `callsweep-worker`: the command line of the DBA.

mod cli;
mod commands;
mod daemon;
mod metrics;
mod process;
mod run;

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use callsweep_core::settings::Settings;
use clap::Parser;
use tracing_subscriber::EnvFilter;

use cli::exit::{Exit, Failure};
use cli::{Cli, Command, output};
use commands::{campaigns, demo, doctor, generate, history, import, migrate, runs, sweep, verify};
use process::stop::Stop;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // A daemon has nothing but its log to say what it does.
    let usual = if matches!(cli.command, Command::Run) { "info" } else { "warn" };
    let log = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    tracing_subscriber::fmt().with_env_filter(log).with_writer(io::stderr).with_ansi(io::stderr().is_terminal()).init();
    run(cli)
        .unwrap_or_else(|failure| {
            output::note(format_args!("error: {failure}"));
            failure.exit
        })
        .into()
}

fn run(cli: Cli) -> Result<Exit, Failure> {
    let Cli { config, format, command } = cli;
    let settings = || Settings::load(config.as_deref()).map_err(Failure::usage);
    let stop = || Stop::on_signals().map_err(|error| Failure::failed(format_args!("no signals: {error}")));
    // As the person typed it, so that commands that are shown can be pasted.
    let program = std::env::args().next().unwrap_or_else(|| "callsweep-worker".to_owned());
    match command {
        Command::Migrate => migrate::run(&settings()?, format),
        Command::Import(args) => import::run(args, &settings()?, format, &stop()?),
        Command::Campaigns(args) => campaigns::run(&args, &settings()?, format, &stop()?),
        Command::Sweep(args) => {
            let invocation = sweep::Invocation { words: std::env::args().collect(), config: config.as_deref() };
            sweep::run(&args, &invocation, &settings()?, format, &stop()?)
        }
        Command::Run => daemon::run(config.as_deref(), settings()?, &stop()?),
        Command::Runs(args) => runs::run(&args, &settings()?, format, &stop()?),
        Command::Restore(args) => history::restore::run(&args, &settings()?, format, &stop()?),
        Command::Verify => verify::run(&settings()?, format, &stop()?),
        Command::PruneHistory(args) => history::prune::run(&args, &settings()?, format, &stop()?),
        Command::Doctor => doctor::run(config.as_deref(), format),
        Command::Demo(args) => demo::run(&args, &program, format),
        Command::Completions { shell } => generate::completions(shell),
        Command::Man { dir } => generate::man(&dir),
    }
}
