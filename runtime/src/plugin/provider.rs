//! What a provider plugin implements: a factory, and one disposable machine per attempt.
//!
//! ```text
//!   open(settings, section) ── once per [provider.NAME] ──► Box<dyn Provider>
//!   Provider::start(request, model) ── per attempt ──► Start { generation, upstream }
//!   bytes of the upstream connection ──► Generation::receive ──► Output, Output, …
//! ```
//!
//! The engine connects, speaks TLS, keeps the four timers, falls back to the next target and, where
//! none is left, tries the same again, as often as `retries` says, if the error says that it may.
//! The machine turns bytes into [`Output`]. It must yield what was complete in the bytes it was
//! given before it reports an end or an error: *events before ends*.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::event::{ErrorCode, FinishReason, Text, ToolCall, Usage};
use crate::time::Moment;

/// Starts generations. One value per configured provider; immutable, but for what makes its answers cheaper.
pub trait Provider: Send + Sync {
    /// Where its generations connect to; none for a provider without a connection. The host picks
    /// the proxy by it, and warns where a key would travel in plain text. It is asked once, when
    /// the provider has been opened; each [`Upstream`] names the same.
    fn endpoint(&self) -> Option<&Endpoint> {
        None
    }

    /// Builds the machine and the first bytes for one attempt at `model`.
    ///
    /// # Errors
    ///
    /// A request that this provider cannot express (`provider_bad_request`), said before
    /// anything is sent.
    fn start(
        &self,
        request: &ChatRequest,
        model: &str,
        cx: StartCx,
    ) -> Result<Start, ProviderError>;
}

/// What a provider is told about the moment at which a generation begins.
#[derive(Clone, Copy, Debug, Default)]
pub struct StartCx {
    /// The engine's clock: for deadlines.
    pub now: Moment,
    /// The wall clock, as time since 1970: for signatures.
    pub unix_time: Duration,
}

/// A generation that is about to begin.
pub struct Start {
    /// The machine that reads the answer.
    pub generation: Box<dyn Generation>,
    /// Where the bytes go; none for a provider that needs no connection.
    pub upstream: Option<Upstream>,
}

/// A connection that a generation needs.
#[derive(Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Where to connect.
    pub endpoint: Endpoint,
    /// The whole request, sent as soon as the connection stands. It holds the key: never logged.
    pub request: Vec<u8>,
}

/// Scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// TLS or plain TCP.
    pub tls: bool,
    /// A name or a literal address, IPv6 without brackets.
    pub host: Box<str>,
    /// The port.
    pub port: u16,
}

/// What one attempt yields, in order. The engine adds the target and turns it into events.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A ping, a comment, an empty delta: proof of life. It resets the timer between events, not
    /// the timer for the first event.
    Alive,
    /// An event that cannot be read, and is passed over: the same, and counted.
    Unread,
    /// Text of the answer; never empty.
    Chunk(Text),
    /// Text of the reasoning; never empty.
    Reasoning(Text),
    /// Text of a refusal; never empty.
    Refusal(Text),
    /// A fragment of a tool call.
    ToolCall(ToolCall),
    /// The answer is complete; nothing may follow.
    End {
        /// How it ended; never `Cancelled`.
        finish_reason: FinishReason,
        /// What it cost, if the provider said.
        usage: Option<Usage>,
    },
}

/// One attempt's protocol state: bytes of the upstream connection in, outputs out.
pub trait Generation {
    /// Takes bytes, cut anywhere, and appends what they complete to `out`.
    ///
    /// # Errors
    ///
    /// The provider's refusal or failure. What was complete before it is in `out`.
    fn receive(&mut self, bytes: &[u8], out: &mut Vec<Output>) -> Result<(), ProviderError>;

    /// The peer has closed (or the connection has failed). Never called after `End`.
    ///
    /// # Errors
    ///
    /// `provider_truncated`, unless the end of the connection is the proper end of the answer, in
    /// which case `End` is in `out`.
    fn closed(&mut self, out: &mut Vec<Output>) -> Result<(), ProviderError>;

    /// When a machine without an upstream wants [`expire`](Self::expire) called.
    fn deadline(&self) -> Option<Moment> {
        None
    }

    /// The deadline has come.
    ///
    /// # Errors
    ///
    /// As for [`receive`](Self::receive).
    fn expire(&mut self, _now: Moment, _out: &mut Vec<Output>) -> Result<(), ProviderError> {
        Ok(())
    }

    /// May the connection carry another request? Asked after `End` or an error; true only if the
    /// answer's framing was read to its end and the peer did not announce a close.
    fn is_reusable(&self) -> bool {
        false
    }

