//! Text from strangers, made safe for a log line.

/// The text, cut to `max` characters and an ellipsis.
pub(super) fn cut(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The text with whatever is not printable ASCII escaped, cut to `max` characters and an ellipsis.
pub(super) fn shown(text: &[u8], max: usize) -> String {
    // One more than is shown tells that there is more.
    let escaped: String = text.escape_ascii().take(max + 1).map(char::from).collect();
    cut(&escaped, max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_cut_and_has_no_control_characters() {
        assert_eq!(shown(b"POST", 4), "POST");
        assert_eq!(shown(b"POSTS", 4), "POST…");
        assert_eq!(shown("a\n\u{1b}[2J\"é".as_bytes(), 64), r#"a\n\x1b[2J\"\xc3\xa9"#);
        assert_eq!(shown(&vec![0; 100_000], 8).chars().count(), 9);
    }
}
