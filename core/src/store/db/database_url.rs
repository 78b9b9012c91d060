//! Parses `database.url`: hides its password, and adds the parameters that the drivers need.

use std::fmt;
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};
use url::{Host, Position, Url};

use crate::store::db::{Backend, StoreError};

/// TCP keepalive settings. A host that lost its power closes no connection, and with the kernel's defaults a client would
/// wait for hours. With these a connection fails after a minute without an answer. A server that is only slow still answers
/// the kernel's probes.
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

/// A valid database URL. Every driver parses it exactly as it was parsed here. Otherwise a driver could mistake a part of the
/// password for another field and show it in an error.
#[derive(Clone)]
pub(crate) struct DatabaseUrl {
    pub(crate) backend: Backend,
    /// The whole URL, with the scheme that the driver expects.
    pub(crate) url: SecretString,
    /// Without the password.
    pub(crate) shown: String,
    /// The requested encryption of a connection to MariaDB. Its library does not enforce it.
    #[cfg_attr(not(feature = "mysql"), allow(dead_code, reason = "only MariaDB's connections read it"))]
    pub(crate) tls: Tls,
}

/// Whether a connection to MariaDB must be encrypted (`ssl_mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tls {
    /// The server decides.
    Optional,
    /// `REQUIRED`: encrypted, with any certificate.
    Required,
    /// `VERIFY_CA` and `VERIFY_IDENTITY`: encrypted, and the certificate is that of the host. MariaDB's library knows no
    /// step between; the stricter one holds for both.
    Verified,
}

impl DatabaseUrl {
    /// Parses `database.url`.
    ///
    /// # Errors
    /// They name the violated rule, and never contain the URL.
    pub(crate) fn parse(given: &SecretString) -> Result<Self, StoreError> {
        let text = given.expose_secret();
        let (scheme, rest) = text.split_once("://").ok_or(StoreError::NoScheme)?;
        let backend = match scheme {
            "sqlite" => Backend::Sqlite,
            "postgres" | "postgresql" => Backend::Postgres,
            "mysql" | "mariadb" => Backend::Mysql,
            _ => return Err(unknown_scheme(scheme)),
        };
        let built = match backend {
            Backend::Sqlite => true,
            Backend::Postgres => cfg!(feature = "postgres"),
            Backend::Mysql => cfg!(feature = "mysql"),
        };
        if !built {
            let feature = if backend == Backend::Postgres { "postgres" } else { "mysql" };
            return Err(StoreError::NotBuilt { backend, feature });
        }
        if backend == Backend::Sqlite {
            if rest.is_empty() || rest.starts_with(":memory:") {
                return Err(StoreError::NoSqliteFile);
            }
            return Ok(Self { backend, url: given.clone(), shown: text.to_owned(), tls: Tls::Optional });
        }
        // Diesel uses the scheme mysql:// for MariaDB.
        let url = if scheme == "mariadb" { format!("mysql://{rest}") } else { text.to_owned() };
        let shown = without_password(&url)?;
        let tls = if backend == Backend::Mysql { check_mysql_parameters(&url)? } else { Tls::Optional };
        Ok(Self { backend, url: url.into(), shown, tls })
    }
}

/// Hides the password.
impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// The error may show the name of a known product. Any other text may be a part of the password.
fn unknown_scheme(scheme: &str) -> StoreError {
    let is_name = scheme.len() <= 12 && scheme.bytes().all(|b| b.is_ascii_alphabetic());
    if is_name { StoreError::UnknownScheme(scheme.to_owned()) } else { StoreError::NoScheme }
}

fn invalid<T>(rule: &str) -> Result<T, StoreError> {
    Err(StoreError::InvalidUrl(rule.to_owned()))
}

/// The URL without its password.
fn without_password(text: &str) -> Result<String, StoreError> {
    check_escapes(text)?;
    let (before, hosts, after) = around_the_hosts(text);
    let mut shown: Option<(Url, Vec<String>)> = None;
    // libpq accepts URLs with several hosts, which the URL standard does not allow.
    for host in hosts.split(',') {
        let parsed = Url::parse(&[before, host, after].concat());
        let url = parsed.map_err(|error| StoreError::InvalidUrl(error.to_string()))?;
        let host = url[Position::BeforeHost..Position::AfterPort].to_owned();
        shown.get_or_insert((url, Vec::new())).1.push(host);
    }
    let Some((mut url, hosts)) = shown else { return Ok(String::new()) };
    if url.password().is_some() && url.set_password(Some("***")).is_err() {
        return invalid("it has a password but no host");
    }
    // Parameters may contain secrets too (sslpassword, password).
    let parameters = if url.query().is_some() { "?…" } else { "" };
    let path = &url[Position::AfterPort..Position::AfterPath];
    Ok([&url[..Position::BeforeHost], &hosts.join(","), path, parameters].concat())
}

