//! Request targets (RFC 9112 §3.2) and authorities (RFC 3986 §3.2).

use std::fmt;
use std::net::Ipv6Addr;

use super::syntax::is_unreserved_or_sub_delim;
use super::{Error, Method};

/// What a request is for, in one of four forms.
///
/// Its `Debug` output leaves the query out, which may hold a token: it ends up in logs.
#[derive(Clone, PartialEq, Eq)]
pub enum Target {
    /// `/path?query`: the usual one (RFC 9112 §3.2.1).
    Origin {
        /// From the first slash, as it came, percent-encoding included.
        path: Box<str>,
        /// Behind the question mark, if there is one.
        query: Option<Box<str>>,
    },
    /// `http://host/path?query`: what a proxy is asked; a server must take it too (§3.2.2).
    Absolute {
        /// `host [":" port]`. It counts instead of `Host`.
        authority: Box<str>,
        /// From the slash behind the authority; `/` where there is none (RFC 9110 §4.2.3).
        path: Box<str>,
        /// Behind the question mark, if there is one.
        query: Option<Box<str>>,
    },
    /// `host:port`, for `CONNECT` alone (§3.2.3).
    Authority(Box<str>),
    /// `*`, for `OPTIONS` alone: the server as a whole (§3.2.4).
    Asterisk,
}

impl Target {
    /// Reads a target as the method allows it.
    pub(super) fn parse(method: &Method, text: &[u8]) -> Result<Self, Error> {
        let Some(text) = std::str::from_utf8(text)
            .ok()
            .filter(|text| text.is_ascii())
        else {
            let byte = text
                .iter()
                .copied()
                .find(|byte| !byte.is_ascii())
                .unwrap_or(0x80);
            return Err(Error::TargetByte { byte });
        };
        if let Some(byte) = text.bytes().find(|byte| !byte.is_ascii_graphic()) {
            return Err(Error::TargetByte { byte });
        }
        match (method, text) {
            // RFC 9112 §3.2.3: CONNECT has the authority form and needs the port (RFC 9110 §9.3.6).
            (Method::Connect, _) => match text.rsplit_once(':') {
                Some((_, port)) if !port.is_empty() && is_valid_authority(text) => {
                    Ok(Self::Authority(text.into()))
                }
                _ => Err(Error::TargetInvalid),
            },
            (Method::Options, "*") => Ok(Self::Asterisk),
            _ if text.starts_with('/') => {
                let (path, query) = split(text)?;
                Ok(Self::Origin { path, query })
            }
            _ => Self::parse_absolute(text),
        }
    }

    #[inline(never)]
    fn parse_absolute(text: &str) -> Result<Self, Error> {
        let (scheme, rest) = text.split_once("://").ok_or(Error::TargetInvalid)?;
        // RFC 3986 §3.1: schemes have no case.
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return Err(Error::TargetInvalid);
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        // RFC 9110 §4.2.4: user information in front of the host is an error.
        if !is_valid_authority(authority) {
            return Err(Error::TargetInvalid);
        }
        let (mut path, query) = split(rest)?;
        if path.is_empty() {
            path = "/".into();
        }
        Ok(Self::Absolute {
            authority: authority.into(),
            path,
            query,
        })
    }

    /// The path; `*` for the asterisk, empty for an authority.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::Origin { path, .. } | Self::Absolute { path, .. } => path,
            Self::Authority(_) => "",
            Self::Asterisk => "*",
        }
    }

    /// The query, without its question mark.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        match self {
            Self::Origin { query, .. } | Self::Absolute { query, .. } => query.as_deref(),
            Self::Authority(_) | Self::Asterisk => None,
        }
    }

    /// The authority, where the target names one.
    #[must_use]
    pub fn authority(&self) -> Option<&str> {
        match self {
            Self::Absolute { authority, .. } | Self::Authority(authority) => Some(authority),
            Self::Origin { .. } | Self::Asterisk => None,
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if matches!(self, Self::Absolute { .. }) {
            "http://"
        } else {
            ""
        };
        let query = if self.query().is_some() { "?…" } else { "" };
        write!(
            f,
            "{scheme}{}{}{query}",
            self.authority().unwrap_or_default(),
            self.path()
        )
    }
}

