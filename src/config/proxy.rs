//! `HTTPS_PROXY` and `NO_PROXY`: the way to providers that are behind a proxy.

use base64::Engine as _;
use lmserver_runtime::plugin::provider::{BaseUrl, Endpoint, Secret};
use lmserver_runtime::routing::Proxy;

use super::environment::Environment;
use super::report::{Finding, Place, Report};

/// The proxy of this environment, with those that are reached without it.
pub(super) struct Proxies {
    proxy: Option<Proxy>,
    exceptions: Vec<String>,
}

impl Proxies {
    /// Reads `HTTPS_PROXY` and `NO_PROXY`, in capitals or not.
    pub(super) fn of(environment: &Environment, report: &mut Report) -> Self {
        let either = |names: [&'static str; 2]| {
            names
                .into_iter()
                .find_map(|name| Some((name, environment.get(name)?)))
        };
        let exceptions = either(["NO_PROXY", "no_proxy"])
            .map(|(_, list)| list)
            .unwrap_or_default();
        let exceptions = exceptions
            .split([',', ' '])
            .filter(|entry| !entry.is_empty());
        let exceptions = exceptions.map(str::to_ascii_lowercase).collect();
        let proxy = either(["HTTPS_PROXY", "https_proxy"]).and_then(|(name, url)| {
            let proxy = parse(url);
            if proxy.is_none() {
                // The value is not shown: it may hold a password.
                let fix = "write http://host:port, or http://user:password@host:port";
                let problem = "not the URL of a proxy";
                report.add(Finding::mistake(Place::Environment(name), problem, fix));
            }
            proxy
        });
        Self { proxy, exceptions }
    }

    /// The proxy to go through to `endpoint`. Plain connections and loopback go without.
    pub(super) fn to(&self, endpoint: &Endpoint) -> Option<Proxy> {
        let host = endpoint.host.to_ascii_lowercase();
        let is_loopback = host == "localhost"
            || host
                .parse()
                .is_ok_and(|address: std::net::IpAddr| address.is_loopback());
        let is_excepted = self
            .exceptions
            .iter()
            .any(|entry| covers(entry, &host, endpoint.port));
        let proxied = endpoint.tls && !is_loopback && !is_excepted;
        self.proxy.clone().filter(|_| proxied)
    }
}

/// `*`, a host, a domain with or without a leading dot, or one of these with a port.
fn covers(entry: &str, host: &str, port: u16) -> bool {
    let (name, only) = match entry.rsplit_once(':') {
        Some((name, digits)) if !name.contains(':') => (name, digits.parse::<u16>().ok()),
        _ => (entry, None),
    };
    if only.is_some_and(|only| only != port) {
        return false;
    }
    let name = name
        .strip_prefix("*.")
        .unwrap_or(name)
        .trim_start_matches('.');
    let name = name
        .strip_prefix('[')
        .and_then(|n| n.strip_suffix(']'))
        .unwrap_or(name);
    let below = host
        .strip_suffix(name)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    name == "*" || (!name.is_empty() && below)
}

fn parse(url: &str) -> Option<Proxy> {
    let rest = match url.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
        Some(_) => return None,
        None => url,
    };
    let (credentials, authority) = match rest.rsplit_once('@') {
        Some((credentials, authority)) => (Some(credentials), authority),
        None => (None, rest),
    };
    let endpoint = BaseUrl::parse(&format!("http://{authority}"))
        .ok()?
        .endpoint;
    let authorization = credentials.map(|credentials| {
        // RFC 7617 §2; percent-encoding is that of the URL (RFC 3986 §3.2.1).
        let plain = percent_decode(credentials);
        let encoded = base64::engine::general_purpose::STANDARD.encode(plain);
        Secret::new(format!("Basic {encoded}"))
    });
    Some(Proxy {
        host: endpoint.host,
        port: endpoint.port,
        authorization,
    })
}

fn percent_decode(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let digits = after
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let decoded = digits
            .filter(|_| *byte == b'%')
            .and_then(|d| u8::from_str_radix(d, 16).ok());
        out.push(decoded.unwrap_or(*byte));
        rest = after
            .get(if decoded.is_some() { 2 } else { 0 }..)
            .unwrap_or_default();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(tls: bool, host: &str, port: u16) -> Endpoint {
        Endpoint {
            tls,
            host: host.into(),
            port,
        }
    }

    #[test]
    fn https_goes_through_the_proxy_but_for_the_exceptions() {
        let environment = Environment::from([
            ("https_proxy", "http://us%65r:p%40ss@proxy.example:3128"),
            (
                "NO_PROXY",
                "internal.example,.corp, 10.0.0.1,other.example:8443",
            ),
        ]);
        let mut report = Report::default();
        let proxies = Proxies::of(&environment, &mut report);
        assert!(!report.has_mistakes());
        for (tls, host, port, proxied) in [
            (true, "api.openai.com", 443, true),
            (false, "api.openai.com", 80, false),
            (true, "localhost", 443, false),
            (true, "::1", 443, false),
            (true, "internal.example", 443, false),
            (true, "a.internal.example", 443, false),
            (true, "notinternal.example", 443, true),
            (true, "x.corp", 443, false),
            (true, "10.0.0.1", 443, false),
            (true, "other.example", 8443, false),
            (true, "other.example", 443, true),
        ] {
            let proxy = proxies.to(&endpoint(tls, host, port));
            assert_eq!(proxy.is_some(), proxied, "{host}:{port}");
        }
        let proxy = proxies.to(&endpoint(true, "a", 443)).unwrap();
        assert_eq!((&*proxy.host, proxy.port), ("proxy.example", 3128));
        let authorization = proxy.authorization.unwrap();
        assert_eq!(authorization.expose(), "Basic dXNlcjpwQHNz");
    }

    #[test]
    fn a_bad_proxy_is_reported_without_its_password() {
        for url in [
            "socks5://u:topsecret@h:1",
            "https://u:topsecret@h",
            "http://u:topsecret@",
        ] {
            let mut report = Report::default();
            Proxies::of(&Environment::from([("HTTPS_PROXY", url)]), &mut report);
            let text = report.to_string();
            assert!(text.starts_with("environment variable HTTPS_PROXY: error: not the URL"));
            assert!(!text.contains("topsecret"), "{text}");
        }
    }
}
