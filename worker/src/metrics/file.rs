//! The metrics of a single run as a file, for the textfile collector of node_exporter.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::Metrics;
use crate::cli::exit::Failure;

/// The collector runs as another user. No phone number stands in the file. The umask applies.
const READABLE: u32 = 0o644;

/// Where the metrics of a run go.
pub(crate) struct MetricsFile(PathBuf);

impl MetricsFile {
    /// Chooses the file, before a run begins.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn check(path: &Path) -> Result<Self, Failure> {
        let writable =
            if path.is_dir() { Err(io::Error::from(io::ErrorKind::IsADirectory)) } else { temporary(path).map(drop) };
        let file = Self(path.to_owned());
        match writable {
            Ok(()) => Ok(file),
            Err(error) => Err(Failure::usage(file.cannot_write(&error))),
        }
    }

    /// Writes all metrics at once: a reader sees the old file or the new one.
    ///
    /// # Errors
    /// It cannot be written any more.
    pub(crate) fn write(&self, metrics: &Metrics) -> Result<(), Failure> {
        let written = temporary(&self.0).and_then(|mut file| {
            file.write_all(metrics.text().as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&self.0).map_err(|error| error.error)
        });
        written.map(drop).map_err(|error| Failure::failed(self.cannot_write(&error)))
    }

    fn cannot_write(&self, error: &io::Error) -> String {
        format!("--metrics-file {}: {error}. Name a file in a directory that can be written", self.0.display())
    }
}

/// A new file in the same directory, under a name that nobody can prepare a link for. The collector reads *.prom only.
fn temporary(path: &Path) -> io::Result<NamedTempFile> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    tempfile::Builder::new()
        .prefix(".callsweep-metrics-")
        .suffix(".new")
        .permissions(Permissions::from_mode(READABLE))
        .tempfile_in(dir)
}
