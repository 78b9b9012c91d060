//! What the columns of a file mean, and how a record becomes a number.

use callsweep_core::criteria::RecycleTime;
use callsweep_core::invalid::{InvalidParameter, Problem};
use callsweep_core::number::{Called, CustomField, NewNumber, NumberStatus, SessionId};

use super::records::Fields;

/// The vendor's columns, by the names of their header.
const NAMES: [&str; 7] = ["sessionId", "called", "caller", "callData", "customField", "recycleTime", "priority"];
/// Where `called` is among them.
const CALLED: usize = 1;

/// The most characters of a caller number.
const CALLER_MAX_CHARS: usize = 24;
/// The most characters of the data for the agent.
const CALL_DATA_MAX_CHARS: usize = 1024;
/// The priority of a number whose line gives none.
const DEFAULT_PRIORITY: i16 = 3;

/// The columns that a rejects file has before those of the file that was imported. An import of a rejects file skips
/// them.
pub(super) const REJECTS_PREFIX: [&str; 2] = ["line", "reason"];

/// What separates fields: spreadsheets write semicolons where the decimal mark is a comma, and tabs as "text".
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// The delimiter of a file whose header is this line: the one that gives the most known columns.
pub(super) fn delimiter_of(header: &[u8]) -> u8 {
    let known = |delimiter: &u8| {
        let cells = header.split(|b| b == delimiter);
        cells.filter(|cell| known_column(unquoted(cell)).is_some()).count()
    };
    // `max_by_key` takes the last of equals.
    DELIMITERS.into_iter().rev().max_by_key(known).unwrap_or(b',')
}

/// A cell without its quotes, as far as the names of columns need that.
fn unquoted(cell: &[u8]) -> &[u8] {
    let cell = cell.trim_ascii();
    cell.strip_prefix(b"\"").and_then(|cell| cell.strip_suffix(b"\"")).unwrap_or(cell)
}

/// Which of [`NAMES`] a cell of the header is. Upper and lower case are one.
fn known_column(cell: &[u8]) -> Option<usize> {
    NAMES.iter().position(|name| name.as_bytes().eq_ignore_ascii_case(cell.trim_ascii()))
}

/// What a field of a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    /// The value of one of [`NAMES`].
    Named(usize),
    /// Of [`REJECTS_PREFIX`].
    Skipped,
    /// The header has no name for it: spreadsheets write empty columns as further delimiters. It has to be empty.
    Unnamed,
}

/// What the fields of each line are, in their order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Columns {
    columns: Vec<Column>,
    /// Fields that each line has to have: up to the last one that has a name.
    required: usize,
}

impl Columns {
    /// Reads the header.
    ///
    /// # Errors
    /// Names the column that is unknown, given twice, or missing.
    pub(super) fn read(header: &Fields<'_>) -> Result<Self, String> {
        let names = NAMES.join(", ");
        let cells: Vec<&[u8]> = header.iter().map(<[u8]>::trim_ascii).collect();
        if !cells.iter().any(|cell| known_column(cell).is_some()) {
            // The cells are not repeated: where the header is missing they are a subscriber's data.
            return Err(format!(
                "the first line is no header. It has to name the columns, separated by commas, semicolons or tabs, \
                 among {names}"
            ));
        }
        let mut columns = Vec::with_capacity(cells.len());
        if has_rejects_prefix(&cells) {
            columns.extend([Column::Skipped; REJECTS_PREFIX.len()]);
        }
        for cell in &cells[columns.len()..] {
            if cell.is_empty() {
                columns.push(Column::Unnamed);
                continue;
            }
            let text = String::from_utf8_lossy(cell);
            let column = known_column(cell)
                .map(Column::Named)
                .ok_or_else(|| format!("unknown column {text:?} in the header. Known are {names}"))?;
            if columns.contains(&column) {
                return Err(format!("column {text:?} is in the header twice. Remove one of the two"));
            }
            columns.push(column);
        }
        if !columns.contains(&Column::Named(CALLED)) {
            return Err("column \"called\" is missing in the header. Every number needs it".to_owned());
        }
        let last_named = columns.iter().rposition(|column| *column != Column::Unnamed);
        Ok(Self { required: last_named.map_or(0, |last| last + 1), columns })
    }

