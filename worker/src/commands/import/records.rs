//! Splits a CSV stream into records, in bounded memory, and keeps the bytes of each record as they stand in the file.

use std::fmt;
use std::io::{self, BufRead, Read};

use csv_core::ReadRecordResult;

/// The longest record in bytes. Seven valid fields need less than 16 KiB, so nothing longer can be imported; it also
/// bounds what a quote that is never closed takes with it.
const RECORD_MAX_BYTES: usize = 64 * 1024;
/// Quoted fields of one record at most. Without this bound a hostile file could make every one of its lines open a
/// quote that is only found unclosed after 64 KiB, and reading would take thousands of times the file's size.
const QUOTED_FIELDS_MAX: usize = 64;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One record of the file.
pub(super) struct Record<'a> {
    /// The line it begins on; the first is 1. LF, CR LF and a lone CR each end a line.
    pub(super) line: u64,
    /// Its bytes in the file, without the end of the line. Of a line that is [`Malformed::TooLong`] this is the
    /// beginning; [`Records::rest_of_line`] has the rest.
    pub(super) original: &'a [u8],
    /// Its fields, or why it has none.
    pub(super) fields: Result<Fields<'a>, Malformed>,
}

impl Record<'_> {
    /// The line it ends on.
    pub(super) fn last_line(&self) -> u64 {
        self.line + count_line_breaks(self.original)
    }
}

/// Why a line is no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Malformed {
    /// A quoted field does not end, or something follows its closing quote.
    Quotes,
    /// Nothing within the bound ends the record.
    TooLong,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Quotes => {
                "its quotes do not match: a field that begins with one ends with one, and others in it are doubled"
            }
            Self::TooLong => "is longer than 64 KiB, which no number needs",
        })
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

    /// Whether no field has a value: spreadsheets write empty rows as a line of delimiters.
    pub(super) fn are_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// Reads records one by one.
///
/// The csv crate's own reader has no bound for a record: one quote that is never closed would take the rest of the
/// file into memory, and with it every line after it. Here the extent of a record is found first, by the strict
/// grammar of RFC 4180; a line that does not follow it is returned as malformed, and reading goes on with the next.
pub(super) struct Records<R> {
    input: R,
    delimiter: u8,
    parser: csv_core::Reader,
    /// Bytes that were read and not yet returned: `window[start..]`.
    window: Vec<u8>,
    start: usize,
    at_end: bool,
    in_long_line: bool,
    line: u64,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl<R: BufRead> Records<R> {
    /// A reader of comma-separated records, positioned behind a byte order mark.
    ///
    /// # Errors
    /// The file's.
    pub(super) fn new(input: R) -> io::Result<Self> {
        let mut records = Self {
            input,
            delimiter: b',',
            parser: csv_core::Reader::new(),
            window: Vec::new(),
            start: 0,
            at_end: false,
            in_long_line: false,
            line: 1,
            bytes: vec![0; RECORD_MAX_BYTES],
            // No record within the bound has more fields than bytes, and one.
            ends: vec![0; RECORD_MAX_BYTES + 1],
        };
        records.fill()?;
        if records.window.starts_with(BYTE_ORDER_MARK) {
            records.start = BYTE_ORDER_MARK.len();
        }
        Ok(records)
    }

    /// The first line that is not empty, without reading past it. For choosing the delimiter.
    pub(super) fn peek_line(&mut self) -> io::Result<&[u8]> {
        self.skip_line_breaks()?;
        let ahead = &self.window[self.start..];
        Ok(&ahead[..ahead.iter().position(|b| is_line_break(*b)).unwrap_or(ahead.len())])
    }

    /// Separates fields by this byte from now on.
    pub(super) fn set_delimiter(&mut self, delimiter: u8) {
        self.delimiter = delimiter;
        self.parser = csv_core::ReaderBuilder::new().delimiter(delimiter).build();
    }

    pub(super) fn delimiter(&self) -> u8 {
        self.delimiter
    }

    /// The next record, `None` at the end of the file. Empty lines are skipped.
    ///
    /// # Errors
    /// The file's.
    pub(super) fn next(&mut self) -> io::Result<Option<Record<'_>>> {
        while self.rest_of_line()?.is_some() {}
        self.skip_line_breaks()?;
        let ahead = &self.window[self.start..];
        if ahead.is_empty() {
            return Ok(None);
        }
        let ahead = &ahead[..ahead.len().min(RECORD_MAX_BYTES)];
        let (length, malformed) = match record_end(ahead, self.delimiter) {
            Ok(end) => (end, None),
            // The record that was begun is given up; its first line is returned alone.
            Err(reason) => match ahead.iter().position(|b| is_line_break(*b)) {
                Some(end) => (end, Some(reason)),
                None => (ahead.len(), Some(Malformed::TooLong)),
            },
        };
        self.in_long_line = length == ahead.len();
        let line = self.line;
        let original = self.start..self.start + length;
        self.line += count_line_breaks(&self.window[original.clone()]);
        self.start += length;
        let fields = match malformed {
            None => {
                let (written, fields) = self.split(original.clone());
                Ok(Fields { bytes: &self.bytes[..written], ends: &self.ends[..fields] })
            }
            Some(reason) => Err(reason),
        };
        Ok(Some(Record { line, original: &self.window[original], fields }))
    }