/// Whether the text is `host [":" port]` with a host that is not empty (RFC 3986 §3.2.2, §3.2.3;
/// RFC 9110 §4.2.1), and without user information.
#[must_use]
pub fn is_valid_authority(text: &str) -> bool {
    if let Some(rest) = text.strip_prefix('[') {
        let Some((literal, rest)) = rest.split_once(']') else {
            return false;
        };
        let port = rest.strip_prefix(':').unwrap_or(rest);
        let port_is_valid = if rest.is_empty() {
            true
        } else {
            rest.starts_with(':')
        };
        return is_ip_literal(literal) && port_is_valid && is_port(port);
    }
    let (host, port) = text.split_once(':').unwrap_or((text, ""));
    !host.is_empty() && is_registered_name(host) && is_port(port)
}

/// `*DIGIT`, but no more than a port number has.
fn is_port(text: &str) -> bool {
    text.is_empty() || (text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok())
}

/// `IPv6address / IPvFuture` (RFC 3986 §3.2.2).
fn is_ip_literal(text: &str) -> bool {
    if text.parse::<Ipv6Addr>().is_ok() {
        return true;
    }
    let Some((version, address)) = text
        .strip_prefix(['v', 'V'])
        .and_then(|t| t.split_once('.'))
    else {
        return false;
    };
    !version.is_empty()
        && version.bytes().all(|byte| byte.is_ascii_hexdigit())
        && !address.is_empty()
        && address
            .bytes()
            .all(|byte| byte == b':' || is_unreserved_or_sub_delim(byte))
}

/// `reg-name`, which includes what looks like an IPv4 address.
fn is_registered_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let pair = (bytes.next(), bytes.next());
            let (Some(high), Some(low)) = pair else {
                return false;
            };
            if !high.is_ascii_hexdigit() || !low.is_ascii_hexdigit() {
                return false;
            }
        } else if !is_unreserved_or_sub_delim(byte) {
            return false;
        }
    }
    true
}

