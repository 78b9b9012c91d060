//! Lays statements out for a reader: a line for each clause, indented by its parentheses.

use crate::recorder::Recorded;

/// Words that begin a line.
const CLAUSES: [&str; 20] = [
    "SELECT",
    "FROM",
    "WHERE",
    "AND",
    "OR",
    "GROUP BY",
    "HAVING",
    "ORDER BY",
    "LIMIT",
    "JOIN",
    "LEFT JOIN",
    "ON",
    "RETURNING",
    "FOR UPDATE",
    "FOR SHARE",
    "LOCK IN",
    "UNION",
    "INSERT INTO",
    "DELETE FROM",
    "OVERRIDING",
];

/// All named statements, by name.
pub(crate) fn page(recorded: &[Recorded]) -> String {
    let mut named: Vec<_> = recorded.iter().filter_map(|one| one.name().map(|name| (name, one))).collect();
    named.sort_by_key(|(name, one)| (*name, one.sql.len(), one.sql.as_str()));
    named.into_iter().map(|(name, one)| statement(name, one)).collect()
}

fn statement(name: &str, recorded: &Recorded) -> String {
    let sql = recorded.sql.trim_start_matches(&format!("/* {name} */ "));
    let values = match recorded.values.join(", ") {
        values if values.is_empty() => values,
        values => format!("-- values: {values}\n"),
    };
    format!("/* {name} */\n{};\n{values}\n", broken(sql))
}

fn broken(sql: &str) -> String {
    let (mut text, mut depth, mut quoted, mut after_space) = (String::new(), 0_usize, false, true);
    for (at, character) in sql.char_indices() {
        let rest = &sql[at..];
        let begins_clause =
            || CLAUSES.iter().any(|word| rest.strip_prefix(word).is_some_and(|rest| rest.starts_with([' ', '('])));
        let goes_on = ["DELETE ", "LEFT ", "CROSS "].iter().any(|word| text.ends_with(word));
        if !quoted && after_space && !goes_on && !text.is_empty() && begins_clause() {
            text.truncate(text.trim_end().len());
            text.push('\n');
            text.push_str(&"    ".repeat(depth));
        }
        match character {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        after_space = matches!(character, ' ' | '(');
        text.push(character);
    }
    text
}
