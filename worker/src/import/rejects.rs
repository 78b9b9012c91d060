//! The file of rejected lines.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use crate::exit::Failure;

/// Lines that could not be imported, each with its number, the reason, and what was written there. The file is made
/// when the first one comes.
pub(super) struct Rejects {
    path: PathBuf,
    writer: Option<csv::Writer<File>>,
    count: u64,
}

impl Rejects {
    /// Chooses the file, without making it.
    ///
    /// # Errors
    /// It exists: what is in it may not be lost.
    pub(super) fn new(input: &Path, chosen: Option<PathBuf>) -> Result<Self, Failure> {
        let path = chosen.unwrap_or_else(|| {
            let mut name = OsString::from(input);
            name.push(".rejected.csv");
            name.into()
        });
        if path.symlink_metadata().is_ok() {
            return Err(Failure::usage(format_args!(
                "{} is there already, and an import does not overwrite rejected lines. Move it away, or name another \
                 file with --rejects",
                path.display()
            )));
        }
        Ok(Self { path, writer: None, count: 0 })
    }

    /// Adds a line.
    pub(super) fn add(&mut self, line: u64, reason: &str, original: &[u8]) -> Result<(), Failure> {
        self.count += 1;
        let result = match &mut self.writer {
            Some(writer) => writer.write_record([line.to_string().as_bytes(), reason.as_bytes(), original]),
            none => Self::create(&self.path).map_err(csv::Error::from).and_then(|writer| {
                let writer = none.insert(writer);
                writer.write_record(["line", "reason", "original"])?;
                writer.write_record([line.to_string().as_bytes(), reason.as_bytes(), original])
            }),
        };
        result.map_err(|error| self.cannot_write(&error))
    }

    /// Hands what was added to the operating system. Called before a chunk is committed, so that no line is behind
    /// the account.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        let flushed = self.writer.as_mut().map_or(Ok(()), csv::Writer::flush);
        flushed.map_err(|error| self.cannot_write(&error.into()))
    }

    /// How many lines were added.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The file, if there is something in it.
    pub(super) fn path(&self) -> Option<&Path> {
        self.writer.as_ref().map(|_| self.path.as_path())
    }

    fn create(path: &Path) -> std::io::Result<csv::Writer<File>> {
        Ok(csv::Writer::from_writer(OpenOptions::new().write(true).create_new(true).open(path)?))
    }

    fn cannot_write(&self, error: &csv::Error) -> Failure {
        let path = self.path.display();
        Failure::failed(format_args!(
            "rejected lines cannot be written to {path}: {error}. Name another file with --rejects"
        ))
    }
}