/// Path and query of a target whose bytes are all visible ASCII.
fn split(text: &str) -> Result<(Box<str>, Option<Box<str>>), Error> {
    let (path, query) = match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    };
    // RFC 9112 §3.2: no fragment. Angle brackets nobody sends unencoded. A backslash in a path
    // is a slash to some readers and none to others. What else RFC 3986 does not allow (`"`,
    // `[`, `]`, `^`, `` ` ``, `{`, `|`, `}`) browsers and curl do send as it stands, and no two
    // readers understand it differently.
    let bad = |byte: &u8| matches!(byte, b'#' | b'<' | b'>');
    if let Some(byte) = path.bytes().find(|byte| bad(byte) || *byte == b'\\') {
        return Err(Error::TargetByte { byte });
    }
    if let Some(byte) = query.and_then(|query| query.bytes().find(bad)) {
        return Err(Error::TargetByte { byte });
    }
    Ok((path.into(), query.map(Into::into)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_forms_are_read() {
        let absolute = |authority: &str, path: &str, query: Option<&str>| Target::Absolute {
            authority: authority.into(),
            path: path.into(),
            query: query.map(Into::into),
        };
        let origin = |path: &str, query: Option<&str>| Target::Origin {
            path: path.into(),
            query: query.map(Into::into),
        };
        for (method, text, want) in [
            ("GET", "/", origin("/", None)),
            ("GET", "/a?b=c?d", origin("/a", Some("b=c?d"))),
            ("GET", "/a?", origin("/a", Some(""))),
            ("GET", "//a//b", origin("//a//b", None)),
            (
                "GET",
                "/a[1]|\"x\"?{}^`\\",
                origin("/a[1]|\"x\"", Some("{}^`\\")),
            ),
            ("GET", "/http://a/b", origin("/http://a/b", None)),
            (
                "GET",
                "http://a.example/b?c",
                absolute("a.example", "/b", Some("c")),
            ),
            (
                "GET",
                "HTTPS://[::1]:8080",
                absolute("[::1]:8080", "/", None),
            ),
            ("GET", "http://a?b", absolute("a", "/", Some("b"))),
            ("OPTIONS", "*", Target::Asterisk),
            ("OPTIONS", "/x", origin("/x", None)),
            (
                "CONNECT",
                "a.example:443",
                Target::Authority("a.example:443".into()),
            ),
            (
                "CONNECT",
                "[::1]:443",
                Target::Authority("[::1]:443".into()),
            ),
        ] {
            assert_eq!(
                Target::parse(&method.into(), text.as_bytes()),
                Ok(want),
                "{method} {text}"
            );
        }
    }

    #[test]
    fn debug_output_shows_no_query() {
        for (method, text, want) in [
            ("GET", "/a?token=secret", "/a?…"),
            ("GET", "http://a:1/b?token=secret", "http://a:1/b?…"),
            ("GET", "/a", "/a"),
            ("OPTIONS", "*", "*"),
            ("CONNECT", "a:1", "a:1"),
        ] {
            let target = Target::parse(&method.into(), text.as_bytes()).unwrap();
            assert_eq!(format!("{target:?}"), want);
        }
    }

    #[test]
    fn other_targets_are_refused() {
        for (method, text) in [
            ("GET", &b"*"[..]),
            ("GET", b""),
            ("GET", b"a"),
            ("GET", b"a.example:80"),
            ("GET", b"!"),
            ("GET", b"?a"),
            ("GET", b"ftp://a/b"),
            ("GET", b"://a/b"),
            ("GET", b"http:///b"),
            ("GET", b"http://user@a/b"),
            ("GET", b"http://a:x/b"),
            ("GET", b"http:/a"),
            ("GET", b"http:a"),
            ("GET", b"/a#b"),
            ("GET", b"/a?b#c"),
            ("GET", b"http://a#b"),
            ("GET", b"/a\\b"),
            ("GET", b"/<a>"),
            ("GET", b"/?<a>"),
            ("GET", b"/a\x00b"),
            ("GET", b"/a\x7fb"),
            ("GET", b"/a\tb"),
            ("GET", b"/caf\xc3\xa9"),
            ("GET", b"/\xff"),
            ("OPTIONS", b"**"),
            ("CONNECT", b"/"),
            ("CONNECT", b"a"),
            ("CONNECT", b"a:"),
            ("CONNECT", b"http://a:80/"),
        ] {
            let parsed = Target::parse(&method.into(), text);
            assert!(
                parsed.is_err(),
                "{method} {}: {parsed:?}",
                text.escape_ascii()
            );
        }
    }

    #[test]
    fn authorities_follow_the_grammar() {
        for good in [
            "a",
            "a.example",
            "a:80",
            "a:",
            "127.0.0.1:8080",
            "[::1]",
            "[::1]:80",
            "[::1]:",
            "a_b",
            "a%20b",
            "0.0.0.0=5000",
            "[v1.a:b]",
            "[::ffff:1.2.3.4]",
            "a,b",
            "xn--bcher-kva.example",
        ] {
            assert!(is_valid_authority(good), "{good}");
        }
        for bad in [
            "",
            ":80",
            "a b",
            "a:b",
            "a:80:90",
            "user@a",
            "a/b",
            "a?b",
            "a#b",
            "::1",
            "[::1",
            "[::1]80",
            "[::1]x",
            "[]",
            "[g::1]",
            "[v1]",
            "[v.a]",
            "a%2",
            "a%zz",
            "a:65536",
            "b\u{fc}cher",
            "a:+80",
            "[::1%25eth0]",
            "a\\b",
            "a\"b",
            "a<b",
        ] {
            assert!(!is_valid_authority(bad), "{bad}");
        }
    }
}
