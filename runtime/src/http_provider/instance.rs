//! One configured server: where it is, with which header fields it is spoken to, and which keys
//! must never be shown.

use std::fmt;

use lmserver_proto::http1::Method;
use lmserver_proto::http1::client::write_request_of;
use lmserver_proto::http1::write_field;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::http_provider::error::Speaker;
use crate::plugin::provider::{
    BaseUrl, Endpoint, PluginSection, ProviderSettings, Secret, Upstream,
};

/// What all requests of one `[provider.NAME]` share.
#[derive(Debug)]
pub struct Instance {
    endpoint: Endpoint,
    /// The value of `Host`, which also names the server in messages.
    host: String,
    /// The path of the base URL.
    path: Box<str>,
    /// The query of the base URL.
    query: Option<Box<str>>,
    api_key: Option<Secret>,
    /// The names of the fields of every request, `Host` and length apart.
    names: Vec<String>,
    /// The same fields as they go over the wire, behind `Host`.
    lines: Lines,
    /// What must not appear in a message.
    secrets: Vec<Secret>,
}

/// Header fields as they go over the wire. There are keys among them, so that they are not shown.
struct Lines(Zeroizing<Vec<u8>>);

impl Lines {
    fn new(host: &str) -> Self {
        let mut lines = Self(Zeroizing::default());
        lines.add("Host", host);
        lines
    }

    fn add(&mut self, name: &str, value: &str) {
        let needed = self.0.len() + name.len() + value.len() + 4;
        if needed > self.0.capacity() {
            // What is left behind is wiped, which a vector that grows does not do.
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(512)));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        write_field(&mut self.0, name, value.as_bytes());
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// What a kind of provider is like where its section says nothing.
#[derive(Debug, Clone, Copy)]
pub struct Defaults<'a> {
    /// Where it is; none if the section must say so.
    pub base_url: Option<&'a str>,
    /// The environment variable in which its key is usually kept. The server of `base_url` needs
    /// a key then; another one, set by the section, may need none.
    pub key_variable: Option<&'a str>,
    /// Where the key goes.
    pub auth: Auth<'a>,
    /// The media type of its answers.
    pub accept: &'a str,
}

/// Where a key goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth<'a> {
    /// `Authorization: Bearer` (RFC 6750 §2.1).
    Bearer,
    /// A header field of its own.
    Field(&'a str),
    /// Not into a field as it is: the plugin signs with it.
    Elsewhere,
}

impl Instance {
    /// Reads an instance; mistakes go to the section.
    pub fn open(
        settings: ProviderSettings,
        defaults: &Defaults<'_>,
        section: &mut dyn PluginSection,
    ) -> Option<Self> {
        let usual = defaults.base_url.and_then(|url| BaseUrl::parse(url).ok());
        let Some(url) = settings.base_url.or_else(|| usual.clone()) else {
            section.reject("base_url", "is missing: set it to the server's address");
            return None;
        };
        let is_usual = usual.is_some_and(|usual| {
            let (usual, host) = (&usual.endpoint.host, &url.endpoint.host);
            usual.eq_ignore_ascii_case(host)
        });
        let mut instance = Self {
            lines: Lines::new(&url.host_field()),
            host: url.host_field(),
            endpoint: url.endpoint,
            path: url.path,
            query: url.query,
            secrets: settings.api_key.iter().cloned().collect(),
            api_key: settings.api_key,
            names: Vec::new(),
        };
        for (name, value) in settings.headers {
            if let Err(mistake) = check_field(&name, value.expose()) {
                section.reject("headers", &mistake);
                continue;
            }
            if is_confidential(&name) {
                instance.secrets.push(value.clone());
            }
            instance.add(name, value.expose());
        }
        instance.authorize(defaults.auth, section);
        let has_key =
            instance.api_key.is_some() || instance.names.iter().any(|name| is_confidential(name));
        if let Some(variable) = defaults.key_variable.filter(|_| is_usual && !has_key) {
            let host = &instance.endpoint.host;
            section.reject(
                "api_key",
                &format!(
                    "{host} needs a key: set api_key = \"env:{variable}\", or base_url to a \
                     server that needs none"
                ),
            );
        }
        for (name, value) in DEFAULT_FIELDS {
            instance.add_default(name, value);
        }
        instance.add_default("Accept", defaults.accept);
        Some(instance)
    }

