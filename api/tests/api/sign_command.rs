//! `callsweep-api sign`, against the vendor's vectors.

use crate::process::program;

fn sign(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = program(&std::env::temp_dir(), &["sign", "--access-key", "globalaktest"]);
    command.args(arguments).env("SIGN_SECRET_KEY", "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p");
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn it_signs_as_the_vendor_s_client_does() {
    let (code, stdout, stderr) = sign(&[
        "--url",
        "http://10.22.26.181:28080/rest/isales/v1/openapi/campaigns/1/calldata/3/delete",
        "--body",
        r#"{"sessionId":"1"}"#,
        "--header",
        "Content-Length: 17",
        "--timestamp",
        "2024-10-31T14:06:52Z",
    ]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    // The vector "three headers".
    let authorization = "auth-v2/globalaktest/2024-10-31T14:06:52Z/content-length;content-type;host/\
                         3ed0ce807dfa0db34ba97ff9d84e90f5ee024f5519046b7114499e6ffb252bcf";
    let mut lines = stdout.lines();
    assert!(lines.any(|line| line == format!("Authorization: {authorization}")), "{stdout}");
    let curl = shlex::split(stdout.lines().last().unwrap()).unwrap();
    assert!(curl.contains(&format!("Authorization: {authorization}")), "{curl:?}");
    assert!(
        stdout.contains(
            "\nPOST\n/rest/isales/v1/openapi/campaigns/1/calldata/3/delete\ncontent-length;content-type;host\n"
        )
    );
}

#[test]
fn it_names_the_flag_that_is_wrong() {
    for (arguments, flag) in [
        (["--url", "no url", "--header", "a: b"], "--url"),
        (["--url", "http://a/", "--header", "a"], "--header"),
        (["--url", "http://a/", "--timestamp", "x/y"], "--timestamp"),
    ] {
        let (code, stdout, stderr) = sign(&arguments);
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
        assert!(stderr.contains(flag), "{stderr}");
    }
    assert_eq!(sign(&[]).0, Some(2));
}
