//! The opening handshake (RFC 6455 §4), both sides.
//!
//! A server gives [`check`] the request and answers with [`Handshake::write_head`] or with what the
//! [`Refusal`] says. A client writes [`write_request`] and gives the answer to [`check_response`].
//!
//! `Host` and the syntax of the head are the HTTP layer's business, `Origin` is the application's.
//! Extensions that a client offers are declined by silence (§9.1).

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{alphabet, engine::general_purpose::STANDARD};
use sha1::{Digest as _, Sha1};

use crate::http1::{Fields, Method, Request, Version};

/// §1.3: what is appended to the key before hashing.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Keys are nonces, so bits that decoding drops are nobody's loss.
const KEY_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// The value of `Sec-WebSocket-Accept` for a key (§4.2.2).
#[must_use]
pub fn accept_key(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(GUID);
    STANDARD.encode(hash.finalize())
}

/// A request that may be upgraded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// `Sec-WebSocket-Accept` of the answer.
    pub accept: String,
    /// The subprotocols that the client offers, the one it likes best first.
    pub protocols: Vec<String>,
}

impl Handshake {
    /// Appends the 101 response head, with one of the offered subprotocols or none, and with the
    /// caller's own `fields`.
    pub fn write_head<'a>(
        &self,
        protocol: Option<&str>,
        fields: impl IntoIterator<Item = (&'a str, &'a str)>,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
        );
        write_field(out, "Sec-WebSocket-Accept", &self.accept);
        if let Some(protocol) = protocol {
            debug_assert!(
                self.protocols.iter().any(|offered| offered == protocol),
                "not offered"
            );
            write_field(out, "Sec-WebSocket-Protocol", protocol);
        }
        for (name, value) in fields {
            write_field(out, name, value);
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Why a request is not upgraded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// §4.1: the method must be GET.
    #[error("a WebSocket handshake is a GET request, this is {0}")]
    Method(String),
    /// §4.1: at least HTTP/1.1; RFC 9110 §7.8: `Upgrade` in an HTTP/1.0 request is ignored.
    #[error("a WebSocket handshake needs HTTP/1.1")]
    HttpVersion,
    /// §4.2.1: `Upgrade` must list `websocket`.
    #[error("the request does not ask to upgrade to websocket")]
    Upgrade,
    /// §4.2.1: `Connection` must list `upgrade`.
    #[error("the Connection field does not list upgrade")]
    Connection,
    /// §4.2.1: there must be exactly one key.
    #[error("{0} Sec-WebSocket-Key fields, exactly one is needed")]
    KeyCount(usize),
    /// §4.2.1: 16 bytes in base64.
    #[error("Sec-WebSocket-Key is not 16 bytes in base64")]
    Key,
    /// §4.2.1: there must be exactly one version.
    #[error("{0} Sec-WebSocket-Version fields, exactly one is needed")]
    VersionCount(usize),
    /// §4.4: the only version is 13.
    #[error("Sec-WebSocket-Version {0} is not supported, 13 is")]
    Version(String),
    /// §4.1: subprotocols are unique tokens.
    #[error("Sec-WebSocket-Protocol is not a list of unique tokens")]
    Protocol,
}

impl Refusal {
    /// The status to answer with.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Method(_) => 405,
            Self::HttpVersion | Self::Upgrade | Self::Connection | Self::Version(_) => 426,
            Self::KeyCount(_) | Self::Key | Self::VersionCount(_) | Self::Protocol => 400,
        }
    }

    /// The fields that the answer must have beside the usual ones: `Allow` for 405 (RFC 9110
    /// §15.5.6), `Upgrade` for 426 (RFC 9110 §15.5.22) with the version (§4.4).
    #[must_use]
    pub const fn fields(&self) -> &'static [(&'static str, &'static str)] {
        match self.status() {
            405 => &[("Allow", "GET")],
            426 => &[
                ("Upgrade", "websocket"),
                ("Connection", "Upgrade"),
                ("Sec-WebSocket-Version", VERSION),
            ],
            _ => &[("Sec-WebSocket-Version", VERSION)],
        }
    }
}

/// The one version of the protocol (§4.1).
pub const VERSION: &str = "13";

