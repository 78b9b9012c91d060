//! Splits a CSV stream into records, in bounded memory, and keeps what was written in the file.

use std::io::{self, BufRead, Read};

use csv_core::ReadRecordResult;

/// The longest record in bytes. Seven valid fields need less than 16 KiB, so nothing longer can be imported; what a
/// quote that is never closed swallows before it is noticed stays small, too.
const RECORD_MAX_BYTES: usize = 64 * 1024;
/// How much of a line that is longer than this is kept to show it, in bytes.
const SHOWN_BYTES: usize = 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One record of the file.
pub(super) struct Record<'a> {
    /// The line it begins on; the first is 1.
    pub(super) line: u64,
    /// Its bytes in the file, without the end of the line.
    pub(super) original: &'a [u8],
    /// Its fields, or why it has none.
    pub(super) fields: Result<Fields<'a>, &'static str>,
}

impl Record<'_> {
    /// The line it ends on.
    pub(super) fn last_line(&self) -> u64 {
        self.line + count_lines(self.original)
    }
}

/// The fields of a record.
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    /// Where each field ends in `bytes`.
    ends: &'a [usize],
}

impl<'a> Fields<'a> {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The fields in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &'a [u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(self.ends).map(|(start, end)| &self.bytes[start..*end])
    }
}

/// Reads records one by one.
///
/// The csv crate's own reader has no bound for a record: one quote that is never closed would take the rest of the
/// file into memory, and with it every line after it. Here such a line is given back as one that cannot be read, and
/// reading goes on with the next line.
pub(super) struct Records<R> {
    input: R,
    parser: csv_core::Reader,
    /// Bytes read and not yet given out: `window[start..]`.
    window: Vec<u8>,
    start: usize,
    at_end: bool,
    line: u64,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl<R: BufRead> Records<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            parser: csv_core::Reader::new(),
            window: Vec::new(),
            start: 0,
            at_end: false,
            line: 0,
            bytes: vec![0; RECORD_MAX_BYTES],
            // No record that fits has more fields than bytes.
            ends: vec![0; RECORD_MAX_BYTES],
        }
    }

    /// The next record, `None` at the end of the file. Empty lines are passed over.
    ///
    /// # Errors
    /// The file's.
    pub(super) fn next(&mut self) -> io::Result<Option<Record<'_>>> {
        self.fill()?;
        if self.line == 0 {
            self.line = 1;
            if self.window.starts_with(BYTE_ORDER_MARK) {
                self.start = BYTE_ORDER_MARK.len();
            }
        }
        while let Some(end @ (b'\r' | b'\n')) = self.window.get(self.start) {
            self.line += u64::from(*end == b'\n');
            self.start += 1;
            self.fill()?;
        }
        let ahead = &self.window[self.start..];
        if ahead.is_empty() {
            return Ok(None);
        }
        let ahead = &ahead[..ahead.len().min(RECORD_MAX_BYTES)];
        let (result, read, written, fields) = self.parser.read_record(ahead, &mut self.bytes, &mut self.ends);
        if result != ReadRecordResult::Record {
            return self.unreadable_line().map(Some);
        }
        let original = self.start..self.start + read;
        // The parser forgives a quote in a wrong place, and so would take the lines up to the next quote for one field.
        if !quotes_match(&self.window[original.clone()]) {
            return self.unreadable_line().map(Some);
        }
        let line = self.line;
        self.line += count_lines(&self.window[original.clone()]);
        self.start += read;
        Ok(Some(Record {
            line,
            original: without_line_end(&self.window[original]),
            fields: Ok(Fields { bytes: &self.bytes[..written], ends: &self.ends[..fields] }),
        }))
    }

    /// Gives out one line of the file whose record does not end within the bound.
    fn unreadable_line(&mut self) -> io::Result<Record<'_>> {
        self.parser.reset();
        let line = self.line;
        let ahead = &self.window[self.start..];
        if let Some(length) = ahead.iter().position(|b| *b == b'\n') {
            let original = self.start..self.start + length;
            self.start += length;
            let reason =
                "its quotes do not match: a field that begins with one ends with one, and others in it are doubled";
            return Ok(Record { line, original: without_line_end(&self.window[original]), fields: Err(reason) });
        }
        let shown = SHOWN_BYTES.min(ahead.len());
        self.bytes[..shown].copy_from_slice(&ahead[..shown]);
        self.window.clear();
        self.start = 0;
        self.input.skip_until(b'\n')?;
        self.line += 1;
        let reason = "longer than 64 KiB; only its first 1024 bytes are shown here";
        Ok(Record { line, original: &self.bytes[..shown], fields: Err(reason) })
    }

    /// Sees to it that the window holds a whole record, if a record is within the bound. The last line always gets
    /// an end, so that a record that does not end there has a quote open.
    fn fill(&mut self) -> io::Result<()> {
        if self.at_end || self.window.len() - self.start >= RECORD_MAX_BYTES {
            return Ok(());
        }
        self.window.drain(..self.start);
        self.start = 0;
        // Twice the bound, so that the window is moved rarely.
        let wanted = 2 * RECORD_MAX_BYTES - self.window.len();
        let read = self.input.by_ref().take(wanted as u64).read_to_end(&mut self.window)?;
        if read < wanted {
            self.at_end = true;
            if self.window.last().is_some_and(|b| *b != b'\n') {
                self.window.push(b'\n');
            }
        }
        Ok(())
    }
}

