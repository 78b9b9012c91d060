//! The file of rejected lines.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::columns::REJECTS_PREFIX;
use crate::cli::exit::Failure;

/// Phone numbers stand in it.
const OWNER_ONLY: u32 = 0o600;

/// Lines that could not be imported, each as it stands in the file, behind its number and the reason. The header is
/// that of the file with two columns in front, which an import skips: after mending the file can be imported as it is.
/// It is made when the first line comes.
pub(super) struct Rejects {
    path: PathBuf,
    header: Vec<u8>,
    delimiter: u8,
    writer: Option<BufWriter<File>>,
    count: u64,
}

impl Rejects {
    /// Chooses the file, without making it.
    ///
    /// # Errors
    /// It exists, and what is in it may not be lost; or its directory cannot be written.
    pub(super) fn new(path: PathBuf, header: &[u8], delimiter: u8) -> Result<Self, Failure> {
        let shown = path.display();
        if path.symlink_metadata().is_ok() {
            return Err(Failure::usage(format_args!(
                "{shown} is there already, and an import does not overwrite rejected lines. Move it away, or name another \
                 file with --rejects"
            )));
        }
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        tempfile::tempfile_in(dir).map_err(|error| {
            Failure::usage(format_args!(
                "rejected lines cannot be written to {shown}: {error}. Name another file with --rejects"
            ))
        })?;
        Ok(Self { header: header.to_vec(), delimiter, path, writer: None, count: 0 })
    }

    /// Begins a line: `original` is what it begins with, and [`Rejects::write`] adds to it.
    pub(super) fn begin(&mut self, line: u64, reason: &str, original: &[u8]) -> Result<(), Failure> {
        self.count += 1;
        let quoted = format!("\"{}\"", reason.replace('"', "\"\""));
        self.put(|file, delimiter| {
            file.write_all(line.to_string().as_bytes())?;
            file.write_all(&[delimiter])?;
            file.write_all(quoted.as_bytes())?;
            file.write_all(&[delimiter])?;
            file.write_all(original)
        })
    }

    /// Adds to the line that was begun.
    pub(super) fn write(&mut self, part: &[u8]) -> Result<(), Failure> {
        self.put(|file, _| file.write_all(part))
    }

    /// Ends the line that was begun.
    pub(super) fn end(&mut self) -> Result<(), Failure> {
        self.put(|file, _| file.write_all(b"\n"))
    }

    /// Writes what was added to the disk. Called before a chunk is committed, so that no line is behind the account.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        writer.flush().and_then(|()| writer.get_ref().sync_data()).map_err(|error| self.cannot_write(&error))
    }

    /// How many lines were added.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The file, if there is something in it.
    pub(super) fn path(&self) -> Option<&Path> {
        self.writer.as_ref().map(|_| self.path.as_path())
    }

    fn put(&mut self, write: impl FnOnce(&mut BufWriter<File>, u8) -> io::Result<()>) -> Result<(), Failure> {
        let file = match &mut self.writer {
            Some(file) => Ok(file),
            none => create(&self.path, &self.header, self.delimiter).map(|file| none.insert(file)),
        };
        file.and_then(|file| write(file, self.delimiter)).map_err(|error| self.cannot_write(&error))
    }

    fn cannot_write(&self, error: &io::Error) -> Failure {
        let path = self.path.display();
        Failure::failed(format_args!(
            "rejected lines cannot be written to {path}: {error}. Name another file with --rejects"
        ))
    }
}

fn create(path: &Path, header: &[u8], delimiter: u8) -> io::Result<BufWriter<File>> {
    // `create_new` follows no symbolic link.
    let file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path)?;
    let mut file = BufWriter::new(file);
    for name in REJECTS_PREFIX {
        file.write_all(name.as_bytes())?;
        file.write_all(&[delimiter])?;
    }
    file.write_all(header)?;
    file.write_all(b"\n")?;
    Ok(file)
}