    /// After `End`: is the answer's framing still unread (so that reading on for a moment would
    /// make the connection reusable)?
    fn wants_more(&self) -> bool {
        false
    }
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ProviderError {
    /// The class.
    pub code: ErrorCode,
    /// For a person: names the host, timer or limit concerned, never a secret.
    pub message: Box<str>,
    /// May the same request succeed at the same target?
    pub retryable: bool,
    /// How long the provider asks to wait before that.
    pub retry_after: Option<Duration>,
}

impl ProviderError {
    /// An error of a class, `retryable` as the class says.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<Box<str>>) -> Self {
        Self {
            code,
            message: message.into(),
            retryable: code.is_retryable(),
            retry_after: None,
        }
    }
}

/// A question to a model, as a client asked it, checked but not translated.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChatRequest {
    /// The conversation, oldest first; at least one message.
    pub messages: Vec<Message>,
    /// The system prompt, where it was given apart from the messages.
    pub system: Option<String>,
    /// Sampling temperature.
    pub temperature: Option<f64>,
    /// Nucleus sampling.
    pub top_p: Option<f64>,
    /// Most tokens of the answer.
    pub max_tokens: Option<u64>,
    /// Texts at which the answer stops.
    pub stop: Vec<String>,
    /// Seed of the sampling; any JSON integer.
    pub seed: Option<serde_json::Number>,
    /// Tools in OpenAI's form.
    pub tools: Option<Value>,
    /// Which tool must or may be called, in OpenAI's form.
    pub tool_choice: Option<Value>,
    /// The form of the answer, in OpenAI's form.
    pub response_format: Option<Value>,
    /// How hard to think.
    pub reasoning_effort: Option<String>,
    /// The end user, for the provider's abuse detection.
    pub user: Option<String>,
    /// The client's own notes, handed on where the provider takes them.
    pub metadata: Option<Value>,
    /// Further parameters of OpenAI's Chat Completions, by their names there, such as
    /// `frequency_penalty`, `parallel_tool_calls` and (of others) `top_k`. A provider has words of
    /// its own for them, or cannot express them.
    pub options: Map<String, Value>,
    /// Merged into the provider's body last.
    pub extra: Map<String, Value>,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// `system`, `developer`, `user`, `assistant` or `tool`.
    pub role: String,
    /// What it says.
    pub content: Content,
    /// The speaker's name.
    pub name: Option<String>,
    /// The calls that an assistant made, in OpenAI's form.
    pub tool_calls: Option<Value>,
    /// Which call a tool answers.
    pub tool_call_id: Option<String>,
    /// What an assistant thought before it said this, for the few models that want it back.
    pub reasoning: Option<String>,
}

impl Message {
    /// A message of a role, without a name and without calls.
    #[must_use]
    pub fn new(role: &str, content: Content) -> Self {
        Self {
            role: role.to_owned(),
            content,
            name: None,
            tool_calls: None,
            tool_call_id: None,
            reasoning: None,
        }
    }
}

/// The content of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// None (an assistant that only called tools).
    Absent,
    /// Plain text.
    Text(String),
    /// OpenAI content parts.
    Parts(Vec<Value>),
}

/// The keys that every provider takes, read and checked by the host.
#[derive(Clone, PartialEq)]
pub struct ProviderSettings {
    /// The name of the instance: `openai` in `[provider.openai]`.
    pub name: Box<str>,
    /// The base URL, if one was given.
    pub base_url: Option<BaseUrl>,
    /// The key, if one was given.
    pub api_key: Option<Secret>,
    /// Further header fields for every request, in order of their names.
    pub headers: BTreeMap<String, Secret>,
}

/// A URL cut into what a client needs: scheme, host, port, path prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    /// Where to connect.
    pub endpoint: Endpoint,
    /// The path without a trailing slash: empty or `/v1`.
    pub path: Box<str>,
    /// The query that every request carries, without `?` (Azure's `api-version`).
    pub query: Option<Box<str>>,
}

/// Why a text is not a base URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a base URL looks like https://host[:port][/path]")]
pub struct InvalidUrl;