    /// Fields before those of the imported file: 0, or 2 where the file is a rejects file.
    pub(super) fn rejects_prefix(&self) -> usize {
        self.columns.iter().filter(|column| **column == Column::Skipped).count()
    }

    /// Makes a number of a record.
    ///
    /// # Errors
    /// What is wrong, without the value: it may be a subscriber's.
    pub(super) fn number(&self, fields: &Fields<'_>, id: i64) -> Result<NewNumber, String> {
        if fields.len() < self.required {
            return Err(format!("has {} fields where the header has {}", fields.len(), self.required));
        }
        let mut cells = [None; NAMES.len()];
        for (position, cell) in fields.iter().enumerate().filter(|(_, cell)| !cell.is_empty()) {
            match self.columns.get(position) {
                Some(Column::Named(column)) => {
                    let text = std::str::from_utf8(cell);
                    cells[*column] = Some(text.map_err(|_| format!("{}: is not valid UTF-8", NAMES[*column]))?);
                }
                Some(Column::Skipped) => {}
                Some(Column::Unnamed) | None => {
                    return Err(format!("field {} has a value, and the header has no name for it", position + 1));
                }
            }
        }
        number(cells, id).map_err(|error| error.to_string())
    }
}

fn has_rejects_prefix(cells: &[&[u8]]) -> bool {
    let mut pairs = cells.iter().zip(REJECTS_PREFIX);
    cells.len() > REJECTS_PREFIX.len() && pairs.all(|(cell, name)| cell.eq_ignore_ascii_case(name.as_bytes()))
}

fn number(cells: [Option<&str>; NAMES.len()], id: i64) -> Result<NewNumber, InvalidParameter> {
    let [session_id, called, caller, call_data, custom_field, recycle_time, priority] = cells;
    Ok(NewNumber {
        id,
        session_id: session_id.map(SessionId::parse).transpose()?,
        called: Called::parse(called.unwrap_or_default())?,
        caller: caller.map(read_caller).transpose()?,
        call_data: call_data.map(read_call_data).transpose()?,
        custom_field: custom_field.map(CustomField::parse).transpose()?,
        recycle_time: recycle_time.map(RecycleTime::parse).transpose()?.map(RecycleTime::get),
        priority: priority.map_or(Ok(DEFAULT_PRIORITY), read_priority)?,
        status: NumberStatus::Waiting,
    })
}

fn read_caller(text: &str) -> Result<String, InvalidParameter> {
    let allowed = |c: char| c.is_ascii_digit() || matches!(c, '*' | '#' | '+');
    read_text("caller", text, CALLER_MAX_CHARS, allowed)
}

/// Line breaks are allowed; a NUL is not: PostgreSQL cannot store it.
fn read_call_data(text: &str) -> Result<String, InvalidParameter> {
    read_text("callData", text, CALL_DATA_MAX_CHARS, |c| c != '\0')
}

fn read_text(
    name: &'static str,
    text: &str,
    max_chars: usize,
    allowed: impl Fn(char) -> bool,
) -> Result<String, InvalidParameter> {
    if text.chars().count() > max_chars {
        return Err(InvalidParameter::new(name, Problem::TooLong { max_chars }));
    }
    if !text.chars().all(allowed) {
        return Err(InvalidParameter::new(name, Problem::Characters));
    }
    Ok(text.to_owned())
}

