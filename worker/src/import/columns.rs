//! What the columns of a file mean, and how a record becomes a number.

use callsweep_core::criteria::RecycleTime;
use callsweep_core::error::{InvalidParameter, Problem};
use callsweep_core::number::{Called, CustomField, NewNumber, NumberStatus, SessionId};

use super::records::Fields;

/// The vendor's columns, by the names of their header.
const NAMES: [&str; 7] = ["sessionId", "called", "caller", "callData", "customField", "recycleTime", "priority"];

/// The most characters of a caller number.
const CALLER_MAX_CHARS: usize = 24;
/// The most characters of the data for the agent.
const CALL_DATA_MAX_CHARS: usize = 1024;
/// The priority of a number whose line gives none.
const DEFAULT_PRIORITY: i16 = 3;

/// For each column of a file, which of [`NAMES`] it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Columns(Vec<usize>);

impl Columns {
    /// Reads the header.
    ///
    /// # Errors
    /// Names the column that is unknown, given twice, or missing.
    pub(super) fn read(header: &Fields<'_>) -> Result<Self, String> {
        let names = NAMES.join(", ");
        let found: Vec<Option<usize>> =
            header.iter().map(|cell| NAMES.iter().position(|n| n.as_bytes() == cell)).collect();
        if found.iter().all(Option::is_none) {
            // The cells are not repeated: where the header is missing they are a subscriber's data.
            return Err(format!("the first line is no header. It has to name the columns, among {names}"));
        }
        let mut columns = Vec::with_capacity(found.len());
        for (cell, column) in header.iter().zip(found) {
            let cell = String::from_utf8_lossy(cell);
            let column = column.ok_or_else(|| format!("unknown column {cell:?} in the header. Known are {names}"))?;
            if columns.contains(&column) {
                return Err(format!("column {cell:?} is in the header twice. Remove one of the two"));
            }
            columns.push(column);
        }
        if !columns.contains(&1) {
            return Err("column \"called\" is missing in the header. Every number needs it".to_owned());
        }
        Ok(Self(columns))
    }

    /// Makes a number of a record.
    ///
    /// # Errors
    /// What is wrong, without the value: it may be a subscriber's.
    pub(super) fn number(&self, fields: &Fields<'_>, id: i64) -> Result<NewNumber, String> {
        if fields.len() != self.0.len() {
            return Err(format!("has {} fields where the header has {}", fields.len(), self.0.len()));
        }
        let mut cells = [None; NAMES.len()];
        for (column, cell) in self.0.iter().zip(fields.iter()) {
            let text = std::str::from_utf8(cell).map_err(|_| format!("{}: is not valid UTF-8", NAMES[*column]))?;
            cells[*column] = Some(text).filter(|text| !text.is_empty());
        }
        number(cells, id).map_err(|error| error.to_string())
    }
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
        let mut records = Records::new(file);
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
    fn the_header_is_checked() {
        for (header, says) in [
            ("called,name", "unknown column \"name\""),
            ("called,Caller", "unknown column \"Caller\""),
            ("called,called", "column \"called\" is in the header twice"),
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
            (b"called\n1,2\n", "has 2 fields where the header has 1"),
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
