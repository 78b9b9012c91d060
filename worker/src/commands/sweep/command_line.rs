//! Commands to paste: the one that does what a preview showed, and the one that goes on with a run.

use std::path::Path;

use callsweep_core::criteria::CriteriaMembers;
use callsweep_core::run::NewRun;

use crate::cli::exit::Failure;

/// How this command was called.
pub(crate) struct Invocation<'a> {
    /// Every word, as it was typed.
    pub(crate) words: Vec<String>,
    /// `--config`
    pub(crate) config: Option<&'a Path>,
}

impl Invocation<'_> {
    /// The same command line with `--execute`. An age has become the time that the preview used: the same numbers go,
    /// however much later the command is given.
    pub(super) fn execute(&self, new: &NewRun) -> Result<String, Failure> {
        let members: CriteriaMembers = new.criteria.clone().into();
        let time = members.recycle_time.map(|time| time.to_string());
        let mut words = Vec::with_capacity(self.words.len() + 1);
        let mut is_time = false;
        for word in &self.words {
            let resolved = match (&time, word.strip_prefix("--recycle-time=")) {
                (Some(time), Some(_)) => format!("--recycle-time={time}"),
                (Some(time), None) if is_time => time.clone(),
                _ => word.clone(),
            };
            is_time = word == "--recycle-time";
            words.push(resolved);
        }
        words.push("--execute".to_owned());
        join(&words)
    }

    /// The command that goes on with a run.
    pub(super) fn resume(&self, run_id: i64) -> Result<String, Failure> {
        let mut words: Vec<String> = self.words.iter().take(1).cloned().collect();
        words.extend(self.config.map(|file| format!("--config={}", file.display())));
        words.extend(["sweep".to_owned(), "--resume".to_owned(), run_id.to_string()]);
        join(&words)
    }
}

fn join(words: &[String]) -> Result<String, Failure> {
    let joined = shlex::try_join(words.iter().map(String::as_str));
    joined.map_err(|error| Failure::usage(format_args!("this command line cannot be written for a shell: {error}")))
}

#[cfg(test)]
mod tests {
    use callsweep_core::clock::Clock;
    use callsweep_core::settings::Settings;
    use clap::Parser;

    use super::super::plan::new_run;
    use super::*;
    use crate::cli::{Cli, Command, SweepArgs};

    fn sweep_args(words: &[String]) -> SweepArgs {
        let Command::Sweep(args) = Cli::try_parse_from(words).unwrap().command else { panic!("{words:?}") };
        *args
    }

    #[test]
    fn a_shell_reads_it_back() {
        for time in ["--recycle-time=-30d", "--recycle-time -30d"] {
            let line = format!(
                "./callsweep-worker --config 'my file.toml' sweep --vdn 1 --campaign 5 --session-id \"a'b\" \
                 --custom-field '-x $HOME' --recycle-type 1 {time} --archive-history --chunk-size=100"
            )
            .replace("--custom-field '-x $HOME'", "--custom-field='-x $HOME'");
            let words = shlex::split(&line).unwrap();
            let clock = Clock::from_fn(|| "2026-03-01T06:07:08Z".parse().unwrap());
            let new = new_run(&sweep_args(&words), &Settings::default(), &clock).unwrap();
            let invocation = Invocation { words, config: Some(Path::new("my file.toml")) };
            let again = sweep_args(&shlex::split(&invocation.execute(&new).unwrap()).unwrap());
            assert!(again.execute && again.archive_history);
            assert_eq!(again.filter.recycle_time.as_deref(), Some("2026-01-30 06:07:08"));
            assert_eq!(again.filter.custom_field.as_ref().unwrap().as_str(), "-x $HOME");
            assert_eq!(again.filter.session_id.as_ref().unwrap().as_str(), "a'b");
            let resume = shlex::split(&invocation.resume(7).unwrap()).unwrap();
            assert_eq!(resume, ["./callsweep-worker", "--config=my file.toml", "sweep", "--resume", "7"]);
            assert_eq!(sweep_args(&resume).resume, Some(7));
        }
    }
}
