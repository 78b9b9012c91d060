//! The account of an import.

use std::fmt;
use std::path::PathBuf;

use callsweep_core::campaign::{CampaignId, VdnId};
use serde::Serialize;

use crate::cli::exit::Exit;
use crate::cli::output::{grouped, printable};

/// How an import ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ImportState {
    /// The whole file was read.
    Succeeded,
    /// A person stopped it.
    Stopped,
    /// An error ended it.
    Failed,
}

/// What an import did.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImportReport {
    pub(super) vdn_id: VdnId,
    /// `None`: it was to be created with the first number, and there was none.
    pub(super) campaign_id: Option<CampaignId>,
    pub(super) campaign_name: String,
    pub(super) campaign_created: bool,
    pub(super) state: ImportState,
    /// Numbers that are in the campaign now.
    pub(super) imported: u64,
    pub(super) rejected: u64,
    pub(super) rejects_file: Option<PathBuf>,
    /// Every line up to this one is imported or rejected.
    pub(super) last_line: u64,
    pub(super) seconds: f64,
}

impl ImportReport {
    /// The exit code that tells it.
    pub(super) fn exit(&self) -> Exit {
        match (self.state, self.imported, self.rejected) {
            (ImportState::Failed, ..) => Exit::Failed,
            (ImportState::Stopped, ..) => Exit::StoppedByPerson,
            (ImportState::Succeeded, 0, 0) => Exit::NothingToDo,
            (ImportState::Succeeded, 0, _) => Exit::Failed,
            (ImportState::Succeeded, _, 0) => Exit::Done,
            (ImportState::Succeeded, ..) => Exit::FailedInPart,
        }
    }
}

impl fmt::Display for ImportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (vdn, name) = (self.vdn_id, printable(&self.campaign_name));
        match self.campaign_id {
            Some(id) => {
                let created = if self.campaign_created { ", which was created" } else { "" };
                let imported = grouped(self.imported);
                writeln!(f, "{imported:>11} numbers imported into campaign {id} ({name}) of VDN {vdn}{created}")?;
            }
            None => writeln!(f, "{:>11} numbers imported; campaign {name} of VDN {vdn} was not created", 0)?,
        }
        match &self.rejects_file {
            Some(file) => writeln!(
                f,
                "{:>11} {} rejected; mend {} in {} and import that file",
                grouped(self.rejected),
                if self.rejected == 1 { "line" } else { "lines" },
                if self.rejected == 1 { "it" } else { "them" },
                file.display()
            )?,
            None => writeln!(f, "{:>11} lines rejected", 0)?,
        }
        writeln!(f, "{:>11.1} seconds", self.seconds)?;
        if self.state == ImportState::Succeeded {
            return Ok(());
        }
        let how = if self.state == ImportState::Stopped { "stopped by a person" } else { "failed" };
        write!(f, "The import {how} after line {}. To go on, ", self.last_line)?;
        match self.campaign_id {
            Some(id) => {
                writeln!(f, "import a file with the header and the lines after that one, with --campaign {id}.")
            }
            None => writeln!(f, "import the file again."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_tells_the_account() {
        let report = |state, imported, rejected| ImportReport {
            vdn_id: VdnId::parse("1").unwrap(),
            campaign_id: CampaignId::parse("5").ok(),
            campaign_name: "spring".to_owned(),
            campaign_created: false,
            state,
            imported,
            rejected,
            rejects_file: None,
            last_line: 1,
            seconds: 0.0,
        };
        assert_eq!(report(ImportState::Succeeded, 2, 0).exit(), Exit::Done);
        assert_eq!(report(ImportState::Succeeded, 2, 1).exit(), Exit::FailedInPart);
        assert_eq!(report(ImportState::Succeeded, 0, 1).exit(), Exit::Failed);
        assert_eq!(report(ImportState::Succeeded, 0, 0).exit(), Exit::NothingToDo);
        assert_eq!(report(ImportState::Stopped, 2, 1).exit(), Exit::StoppedByPerson);
        assert_eq!(report(ImportState::Failed, 2, 0).exit(), Exit::Failed);
        assert!(report(ImportState::Stopped, 2, 0).to_string().contains("stopped by a person after line 1"));
    }
}