/// Splits the URL into the part before the hosts, the hosts with ports, and the rest.
fn around_the_hosts(text: &str) -> (&str, &str, &str) {
    let begin = text.find("://").map_or(0, |at| at + 3);
    let end = text[begin..].find(['/', '?', '#']).map_or(text.len(), |at| begin + at);
    let begin = text[begin..end].rfind('@').map_or(begin, |at| begin + at + 1);
    (&text[..begin], &text[begin..end], &text[end..])
}

/// Refuses characters that drivers and the URL standard interpret differently: a part of the password could be shown as
/// another field, or a driver could show it in an error. For example, libpq ends the credentials at the first `@`, the
/// standard at the last.
fn check_escapes(text: &str) -> Result<(), StoreError> {
    const HOW: &str = "in a user name or password, write % / ? # @ : as %25 %2F %3F %23 %40 %3A, and , ; = & [ ] of a user name likewise";
    let starts_with_hex = |after: &str| after.len() >= 2 && after.bytes().take(2).all(|b| b.is_ascii_hexdigit());
    let (_, parts) = text.split_once("://").unwrap_or_default();
    let beyond_host = parts.find(['/', '?', '#']).and_then(|at| parts.get(at..)).unwrap_or_default();
    let authority = &parts[..parts.len() - beyond_host.len()];
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    if !text.split('%').skip(1).all(starts_with_hex)
        || beyond_host.contains(['@', '#'])
        || user.contains('@')
        || user.matches(':').count() > 1
        // A typing error in the colon before the password makes it a part of the user name, which servers show in errors.
        || user.split(':').next().unwrap_or_default().contains([',', ';', '=', '&', '[', ']'])
    {
        return invalid(HOW);
    }
    if text.contains("%00")
        || text.contains(|c: char| c.is_whitespace() || c.is_control() || "\"'<>\\^`{|}".contains(c))
    {
        return invalid("it has a space, a quote or another character that must be written as % and two digits (%20)");
    }
    let parameters = beyond_host.split_once('?').map_or("", |(_, parameters)| parameters);
    let is_pair = |pair: &str| pair.matches('=').count() == 1 && !pair.starts_with('=');
    if !parameters.is_empty() && !parameters.split('&').all(is_pair) {
        return invalid("its parameters must be name=value, joined by &");
    }
    Ok(())
}

/// The parameters that Diesel and Callsweep support. Others would be ignored silently.
const MYSQL_PARAMETERS: [&str; 6] = ["connect_timeout", "ssl_ca", "ssl_cert", "ssl_key", "ssl_mode", "unix_socket"];

fn check_mysql_parameters(text: &str) -> Result<Tls, StoreError> {
    let url = Url::parse(text).map_err(|error| StoreError::InvalidUrl(error.to_string()))?;
    let mut tls = Tls::Optional;
    let mut seen = Vec::new();
    for (name, value) in url.query_pairs() {
        if !MYSQL_PARAMETERS.contains(&&*name) || seen.contains(&name) {
            return invalid(&format!("its parameters may be {}, each once", MYSQL_PARAMETERS.join(", ")));
        }
        match &*name {
            "connect_timeout" if value.parse::<u16>().is_err() => {
                return invalid("connect_timeout must be a whole number of seconds");
            }
            "ssl_mode" => tls = ssl_mode(&value)?,
            _ => {}
        }
        seen.push(name);
    }
    Ok(tls)
}

fn ssl_mode(value: &str) -> Result<Tls, StoreError> {
    match value.to_ascii_uppercase().as_str() {
        "DISABLED" | "PREFERRED" => Ok(Tls::Optional),
        "REQUIRED" => Ok(Tls::Required),
        "VERIFY_CA" | "VERIFY_IDENTITY" => Ok(Tls::Verified),
        _ => invalid("ssl_mode must be DISABLED, PREFERRED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY"),
    }
}

/// How a SQLite file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SqliteAccess {
    /// Created if it is missing.
    Create,
    Write,
    /// Read-only, because of the permissions of the file or its file system.
    Read,
    /// Read-only, and no other process can write: there is no WAL. SQLite cannot open such a file in any other way.
    ReadImmutable,
}

impl SqliteAccess {
    /// The access of this process to a file.
    pub(crate) fn of(path: &Path, create: bool) -> Self {
        if create {
            return Self::Create;
        }
        match OpenOptions::new().write(true).open(path) {
            Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => {
                let mut log = path.as_os_str().to_owned();
                log.push("-wal");
                if Path::new(&log).exists() { Self::Read } else { Self::ReadImmutable }
            }
            // A missing file: SQLite reports it.
            _ => Self::Write,
        }
    }

    pub(crate) fn is_read_only(self) -> bool {
        matches!(self, Self::Read | Self::ReadImmutable)
    }
}

