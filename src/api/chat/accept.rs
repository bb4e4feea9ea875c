//! Which form of content a request has, and which form of answer it wants.

use std::borrow::Cow;
use std::sync::Arc;

use lmserver_proto::http1::Request;
use lmserver_runtime::plugin::transport::Transport;

use crate::api::refusal::{Code, Refusal, clip};

/// Refuses content that is not JSON. Without `Content-Type` it is taken for it.
pub(in crate::api) fn content(request: &Request, body: &[u8]) -> Result<(), Refusal> {
    let is_framed = |name| request.fields.get_bytes(name).is_some();
    if body.is_empty() && !is_framed("content-length") && !is_framed("transfer-encoding") {
        let message = "the body is missing: send it with Content-Length or in chunks";
        return Err(Refusal::invalid(message).with_status(411));
    }
    let coding = request
        .fields
        .get_bytes("content-encoding")
        .unwrap_or(b"identity");
    if !coding.eq_ignore_ascii_case(b"identity") {
        // RFC 9110 §15.5.16: says that it is the coding, not the type.
        return Err(unsupported("the body is compressed: send it as it is")
            .with_field("Accept-Encoding", "identity"));
    }
    let mut values = request.fields.get_all("content-type");
    let Some(value) = values.next() else {
        return Ok(());
    };
    let is_alone = values.next().is_none();
    // What nearly everybody sends is not taken apart.
    if value == b"application/json" && is_alone {
        return Ok(());
    }
    let value = String::from_utf8_lossy(value);
    if is_json(&value) && is_alone {
        return Ok(());
    }
    let message = format!(
        "Content-Type is {:?}: send JSON as application/json (curl: -H 'Content-Type: application/json')",
        clip(&value)
    );
    Err(unsupported(message).with_field("Accept", "application/json"))
}

/// The transport that answers with the stream, if that is what the client wants.
pub(super) fn stream<'a>(
    request: &Request,
    transport: Option<&'a Arc<dyn Transport>>,
) -> Result<Option<&'a Arc<dyn Transport>>, Refusal> {
    if !wants_stream(request) {
        return Ok(None);
    }
    let message = "this server is built without event streams: accept application/json";
    transport
        .map(Some)
        .ok_or_else(|| Refusal::invalid(message).with_status(406))
}

fn unsupported(message: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::new(Code::UnsupportedMediaType, message)
}

fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
    let has_json = kind == "application/json"
        || kind
            .strip_suffix("+json")
            .is_some_and(|kind| kind.starts_with("application/"));
    // RFC 8259 §8.1: JSON between systems is UTF-8.
    let is_utf8 = parts
        .filter_map(|part| part.split_once('='))
        .all(|(name, value)| {
            !name.eq_ignore_ascii_case("charset")
                || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        });
    has_json && is_utf8
}

/// Whether `Accept` names event streams, and JSON neither before them nor above them
/// (RFC 9110 §12.5.1). Wildcards are JSON's, so that every client has the answer of old.
fn wants_stream(request: &Request) -> bool {
    let mut stream = 0;
    let mut json = 0;
    for value in request.fields.get_all("accept") {
        let value = String::from_utf8_lossy(value).to_ascii_lowercase();
        for range in value.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            let weight = parts
                .find_map(|part| part.strip_prefix("q="))
                .map_or(1000, thousandths);
            match kind {
                "text/event-stream" => stream = stream.max(weight),
                // What was named first wins among equals.
                "application/json" if stream == 0 => json = json.max(weight.saturating_add(1)),
                "application/json" => json = json.max(weight),
                _ => {}
            }
        }
    }
    stream > 0 && stream >= json
}

/// A weight (RFC 9110 §12.4.2) in thousandths; what is none weighs nothing.
fn thousandths(weight: &str) -> u16 {
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return 0;
    }
    let fraction = format!("{fraction:0<3}");
    match (whole, fraction.get(..3).map(str::parse)) {
        ("0", Some(Ok(thousandths))) => thousandths,
        ("1", Some(Ok(0))) => 1000,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use lmserver_proto::http1::{Fields, Method, Target, Version};

    use super::*;

    fn request(name: &str, values: &[&str]) -> Request {
        let mut fields = Fields::new();
        for value in values {
            fields.push(name, value.as_bytes());
        }
        let target = Target::Origin {
            path: "/api/chat".into(),
            query: None,
        };
        Request {
            method: Method::Post,
            target,
            version: Version::Http11,
            fields,
        }
    }

    #[test]
    fn json_is_taken_and_nothing_else() {
        for (values, want) in [
            (&[][..], true),
            (&["application/json"], true),
            (&["Application/JSON; charset=UTF-8"], true),
            (&["application/json;charset=\"utf-8\"; x=y"], true),
            (&["application/vnd.api+json"], true),
            (&["application/json; charset=utf-16"], false),
            (&["text/plain"], false),
            (&["text/json"], false),
            (&["application/x-www-form-urlencoded"], false),
            (&["multipart/form-data; boundary=x"], false),
            (&["application/jsonx"], false),
            (&[""], false),
            (&["application/json", "application/json"], false),
        ] {
            let verdict = content(&request("Content-Type", values), b"{}");
            assert_eq!(verdict.is_ok(), want, "{values:?}");
            assert!(verdict.is_ok() || verdict.unwrap_err().status == 415);
        }
        assert!(content(&request("Content-Encoding", &["identity"]), b"{}").is_ok());
        assert_eq!(
            content(&request("Content-Encoding", &["gzip"]), b"{}")
                .unwrap_err()
                .status,
            415
        );
    }

    #[test]
    fn a_body_without_a_length_is_missing() {
        let missing = content(&request("Accept", &[]), b"");
        assert_eq!(missing.unwrap_err().status, 411);
        assert!(content(&request("Content-Length", &["0"]), b"").is_ok());
        assert!(content(&request("Transfer-Encoding", &["chunked"]), b"").is_ok());
    }

    #[test]
    fn a_stream_is_given_to_those_who_name_it() {
        for (values, want) in [
            (&[][..], false),
            (&["*/*"], false),
            (&["application/json"], false),
            (&["text/*"], false),
            (&["text/event-stream"], true),
            (&["Text/Event-Stream;q=0.5"], true),
            (&["text/event-stream; q=0"], false),
            (&["text/event-stream;q=0.000"], false),
            (&["text/event-stream, */*"], true),
            (&["text/event-stream, application/json"], true),
            (&["application/json, text/event-stream"], false),
            (&["application/json;q=0.9, text/event-stream"], true),
            (&["text/event-stream;q=0.8, application/json"], false),
            (&["application/json;q=0.5", "text/event-stream;q=0.6"], true),
            (&["text/event-stream;q=0.0004"], false),
            (&["text/event-stream;q=1.000"], true),
            (&["text/event-stream;q=1.001"], false),
            (&["text/event-stream;q=0.+5"], false),
            (&["text/event-stream;q="], false),
            (&["text/event-stream;q=2"], false),
            (&["text/event-stream;q=x"], false),
            (&["xtext/event-stream"], false),
        ] {
            assert_eq!(wants_stream(&request("Accept", values)), want, "{values:?}");
        }
    }
}
