//! Where an import reads from: a file, or standard input.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::cli::exit::Failure;

/// The name for standard input on the command line.
const STANDARD_INPUT: &str = "-";

/// An open input.
pub(super) struct Input {
    /// As messages name it.
    pub(super) name: String,
    /// `None` where it is no regular file.
    pub(super) size: Option<u64>,
    /// Where its rejected lines go.
    pub(super) rejects: PathBuf,
    pub(super) reader: Box<dyn Read>,
}

impl Input {
    /// Opens a file or standard input (`-`).
    ///
    /// # Errors
    /// It cannot be read; or it is no file on disk, and nothing says where rejected lines go.
    pub(super) fn open(path: &Path, rejects: Option<PathBuf>) -> Result<Self, Failure> {
        let is_standard_input = path == Path::new(STANDARD_INPUT);
        let name = if is_standard_input { "standard input".to_owned() } else { path.display().to_string() };
        let cannot_read = |error: io::Error| Failure::usage(format_args!("{name} cannot be read: {error}"));
        let (reader, metadata): (Box<dyn Read>, Option<Metadata>) = if is_standard_input {
            (Box::new(io::stdin()), None)
        } else {
            let file = File::open(path).map_err(cannot_read)?;
            let metadata = file.metadata().map_err(cannot_read)?;
            (Box::new(file), Some(metadata))
        };
        if metadata.as_ref().is_some_and(Metadata::is_dir) {
            return Err(Failure::usage(format_args!("{name} is a directory. Name a CSV file")));
        }
        let file = metadata.filter(Metadata::is_file);
        let rejects = match rejects {
            Some(rejects) => rejects,
            None if file.is_some() && !is_below_system_directory(path) => beside(path),
            None => {
                return Err(Failure::usage(format_args!(
                    "{name} is no file on disk: give --rejects FILE, where lines that cannot be imported go"
                )));
            }
        };
        Ok(Self { name, size: file.map(|file| file.len()), rejects, reader })
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".rejected.csv");
    name.into()
}

/// `/dev/stdin` and `/dev/fd/3` may lead to a file on disk, and still nothing may be created beside them.
fn is_below_system_directory(path: &Path) -> bool {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    ["/dev", "/proc"].iter().any(|dir| absolute.starts_with(dir))
}
