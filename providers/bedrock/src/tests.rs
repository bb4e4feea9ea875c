use std::time::Duration;

use lmserver_runtime::plugin::provider::{Content, Message};

use super::*;
use crate::section::{Keys, settings};

type Opened = (Option<Box<dyn Provider>>, Vec<String>);

fn opened(
    url: Option<&str>,
    key: Option<&str>,
    strings: &[(&'static str, &'static str)],
) -> Opened {
    let mut keys: Keys = strings.iter().copied().collect();
    let provider = open(settings(url, key), &mut keys);
    (provider, keys.mistakes)
}

/// The request for one word at 2026-11-23T01:00:00Z.
fn request(provider: &dyn Provider) -> String {
    let message = Message {
        role: "user".into(),
        content: Content::Text("Hi".into()),
        name: None,
        tool_calls: None,
        tool_call_id: None,
        reasoning: None,
    };
    let request = ChatRequest {
        messages: vec![message],
        ..ChatRequest::default()
    };
    let cx = StartCx {
        unix_time: Duration::from_secs(1_795_395_600),
        ..StartCx::default()
    };
    let start = provider
        .start(&request, "us.vendor.model-v1:0", cx)
        .unwrap();
    String::from_utf8(start.upstream.unwrap().request).unwrap()
}

const REGION: (&str, &str) = ("region", "eu-west-1");
const ID: (&str, &str) = ("access_key_id", "AKIDEXAMPLE");
const SECRET: (&str, &str) = (
    "secret_access_key",
    "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
);

#[test]
fn a_key_is_borne_as_it_is() {
    let (provider, mistakes) = opened(None, Some("ABSK-1"), &[REGION]);
    assert!(mistakes.is_empty(), "{mistakes:?}");
    let provider = provider.unwrap();
    let host = "bedrock-runtime.eu-west-1.amazonaws.com";
    assert_eq!(&*provider.endpoint().unwrap().host, host);
    let request = request(&*provider);
    for line in [
        "POST /model/us.vendor.model-v1%3A0/converse-stream HTTP/1.1",
        "Host: bedrock-runtime.eu-west-1.amazonaws.com",
        "Authorization: Bearer ABSK-1",
        "Accept: application/vnd.amazon.eventstream",
        "{\"messages\":[{\"content\":[{\"text\":\"Hi\"}],\"role\":\"user\"}]}",
    ] {
        assert!(
            request.lines().any(|other| other == line),
            "{line} in {request}"
        );
    }
    assert!(!request.contains("X-Amz-Date"), "{request}");
}

/// The signatures are those that botocore makes of the same requests at the same time.
#[test]
fn credentials_sign_the_request() {
    let token = ("session_token", "token/of+a=session");
    for (strings, names, signature) in [
        (
            vec![REGION, ID, SECRET],
            "content-type;host;x-amz-date",
            SIGNATURES[0],
        ),
        (
            vec![REGION, ID, SECRET, token],
            "content-type;host;x-amz-date;x-amz-security-token",
            SIGNATURES[1],
        ),
    ] {
        let (provider, mistakes) = opened(None, None, &strings);
        assert!(mistakes.is_empty(), "{mistakes:?}");
        let request = request(&*provider.unwrap());
        let authorization = format!(
            "Authorization: AWS4-HMAC-SHA256 \
             Credential=AKIDEXAMPLE/20261123/eu-west-1/bedrock/aws4_request, \
             SignedHeaders={names}, Signature={signature}"
        );
        for line in ["X-Amz-Date: 20261123T010000Z", &authorization] {
            assert!(
                request.lines().any(|other| other == line),
                "{line} in {request}"
            );
        }
        let has_token = request.contains("X-Amz-Security-Token: token/of+a=session\r\n");
        assert_eq!(has_token, strings.contains(&token));
        assert!(!request.contains("Bearer") && !request.contains(SECRET.1));
    }
}

const SIGNATURES: [&str; 2] = [
    "58c2e4cd1b8ec5b5a49999b69c0e181177cf6efcbcee6826d560366535ad8b73",
    "92889439f714e5739c848ea18528003f85c9fd7245863ce0d06e598827f9b52e",
];

#[test]
fn a_gateway_needs_neither_region_nor_key() {
    let (provider, mistakes) = opened(Some("http://127.0.0.1:1/aws?x=y"), None, &[]);
    assert!(mistakes.is_empty(), "{mistakes:?}");
    let request = request(&*provider.unwrap());
    let line = "POST /aws/model/us.vendor.model-v1%3A0/converse-stream?x=y HTTP/1.1\r\n";
    assert!(request.starts_with(line), "{request}");
    assert!(!request.contains("Authorization"), "{request}");
}

#[test]
fn a_region_has_its_servers() {
    for (region, host) in [
        (
            "us-gov-west-1",
            "bedrock-runtime.us-gov-west-1.amazonaws.com",
        ),
        ("cn-north-1", "bedrock-runtime.cn-north-1.amazonaws.com.cn"),
    ] {
        let (provider, _) = opened(None, Some("k"), &[("region", region)]);
        assert_eq!(&*provider.unwrap().endpoint().unwrap().host, host);
    }
}

#[test]
fn mistakes_are_told() {
    let no_region = format!("region: {NO_REGION}");
    let url = Some("http://127.0.0.1:1");
    let cases: [(_, _, &[(&str, &str)], &str); 8] = [
        (None, Some("k"), &[], &no_region),
        (url, None, &[ID, SECRET], &no_region),
        (
            None,
            Some("k"),
            &[("region", "EU West")],
            "region: is no region; write one like \"us-east-1\"",
        ),
        (
            None,
            None,
            &[REGION],
            "api_key: is missing; set api_key = \"env:AWS_BEARER_TOKEN_BEDROCK\", or \
             access_key_id and secret_access_key",
        ),
        (
            url,
            None,
            &[REGION, ID],
            "secret_access_key: is missing; it belongs to access_key_id",
        ),
        (
            url,
            None,
            &[REGION, SECRET],
            "access_key_id: is missing; it belongs to secret_access_key",
        ),
        (
            url,
            None,
            &[("session_token", "t")],
            "access_key_id: is missing; it belongs to secret_access_key",
        ),
        (
            None,
            Some("k"),
            &[REGION, ID, SECRET],
            "access_key_id: stands beside api_key; remove one of them, since a request has one \
             proof",
        ),
    ];
    for (url, key, strings, want) in cases {
        assert_eq!(opened(url, key, strings).1, [want]);
    }
}
