//! `database.url`: what may be shown of it, and what the drivers are given beyond what it says.

use url::{Host, Position, Url};

use crate::store::db::StoreError;

/// Whoever waits for a server that is gone must hear of it: a host that lost its power sends nothing, and the kernel alone
/// would wait for hours. By these a server is given up that has not answered for a minute. A server that is only slow
/// answers the kernel's probes.
const POSTGRES: [(&str, &str); 5] = [
    ("connect_timeout", "10"),
    ("keepalives_idle", "30"),
    ("keepalives_interval", "10"),
    ("keepalives_count", "3"),
    ("tcp_user_timeout", "60000"),
];

/// Seconds. It is the only one of these that MariaDB's library can be told by what Diesel passes on; it turns the kernel's
/// keepalives on by itself.
const MARIADB_CONNECT_TIMEOUT: &str = "10";

/// The URL without its password.
pub(crate) fn without_password(text: &str) -> Result<String, StoreError> {
    if !is_escaped(text) {
        let how = "in a user name or password, write % / ? # @ as %25 %2F %3F %23 %40";
        return Err(StoreError::InvalidUrl(how.to_owned()));
    }
    let (before, hosts, after) = around_the_hosts(text);
    let mut shown: Option<(Url, Vec<String>)> = None;
    // libpq knows URLs with several hosts, the standard does not.
    for host in hosts.split(',') {
        let parsed = Url::parse(&[before, host, after].concat());
        let url = parsed.map_err(|error| StoreError::InvalidUrl(error.to_string()))?;
        let host = url[Position::BeforeHost..Position::AfterPort].to_owned();
        shown.get_or_insert((url, Vec::new())).1.push(host);
    }
    let Some((mut url, hosts)) = shown else { return Ok(String::new()) };
    if url.password().is_some() && url.set_password(Some("***")).is_err() {
        return Err(StoreError::InvalidUrl("it has a password but no host".to_owned()));
    }
    // Parameters may carry secrets too (sslpassword, password).
    let parameters = if url.query().is_some() { "?…" } else { "" };
    let path = &url[Position::AfterPort..Position::AfterPath];
    Ok([&url[..Position::BeforeHost], &hosts.join(","), path, parameters].concat())
}

/// The hosts with their ports, and what stands on either side.
fn around_the_hosts(text: &str) -> (&str, &str, &str) {
    let begin = text.find("://").map_or(0, |at| at + 3);
    let end = text[begin..].find(['/', '?', '#']).map_or(text.len(), |at| begin + at);
    let begin = text[begin..end].rfind('@').map_or(begin, |at| begin + at + 1);
    (&text[..begin], &text[begin..end], &text[end..])
}

/// Whether the parts of a URL are where they seem to be. Otherwise a part of the password is shown as something else,
/// or a driver repeats it in its error.
fn is_escaped(text: &str) -> bool {
    let starts_with_hex = |after: &str| after.len() >= 2 && after.bytes().take(2).all(|b| b.is_ascii_hexdigit());
    let (_, parts) = text.split_once("://").unwrap_or_default();
    let beyond_host = parts.find(['/', '?', '#']).and_then(|at| parts.get(at..)).unwrap_or_default();
    text.split('%').skip(1).all(starts_with_hex) && !beyond_host.contains(['@', '#'])
}

/// A `file:` URI, because only a URI can say that a missing file must not be made.
pub(crate) fn sqlite_uri(path: &str, create: bool) -> String {
    let escaped = path.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    format!("file:{escaped}?mode={}", if create { "rwc" } else { "rw" })
}

/// With what the URL does not say itself.
#[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "a build without PostgreSQL"))]
pub(crate) fn for_libpq(text: &str) -> String {
    let said = |name: &str| text.split(['?', '&']).skip(1).any(|pair| pair.split('=').next() == Some(name));
    let (mut url, mut mark) = (text.to_owned(), if text.contains('?') { '&' } else { '?' });
    for (name, value) in POSTGRES.iter().filter(|(name, _)| !said(name)) {
        url.extend([&mark.to_string(), *name, "=", *value]);
        mark = '&';
    }
    url
}

/// With the timeout in the place of the host: the library takes a list of options there, and Diesel passes it nothing
/// else. `None` where there is no host of that kind.
#[cfg_attr(not(feature = "mysql"), allow(dead_code, reason = "a build without MariaDB"))]
pub(crate) fn for_libmariadb(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let said = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    // A socket needs none, and the colons of IPv6 have no place in such a list.
    let Some(Host::Domain(host)) = url.host().filter(|_| said("unix_socket").is_none()) else { return None };
    let timeout = said("connect_timeout").unwrap_or_else(|| MARIADB_CONNECT_TIMEOUT.to_owned());
    let options = format!("host={host};connect-timeout={timeout}");
    Some([&url[..Position::BeforeHost], &options, &url[Position::AfterHost..]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_hosts_are_shown_without_the_password() {
        for (url, shown) in [
            (
                "postgres://u:secret@a:5432,b:5433/db?target_session_attrs=read-write",
                "postgres://u:***@a:5432,b:5433/db?…",
            ),
            ("postgres://u:secret@a,b/db", "postgres://u:***@a,b/db"),
            ("postgres://a:1,b:2/db", "postgres://a:1,b:2/db"),
            ("postgres://u:sec,ret@a/db", "postgres://u:***@a/db"),
            ("mysql://u:secret@a:3306/db", "mysql://u:***@a:3306/db"),
        ] {
            assert_eq!(without_password(url).unwrap(), shown);
        }
        assert!(without_password("postgres://u:secret@a:5432,b:port/db").is_err());
    }

    #[test]
    fn what_the_url_says_stands() {
        let url = for_libpq("postgres://u:p@h/db?keepalives_idle=7&connect_timeout=3");
        assert!(
            url.starts_with("postgres://u:p@h/db?keepalives_idle=7&connect_timeout=3&keepalives_interval="),
            "{url}"
        );
        assert_eq!(url.matches("connect_timeout").count() + url.matches("keepalives_idle").count(), 2, "{url}");
        assert!(for_libpq("postgres://h/db").starts_with("postgres://h/db?connect_timeout=10&"));

        let mariadb = |url| for_libmariadb(url).unwrap();
        assert_eq!(mariadb("mysql://u:p@h:3306/db"), "mysql://u:p@host=h;connect-timeout=10:3306/db");
        let said = mariadb("mysql://u:p@h/db?connect_timeout=3");
        assert_eq!(said, "mysql://u:p@host=h;connect-timeout=3/db?connect_timeout=3");
        assert_eq!(for_libmariadb("mysql://u:p@[::1]/db"), None);
        assert_eq!(for_libmariadb("mysql://localhost/db?unix_socket=/run/mysqld.sock"), None);
    }
}
