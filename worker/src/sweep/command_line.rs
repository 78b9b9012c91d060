//! The command that would do what a preview showed.

use std::num::NonZeroUsize;
use std::path::Path;

use callsweep_core::criteria::CriteriaMembers;
use callsweep_core::run::NewRun;

use crate::exit::Failure;

/// How this command was called.
pub(crate) struct Invocation<'a> {
    /// The program, as it was typed.
    pub(crate) program: String,
    /// `--config`
    pub(crate) config: Option<&'a Path>,
}

impl Invocation<'_> {
    /// The command line, ready for a shell. An age has become the time that the preview used: the same numbers go,
    /// however much later the command is given.
    pub(super) fn execute(&self, run: &NewRun, chunk_size: Option<NonZeroUsize>) -> Result<String, Failure> {
        let CriteriaMembers { session_id, called, custom_field, recycle_time, recycle_type } =
            run.criteria.clone().into();
        let mut words = vec![self.program.clone()];
        words.extend(self.config.map(|file| format!("--config={}", file.display())));
        words.extend([
            "sweep".to_owned(),
            format!("--vdn={}", run.targets[0].vdn_id),
            format!("--campaign={}", run.targets[0].campaign_id),
        ]);
        words.extend(session_id.map(|value| format!("--session-id={}", value.as_str())));
        words.extend(called.map(|value| format!("--called={}", value.as_str())));
        words.extend(custom_field.map(|value| format!("--custom-field={}", value.as_str())));
        words.extend(recycle_type.map(|value| format!("--recycle-type={value}")));
        words.extend(recycle_time.map(|value| format!("--recycle-time={value}")));
        words.extend(run.archive_history.then(|| "--archive-history".to_owned()));
        words.extend(chunk_size.map(|size| format!("--chunk-size={size}")));
        words.push("--execute".to_owned());
        let joined = shlex::try_join(words.iter().map(String::as_str));
        joined.map_err(|error| Failure::usage(format_args!("this command line cannot be written for a shell: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use callsweep_core::bounds::Bounds;
    use callsweep_core::campaign::{CampaignId, VdnId};
    use callsweep_core::criteria::Criteria;
    use callsweep_core::run::{RunKind, Target};
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn a_shell_reads_it_back() {
        let members =
            r#"{"sessionId":"a'b","customField":"-x $HOME","recycleTime":"2026-01-30 06:07:08","recycleType":"1"}"#;
        let criteria: Criteria = serde_json::from_str(members).unwrap();
        let run = NewRun {
            kind: RunKind::Manual,
            policy: None,
            actor: "dba".to_owned(),
            targets: vec![Target { vdn_id: VdnId::parse("1").unwrap(), campaign_id: CampaignId::parse("5").unwrap() }],
            criteria,
            archive_history: true,
            bounds: Bounds::default(),
            key: None,
            request: None,
        };
        let invocation =
            Invocation { program: "./callsweep-worker".to_owned(), config: Some(Path::new("my file.toml")) };
        let line = invocation.execute(&run, NonZeroUsize::new(100)).unwrap();
        let cli = Cli::try_parse_from(shlex::split(&line).unwrap()).unwrap();
        assert_eq!(cli.config.unwrap(), Path::new("my file.toml"));
        let Command::Sweep(args) = cli.command else { panic!("{line}") };
        assert!(args.execute && args.archive_history);
        assert_eq!((args.session_id.unwrap().as_str(), args.custom_field.unwrap().as_str()), ("a'b", "-x $HOME"));
        assert_eq!(args.recycle_time.unwrap(), "2026-01-30 06:07:08");
        assert_eq!(args.chunk_size, NonZeroUsize::new(100));
    }
}
