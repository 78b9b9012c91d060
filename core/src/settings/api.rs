//! `[api]`: the endpoint, who may call it, and how much.

use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use ipnet::{IpNet, Ipv4Net};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, de};

use crate::model::campaign::VdnId;
use crate::settings::parsed;

/// `[api]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiSettings {
    /// Where the endpoint listens.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// Where health checks and metrics are told.
    #[serde(deserialize_with = "address")]
    pub ops_listen: SocketAddr,
    /// Numbers that one transaction takes at most.
    pub chunk_size: NonZeroUsize,
    /// Bytes that a body may have.
    pub max_body: usize,
    /// Bytes that the headers may have, names and values together.
    pub max_headers: usize,
    /// Bytes that the path and the query of a request may have together.
    pub max_uri: usize,
    /// Headers that a client may sign, repeated names included; their names may have 64 bytes for each.
    pub max_signed_headers: usize,
    /// Numbers that one call may remove. `None`: any number.
    pub max_rows: Option<NonZeroU64>,
    /// Whether a request that is sent again gets the first answer.
    pub replay_answers: bool,
    /// Minutes that a signature's time may be away from ours, either way.
    pub signature_window_minutes: u32,
    /// Seconds that requests in flight get when the server stops.
    pub shutdown_timeout_seconds: u64,
    /// How long a request waits for a database connection.
    #[serde(deserialize_with = "duration")]
    pub queue_timeout: Duration,
    /// How long the head of a request may take to arrive.
    #[serde(deserialize_with = "duration")]
    pub header_timeout: Duration,
    /// How long the body of a request may take to arrive.
    #[serde(deserialize_with = "duration")]
    pub body_timeout: Duration,
    /// How long a connection stays open without a request.
    #[serde(deserialize_with = "duration")]
    pub keep_alive: Duration,
    /// Log lines that wait for stderr to be read; more are dropped and counted.
    pub log_buffer_lines: NonZeroUsize,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Where traces are sent, by OTLP over HTTP: needs a binary with the feature `otlp`.
    pub otlp_endpoint: Option<String>,
    /// The proxies whose X-Forwarded-For says where a client is. Empty: none.
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// The names by which clients call this server: the Host that they sign must be one of them. A name without a port
    /// stands for every port. Empty: any.
    pub hosts: Vec<String>,
    /// `[api.tls]`
    pub tls: Option<TlsSettings>,
    /// `[api.limits]`
    pub limits: LimitSettings,
    /// Whether the OpenAPI document and Swagger UI are served. Off: what is exposed is the call alone.
    pub docs: bool,
    /// Who may call.
    pub keys: Vec<KeySettings>,
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            ops_listen: SocketAddr::from(([127, 0, 0, 1], 9090)),
            chunk_size: NonZeroUsize::MIN.saturating_add(4_999),
            max_body: 16 * 1024,
            max_headers: 16 * 1024,
            // The call's own path has some 80 bytes, and no query.
            max_uri: 2 * 1024,
            // The vendor's vectors sign one to three: host, content-type, content-length. A client that signs all that
            // it sends, a trace's and a proxy's headers included, stays below twenty.
            max_signed_headers: 32,
            max_rows: None,
            replay_answers: true,
            signature_window_minutes: 15,
            shutdown_timeout_seconds: 30,
            queue_timeout: Duration::from_secs(2),
            header_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(15),
            // A line has about 400 bytes: some 3 MB.
            log_buffer_lines: NonZeroUsize::MIN.saturating_add(8_191),
            log_format: LogFormat::Auto,
            otlp_endpoint: None,
            trusted_proxies: Vec::new(),
            hosts: Vec::new(),
            tls: None,
            limits: LimitSettings::default(),
            docs: false,
            keys: Vec::new(),
        }
    }
}

/// `api.log_format`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// A JSON object for each line.
    Json,
    /// For people.
    Text,
}

/// `[api.tls]`: PEM files, read again when they change.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// The certificate, and those that lead to its root.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Roots that a client's certificate must come from. `None`: clients need no certificate.
    pub client_ca: Option<PathBuf>,
}

/// `[api.limits]`: 0 stands for no limit; a burst of 0 for what a second brings.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitSettings {
    /// Requests that a key may send each second, on average.
    pub key_per_second: u32,
    /// Requests that a key may send at once.
    pub key_burst: u32,
    /// Requests of a key that may be under way at the same time.
    pub key_concurrency: u32,
    /// Database connections that requests of a key may hold at the same time, those in a group commit not counted. One
    /// connection is always left to the other keys.
    pub key_connections: usize,
    /// Requests that may come from an address each second, on average.
    pub address_per_second: u32,
    /// Requests that may come from an address at once.
    pub address_burst: u32,
    /// Connections that may be open at the same time.
    pub connections: usize,
}

/// Far above what a client does on purpose, and within what one server survives.
impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            key_per_second: 5_000,
            key_burst: 10_000,
            key_concurrency: 256,
            // Half of the pool's default: a key whose campaign another program holds locked leaves the other half.
            key_connections: 4,
            address_per_second: 5_000,
            address_burst: 10_000,
            connections: 10_000,
        }
    }
}

