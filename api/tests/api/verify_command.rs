//! `callsweep-api sign --verify`: what it says of headers that clients made.

use crate::process::program;
use crate::server::{KEY, NOW, path};
use crate::signer::{Signer, hmac};

const BODY: &str = r#"{"customField":"a b"}"#;
const CONTENT_TYPE: &str = "application/json; charset=UTF-8";

fn signer() -> Signer {
    Signer {
        access_key: KEY.0.to_owned(),
        secret_key: KEY.1.to_owned(),
        timestamp: NOW.to_owned(),
        signed_headers: "content-type;host".to_owned(),
        query_line: None,
    }
}

fn signed_by(signer: &Signer, body: &str) -> String {
    let headers = [("Host", "127.0.0.1:8080"), ("Content-Type", CONTENT_TYPE)];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
    signer.sign("POST", &path(1, 3), &headers, body.as_bytes())
}

/// The same header with this signature.
fn with_signature(header: &str, signature: &str) -> String {
    format!("{}/{signature}", header.rsplit_once('/').unwrap().0)
}

/// Whether it agrees, and what it says.
fn verify(header: &str) -> (bool, String) {
    let url = format!("http://127.0.0.1:8080{}", path(1, 3));
    let mut command = program(&std::env::temp_dir(), &["sign", "--access-key", KEY.0, "--url", &url, "--body", BODY]);
    command.args(["--verify", header, "--timestamp", NOW]).env("SIGN_SECRET_KEY", KEY.1);
    let output = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(!(stdout.clone() + &stderr).contains(KEY.1), "it shows the secret: {stdout} {stderr}");
    (output.status.success(), stdout)
}

#[test]
fn a_right_header_agrees_in_every_part() {
    let header = signed_by(&signer(), BODY);
    for header in [&header, &format!("Authorization: {header}")] {
        let (agrees, said) = verify(header);
        assert!(agrees && !said.contains("DISAGREES"), "{said}");
        for part in ["version", "access key", "timestamp", "signed headers", "signature"] {
            assert!(said.lines().any(|line| line.starts_with(part)), "{part}: {said}");
        }
    }
    let without_query = Signer { query_line: Some(String::new()), ..signer() };
    assert!(verify(&signed_by(&without_query, BODY)).0);
}

#[test]
fn it_says_which_part_disagrees() {
    let of = |change: fn(&mut Signer)| {
        let mut signer = signer();
        change(&mut signer);
        signed_by(&signer, BODY)
    };
    let right = signed_by(&signer(), BODY);
    for (header, part, about) in [
        (of(|signer| signer.access_key = "other".to_owned()), "access key", "\"other\""),
        (of(|signer| signer.timestamp = "2024-10-31T13:06:52Z".to_owned()), "timestamp", "3600 seconds old"),
        (of(|signer| signer.timestamp = "2024-10-31T15:06:52Z".to_owned()), "timestamp", "3600 seconds ahead"),
        (of(|signer| signer.timestamp = "1730383612".to_owned()), "timestamp", "must be UTC in the form"),
        (
            of(|signer| signer.signed_headers = "content-type".to_owned()),
            "signed headers",
            "host is not among its signed headers",
        ),
        (of(|signer| signer.signed_headers = "Host".to_owned()), "signed headers", "not in lower case"),
        (of(|signer| signer.signed_headers = "host;x-a".to_owned()), "headers", "\"x-a\" is missing"),
        (right.replacen("auth-v2", "auth-v1", 1), "version", "\"auth-v1\""),
        (format!("C2 {right}"), "version", "\"C2 auth-v2\""),
        ("Basic dTpw".to_owned(), "form", "without a scheme word"),
        (of(|signer| signer.secret_key = "wrong".to_owned()), "signature", "fits neither"),
    ] {
        let (agrees, said) = verify(&header);
        let line = said.lines().find(|line| line.contains("DISAGREES")).unwrap_or_else(|| panic!("{header}: {said}"));
        assert!(!agrees && line.starts_with(part) && line.contains(about), "{header}: {said}");
    }
}

#[test]
fn it_names_the_mistake_of_the_client() {
    let right = signed_by(&signer(), BODY);
    let prefix = right.rsplit_once('/').unwrap().0;
    let signing_key = hmac(KEY.1.as_bytes(), prefix);
    let canonical = |body: &str, end: &str| {
        let headers = "content-type;host\ncontent-type:application%2Fjson%3B%20charset%3DUTF-8\nhost:127.0.0.1%3A8080";
        format!("POST\n{}\n{headers}\n{body}{end}", path(1, 3))
    };
    let body = "%7B%22customField%22%3A%22a%20b%22%7D";
    let bytes: Vec<u8> = (0..32).map(|i| u8::from_str_radix(&signing_key[2 * i..2 * i + 2], 16).unwrap()).collect();
    for (key, text, mistake) in [
        (bytes.as_slice(), canonical(body, ""), "32 raw bytes"),
        (KEY.1.as_bytes(), canonical(body, ""), "must sign the prefix"),
        (signing_key.as_bytes(), canonical(body, "\n"), "a line break follows the body"),
        (signing_key.as_bytes(), canonical(body, "").replace("%20", "+"), "URLEncoder"),
        (signing_key.as_bytes(), canonical("", ""), "the body is left out"),
        (signing_key.as_bytes(), canonical(body, "").replace("%3A8080", ""), "without the port"),
        (
            signing_key.as_bytes(),
            canonical(body, "").replace("%3B%20charset%3DUTF-8", ""),
            "Content-Type that is signed",
        ),
    ] {
        let (agrees, said) = verify(&with_signature(&right, &hmac(key, &text)));
        let line = said.lines().find(|line| line.starts_with("Likely mistake: "));
        assert!(!agrees && line.is_some_and(|line| line.contains(mistake)), "{mistake}: {said}");
        assert!(said.contains(&format!("\n{}\n", canonical(body, ""))), "{said}");
    }
    let (_, said) = verify(&right.to_uppercase().replacen(&prefix.to_uppercase(), prefix, 1));
    assert!(said.contains("Likely mistake: the signature is written in upper case"), "{said}");
}