/// Whether each quoted field ends with its quote.
fn quotes_match(record: &[u8]) -> bool {
    let (mut begins, mut quoted) = (true, false);
    let mut bytes = record.iter().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' if quoted => match bytes.peek() {
                Some(b'"') => _ = bytes.next(),
                None | Some(b',' | b'\r' | b'\n') => quoted = false,
                Some(_) => return false,
            },
            b'"' if begins => quoted = true,
            _ => {}
        }
        begins = !quoted && *byte == b',';
    }
    true
}

#[allow(clippy::naive_bytecount, reason = "a record is short")]
fn count_lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|b| **b == b'\n').count() as u64
}

fn without_line_end(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each record as "line: field|field", or "line! original".
    fn read(input: &[u8]) -> Vec<String> {
        let mut records = Records::new(input);
        let mut read = Vec::new();
        while let Some(record) = records.next().unwrap() {
            let Record { line, original, fields } = record;
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            read.push(match fields {
                Ok(fields) => format!("{line}: {}", fields.iter().map(text).collect::<Vec<_>>().join("|")),
                Err(_) => format!("{line}! {}", text(&original[..original.len().min(40)])),
            });
        }
        read
    }

    #[test]
    fn line_ends_and_quotes() {
        assert_eq!(
            read(b"\xef\xbb\xbfa,b\r\n\r\n1,\"x\r\ny\"\r\n\n2,\"\"\"q\"\"\"\n3,"),
            ["1: a|b", "3: 1|x\r\ny", "6: 2|\"q\"", "7: 3|"]
        );
        assert_eq!(read(b""), Vec::<String>::new());
        assert_eq!(read(b"\xef\xbb\xbf\n\n"), Vec::<String>::new());
        assert_eq!(read(b"1,2"), ["1: 1|2"]);
    }

    #[test]
    fn originals_are_kept_as_they_are() {
        let mut records = Records::new(&b"1,\"a\"\"b\"\r\n2,\xff\n"[..]);
        assert_eq!(records.next().unwrap().unwrap().original, b"1,\"a\"\"b\"");
        assert_eq!(records.next().unwrap().unwrap().original, b"2,\xff");
    }

    #[test]
    fn an_open_quote_costs_one_line() {
        assert_eq!(read(b"1,a\n2,\"b\n3,c\n4,d"), ["1: 1|a", "2! 2,\"b", "3: 3|c", "4: 4|d"]);
        // A later quote closes nothing: it stands in the middle of a field.
        assert_eq!(read(b"1,\"a\n2,b\"c\n3,\"d\"\n"), ["1! 1,\"a", "2: 2|b\"c", "3: 3|d"]);
        assert_eq!(read(b"1,\"a\"b\n2,c\n"), ["1! 1,\"a\"b", "2: 2|c"]);
        let mut far = b"1,\"a\n".to_vec();
        far.extend(b"2,b\n".repeat(RECORD_MAX_BYTES));
        let records = read(&far);
        assert_eq!(records.len(), 1 + RECORD_MAX_BYTES);
        assert_eq!((records[0].as_str(), records[1].as_str()), ("1! 1,\"a", "2: 2|b"));
        assert_eq!(records[RECORD_MAX_BYTES], format!("{}: 2|b", RECORD_MAX_BYTES + 1));
    }

    #[test]
    fn a_line_without_end_takes_no_memory() {
        let mut input = b"1,a\n".to_vec();
        input.extend(b"x".repeat(5 * RECORD_MAX_BYTES));
        input.extend(b"\n3,c\n");
        let expected = ["1: 1|a".to_owned(), format!("2! {}", "x".repeat(40)), "3: 3|c".to_owned()];
        assert_eq!(read(&input), expected);

        let mut records = Records::new(io::BufReader::new(io::repeat(b'x').take(50_000_000)));
        assert_eq!(records.next().unwrap().unwrap().original.len(), SHOWN_BYTES);
        assert!(records.next().unwrap().is_none());
        assert!(records.window.capacity() <= 8 * RECORD_MAX_BYTES, "{}", records.window.capacity());
    }

    #[test]
    fn a_record_as_long_as_the_bound_is_read() {
        for length in RECORD_MAX_BYTES - 3..RECORD_MAX_BYTES + 3 {
            let mut input = b"y".repeat(length);
            input.extend(b"\n2,b\n");
            let records = read(&input);
            assert_eq!(records.len(), 2, "{length}");
            assert_eq!(records[1], "2: 2|b");
            assert_eq!(records[0].starts_with("1: "), length < RECORD_MAX_BYTES);
        }
    }
}
