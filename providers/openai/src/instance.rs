//! One configured server: where it is, how it is spoken to, and with which keys.

use lmserver_runtime::plugin::provider::{
    BaseUrl, Endpoint, PluginSection, ProviderSettings, Secret,
};

use crate::error::Speaker;

/// What all requests of one `[provider.NAME]` share.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) endpoint: Endpoint,
    /// The value of `Host`, which also names the server in messages.
    pub(crate) host: String,
    /// Path and query of the request.
    pub(crate) target: String,
    /// The fields of every request, `Host` and length apart.
    pub(crate) fields: Vec<(String, Secret)>,
    pub(crate) dialect: Dialect,
    /// What must not appear in a message.
    secrets: Vec<Secret>,
}

/// Where compatible servers differ in what they take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// The name of the limit on tokens: OpenAI's reasoning models refuse the old one, most other
    /// servers know no other.
    pub(crate) max_tokens_field: &'static str,
    pub(crate) seed_field: &'static str,
    /// Ask for the usage. Mistral sends it unasked and refuses the question.
    pub(crate) include_usage: bool,
}

impl Dialect {
    fn of(host: &str) -> Self {
        let is_mistral = host == "api.mistral.ai";
        Self {
            max_tokens_field: if host == OPENAI_HOST || is_azure(host) {
                NEW_LIMIT
            } else {
                OLD_LIMIT
            },
            seed_field: if is_mistral { "random_seed" } else { "seed" },
            include_usage: !is_mistral,
        }
    }
}

impl Instance {
    /// Reads an instance; mistakes go to the section.
    pub(crate) fn open(
        settings: ProviderSettings,
        section: &mut dyn PluginSection,
    ) -> Option<Self> {
        let url = match settings.base_url {
            Some(url) => url,
            None => BaseUrl::parse(OPENAI_URL).ok()?,
        };
        let host = url.endpoint.host.to_ascii_lowercase();
        let dialect = dialect(Dialect::of(&host), section);
        let mut secrets: Vec<_> = settings.api_key.iter().cloned().collect();
        let mut fields = Vec::new();
        for (name, value) in settings.headers {
            if let Err(mistake) = check_field(&name, value.expose()) {
                section.reject("headers", &mistake);
                continue;
            }
            if is_confidential(&name) {
                secrets.push(value.clone());
            }
            fields.push((name, value));
        }
        for (key, name) in [
            ("organization", "OpenAI-Organization"),
            ("project", "OpenAI-Project"),
        ] {
            if let Some(value) = section.take_string(key) {
                match check_field(name, &value) {
                    Ok(()) => fields.push((name.to_owned(), Secret::new(value))),
                    Err(mistake) => section.reject(key, &mistake),
                }
            }
        }
        match &settings.api_key {
            Some(key) => match check_field("api_key", key.expose()) {
                Ok(()) => add_default(&mut fields, authorization(&host, key)),
                Err(_) => section.reject(
                    "api_key",
                    "the key holds a line break or another character that no header field may hold",
                ),
            },
            None if host == OPENAI_HOST
                && !fields.iter().any(|(name, _)| is_confidential(name)) =>
            {
                section.reject(
                    "api_key",
                    "api.openai.com needs a key: set api_key = \"env:OPENAI_API_KEY\", or base_url \
                     to a server that needs none",
                );
            }
            None => {}
        }
        for (name, value) in DEFAULT_FIELDS {
            add_default(
                &mut fields,
                (name.to_owned(), Secret::new(value.to_owned())),
            );
        }
        let host = url.host_field();
        let query = url
            .query
            .as_deref()
            .map(|query| format!("?{query}"))
            .unwrap_or_default();
        let target = format!("{}/chat/completions{query}", url.path);
        Some(Self {
            endpoint: url.endpoint,
            host,
            target,
            fields,
            dialect,
            secrets,
        })
    }

    pub(crate) fn speaker(&self) -> Speaker<'_> {
        Speaker {
            host: &self.host,
            secrets: &self.secrets,
        }
    }
}

fn dialect(mut dialect: Dialect, section: &mut dyn PluginSection) -> Dialect {
    match section.take_string("max_tokens_field").as_deref() {
        Some("max_tokens") => dialect.max_tokens_field = OLD_LIMIT,
        Some("max_completion_tokens") => dialect.max_tokens_field = NEW_LIMIT,
        Some(_) => section.reject(
            "max_tokens_field",
            "is \"max_tokens\" or \"max_completion_tokens\"",
        ),
        None => {}
    }
    if let Some(include_usage) = section.take_bool("include_usage") {
        dialect.include_usage = include_usage;
    }
    dialect
}

fn authorization(host: &str, key: &Secret) -> (String, Secret) {
    if is_azure(host) {
        return ("api-key".to_owned(), key.clone());
    }
    (
        "Authorization".to_owned(),
        Secret::new(format!("Bearer {}", key.expose())),
    )
}

fn is_azure(host: &str) -> bool {
    host.ends_with(".openai.azure.com") || host.ends_with(".services.ai.azure.com")
}

