//! Which web pages may use the API: `Origin` against the allowed ones, and the answer in CORS.
//!
//! A browser names the page that makes a request in `Origin`. What it must not do is decided
//! twice: the browser keeps answers without CORS fields from the page, and this server refuses
//! what would change something, since a browser sends simple requests before it asks.
//!
//! The server's own page is always allowed: its `Origin` has the authority that the request is
//! for. Requests without `Origin` are not a page's and pass.

use std::borrow::Cow;

use lmserver_proto::http1::{Request, Response};

use super::route::ALLOW_ANYWHERE;

/// The origins that may use the API.
pub(super) struct Origins {
    listed: Vec<String>,
    /// `*` is among them.
    any: bool,
}

/// The verdict on a request's `Origin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// No page made the request.
    Absent,
    /// The page may read the answer.
    Allowed {
        /// To be echoed.
        origin: Box<str>,
        /// May the request carry the browser's credentials? Not where anybody may come, and not
        /// for `null`, which any sandboxed frame is.
        credentials: bool,
    },
    /// The page may not.
    Foreign,
}

impl Origins {
    /// The allowed origins; with none, only the server's own.
    pub(super) fn new(allowed: Option<Vec<String>>) -> Self {
        let listed = allowed.unwrap_or_default();
        let any = listed.iter().any(|origin| origin == "*");
        Self { listed, any }
    }

    /// Judges a request.
    pub(super) fn judge(&self, request: &Request) -> Origin {
        let mut values = request.fields.get_all("origin");
        let Some(value) = values.next() else {
            return Origin::Absent;
        };
        let (Ok(origin), None) = (std::str::from_utf8(value), values.next()) else {
            return Origin::Foreign;
        };
        let is_listed = self
            .listed
            .iter()
            .any(|listed| listed.eq_ignore_ascii_case(origin));
        let is_known = is_listed || is_own(origin, request.host());
        if is_known || self.any {
            Origin::Allowed {
                origin: origin.into(),
                credentials: is_known && origin != "null",
            }
        } else {
            Origin::Foreign
        }
    }
}

impl Origin {
    /// The fields that every answer to this request carries.
    pub(super) fn fields(&self) -> Vec<(Cow<'static, str>, String)> {
        let mut fields = vec![("Vary".into(), "Origin".into())];
        if let Self::Allowed {
            origin,
            credentials,
        } = self
        {
            fields.push(("Access-Control-Allow-Origin".into(), origin.to_string()));
            if *credentials {
                fields.push(("Access-Control-Allow-Credentials".into(), "true".into()));
            }
            fields.push(("Access-Control-Expose-Headers".into(), EXPOSED.into()));
        }
        fields
    }

    /// Adds those fields to a response that does not have them yet.
    pub(super) fn sign(&self, mut response: Response) -> Response {
        let has = |name: &str, response: &Response| {
            response
                .fields
                .iter()
                .any(|(other, _)| other.eq_ignore_ascii_case(name))
        };
        for (name, value) in self.fields() {
            if !has(&name, &response) {
                response.fields.push((name, value));
            }
        }
        response
    }

    /// The answer to `OPTIONS`, be it a preflight or a plain question.
    pub(super) fn preflight(&self, request: &Request, allow: Option<&'static str>) -> Response {
        let response = Response::empty(204).with_field("Allow", allow.unwrap_or(ALLOW_ANYWHERE));
        if !matches!(self, Self::Allowed { .. }) {
            return response;
        }
        let requested = request
            .fields
            .get("access-control-request-headers")
            .unwrap_or_default();
        response
            .with_field("Access-Control-Allow-Methods", "GET, POST, DELETE, OPTIONS")
            .with_field("Access-Control-Allow-Headers", allowed_names(requested))
            .with_field("Access-Control-Max-Age", MAX_AGE)
    }
}

/// The names of request fields that a page may send: our own, then what else it asks for.
fn allowed_names(requested: &str) -> String {
    let mut names = REQUEST_FIELDS.join(", ");
    let is_token = |name: &str| {
        name.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    for name in requested.split(',').map(str::trim).take(REQUESTED_MAX) {
        let is_ours = REQUEST_FIELDS
            .iter()
            .any(|ours| ours.eq_ignore_ascii_case(name));
        if !name.is_empty() && !is_ours && is_token(name) {
            names.push_str(", ");
            names.push_str(name);
        }
    }
    names
}

/// Whether the origin's authority is the one that the request is for. A default port may be
/// written or not.
fn is_own(origin: &str, host: Option<&str>) -> bool {
    let (Some((scheme, authority)), Some(host)) = (origin.split_once("://"), host) else {
        return false;
    };
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let bare = |authority: &'_ str| {
        let end = authority
            .strip_suffix(default_port)
            .or_else(|| authority.strip_suffix(':'));
        end.unwrap_or(authority).to_ascii_lowercase()
    };
    !authority.is_empty() && bare(authority) == bare(host)
}