/// A `file:` URI, because only a URI can specify that a missing file must not be created.
pub(crate) fn sqlite_uri(path: &str, access: SqliteAccess) -> String {
    let escaped = path.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let mode = match access {
        SqliteAccess::Create => "rwc",
        SqliteAccess::Write => "rw",
        SqliteAccess::Read => "ro",
        SqliteAccess::ReadImmutable => "ro&immutable=1",
    };
    format!("file:{escaped}?mode={mode}")
}

/// Adds the keepalive parameters that the URL does not contain.
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

/// With the timeout, and what is asked of TLS, in the place of the host: the library takes a list of options there, and Diesel passes it nothing
/// else. `None` where there is no host of that kind.
#[cfg_attr(not(feature = "mysql"), allow(dead_code, reason = "a build without MariaDB"))]
pub(crate) fn for_libmariadb(text: &str, tls: Tls) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let said = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    // A socket needs none, and the colons of IPv6 have no place in such a list.
    let Some(Host::Domain(host)) = url.host().filter(|_| said("unix_socket").is_none()) else { return None };
    let timeout = said("connect_timeout").unwrap_or_else(|| MARIADB_CONNECT_TIMEOUT.to_owned());
    let tls = match tls {
        Tls::Optional => "",
        Tls::Required => ";ssl-enforce=1",
        Tls::Verified => ";ssl-enforce=1;ssl-verify-server-cert=1",
    };
    let options = format!("host={host};connect-timeout={timeout}{tls}");
    Some([&url[..Position::BeforeHost], &options, &url[Position::AfterHost..]].concat())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

        let mariadb = |url| for_libmariadb(url, Tls::Optional).unwrap();
        assert_eq!(mariadb("mysql://u:p@h:3306/db"), "mysql://u:p@host=h;connect-timeout=10:3306/db");
        let said = mariadb("mysql://u:p@h/db?connect_timeout=3");
        assert_eq!(said, "mysql://u:p@host=h;connect-timeout=3/db?connect_timeout=3");
        let verified = for_libmariadb("mysql://u:p@h/db", Tls::Verified).unwrap();
        assert_eq!(verified, "mysql://u:p@host=h;connect-timeout=10;ssl-enforce=1;ssl-verify-server-cert=1/db");
        assert_eq!(for_libmariadb("mysql://u:p@[::1]/db", Tls::Optional), None);
        assert_eq!(for_libmariadb("mysql://localhost/db?unix_socket=/run/mysqld.sock", Tls::Optional), None);
    }

    /// Every driver's features, whatever this build has.
    fn rules(url: &str) -> Result<Tls, StoreError> {
        without_password(url).and_then(|_| check_mysql_parameters(url))
    }

    #[test]
    fn parameters_that_nobody_reads_are_refused() {
        assert_eq!(rules("mysql://u:p@h/db?ssl_mode=required&ssl_ca=/etc/ca.pem").unwrap(), Tls::Required);
        assert_eq!(rules("mysql://u:p@h/db?ssl_mode=VERIFY_IDENTITY").unwrap(), Tls::Verified);
        for parameters in
            ["nonsense=1", "ssl_mode=ON", "ssl_mode", "ssl_mode=REQUIRED&ssl_mode=DISABLED", "sslmode=require"]
        {
            let error = rules(&format!("mysql://u:p@h/db?{parameters}")).unwrap_err();
            assert!(matches!(error, StoreError::InvalidUrl(_)), "{parameters}: {error}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Whatever a person does to a URL, what is shown of it has no part of the password.
        #[test]
        fn no_text_shows_a_part_of_the_password(
            scheme in prop::sample::select(vec!["postgres", "mysql", "mariadb", "postgresql", "pg", "'postgres", ""]),
            edits in prop::collection::vec((0..80_usize, "[@:/?#%&='\"\\[\\] \t,;\\\\]{1,2}", any::<bool>()), 0..4),
        ) {
            let mut text: Vec<char> = format!("{scheme}://user:{SECRET}@db.example:5432/name?ssl_mode=REQUIRED").chars().collect();
            for (at, inserted, replaces) in edits {
                let at = at % text.len();
                let end = if replaces { at + 1 } else { at };
                text.splice(at..end, inserted.chars());
            }
            let text: String = text.into_iter().collect();
            let url = SecretString::from(text.clone());
            let said = match DatabaseUrl::parse(&url) {
                Ok(url) => format!("{url:?}"),
                Err(error) => format!("{error} {error:?}"),
            };
            for part in (0..=SECRET.len() - 4).map(|at| &SECRET[at..at + 4]) {
                prop_assert!(!said.contains(part), "{text} {said}");
            }
        }
    }

    const SECRET: &str = "S3CRET9QZ7XW";
}
