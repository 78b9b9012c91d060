//! Settings that can be used and should not be: what the programs warn of at start, and `doctor` lists.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use x509_parser::pem::Pem;

use crate::settings::{DEFAULT_FILE, KeySettings, Settings};

/// Characters that a secret should have at least. 22 random ones of Base64 are 128 bits, which nobody can guess from a
/// captured signature; shorter ones are let be down to where people make them up.
const SECRET_CHARS: usize = 16;

/// Different characters that a random secret of that length has, nearly always.
const DIFFERENT_CHARS: usize = 6;

/// How long before its end a certificate is warned of: as long as operators need to renew one by hand.
const SOON: TimeDelta = TimeDelta::days(14);

/// Names keys and files, and shows no secret. `file`: the settings file, if it was named.
#[must_use]
pub fn warnings(settings: &Settings, file: Option<&Path>, now: DateTime<Utc>) -> Vec<String> {
    let mut warnings = Vec::new();
    let path = file.unwrap_or_else(|| Path::new(DEFAULT_FILE));
    let secrets_inside =
        settings.api.keys.iter().any(|key| key.secret_key.is_some() || key.previous_secret_key.is_some())
            || settings.database.url.expose_secret().contains('@');
    if secrets_inside {
        warnings.extend(readable_by_all("the settings file", path));
    }
    for (number, key) in (1..).zip(&settings.api.keys) {
        of_key(number, key, now, &mut warnings);
    }
    if let Some(tls) = &settings.api.tls {
        warnings.extend(readable_by_all("api.tls.key", &tls.key));
        match certificate_expiry(&tls.cert) {
            Some(end) if end <= now => {
                warnings.push(format!("api.tls.cert: the certificate expired at {end}: renew it"));
            }
            Some(end) if end - now < SOON => {
                warnings.push(format!("api.tls.cert: the certificate expires at {end}: renew it"));
            }
            _ => {}
        }
    }
    warnings
}

fn of_key(number: usize, key: &KeySettings, now: DateTime<Utc>, warnings: &mut Vec<String>) {
    if key.expires.is_some_and(|expires| expires <= now) {
        warnings.push(format!("api.keys: key number {number} has expired (expires): every call of it gets 401"));
    }
    let given = [
        ("secret_key", &key.secret_key, &key.secret_key_file, &key.secret_key_env),
        ("previous_secret_key", &key.previous_secret_key, &key.previous_secret_key_file, &key.previous_secret_key_env),
    ];
    for (name, value, file, variable) in given {
        let from_file = || file.as_ref().and_then(|file| fs::read_to_string(file).ok()).map(SecretString::from);
        let from_variable = || variable.as_ref().and_then(|name| std::env::var(name).ok()).map(SecretString::from);
        let secret = value.clone().or_else(from_file).or_else(from_variable);
        if secret.is_some_and(|secret| is_weak(secret.expose_secret().trim_end_matches(['\r', '\n']))) {
            warnings.push(format!(
                "api.keys: key number {number}: {name} is easy to guess: make one with `openssl rand -base64 32`"
            ));
        }
        warnings.extend(
            file.as_ref().and_then(|file| readable_by_all(&format!("{name}_file of key number {number}"), file)),
        );
    }
}

fn is_weak(secret: &str) -> bool {
    let mut chars: Vec<char> = secret.chars().collect();
    let length = chars.len();
    chars.sort_unstable();
    chars.dedup();
    length < SECRET_CHARS || chars.len() < DIFFERENT_CHARS
}

fn readable_by_all(what: &str, path: &Path) -> Option<String> {
    const OTHERS: u32 = 0o007;
    let mode = fs::metadata(path).ok()?.permissions().mode();
    let shown = path.display();
    (mode & OTHERS != 0).then(|| format!("{what} {shown} can be read by every user of this machine: chmod o= {shown}"))
}

/// When the first certificate of a PEM file ends. `None` where it cannot be read: whoever uses it says so.
#[must_use]
pub fn certificate_expiry(file: &Path) -> Option<DateTime<Utc>> {
    let bytes = fs::read(file).ok()?;
    let pem = Pem::iter_from_buffer(&bytes).next()?.ok()?;
    DateTime::from_timestamp(pem.parse_x509().ok()?.validity().not_after.timestamp(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{All, Vdns};

    #[test]
    fn weak_secrets_expired_keys_and_open_files_are_named() {
        let now = crate::clock::Clock::system().now();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("callsweep.toml");
        fs::write(&file, "").unwrap();
        let mode = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let mut settings = Settings::default();
        let key = |secret: &str| KeySettings::new("a", secret, Vdns::All(All::All));
        let of = |settings: &Settings| warnings(settings, Some(&file), now).join("\n");

        mode(0o644);
        assert_eq!(of(&settings), "", "nothing in it is secret");
        settings.api.keys = vec![key("q0Zp3v8YxR2mT6sLwK9d")];
        assert!(of(&settings).contains("callsweep.toml can be read by every user"));
        mode(0o640);
        assert_eq!(of(&settings), "");
        for weak in ["a", "change me", "aaaaaaaaaaaaaaaaaaaaaaaa", "abababababababababab"] {
            settings.api.keys = vec![key("q0Zp3v8YxR2mT6sLwK9d"), key(weak)];
            let said = of(&settings);
            assert!(said.contains("key number 2: secret_key is easy to guess"), "{said}");
            assert!(weak.len() < 2 || !said.contains(weak), "{said}");
        }
        settings.api.keys = vec![KeySettings { expires: Some(now), ..key("q0Zp3v8YxR2mT6sLwK9d") }];
        assert!(of(&settings).contains("key number 1 has expired"));
    }
}
