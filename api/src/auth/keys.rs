//! The keys of the settings: who may call, from where, until when.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;

use actix_web::http::header::HeaderValue;
use callsweep_core::campaign::VdnId;
use callsweep_core::settings::{ApiSettings, KeySettings, Vdns};
use chrono::{DateTime, TimeDelta, Utc};
use data_encoding::HEXLOWER_PERMISSIVE;
use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};

/// A client that may call.
#[derive(Debug)]
pub struct Key {
    /// The public half.
    pub access_key: String,
    /// Numbers that one call may remove.
    pub max_rows: Option<i64>,
    pub(super) secrets: Secrets,
    vdns: Vdns,
    addresses: Vec<IpNet>,
    certificate: Option<Fingerprint>,
    pub(super) expires: Option<DateTime<Utc>>,
}

impl Key {
    /// Whether this client may delete in the VDN of the path. A path that names no VDN is in no list; a key for
    /// all VDNs leaves it to the check of vdnId to say what is wrong.
    #[must_use]
    pub fn may_use(&self, vdn: Option<VdnId>) -> bool {
        match &self.vdns {
            Vdns::All(_) => true,
            Vdns::Some(vdns) => vdn.is_some_and(|vdn| vdns.contains(&vdn)),
        }
    }

    /// Whether this client may call from an address. No list: from anywhere.
    pub(super) fn may_call_from(&self, address: Option<IpAddr>) -> bool {
        let listed = |address: IpAddr| self.addresses.iter().any(|network| network.contains(&address.to_canonical()));
        self.addresses.is_empty() || address.is_some_and(listed)
    }
}

impl Key {
    /// Whether the client's certificate is the one that the key is bound to.
    pub(super) fn may_call_by(&self, certificate: Option<&Fingerprint>) -> bool {
        self.certificate.as_ref().is_none_or(|bound| certificate == Some(bound))
    }
}

/// SHA-256 of a certificate's DER.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// As `openssl x509 -fingerprint -sha256` prints it; colons and letter case do not count.
    fn parse(text: &str) -> Option<Self> {
        let digits: String = text.chars().filter(|c| *c != ':').collect();
        Some(Self(HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok()?.try_into().ok()?))
    }
}

/// Two secrets of a key, so that a client can move from one to the other. A key with one secret has a second that
/// nobody knows: every check costs the same.
#[derive(Debug)]
pub(super) struct Secrets {
    pub(super) current: SecretString,
    pub(super) previous: SecretString,
}

impl Secrets {
    /// Stands in for an unknown client's.
    fn of_nobody() -> Self {
        Self { current: unknown(), previous: unknown() }
    }
}

/// A secret that nobody knows.
fn unknown() -> SecretString {
    SecretString::from(format!("{:032x}", rand::random::<u128>()))
}

/// Everybody who may call, and how old a signature may be.
#[derive(Debug)]
pub struct Keys {
    by_access_key: HashMap<String, Arc<Key>>,
    nobody: Secrets,
    /// How far the time of a signature may be from ours, either way.
    pub(super) window: TimeDelta,
    /// Headers that a client may sign.
    pub(super) max_signed_headers: usize,
    /// Names of this server, in lower case. Empty: any.
    hosts: Vec<String>,
}

/// Why the keys of the settings cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// Nobody could call.
    #[error(
        "no key is configured, so nobody could call: add [[api.keys]] with access_key, secret_key and \
         vdns = \"all\" or a list such as [1, 2] to callsweep.toml"
    )]
    None,
    /// A member of a key does not say what it must.
    #[error("api.keys: key number {number}: {member} {problem}")]
    Member {
        /// Counted from 1, in the file's order.
        number: usize,
        /// The member.
        member: &'static str,
        /// What is wrong, and what to do.
        problem: String,
    },
}

impl Keys {
    /// Takes the keys of the settings, and reads their secrets.
    ///
    /// # Errors
    /// There is none, a member of one is wrong or its secret cannot be read, or two have the same access key.
    pub fn new(settings: &ApiSettings) -> Result<Self, KeysError> {
        if settings.keys.is_empty() {
            return Err(KeysError::None);
        }
        let mut by_access_key: HashMap<String, Arc<Key>> = HashMap::new();
        for (position, key) in settings.keys.iter().enumerate() {
            let wrong = |member, problem| KeysError::Member { number: position + 1, member, problem };
            let key = Arc::new(parse(key, settings.max_rows).map_err(|(member, problem)| wrong(member, problem))?);
            if by_access_key.insert(key.access_key.clone(), key.clone()).is_some() {
                return Err(wrong("access_key", format!("{:?} is there twice; give each its own", key.access_key)));
            }
        }
        let window = TimeDelta::minutes(settings.signature_window_minutes.into());
        let max_signed_headers = settings.max_signed_headers;
        let hosts = settings.hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        Ok(Self { by_access_key, nobody: Secrets::of_nobody(), window, max_signed_headers, hosts })
    }