    /// Adds a header field unless the configuration has its own of that name.
    pub fn add_default(&mut self, name: &str, value: &str) {
        if !self.has_field(name) {
            self.add(name.to_owned(), value);
        }
    }

    fn add(&mut self, name: String, value: &str) {
        self.lines.add(&name, value);
        self.names.push(name);
    }

    /// Takes a header field out of a key of the section.
    pub fn take_field(&mut self, key: &str, name: &str, section: &mut dyn PluginSection) {
        if let Some(value) = section.take_string(key) {
            match check_field(name, &value) {
                Ok(()) => self.add(name.to_owned(), &value),
                Err(mistake) => section.reject(key, &mistake),
            }
        }
    }

    /// Keeps one more text out of all messages.
    pub fn keep_secret(&mut self, secret: Secret) {
        self.secrets.push(secret);
    }

    /// Where it is.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The value of `Host`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path of the base URL, without a trailing slash: empty or `/v1`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The key, for a plugin that signs with it.
    #[must_use]
    pub fn api_key(&self) -> Option<&Secret> {
        self.api_key.as_ref()
    }

    /// Has every request a field of this name?
    #[must_use]
    pub fn has_field(&self, name: &str) -> bool {
        self.names
            .iter()
            .any(|other| other.eq_ignore_ascii_case(name))
    }

    /// Who speaks, in messages.
    #[must_use]
    pub fn speaker(&self) -> Speaker<'_> {
        Speaker {
            host: &self.host,
            secrets: &self.secrets,
        }
    }

    /// The request-target for `path` below the base URL. The queries of both are kept.
    #[must_use]
    pub fn target(&self, path: &str) -> String {
        let mut target = String::with_capacity(self.path.len() + path.len());
        target.push_str(&self.path);
        target.push_str(path);
        if let Some(query) = &self.query {
            target.push(if path.contains('?') { '&' } else { '?' });
            target.push_str(query);
        }
        target
    }

    /// A `POST` of a document to `path` below the base URL.
    #[must_use]
    pub fn post(&self, path: &str, body: &Value) -> Upstream {
        let body = serde_json::to_vec(body).unwrap_or_default();
        self.post_with(path, &[], &body)
    }

    /// A `POST` of bytes, with more header fields that depend on the request.
    #[must_use]
    pub fn post_with(&self, path: &str, fields: &[(&str, &str)], body: &[u8]) -> Upstream {
        let mut more = Vec::new();
        for (name, value) in fields {
            write_field(&mut more, name, value.as_bytes());
        }
        let mut request = Vec::new();
        let lines = [self.lines.0.as_slice(), &more];
        write_request_of(
            &mut request,
            &Method::Post,
            &self.target(path),
            &lines,
            body,
        );
        Upstream {
            endpoint: self.endpoint.clone(),
            request,
        }
    }

    /// Puts the key where the server looks for it.
    fn authorize(&mut self, auth: Auth<'_>, section: &mut dyn PluginSection) {
        let Some(key) = &self.api_key else {
            return;
        };
        if check_field("api_key", key.expose()).is_err() {
            section.reject(
                "api_key",
                "the key holds a line break or another character that no header field may hold",
            );
            return;
        }
        let key = key.expose();
        match auth {
            Auth::Bearer => {
                let value = format!("Bearer {key}");
                self.add_default("Authorization", &value);
            }
            Auth::Field(name) => {
                let key = key.to_owned();
                self.add_default(name, &key);
            }
            Auth::Elsewhere => {}
        }
    }
}

/// RFC 9110 §5.1, §5.5: a name is a token, a value has no control characters.
fn check_field(name: &str, value: &str) -> Result<(), String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(format!("{name:?} is no name of a header field"));
    }
    if OWN_FIELDS.iter().any(|own| own.eq_ignore_ascii_case(name)) {
        return Err(format!("{name} is written by the server itself"));
    }
    if value
        .bytes()
        .any(|byte| byte.is_ascii_control() && byte != b'\t')
    {
        return Err(format!(
            "the value of {name} holds a line break or another control character"
        ));
    }
    Ok(())
}