/// Checks a client's handshake (§4.2.1).
///
/// # Errors
///
/// The first rule that the request breaks.
pub fn check(request: &Request) -> Result<Handshake, Refusal> {
    let fields = &request.fields;
    if request.method != Method::Get {
        return Err(Refusal::Method(request.method.as_str().to_owned()));
    }
    if request.version != Version::Http11 {
        return Err(Refusal::HttpVersion);
    }
    if !fields.contains_token("upgrade", "websocket") {
        return Err(Refusal::Upgrade);
    }
    if !fields.contains_token("connection", "upgrade") {
        return Err(Refusal::Connection);
    }
    // The version first: another one may have other rules for the rest.
    let version = only(fields, "sec-websocket-version").map_err(Refusal::VersionCount)?;
    if version != VERSION {
        return Err(Refusal::Version(version.to_owned()));
    }
    let key = only(fields, "sec-websocket-key").map_err(Refusal::KeyCount)?;
    if KEY_BASE64.decode(key).map_err(|_| Refusal::Key)?.len() != 16 {
        return Err(Refusal::Key);
    }
    Ok(Handshake {
        accept: accept_key(key),
        protocols: protocols(fields)?,
    })
}

/// The offered subprotocols, checked (§4.1, point 10). A field without any offers none: some
/// clients write it so.
fn protocols(fields: &Fields) -> Result<Vec<String>, Refusal> {
    let mut offered: Vec<String> = Vec::new();
    for line in fields.get_all("sec-websocket-protocol") {
        let line = str::from_utf8(line).map_err(|_| Refusal::Protocol)?;
        // RFC 9110 §5.6.1.2: empty elements are ignored.
        for name in elements(line).filter(|name| !name.is_empty()) {
            if !is_token(name) || offered.iter().any(|other| other == name) {
                return Err(Refusal::Protocol);
            }
            offered.push(name.to_owned());
        }
    }
    Ok(offered)
}

/// Appends a client's handshake. `key` is 16 random bytes, new for each connection (§4.1); the
/// value that [`check_response`] needs is returned.
pub fn write_request(
    out: &mut Vec<u8>,
    host: &str,
    target: &str,
    key: [u8; 16],
    protocols: &[&str],
) -> String {
    let key = STANDARD.encode(key);
    out.extend_from_slice(b"GET ");
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    write_field(out, "Host", host);
    write_field(out, "Upgrade", "websocket");
    write_field(out, "Connection", "Upgrade");
    write_field(out, "Sec-WebSocket-Key", &key);
    write_field(out, "Sec-WebSocket-Version", VERSION);
    if !protocols.is_empty() {
        write_field(out, "Sec-WebSocket-Protocol", &protocols.join(", "));
    }
    out.extend_from_slice(b"\r\n");
    accept_key(&key)
}

/// Why a server's answer does not open a connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResponseError {
    /// §4.1: anything but 101 is handled as HTTP.
    #[error("the server answered {0}, not 101")]
    Status(u16),
    /// §4.1: `Upgrade` must be `websocket`.
    #[error("the answer does not upgrade to websocket")]
    Upgrade,
    /// §4.1: `Connection` must list `upgrade`.
    #[error("the Connection field of the answer does not list upgrade")]
    Connection,
    /// §4.1: proof that the server read this request as a handshake.
    #[error("Sec-WebSocket-Accept does not belong to the key")]
    Accept,
    /// §4.1: none was asked for.
    #[error("the server uses an extension that was not offered")]
    Extension,
    /// §4.1: the server may choose one of those offered.
    #[error("the server chose a subprotocol that was not offered")]
    Protocol,
}

/// Checks a server's answer (§4.1) against the `accept` value of [`write_request`]; gives the
/// chosen subprotocol.
///
/// # Errors
///
/// The first rule that the answer breaks.
pub fn check_response(
    status: u16,
    fields: &Fields,
    accept: &str,
    protocols: &[&str],
) -> Result<Option<String>, ResponseError> {
    if status != 101 {
        return Err(ResponseError::Status(status));
    }
    if !only(fields, "upgrade").is_ok_and(|value| value.eq_ignore_ascii_case("websocket")) {
        return Err(ResponseError::Upgrade);
    }
    if !fields.contains_token("connection", "upgrade") {
        return Err(ResponseError::Connection);
    }
    if only(fields, "sec-websocket-accept") != Ok(accept) {
        return Err(ResponseError::Accept);
    }
    if fields
        .get_all("sec-websocket-extensions")
        .any(|line| !line.is_empty())
    {
        return Err(ResponseError::Extension);
    }
    match only(fields, "sec-websocket-protocol") {
        Err(0) => Ok(None),
        Ok(chosen) if protocols.contains(&chosen) => Ok(Some(chosen.to_owned())),
        Ok(_) | Err(_) => Err(ResponseError::Protocol),
    }
}