    /// The next part of a line that was returned as [`Malformed::TooLong`], `None` behind its end.
    ///
    /// # Errors
    /// The file's.
    pub(super) fn rest_of_line(&mut self) -> io::Result<Option<&[u8]>> {
        if !self.in_long_line {
            return Ok(None);
        }
        self.fill()?;
        let ahead = &self.window[self.start..];
        let end = ahead.iter().position(|b| is_line_break(*b));
        self.in_long_line = end.is_none() && !ahead.is_empty();
        let part = self.start..self.start + end.unwrap_or(ahead.len());
        self.start = part.end;
        Ok(Some(&self.window[part]))
    }

    /// Splits a record into `bytes` and `ends`; returns how much of each it took.
    fn split(&mut self, record: std::ops::Range<usize>) -> (usize, usize) {
        let (_, _, written, fields) = self.parser.read_record(&self.window[record], &mut self.bytes, &mut self.ends);
        // The line break of the file may be two bytes, of which the parser would keep one for the next record.
        let (result, _, more, last) =
            self.parser.read_record(b"\n", &mut self.bytes[written..], &mut self.ends[fields..]);
        debug_assert_eq!(result, ReadRecordResult::Record);
        (written + more, fields + last)
    }

    /// Skips line breaks and counts them: the one that ends the last record, and those of empty lines.
    fn skip_line_breaks(&mut self) -> io::Result<()> {
        loop {
            self.fill()?;
            match &self.window[self.start..] {
                [b'\r', b'\n', ..] => self.start += 2,
                [b'\r' | b'\n', ..] => self.start += 1,
                _ => return Ok(()),
            }
            self.line += 1;
        }
    }

    /// Reads on until the window has a record of the greatest length and the line break behind it. The last line
    /// always gets a line break, so that a record that does not end there has a quote open.
    fn fill(&mut self) -> io::Result<()> {
        const LINE_BREAK_MAX_BYTES: usize = 2;
        if self.at_end || self.window.len() - self.start >= RECORD_MAX_BYTES + LINE_BREAK_MAX_BYTES {
            return Ok(());
        }
        self.window.drain(..self.start);
        self.start = 0;
        // Twice the bound, so that the window is moved rarely.
        let wanted = 2 * RECORD_MAX_BYTES - self.window.len();
        let read = self.input.by_ref().take(wanted as u64).read_to_end(&mut self.window)?;
        if read < wanted {
            self.at_end = true;
            if self.window.last().is_some_and(|b| !is_line_break(*b)) {
                self.window.push(b'\n');
            }
        }
        Ok(())
    }
}

/// Where the record that begins `ahead` ends, without its line break.
fn record_end(ahead: &[u8], delimiter: u8) -> Result<usize, Malformed> {
    let (mut at, mut quoted) = (0, 0);
    loop {
        quoted += usize::from(ahead.get(at) == Some(&b'"'));
        if quoted > QUOTED_FIELDS_MAX {
            return Err(Malformed::Quotes);
        }
        at = field_end(ahead, at, delimiter)?;
        match ahead.get(at) {
            Some(b) if *b == delimiter => at += 1,
            Some(_) => return Ok(at),
            None => return Err(Malformed::TooLong),
        }
    }
}