/// `[[api.keys]]`. A secret stands here, in a file, or in a variable of the environment.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySettings {
    /// The public half: it stands in the Authorization header.
    pub access_key: String,
    /// The secret half. Shown nowhere.
    pub secret_key: Option<SecretString>,
    /// A file that holds the secret half.
    pub secret_key_file: Option<PathBuf>,
    /// A variable of the environment that holds the secret half.
    pub secret_key_env: Option<String>,
    /// A second secret that is taken too, while clients move to another.
    pub previous_secret_key: Option<SecretString>,
    /// A file that holds the second secret.
    pub previous_secret_key_file: Option<PathBuf>,
    /// A variable of the environment that holds the second secret.
    pub previous_secret_key_env: Option<String>,
    /// The VDNs it may delete in.
    pub vdns: Vdns,
    /// The networks that it may call from. Empty: from anywhere.
    #[serde(default, deserialize_with = "networks")]
    pub addresses: Vec<IpNet>,
    /// SHA-256 of the certificate that its client must show, in hexadecimal, with or without colons.
    pub client_certificate: Option<String>,
    /// From then on it is refused.
    #[serde(default, deserialize_with = "time")]
    pub expires: Option<DateTime<Utc>>,
    /// Numbers that one of its calls may remove, instead of `api.max_rows`.
    pub max_rows: Option<NonZeroU64>,
}

impl KeySettings {
    /// A key without further bounds.
    #[must_use]
    pub fn new(access_key: impl Into<String>, secret_key: impl Into<SecretString>, vdns: Vdns) -> Self {
        Self {
            access_key: access_key.into(),
            secret_key: Some(secret_key.into()),
            secret_key_file: None,
            secret_key_env: None,
            previous_secret_key: None,
            previous_secret_key_file: None,
            previous_secret_key_env: None,
            vdns,
            addresses: Vec::new(),
            client_certificate: None,
            expires: None,
            max_rows: None,
        }
    }
}

/// `"all"` or a list of VDN ids.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "expected \"all\" or a list of VDN ids from 1 to 9999")]
pub enum Vdns {
    /// Every VDN.
    All(All),
    /// These.
    Some(Vec<VdnId>),
}

/// The word `"all"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum All {
    /// `"all"`
    All,
}

/// Reads "2s", "250ms" or "1m 30s". A time of 0 would refuse everything.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parsed(deserializer, "a time above 0 with its unit, such as \"2s\" or \"250ms\"", |text| {
        humantime::parse_duration(text).ok().filter(|duration| !duration.is_zero())
    })
}

pub(super) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    parsed(deserializer, "an address and a port such as \"127.0.0.1:8080\" or \"[::1]:8080\"", |text| text.parse().ok())
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    parsed(deserializer, "a time with its zone such as \"2027-01-01T00:00:00Z\"", |text| text.parse().ok().map(Some))
}

/// Networks; an address alone is a network of one. An IPv4 network that is written as IPv6 (`::ffff:10.0.0.0/104`) is
/// taken as what it stands for, as the addresses of clients are.
fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| network(text).ok_or_else(|| de::Error::custom(not_a_network(text)))).collect()
}

fn not_a_network(text: &str) -> String {
    format!("{text:?} must be an address or a network such as \"10.1.2.3\" or \"10.0.0.0/8\"")
}

fn network(text: &str) -> Option<IpNet> {
    let network = text.parse().ok().or_else(|| Some(IpNet::from(text.parse::<IpAddr>().ok()?)))?;
    let IpNet::V6(mapped) = network else { return Some(network) };
    match (mapped.addr().to_ipv4_mapped(), mapped.prefix_len().checked_sub(MAPPED_PREFIX)) {
        (Some(address), Some(length)) => Some(IpNet::V4(Ipv4Net::new(address, length).ok()?)),
        _ => Some(network),
    }
}

/// Bits that come before the IPv4 address in a mapped one (RFC 4291, section 2.5.5.2).
const MAPPED_PREFIX: u8 = 96;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    /// The indented block of the settings page.
    fn sample() -> String {
        let page = include_str!("../../../docs/operators/settings.md");
        let lines = page.lines().skip_while(|line| !line.starts_with("    [database]"));
        let block = lines.take_while(|line| line.is_empty() || line.starts_with("    "));
        block.map(|line| line.trim_start().to_owned() + "\n").collect()
    }

    fn load(text: &str) -> Settings {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("callsweep.toml");
        std::fs::write(&file, text).unwrap();
        Settings::load(Some(&file)).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn the_page_shows_the_defaults() {
        let mut shown = load(&sample());
        assert_eq!(shown.api.keys.len(), 1);
        shown.api.keys.clear();
        assert_eq!(format!("{shown:?}"), format!("{:?}", Settings::default()));
    }

    #[test]
    fn what_the_page_leaves_out_is_right_too() {
        let whole: String =
            sample().lines().map(|line| line.strip_prefix("# ").unwrap_or(line).to_owned() + "\n").collect();
        let api = load(&whole).api;
        assert!(api.max_rows.is_some() && api.otlp_endpoint.is_some());
        assert!(api.tls.unwrap().client_ca.is_some());
        let key = &api.keys[0];
        assert_eq!((key.addresses.len(), key.expires.is_some(), key.max_rows.is_some()), (2, true, true));
        assert!(key.secret_key_file.is_some() && key.secret_key_env.is_some() && key.previous_secret_key.is_some());
    }

    #[test]
    fn a_time_is_written_with_its_unit() {
        let read = |text: &str| {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("callsweep.toml");
            std::fs::write(&file, format!("[api]\nqueue_timeout = {text}\n")).unwrap();
            Settings::load(Some(&file)).map(|settings| settings.api.queue_timeout).map_err(|error| error.to_string())
        };
        assert_eq!(read("\"250ms\""), Ok(Duration::from_millis(250)));
        assert_eq!(read("\"1m 30s\""), Ok(Duration::from_secs(90)));
        for wrong in ["\"0s\"", "\"2\"", "\"soon\"", "2"] {
            let error = read(wrong).unwrap_err();
            assert!(error.contains("queue_timeout") && error.contains("250ms"), "{wrong}: {error}");
        }
    }
}