impl BaseUrl {
    /// Reads a URL of scheme `http` or `https`.
    ///
    /// # Errors
    ///
    /// Any other scheme, credentials or a fragment in it, no host, or a bad port.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        let (tls, rest) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            _ => return Err(InvalidUrl),
        };
        if rest
            .bytes()
            .any(|byte| byte <= b' ' || byte == 0x7f || byte == b'#')
        {
            return Err(InvalidUrl);
        }
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query.into())),
            None => (rest, None),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = split_authority(authority)?;
        let port = port.unwrap_or(if tls { 443 } else { 80 });
        let endpoint = Endpoint {
            tls,
            host: host.into(),
            port,
        };
        Ok(Self {
            endpoint,
            path: path.trim_end_matches('/').into(),
            query,
        })
    }

    /// The value of `Host` for this URL: the port only where it is not the scheme's own.
    #[must_use]
    pub fn host_field(&self) -> String {
        let Endpoint { tls, host, port } = &self.endpoint;
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            String::from(host.as_ref())
        };
        if *port == if *tls { 443 } else { 80 } {
            host
        } else {
            format!("{host}:{port}")
        }
    }
}

fn split_authority(authority: &str) -> Result<(&str, Option<u16>), InvalidUrl> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or(InvalidUrl)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| InvalidUrl)?;
            (
                host,
                if rest.is_empty() {
                    None
                } else {
                    Some(rest.strip_prefix(':').ok_or(InvalidUrl)?)
                },
            )
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    if host.is_empty() || host.contains('@') || authority.matches('@').count() > 0 {
        return Err(InvalidUrl);
    }
    let port = match port {
        None | Some("") => None,
        Some(port) => Some(
            port.parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or(InvalidUrl)?,
        ),
    };
    Ok((host, port))
}

/// A text that is never shown: `Debug` prints dots, and its bytes are wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(zeroize::Zeroizing<String>);

impl Secret {
    /// Takes a text into custody.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(zeroize::Zeroizing::new(text))
    }

    /// The text itself, for the wire and for comparison.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// The keys of a plugin's own section, as the host hands them over. A key that no one takes is
/// reported by the host as unknown.
pub trait PluginSection {
    /// Takes a string.
    fn take_string(&mut self, key: &str) -> Option<String>;
    /// Takes a truth value.
    fn take_bool(&mut self, key: &str) -> Option<bool>;
    /// Takes a whole number.
    fn take_integer(&mut self, key: &str) -> Option<i64>;
    /// Takes a duration such as `"20ms"`.
    fn take_duration(&mut self, key: &str) -> Option<Duration>;
    /// Takes a secret, as the host keeps them: `"env:NAME"`, `"file:PATH"`, or the text itself.
    fn take_secret(&mut self, key: &str) -> Option<Secret> {
        self.take_string(key).map(Secret::new)
    }
    /// Reports that the value of `key` (or its absence) is a mistake, and what would be right, as
    /// in `"is missing; set it to the server's address"`.
    fn reject(&mut self, key: &str, mistake: &str);
}

/// The constructor of a provider plugin. It has no effect but reading keys; mistakes go to the
/// section, and any valid stand-in value may be returned then, since the host does not use it.
pub type OpenProvider =
    fn(settings: ProviderSettings, section: &mut dyn PluginSection) -> Option<Box<dyn Provider>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_are_cut_into_their_parts() {
        for (text, tls, host, port, path, field) in [
            (
                "https://api.openai.com/v1",
                true,
                "api.openai.com",
                443,
                "/v1",
                "api.openai.com",
            ),
            (
                "http://127.0.0.1:11434/v1/",
                false,
                "127.0.0.1",
                11434,
                "/v1",
                "127.0.0.1:11434",
            ),
            ("HTTP://h", false, "h", 80, "", "h"),
            (
                "https://[::1]:8443/a/b",
                true,
                "::1",
                8443,
                "/a/b",
                "[::1]:8443",
            ),
        ] {
            let url = BaseUrl::parse(text).unwrap();
            assert_eq!(
                url.endpoint,
                Endpoint {
                    tls,
                    host: host.into(),
                    port
                },
                "{text}"
            );
            assert_eq!((&*url.path, &*url.host_field()), (path, field), "{text}");
        }
        let azure = BaseUrl::parse("https://x.example/openai?api-version=1").unwrap();
        assert_eq!(azure.query.as_deref(), Some("api-version=1"));
    }

    #[test]
    fn what_is_no_base_url_is_refused() {
        for text in [
            "",
            "api.openai.com",
            "ftp://h",
            "https://",
            "https:///v1",
            "http://h:0",
            "http://h:x",
            "http://u:p@h/",
            "http://h/#f",
            "http://h/a b",
            "http://[::1",
            "http://[x]/",
            "http://h:99999",
        ] {
            assert_eq!(BaseUrl::parse(text), Err(InvalidUrl), "{text}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Secret::new("sk-live".into())), "…");
    }
}