fn read_priority(text: &str) -> Result<i16, InvalidParameter> {
    let wrong = || InvalidParameter::new("priority", Problem::Value("an integer from 0 to 32767"));
    // i16 alone would take "+3".
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    text.parse().map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::super::records::Records;
    use super::*;

    fn read(file: &[u8]) -> Result<NewNumber, String> {
        let mut records = Records::new(file).unwrap();
        let delimiter = delimiter_of(records.peek_line().unwrap());
        records.set_delimiter(delimiter);
        let columns = Columns::read(&records.next().unwrap().unwrap().fields.unwrap())?;
        columns.number(&records.next().unwrap().unwrap().fields.unwrap(), 7)
    }

    #[test]
    fn columns_stand_in_any_order() {
        let number = read(
            "priority,customField,called,recycleTime,callData,caller,sessionId\n\
             9,batch,138*#,2026-01-02 03:04:05,\"a\nb\",+8610*#,推荐\n"
                .as_bytes(),
        )
        .unwrap();
        assert_eq!((number.id, number.priority, number.status), (7, 9, NumberStatus::Waiting));
        assert_eq!(number.called.as_str(), "138*#");
        assert_eq!(number.session_id.unwrap().as_str(), "推荐");
        assert_eq!(number.custom_field.unwrap().as_str(), "batch");
        assert_eq!((number.caller.unwrap(), number.call_data.unwrap()), ("+8610*#".to_owned(), "a\nb".to_owned()));
        assert_eq!(number.recycle_time.unwrap().to_string(), "2026-01-02 03:04:05");
    }

    #[test]
    fn an_empty_cell_is_not_given() {
        for file in ["called\n138\n", "sessionId,called,caller,callData,customField,recycleTime,priority\n,138,,,,,\n"]
        {
            let number = read(file.as_bytes()).unwrap();
            assert_eq!((number.session_id, number.caller, number.call_data), (None, None, None));
            assert_eq!((number.custom_field, number.recycle_time, number.priority), (None, None, 3));
        }
    }

    #[test]
    fn what_spreadsheets_write_is_read() {
        for file in [
            "called;priority;callData\n138;7;a,b\n",
            "CALLED\tPriority\tcalldata\n138\t7\ta,b\n",
            " called , priority , callData \n138,7,\"a,b\"\n",
            "\"called\";\"priority\";\"callData\"\n\"138\";\"7\";\"a,b\"\n",
            "called,priority,callData,,\n138,7,\"a,b\",,\n",
            "called,priority,callData,,\n138,7,\"a,b\"\n",
            "called,priority,callData\n138,7,\"a,b\",,,\n",
            "line,reason,called,priority,callData\n52,\"was, once\",138,7,\"a,b\"\n",
        ] {
            let number = read(file.as_bytes()).unwrap();
            let read = (number.called.as_str(), number.priority, number.call_data.as_deref());
            assert_eq!(read, ("138", 7, Some("a,b")), "{file:?}");
        }
    }

    #[test]
    fn the_header_is_checked() {
        for (header, says) in [
            ("called,name", "unknown column \"name\""),
            ("called;nom", "unknown column \"nom\""),
            ("called,Called", "column \"Called\" is in the header twice"),
            ("line,called", "unknown column \"line\""),
            ("called|caller", "separated by commas, semicolons or tabs"),
            ("caller,sessionId", "column \"called\" is missing"),
            ("13800138000,", "the first line is no header"),
        ] {
            let error = read(header.as_bytes()).unwrap_err();
            assert!(error.contains(says) && !error.contains("13800138000"), "{error}");
        }
    }

    #[test]
    fn reasons_name_the_column_and_not_the_value() {
        let caller = format!("called,caller\n1,{}\n", "1".repeat(25));
        let data = format!("called,callData\n1,{}\n", "字".repeat(1025));
        for (file, reason) in [
            (&b"called,caller\n1\n"[..], "has 1 fields where the header has 2"),
            (b"called\n1,2\n", "field 2 has a value, and the header has no name for it"),
            (b"called,,caller\n1,2,3\n", "field 2 has a value, and the header has no name for it"),
            (b"line,reason,called\n1,x\n", "has 2 fields where the header has 3"),
            (b"called,caller\n,1\n", "called: must not be empty"),
            (b"called\n138-00\n", "called: has a character that is not allowed here"),
            (b"called,callData\n1,\xff\n", "callData: is not valid UTF-8"),
            (b"called,callData\n1,a\0b\n", "callData: has a character that is not allowed here"),
            (b"called,customField\n1,a\0b\n", "customField: has a character that is not allowed here"),
            (b"called,caller\n1,x\n", "caller: has a character that is not allowed here"),
            (
                b"called,recycleTime\n1,2021-02-29 00:00:00\n",
                "recycleTime: must be a real date and time in the form yyyy-mm-dd hh:mm:ss",
            ),
            (b"called,priority\n1,+3\n", "priority: must be an integer from 0 to 32767"),
            (b"called,priority\n1,32768\n", "priority: must be an integer from 0 to 32767"),
            (caller.as_bytes(), "caller: is longer than 24 characters"),
            (data.as_bytes(), "callData: is longer than 1024 characters"),
        ] {
            assert_eq!(read(file).unwrap_err(), reason);
        }
    }
}