/// Response fields that a page may read.
const EXPOSED: &str = "X-Channel-Id, X-Channel-Token, Retry-After, x-request-id, request-id, \
                       x-should-retry, openai-processing-ms, x-vercel-ai-ui-message-stream";

/// Request fields that this server knows.
const REQUEST_FIELDS: [&str; 6] = [
    "Content-Type",
    "Accept",
    "Authorization",
    "Idempotency-Key",
    "Last-Event-ID",
    "X-API-Key",
];

/// Names that one preflight may ask for.
const REQUESTED_MAX: usize = 32;

/// Seconds for which a browser may remember the answer to a preflight.
const MAX_AGE: &str = "600";

#[cfg(test)]
mod tests {
    use lmserver_proto::http1::{Fields, Method, Target, Version};

    use super::*;

    fn request(host: &str, origins: &[&str]) -> Request {
        let mut fields = Fields::new();
        fields.push("Host", host.as_bytes());
        for origin in origins {
            fields.push("Origin", origin.as_bytes());
        }
        let target = Target::Origin {
            path: "/".into(),
            query: None,
        };
        Request {
            method: Method::Get,
            target,
            version: Version::Http11,
            fields,
        }
    }

    fn verdict(allowed: Option<&[&str]>, host: &str, origins: &[&str]) -> &'static str {
        let allowed = allowed.map(|list| list.iter().map(|&origin| origin.to_owned()).collect());
        match Origins::new(allowed).judge(&request(host, origins)) {
            Origin::Absent => "absent",
            Origin::Allowed {
                credentials: true, ..
            } => "allowed",
            Origin::Allowed {
                credentials: false, ..
            } => "allowed without credentials",
            Origin::Foreign => "foreign",
        }
    }

    #[test]
    fn without_a_list_only_the_own_host_is_allowed() {
        for (host, origin, want) in [
            ("a.example", "http://a.example", "allowed"),
            ("a.example", "https://a.example", "allowed"),
            ("A.example:80", "http://a.EXAMPLE", "allowed"),
            ("a.example:443", "https://a.example", "allowed"),
            ("a.example:", "https://a.example", "allowed"),
            ("127.0.0.1:8080", "http://127.0.0.1:8080", "allowed"),
            ("[::1]:8080", "http://[::1]:8080", "allowed"),
            ("a.example:443", "http://a.example", "foreign"),
            ("a.example", "http://a.example:8080", "foreign"),
            ("127.0.0.1:8080", "http://localhost:8080", "foreign"),
            ("a.example", "http://b.example", "foreign"),
            ("a.example", "http://a.example.evil.example", "foreign"),
            ("a.example", "ftp://a.example", "foreign"),
            ("a.example", "a.example", "foreign"),
            ("a.example", "http://a.example/", "foreign"),
            ("", "http://", "foreign"),
            ("null", "null", "foreign"),
            ("a.example", "", "foreign"),
        ] {
            assert_eq!(verdict(None, host, &[origin]), want, "{host} {origin}");
        }
        assert_eq!(verdict(None, "a", &[]), "absent");
        assert_eq!(verdict(None, "a", &["http://a", "http://a"]), "foreign");
    }

    #[test]
    fn a_list_allows_what_is_on_it() {
        let app = "https://app.example";
        for (list, origin, want) in [
            (&[app][..], app, "allowed"),
            (&[app], "https://APP.example", "allowed"),
            (&[app], "http://app.example", "foreign"),
            (&[app], "https://app.example:8443", "foreign"),
            (&[app], "null", "foreign"),
            (&[app], "http://own.example", "allowed"),
            (&["null"], "null", "allowed without credentials"),
            (&["null"], app, "foreign"),
            (&["*"], app, "allowed without credentials"),
            (&["*"], "null", "allowed without credentials"),
            (&["*", app], app, "allowed"),
            (&[], app, "foreign"),
        ] {
            assert_eq!(
                verdict(Some(list), "own.example", &[origin]),
                want,
                "{list:?} {origin}"
            );
        }
    }

    #[test]
    fn a_preflight_allows_what_was_asked_for_if_it_is_a_name() {
        let names = allowed_names("content-type, x-mine,, a b, x\"y, LAST-EVENT-ID");
        assert!(names.ends_with("X-API-Key, x-mine"), "{names}");
        let many = vec!["x-a"; 100].join(",");
        assert_eq!(allowed_names(&many).matches("x-a").count(), REQUESTED_MAX);
    }

    #[test]
    fn fields_are_not_doubled() {
        let origin = Origin::Allowed {
            origin: "http://a".into(),
            credentials: false,
        };
        let once = origin.sign(Response::empty(204));
        assert_eq!(origin.sign(once.clone()), once);
    }
}