    /// How many keys there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.by_access_key.len()
    }

    /// Whether a request was signed for this server, and not for another that knows the same key.
    pub(super) fn is_ours(&self, host: Option<&HeaderValue>) -> bool {
        let Some(host) = host.and_then(|host| host.to_str().ok()) else { return self.hosts.is_empty() };
        let host = host.trim().to_ascii_lowercase();
        // An IPv6 address has colons of its own: `[::1]:8080`.
        let name =
            host.rsplit_once(':').filter(|(_, port)| !port.contains(']')).map_or(host.as_str(), |(name, _)| name);
        self.hosts.is_empty() || self.hosts.iter().any(|ours| *ours == host || ours == name)
    }

    pub(super) fn find(&self, access_key: &str) -> Option<&Arc<Key>> {
        self.by_access_key.get(access_key)
    }

    /// The secrets to check a signature by, known client or not.
    pub(super) fn secrets_of<'a>(&'a self, key: Option<&'a Arc<Key>>) -> &'a Secrets {
        key.map_or(&self.nobody, |key| &key.secrets)
    }
}

/// The length of `purge_run.actor`, where it is written down who called.
const ACCESS_KEY_MAX_CHARS: usize = 100;

/// A member and what is wrong with it.
type Wrong = (&'static str, String);

fn parse(settings: &KeySettings, max_rows: Option<NonZeroU64>) -> Result<Key, Wrong> {
    if settings.access_key.is_empty() {
        return Err(("access_key", "is empty".to_owned()));
    }
    if settings.access_key.chars().count() > ACCESS_KEY_MAX_CHARS {
        return Err(("access_key", format!("is longer than {ACCESS_KEY_MAX_CHARS} characters")));
    }
    let certificate = match &settings.client_certificate {
        None => None,
        Some(text) => Some(Fingerprint::parse(text).ok_or_else(|| {
            (
                "client_certificate",
                "must be SHA-256 in hexadecimal: openssl x509 -noout -fingerprint -sha256".to_owned(),
            )
        })?),
    };
    let KeySettings { secret_key, secret_key_file, secret_key_env, .. } = settings;
    let names = ["secret_key", "secret_key_file", "secret_key_env"];
    let current = secret(names, secret_key.as_ref(), secret_key_file.as_deref(), secret_key_env.as_deref())?;
    let missing = || ("secret_key", "is missing; give secret_key, secret_key_file or secret_key_env".to_owned());
    let KeySettings { previous_secret_key, previous_secret_key_file, previous_secret_key_env, .. } = settings;
    let previous = secret(
        ["previous_secret_key", "previous_secret_key_file", "previous_secret_key_env"],
        previous_secret_key.as_ref(),
        previous_secret_key_file.as_deref(),
        previous_secret_key_env.as_deref(),
    )?;
    let secrets = Secrets { current: current.ok_or_else(missing)?, previous: previous.unwrap_or_else(unknown) };
    Ok(Key {
        access_key: settings.access_key.clone(),
        max_rows: settings.max_rows.or(max_rows).map(|max| i64::try_from(max.get()).unwrap_or(i64::MAX)),
        secrets,
        vdns: settings.vdns.clone(),
        addresses: settings.addresses.clone(),
        certificate,
        expires: settings.expires,
    })
}

/// A secret from the one place that holds it.
fn secret(
    [value_name, file_name, env_name]: [&'static str; 3],
    value: Option<&SecretString>,
    file: Option<&Path>,
    env: Option<&str>,
) -> Result<Option<SecretString>, Wrong> {
    let (name, secret) = match (value, file, env) {
        (None, None, None) => return Ok(None),
        (Some(value), None, None) => (value_name, value.clone()),
        (None, Some(path), None) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| (file_name, format!("{} cannot be read: {error}", path.display())))?;
            (file_name, without_line_end(&text))
        }
        (None, None, Some(variable)) => {
            let text = std::env::var(variable)
                .map_err(|_| (env_name, format!("{variable} is not set in the environment to a text")))?;
            (env_name, without_line_end(&text))
        }
        _ => {
            return Err((
                value_name,
                format!("is given in more than one way; keep one of it, {file_name}, {env_name}"),
            ));
        }
    };
    if secret.expose_secret().is_empty() { Err((name, "is empty".to_owned())) } else { Ok(Some(secret)) }
}