/// Where the field that begins at `start` ends: at a delimiter, a line break, or the end of the bytes.
fn field_end(bytes: &[u8], start: usize, delimiter: u8) -> Result<usize, Malformed> {
    let ends_field = |b: &u8| *b == delimiter || is_line_break(*b);
    let ahead = &bytes[start..];
    let Some(quoted) = ahead.strip_prefix(b"\"") else {
        return Ok(start + ahead.iter().position(ends_field).unwrap_or(ahead.len()));
    };
    let mut at = 0;
    loop {
        at += quoted[at..].iter().position(|b| *b == b'"').ok_or(Malformed::Quotes)? + 1;
        match quoted.get(at) {
            Some(b'"') => at += 1,
            Some(b) if !ends_field(b) => return Err(Malformed::Quotes),
            _ => return Ok(start + 1 + at),
        }
    }
}

/// A line without its first `fields` fields. `None` where it does not have so many and something behind them.
pub(super) fn without_fields(line: &[u8], fields: usize, delimiter: u8) -> Option<&[u8]> {
    let mut at = 0;
    for _ in 0..fields {
        at = field_end(line, at, delimiter).ok().filter(|end| line.get(*end) == Some(&delimiter))? + 1;
    }
    Some(&line[at..])
}

fn is_line_break(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

/// Line breaks within a record: CR LF is one.
fn count_line_breaks(bytes: &[u8]) -> u64 {
    let mut breaks = 0;
    for (at, byte) in bytes.iter().enumerate() {
        breaks += u64::from(*byte == b'\r' || (*byte == b'\n' && (at == 0 || bytes[at - 1] != b'\r')));
    }
    breaks
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each record as "line: field|field", or "line! original".
    fn read(input: &[u8]) -> Vec<String> {
        let mut records = Records::new(input).unwrap();
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
        assert_eq!(read(b"1,\"\"\n\"\",2\n"), ["1: 1|", "2: |2"]);
    }

    #[test]
    fn each_kind_of_line_break_ends_a_line() {
        let lines = ["called,callData", "1,a", "", "2,\"b@c\"", "3,\"open", "4,d", "5,x\"y", "6,\"e\"f", "7,g"];
        let expected = |inner: &str| {
            let quoted = format!("4: 2|b{inner}c");
            let rest = ["6! 3,\"open", "7: 4|d", "8: 5|x\"y", "9! 6,\"e\"f", "10: 7|g"];
            let records = ["1: called|callData", "2: 1|a", &quoted].into_iter().chain(rest);
            records.map(str::to_owned).collect::<Vec<String>>()
        };
        for end in ["\n", "\r", "\r\n"] {
            for last in ["", end] {
                let file = lines.join(end).replace('@', end) + last;
                assert_eq!(read(file.as_bytes()), expected(end), "{file:?}");
            }
        }
        assert_eq!(
            read(b"1,a\r2,b\n3,c\r\n4,d\r\r5,e\n\r6,f"),
            ["1: 1|a", "2: 2|b", "3: 3|c", "4: 4|d", "6: 5|e", "8: 6|f"]
        );
    }

    #[test]
    fn originals_are_kept_as_they_are() {
        let mut records = Records::new(&b"1,\"a\"\"b\"\r\n2,\xff\n"[..]).unwrap();
        assert_eq!(records.next().unwrap().unwrap().original, b"1,\"a\"\"b\"");
        assert_eq!(records.next().unwrap().unwrap().original, b"2,\xff");
    }

    #[test]
    fn an_open_quote_costs_one_line() {
        assert_eq!(read(b"1,a\n2,\"b\n3,c\n4,d"), ["1: 1|a", "2! 2,\"b", "3: 3|c", "4: 4|d"]);
        // A later quote closes nothing: it stands in the middle of a field.
        assert_eq!(read(b"1,\"a\n2,b\"c\n3,\"d\"\n"), ["1! 1,\"a", "2: 2|b\"c", "3: 3|d"]);
        assert_eq!(read(b"1,\"a\"b\n2,c\n"), ["1! 1,\"a\"b", "2: 2|c"]);
        for end in ["\n", "\r", "\r\n"] {
            let mut far = format!("1,\"a{end}").into_bytes();
            far.extend(format!("2,b{end}").repeat(RECORD_MAX_BYTES).into_bytes());
            let records = read(&far);
            assert_eq!(records.len(), 1 + RECORD_MAX_BYTES);
            assert_eq!((records[0].as_str(), records[1].as_str()), ("1! 1,\"a", "2: 2|b"));
            assert_eq!(records[RECORD_MAX_BYTES], format!("{}: 2|b", RECORD_MAX_BYTES + 1));
        }
    }

    #[test]
    fn a_line_without_end_is_returned_in_parts() {
        let long: Vec<u8> = (b'A'..=b'Z').cycle().take(5 * RECORD_MAX_BYTES + 7).collect();
        for end in ["\n", "\r", "\r\n"] {
            let file = [b"1,a", end.as_bytes(), &long, end.as_bytes(), b"3,c", end.as_bytes()].concat();
            assert_eq!(read(&file)[2], "3: 3|c");
            let mut records = Records::new(&file[..]).unwrap();
            assert_eq!(records.next().unwrap().unwrap().line, 1);
            let mut whole = records.next().unwrap().unwrap().original.to_vec();
            while let Some(part) = records.rest_of_line().unwrap() {
                whole.extend_from_slice(part);
            }
            assert!(whole == long, "{} of {} bytes", whole.len(), long.len());
            assert_eq!(records.next().unwrap().unwrap().line, 3);
        }
    }

    #[test]
    fn memory_is_bounded_whatever_is_read() {
        let mut records = Records::new(io::BufReader::new(io::repeat(b'x').take(50_000_000))).unwrap();
        let mut length = records.next().unwrap().unwrap().original.len();
        while let Some(part) = records.rest_of_line().unwrap() {
            length += part.len();
        }
        assert_eq!(length, 50_000_000);
        assert!(records.next().unwrap().is_none());
        assert!(records.window.capacity() <= 8 * RECORD_MAX_BYTES, "{}", records.window.capacity());
    }

    #[test]
    fn quotes_that_never_close_do_not_make_reading_slow() {
        // Each line opens a quote that the next line seems to close and open again.
        let lines = 20_000;
        let file = b"x\",\"\"\"\n".repeat(lines);
        let begun = std::time::Instant::now();
        assert_eq!(read(&file).len(), lines);
        // 0.1 s here; without the bound every line costs 64 KiB, 1.3 GB together.
        assert!(begun.elapsed().as_secs_f64() < 5.0, "{:?}", begun.elapsed());
        assert_eq!(record_end(&file, b','), Err(Malformed::Quotes));
        assert_eq!(record_end(&b"\"\",".repeat(QUOTED_FIELDS_MAX + 1), b','), Err(Malformed::Quotes));
    }

    #[test]
    fn a_record_as_long_as_the_bound_is_read() {
        for length in RECORD_MAX_BYTES - 3..RECORD_MAX_BYTES + 3 {
            for end in ["\n", "\r\n"] {
                let mut input = b"y".repeat(length);
                input.extend(format!("{end}2,b{end}").into_bytes());
                let records = read(&input);
                assert_eq!(records.len(), 2, "{length}");
                assert_eq!(records[1], "2: 2|b");
                assert_eq!(records[0].starts_with("1: "), length < RECORD_MAX_BYTES);
            }
        }
    }

    #[test]
    fn leading_fields_are_taken_off_a_line() {
        assert_eq!(without_fields(b"7,\"a, \"\"b\"\"\",\"open,1", 2, b','), Some(&b"\"open,1"[..]));
        assert_eq!(without_fields(b"7;;1", 2, b';'), Some(&b"1"[..]));
        assert_eq!(without_fields(b"7,1", 2, b','), None);
        assert_eq!(without_fields(b"7,\"1", 2, b','), None);
        assert_eq!(without_fields(b"7,1", 0, b','), Some(&b"7,1"[..]));
    }
}