fn write_field(out: &mut Vec<u8>, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// The value of a field that must come exactly once, or how often it came. What is not text is
/// taken for empty: no field of the handshake may be.
fn only<'a>(fields: &'a Fields, name: &str) -> Result<&'a str, usize> {
    let mut values = fields.get_all(name);
    match (values.next(), values.count()) {
        (Some(value), 0) => Ok(str::from_utf8(value).unwrap_or_default()),
        (first, more) => Err(usize::from(first.is_some()) + more),
    }
}

fn elements(line: &str) -> impl Iterator<Item = &str> {
    line.split(',')
        .map(|element| element.trim_matches([' ', '\t']))
}

/// RFC 9110 §5.6.2.
fn is_token(name: &str) -> bool {
    let is_token_byte =
        |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token_byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{Limits, server};

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    /// A good handshake without the field `but`, and with `more`.
    fn head(but: &str, more: &[(&str, &str)]) -> Request {
        let good = [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", KEY),
            ("Sec-WebSocket-Version", "13"),
        ];
        let kept = good.into_iter().filter(|line| line.0 != but);
        read_head("GET", "1.1", kept.chain(more.iter().copied()))
    }

    /// What the HTTP layer makes of a request with these fields.
    fn read_head<'a>(
        method: &str,
        version: &str,
        fields: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Request {
        let mut head = format!("{method} /chat HTTP/{version}\r\nHost: example.com\r\n");
        for (name, value) in fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut connection = server::Connection::new();
        connection.feed(head.as_bytes());
        match connection.next_event(&Limits::default()) {
            Ok(Some(server::Event::Request { head, .. })) => head,
            other => panic!("not a request: {other:?}"),
        }
    }

    #[test]
    fn the_example_of_the_rfc_is_answered_as_printed() {
        let more = [
            ("Sec-WebSocket-Protocol", "chat, superchat"),
            ("Origin", "http://example.com"),
        ];
        let handshake = check(&head("", &more)).unwrap();
        assert_eq!(handshake.protocols, ["chat", "superchat"]);
        let mut out = Vec::new();
        handshake.write_head(Some("chat"), [("X-Channel-Id", "c")], &mut out);
        let want = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {ACCEPT}\r\nSec-WebSocket-Protocol: chat\r\n\
             X-Channel-Id: c\r\n\r\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }

    #[test]
    fn every_legal_spelling_is_taken() {
        for (but, more) in [
            ("Upgrade", &[("upgrade", "WebSocket")][..]),
            ("Upgrade", &[("Upgrade", "h2c, websocket")]),
            ("Upgrade", &[("Upgrade", "h2c"), ("Upgrade", "websocket")]),
            ("Connection", &[("connection", "keep-alive, Upgrade")]),
            (
                "Connection",
                &[("Connection", "keep-alive"), ("Connection", "UPGRADE")],
            ),
            ("Connection", &[("Connection", "\tkeep-alive ,upgrade\t")]),
            (
                "Sec-WebSocket-Key",
                &[("SEC-WEBSOCKET-KEY", "AQIDBAUGBwgJCgsMDQ4PEA==")],
            ),
            (
                "Sec-WebSocket-Key",
                &[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZR==")],
            ),
            (
                "",
                &[(
                    "Sec-WebSocket-Extensions",
                    "permessage-deflate; client_max_window_bits",
                )],
            ),
            (
                "",
                &[
                    ("Sec-WebSocket-Protocol", "a,, b ,"),
                    ("Sec-WebSocket-Protocol", "c"),
                ],
            ),
            ("", &[("Sec-WebSocket-Protocol", "")]),
            ("", &[("Sec-WebSocket-Protocol", " ,")]),
        ] {
            assert!(check(&head(but, more)).is_ok(), "{more:?}");
        }
    }

    #[test]
    fn every_rule_of_the_opening_handshake_refuses_with_its_status() {
        let old = Request {
            version: Version::Http10,
            ..head("", &[])
        };
        assert_eq!(check(&old), Err(Refusal::HttpVersion));
        for method in ["POST", "HEAD", "OPTIONS", "get"] {
            let request = read_head(method, "1.1", std::iter::empty());
            assert_eq!(check(&request), Err(Refusal::Method(method.into())));
        }
        let key = "Sec-WebSocket-Key";
        let version = "Sec-WebSocket-Version";
        for (but, more, want, status) in [
            ("Upgrade", &[][..], Refusal::Upgrade, 426),
            ("Upgrade", &[("Upgrade", "h2c")], Refusal::Upgrade, 426),
            (
                "Upgrade",
                &[("Upgrade", "websocket2")],
                Refusal::Upgrade,
                426,
            ),
            ("Connection", &[], Refusal::Connection, 426),
            (
                "Connection",
                &[("Connection", "keep-alive")],
                Refusal::Connection,
                426,
            ),
            (key, &[], Refusal::KeyCount(0), 400),
            ("", &[(key, KEY)], Refusal::KeyCount(2), 400),
            (key, &[(key, "")], Refusal::Key, 400),
            (key, &[(key, "dGhlIHNhbXBsZSBub25jZQ")], Refusal::Key, 400),
            (key, &[(key, "dGhlIHNhbXBsZSBub25j")], Refusal::Key, 400),
            (key, &[(key, "dGhlIHNhbXBsZSBub25jZSE=")], Refusal::Key, 400),
            (key, &[(key, "not base64 at all !!!!==")], Refusal::Key, 400),
            (version, &[], Refusal::VersionCount(0), 400),
            ("", &[(version, "13")], Refusal::VersionCount(2), 400),
            (
                version,
                &[(version, "8")],
                Refusal::Version("8".into()),
                426,
            ),
            (
                version,
                &[(version, "8, 13")],
                Refusal::Version("8, 13".into()),
                426,
            ),
            (
                version,
                &[(version, "013")],
                Refusal::Version("013".into()),
                426,
            ),
            (
                "",
                &[("Sec-WebSocket-Protocol", "a b")],
                Refusal::Protocol,
                400,
            ),
            (
                "",
                &[("Sec-WebSocket-Protocol", "a/b")],
                Refusal::Protocol,
                400,
            ),
            (
                "",
                &[("Sec-WebSocket-Protocol", "a, a")],
                Refusal::Protocol,
                400,
            ),
        ] {
            assert_eq!(check(&head(but, more)), Err(want.clone()), "{more:?}");
            assert_eq!(want.status(), status, "{want:?}");
        }
    }

    #[test]
    fn a_refusal_says_what_would_be_right() {
        assert_eq!(Refusal::Method("PUT".into()).fields(), [("Allow", "GET")]);
        assert!(
            Refusal::Upgrade
                .fields()
                .contains(&("Upgrade", "websocket"))
        );
        assert!(
            Refusal::Version("8".into())
                .fields()
                .contains(&("Sec-WebSocket-Version", "13"))
        );
    }

    #[test]
    fn what_a_client_writes_a_server_takes_and_the_answer_opens() {
        let mut out = Vec::new();
        let accept = write_request(&mut out, "h", "/chat", *b"the sample nonce", &["a", "b"]);
        assert_eq!(accept, ACCEPT);
        let want = format!(
            "GET /chat HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: a, b\r\n\r\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }

    #[test]
    fn a_client_refuses_every_answer_that_is_not_its_own() {
        let answer = |but: &str, more: &[(&'static str, &'static str)]| {
            let good = [
                ("Upgrade", "WebSocket"),
                ("Connection", "Upgrade"),
                ("Sec-WebSocket-Accept", ACCEPT),
            ];
            let kept = good.into_iter().filter(|line| line.0 != but);
            let lines = kept.chain(more.iter().copied());
            let fields = lines
                .map(|(name, value)| (name, value.as_bytes()))
                .collect();
            check_response(101, &fields, ACCEPT, &["a", "b"])
        };
        assert_eq!(answer("", &[]), Ok(None));
        assert_eq!(
            answer("", &[("Sec-WebSocket-Protocol", "b")]),
            Ok(Some("b".into()))
        );
        assert_eq!(
            check_response(200, &Fields::new(), ACCEPT, &[]),
            Err(ResponseError::Status(200))
        );
        for (but, more, want) in [
            ("Upgrade", &[][..], ResponseError::Upgrade),
            ("Upgrade", &[("Upgrade", "h2c")], ResponseError::Upgrade),
            (
                "Connection",
                &[("Connection", "close")],
                ResponseError::Connection,
            ),
            ("Sec-WebSocket-Accept", &[], ResponseError::Accept),
            (
                "Sec-WebSocket-Accept",
                &[("Sec-WebSocket-Accept", "x")],
                ResponseError::Accept,
            ),
            (
                "",
                &[("Sec-WebSocket-Extensions", "x")],
                ResponseError::Extension,
            ),
            (
                "",
                &[("Sec-WebSocket-Protocol", "c")],
                ResponseError::Protocol,
            ),
            (
                "",
                &[("Sec-WebSocket-Protocol", "a, b")],
                ResponseError::Protocol,
            ),
        ] {
            assert_eq!(answer(but, more), Err(want), "{more:?}");
        }
    }
}