/// Without the end of the line that editors, secret stores and here-documents leave.
fn without_line_end(text: &str) -> SecretString {
    SecretString::from(text.trim_end_matches(['\r', '\n']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(keys: &str) -> ApiSettings {
        let config = config_from(keys);
        config.unwrap_or_else(|error| panic!("{keys}: {error}"))
    }

    fn config_from(keys: &str) -> Result<ApiSettings, Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("callsweep.toml");
        std::fs::write(&file, keys)?;
        Ok(callsweep_core::settings::Settings::load(Some(&file))?.api)
    }

    fn key(members: &str) -> String {
        format!("[[api.keys]]\naccess_key = \"a\"\nvdns = \"all\"\n{members}\n")
    }

    #[test]
    fn a_wrong_key_is_named_by_its_number_and_member() {
        let good = "[[api.keys]]\naccess_key = \"good\"\nvdns = [1]\nsecret_key = \"s\"\n";
        let cases = [
            ("", "key number 2: secret_key is missing"),
            ("secret_key = \"\"", "key number 2: secret_key is empty"),
            ("secret_key = \"s\"\nsecret_key_env = \"X\"", "key number 2: secret_key is given in more than one way"),
            ("secret_key_file = \"/no/such/file\"", "key number 2: secret_key_file /no/such/file cannot be read"),
            ("secret_key_env = \"CS_NOT_SET\"", "key number 2: secret_key_env CS_NOT_SET is not set"),
            ("secret_key = \"s\"\nprevious_secret_key = \"\"", "key number 2: previous_secret_key is empty"),
            ("secret_key = \"s\"\nclient_certificate = \"ab:cd\"", "key number 2: client_certificate must be SHA-256"),
        ];
        for (members, expected) in cases {
            let error = Keys::new(&settings(&(good.to_owned() + &key(members)))).unwrap_err().to_string();
            assert!(error.contains(expected), "{members}: {error}");
        }
        let twice = Keys::new(&settings(&key("secret_key = \"s\"").repeat(2))).unwrap_err().to_string();
        assert!(twice.contains("key number 2: access_key \"a\" is there twice"), "{twice}");
        for (members, expected) in [
            ("addresses = [\"10.0.0.0/33\"]", "addresses"),
            ("expires = \"tomorrow\"", "expires"),
            ("max_rows = 0", "max_rows"),
        ] {
            let error = config_from(&key(&format!("secret_key = \"s\"\n{members}"))).unwrap_err().to_string();
            assert!(error.contains("api.keys[0]") && error.contains(expected), "{members}: {error}");
        }
    }

    #[test]
    fn a_file_s_last_line_end_is_no_part_of_the_secret() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), " a b \r\n").unwrap();
        let keys = Keys::new(&settings(&key(&format!("secret_key_file = {:?}", file.path())))).unwrap();
        assert_eq!(keys.find("a").unwrap().secrets.current.expose_secret(), " a b ");
    }

    #[test]
    fn an_access_key_fits_the_ledger() {
        let of = |chars: usize| {
            let keys = vec![KeySettings::new("é".repeat(chars), "s", callsweep_core::settings::Vdns::Some(Vec::new()))];
            Keys::new(&ApiSettings { keys, ..ApiSettings::default() }).map(|_| ()).map_err(|error| error.to_string())
        };
        assert_eq!(of(100), Ok(()));
        assert!(of(101).unwrap_err().contains("key number 1: access_key is longer than 100 characters"));
    }

    #[test]
    fn a_host_is_compared_without_letter_case_and_with_a_port_only_where_one_is_given() {
        let keys = |hosts: &[&str]| {
            let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
            let keys = vec![KeySettings::new("a", "s", callsweep_core::settings::Vdns::Some(Vec::new()))];
            Keys::new(&ApiSettings { hosts, keys, ..ApiSettings::default() }).unwrap()
        };
        let is_ours = |hosts: &[&str], host: &str| keys(hosts).is_ours(Some(&HeaderValue::from_str(host).unwrap()));
        assert!(is_ours(&[], "any.example") && keys(&[]).is_ours(None));
        assert!(is_ours(&["Prod.example"], "prod.EXAMPLE:8443") && is_ours(&["[::1]"], "[::1]:80"));
        assert!(is_ours(&["a.example", "b.example:8080"], "b.example:8080"));
        for (ours, theirs) in [("prod.example", "staging.example"), ("b.example:8080", "b.example"), ("[::1]", "[::2]")]
        {
            assert!(!is_ours(&[ours], theirs), "{ours} {theirs}");
        }
        assert!(!keys(&["a.example"]).is_ours(None));
    }

    #[test]
    fn addresses_are_networks_and_mapped_ones_count_as_what_they_stand_for() {
        let keys = "secret_key = \"s\"\nexpires = 2030-01-01T00:00:00+01:00\naddresses = [\"10.0.0.0/8\", \"::1\", \"::ffff:172.16.0.0/108\"]";
        let keys = Keys::new(&settings(&key(keys))).unwrap();
        let key = keys.find("a").unwrap();
        let may = |address: &str| key.may_call_from(Some(address.parse().unwrap()));
        assert!(may("10.1.2.3") && may("::ffff:10.1.2.3") && may("::1"));
        assert!(may("172.16.5.6") && may("::ffff:172.16.5.6") && !may("172.32.0.1"));
        assert!(!may("11.0.0.1") && !may("::2") && !key.may_call_from(None));
        assert_eq!(key.expires.unwrap().to_rfc3339(), "2029-12-31T23:00:00+00:00");
    }
}