/// Adds a field unless the configuration has its own.
fn add_default(fields: &mut Vec<(String, Secret)>, field: (String, Secret)) {
    if !fields
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case(&field.0))
    {
        fields.push(field);
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

const OPENAI_URL: &str = "https://api.openai.com/v1";
const OPENAI_HOST: &str = "api.openai.com";
const NEW_LIMIT: &str = "max_completion_tokens";
const OLD_LIMIT: &str = "max_tokens";

const DEFAULT_FIELDS: [(&str, &str); 4] = [
    ("Content-Type", "application/json"),
    ("Accept", "text/event-stream"),
    ("Accept-Encoding", "identity"),
    (
        "User-Agent",
        concat!("lmserver/", env!("CARGO_PKG_VERSION")),
    ),
];

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
pub(crate) mod tests {
    use std::collections::{BTreeMap, HashMap};
    use std::time::Duration;

    use super::*;

    /// A section of strings.
    #[derive(Default)]
    struct Keys {
        strings: HashMap<&'static str, &'static str>,
        bools: HashMap<&'static str, bool>,
        mistakes: Vec<String>,
    }

    impl PluginSection for Keys {
        fn take_string(&mut self, key: &str) -> Option<String> {
            self.strings.remove(key).map(str::to_owned)
        }
        fn take_bool(&mut self, key: &str) -> Option<bool> {
            self.bools.remove(key)
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
    pub(crate) fn instance(url: &str, headers: &[(&str, &str)]) -> Option<Instance> {
        let mut section = Keys::default();
        let instance = Instance::open(settings(url, Some("key-1234"), headers), &mut section);
        assert_eq!(section.mistakes, Vec::<String>::new());
        instance
    }

    fn field<'a>(instance: &'a Instance, name: &str) -> Vec<&'a str> {
        let fields = instance.fields.iter();
        fields
            .filter(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.expose())
            .collect()
    }

    #[test]
    fn without_a_url_it_is_openai() {
        let instance = instance("", &[]).unwrap();
        assert_eq!(instance.host, "api.openai.com");
        assert_eq!(instance.target, "/v1/chat/completions");
        assert_eq!(instance.endpoint.port, 443);
    }

    #[test]
    fn the_key_goes_where_the_server_looks_for_it() {
        let openai = instance("", &[]).unwrap();
        assert_eq!(field(&openai, "authorization"), ["Bearer key-1234"]);
        let azure = instance("https://r.openai.azure.com/openai/v1", &[]).unwrap();
        assert_eq!(field(&azure, "api-key"), ["key-1234"]);
        assert!(field(&azure, "authorization").is_empty());
    }

    #[test]
    fn configured_fields_replace_the_usual_ones() {
        let headers = [
            ("accept-encoding", "gzip"),
            ("authorization", "Basic abc"),
            ("X-A", "b"),
        ];
        let instance = instance("http://h", &headers).unwrap();
        assert_eq!(field(&instance, "Accept-Encoding"), ["gzip"]);
        assert_eq!(field(&instance, "Authorization"), ["Basic abc"]);
        assert_eq!(field(&instance, "x-a"), ["b"]);
    }

    #[test]
    fn mistakes_are_reported_with_their_key() {
        let local = |key, headers| settings("http://h", key, headers);
        for (settings, key, want) in [
            (
                settings("", None, &[]),
                None,
                "api_key: api.openai.com needs a key",
            ),
            (
                local(Some("a\nb"), &[]),
                None,
                "api_key: the key holds a line break",
            ),
            (
                local(None, &[("a b", "c")]),
                None,
                "headers: \"a b\" is no name",
            ),
            (
                local(None, &[("a", "b\r\nc: d")]),
                None,
                "headers: the value of a holds",
            ),
            (
                local(None, &[("Host", "b")]),
                None,
                "headers: Host is written by",
            ),
            (
                local(None, &[]),
                Some(("max_tokens_field", "x")),
                "max_tokens_field: is",
            ),
            (
                local(None, &[]),
                Some(("project", "a\n")),
                "project: the value of",
            ),
        ] {
            let mut section = Keys {
                strings: key.into_iter().collect(),
                ..Keys::default()
            };
            let _ = Instance::open(settings, &mut section);
            let [mistake] = &section.mistakes[..] else {
                panic!("{want}: {:?}", section.mistakes)
            };
            assert!(mistake.starts_with(want), "{mistake}");
        }
    }

    #[test]
    fn keys_of_the_section_change_what_is_sent() {
        let mut section = Keys {
            strings: [
                ("max_tokens_field", "max_tokens"),
                ("organization", "o"),
                ("project", "p"),
            ]
            .into(),
            bools: [("include_usage", false)].into(),
            ..Keys::default()
        };
        let instance = Instance::open(settings("", Some("k"), &[]), &mut section).unwrap();
        assert_eq!(instance.dialect.max_tokens_field, "max_tokens");
        assert!(!instance.dialect.include_usage);
        assert_eq!(field(&instance, "openai-organization"), ["o"]);
        assert_eq!(field(&instance, "openai-project"), ["p"]);
        assert!(section.mistakes.is_empty() && section.strings.is_empty());
    }
}
