//! The metrics of a single run as a file, for the textfile collector of node_exporter.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use super::Metrics;
use crate::exit::Failure;

/// Writes all metrics to a file, at once: whoever reads it sees the old one or the new one.
pub(crate) fn write_file(metrics: &Metrics, path: &Path) -> Result<(), Failure> {
    let mut new = path.as_os_str().to_owned();
    // The collector reads *.prom only.
    new.push(format!(".{}.new", std::process::id()));
    let written = File::create(&new)
        .and_then(|mut file| file.write_all(metrics.text().as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&new, path));
    written.map_err(|error| {
        let _ = fs::remove_file(&new);
        Failure::failed(format_args!(
            "--metrics-file {}: {error}. Name a file in a directory that can be written",
            path.display()
        ))
    })
}