/// True for a field whose value is a key, by its name.
fn is_confidential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["auth", "key", "token", "secret", "cookie"]
        .iter()
        .any(|part| name.contains(part))
}

/// What every request has. A coding would only be undone again.
const DEFAULT_FIELDS: [(&str, &str); 3] = [
    ("Content-Type", "application/json"),
    ("Accept-Encoding", "identity"),
    (
        "User-Agent",
        concat!("lmserver/", env!("CARGO_PKG_VERSION")),
    ),
];

/// What the server writes itself.
const OWN_FIELDS: [&str; 8] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "expect",
    "te",
    "trailer",
];

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;

    /// A section of one key.
    #[derive(Default)]
    struct Keys {
        key: Option<(&'static str, &'static str)>,
        mistakes: Vec<String>,
    }

    impl PluginSection for Keys {
        fn take_string(&mut self, key: &str) -> Option<String> {
            let (_, value) = self.key.take_if(|(name, _)| *name == key)?;
            Some(value.to_owned())
        }
        fn take_bool(&mut self, _: &str) -> Option<bool> {
            None
        }
        fn take_integer(&mut self, _: &str) -> Option<i64> {
            None
        }
        fn take_duration(&mut self, _: &str) -> Option<Duration> {
            None
        }
        fn reject(&mut self, key: &str, mistake: &str) {
            self.mistakes.push(format!("{key}: {mistake}"));
        }
    }

    const DEFAULTS: Defaults<'_> = Defaults {
        base_url: Some("https://api.example/v1"),
        key_variable: Some("EXAMPLE_KEY"),
        auth: Auth::Bearer,
        accept: "text/event-stream",
    };

    fn settings(url: &str, key: Option<&str>, headers: &[(&str, &str)]) -> ProviderSettings {
        let headers: BTreeMap<_, _> = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Secret::new((*value).to_owned())))
            .collect();
        ProviderSettings {
            name: "test".into(),
            base_url: (!url.is_empty()).then(|| BaseUrl::parse(url).unwrap()),
            api_key: key.map(|key| Secret::new(key.to_owned())),
            headers,
        }
    }

    /// An instance with a key, as a configuration without mistakes makes it.
    pub(in crate::http_provider) fn instance(url: &str, headers: &[(&str, &str)]) -> Instance {
        let mut section = Keys::default();
        let settings = settings(url, Some("key-1234"), headers);
        let instance = Instance::open(settings, &DEFAULTS, &mut section).unwrap();
        assert_eq!(section.mistakes, Vec::<String>::new());
        instance
    }

    /// The lines of the head of a request.
    fn head(instance: &Instance, path: &str) -> Vec<String> {
        let request = instance.post_with(path, &[], b"{}").request;
        let text = String::from_utf8(request).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "{}");
        head.split("\r\n").map(str::to_owned).collect()
    }

    #[test]
    fn a_request_has_its_head() {
        let instance = instance("", &[("X-Title", "t")]);
        let lines = head(&instance, "/chat");
        assert_eq!(lines[..2], ["POST /v1/chat HTTP/1.1", "Host: api.example"]);
        let user_agent = concat!("User-Agent: lmserver/", env!("CARGO_PKG_VERSION"));
        for line in [
            "X-Title: t",
            "Authorization: Bearer key-1234",
            "Content-Type: application/json",
            "Accept: text/event-stream",
            "Accept-Encoding: identity",
            "Content-Length: 2",
            user_agent,
        ] {
            assert!(lines.iter().any(|other| other == line), "{line}: {lines:?}");
        }
    }

    #[test]
    fn the_target_keeps_both_queries() {
        for (url, path, want) in [
            ("http://h", "/chat", "/chat"),
            ("http://h/v1/", "/chat", "/v1/chat"),
            ("http://h/v1?a=b", "/chat", "/v1/chat?a=b"),
            ("http://h/v1?a=b", "/chat?c=d", "/v1/chat?c=d&a=b"),
            ("http://h/v1", "/chat?c=d", "/v1/chat?c=d"),
        ] {
            assert_eq!(instance(url, &[]).target(path), want);
        }
    }

    #[test]
    fn the_key_goes_where_the_server_looks_for_it() {
        for (auth, want) in [
            (Auth::Bearer, Some("Authorization: Bearer key-1234")),
            (Auth::Field("x-key"), Some("x-key: key-1234")),
            (Auth::Elsewhere, None),
        ] {
            let defaults = Defaults { auth, ..DEFAULTS };
            let settings = settings("", Some("key-1234"), &[]);
            let instance = Instance::open(settings, &defaults, &mut Keys::default()).unwrap();
            let lines = head(&instance, "");
            let found = lines.iter().find(|line| line.contains("key-1234"));
            assert_eq!(found.map(String::as_str), want);
            assert_eq!(instance.api_key().unwrap().expose(), "key-1234");
        }
    }

    #[test]
    fn configured_fields_replace_the_usual_ones() {
        let headers = [
            ("accept-encoding", "gzip"),
            ("authorization", "Basic abc"),
            ("X-A", "b"),
        ];
        let mut instance = instance("http://h", &headers);
        instance.add_default("x-a", "c");
        let lines = head(&instance, "").join("\n");
        for line in [
            "accept-encoding: gzip",
            "authorization: Basic abc",
            "X-A: b",
        ] {
            let (name, _) = line.split_once(' ').unwrap();
            let lines = lines.to_ascii_lowercase();
            let line = line.to_ascii_lowercase();
            assert!(lines.contains(&line), "{lines}");
            assert_eq!(
                lines.matches(&name.to_ascii_lowercase()).count(),
                1,
                "{lines}"
            );
        }
    }

    #[test]
    fn mistakes_are_reported_with_their_key() {
        let local = |key, headers| settings("http://h", key, headers);
        let nowhere = Defaults {
            base_url: None,
            ..DEFAULTS
        };
        let field = Some(("project", "a\n"));
        for (settings, defaults, key, want) in [
            (
                settings("", None, &[]),
                DEFAULTS,
                None,
                "api_key: api.example needs a key: set api_key = \"env:EXAMPLE_KEY\"",
            ),
            (
                settings("", None, &[]),
                nowhere,
                None,
                "base_url: is missing",
            ),
            (
                local(Some("a\nb"), &[]),
                DEFAULTS,
                None,
                "api_key: the key holds a line break",
            ),
            (
                local(None, &[("a b", "c")]),
                DEFAULTS,
                None,
                "headers: \"a b\" is no name",
            ),
            (
                local(None, &[("a", "b\r\nc: d")]),
                DEFAULTS,
                None,
                "headers: the value of a holds",
            ),
            (
                local(None, &[("Host", "b")]),
                DEFAULTS,
                None,
                "headers: Host is written by",
            ),
            (local(None, &[]), DEFAULTS, field, "project: the value of"),
        ] {
            let mut section = Keys {
                key,
                ..Keys::default()
            };
            if let Some(mut instance) = Instance::open(settings, &defaults, &mut section) {
                instance.take_field("project", "X-Project", &mut section);
            }
            let [mistake] = &section.mistakes[..] else {
                panic!("{want}: {:?}", section.mistakes)
            };
            assert!(mistake.starts_with(want), "{mistake}");
        }
    }

    #[test]
    fn a_server_of_ones_own_needs_no_key() {
        let mut section = Keys {
            key: Some(("project", "p")),
            ..Keys::default()
        };
        let settings = settings("http://127.0.0.1:8080", None, &[]);
        let mut instance = Instance::open(settings, &DEFAULTS, &mut section).unwrap();
        instance.take_field("project", "X-Project", &mut section);
        assert!(section.mistakes.is_empty(), "{:?}", section.mistakes);
        let lines = head(&instance, "/a");
        assert!(lines.contains(&"X-Project: p".to_owned()), "{lines:?}");
        assert_eq!((instance.host(), instance.path()), ("127.0.0.1:8080", ""));
    }
}
