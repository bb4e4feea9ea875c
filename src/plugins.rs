//! The table of plugins: one line each, behind its Cargo feature.

use std::collections::BTreeMap;

use lmserver_runtime::plugin::provider::OpenProvider;
use lmserver_runtime::plugin::transport::Transport;

/// The constructor of a transport plugin.
pub type OpenTransport = fn() -> Box<dyn Transport>;

/// The constructor of transports of clients that name their channels themselves. It is given
/// random bytes, of which it makes the id of this process.
pub type OpenClientTransports = fn(random: [u8; 16]) -> ClientTransports;

/// Transports of clients that name their channels themselves, with commands.
pub struct ClientTransports {
    /// The id of this process, which clients name in requests beside their connection.
    pub node: String,
    /// The transports by their names; each serves `/connection/NAME`.
    pub transports: Vec<(&'static str, Box<dyn Transport>)>,
}

/// The plugins of a binary, by the names that the configuration and the routes use.
///
/// ```no_run
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     let plugins = lmserver::Plugins::builtin();
///     // plugins.provider("mine", mine::open);
///     lmserver::run(plugins, std::env::args_os())
/// }
/// ```
#[derive(Clone, Default)]
pub struct Plugins {
    providers: BTreeMap<&'static str, OpenProvider>,
    transports: BTreeMap<&'static str, OpenTransport>,
    client_transports: Option<OpenClientTransports>,
}

impl Plugins {
    /// All plugins that this binary was built with.
    pub fn builtin() -> Self {
        #[cfg_attr(
            not(any(
                feature = "anthropic",
                feature = "bedrock",
                feature = "azure",
                feature = "centrifuge",
                feature = "cohere",
                feature = "echo",
                feature = "gemini",
                feature = "ollama",
                feature = "openai",
                feature = "openai-responses",
                feature = "sse",
                feature = "websocket"
            )),
            expect(unused_mut, reason = "a binary without plugins has an empty table")
        )]
        let mut plugins = Self::default();
        #[cfg(feature = "anthropic")]
        plugins.provider("anthropic", lmserver_anthropic::open);
        #[cfg(feature = "bedrock")]
        plugins.provider("bedrock", lmserver_bedrock::open);
        #[cfg(feature = "echo")]
        plugins.provider("echo", lmserver_echo::open);
        #[cfg(feature = "openai")]
        plugins.provider("openai", lmserver_openai::open);
        #[cfg(feature = "openai")]
        for (kind, open) in lmserver_openai::PRESETS {
            plugins.provider(kind, open);
        }
        #[cfg(feature = "azure")]
        plugins.provider("azure", lmserver_openai::azure::open);
        #[cfg(feature = "openai-responses")]
        plugins.provider("openai-responses", lmserver_openai_responses::open);
        #[cfg(feature = "gemini")]
        plugins.provider("gemini", lmserver_gemini::open);
        #[cfg(feature = "ollama")]
        plugins.provider("ollama", lmserver_ollama::open);
        #[cfg(feature = "cohere")]
        plugins.provider("cohere", lmserver_cohere::open);
        #[cfg(feature = "sse")]
        plugins.transport("sse", || Box::new(lmserver_sse::Sse));
        #[cfg(feature = "websocket")]
        plugins.transport("websocket", || Box::new(lmserver_websocket::WebSocket));
        #[cfg(feature = "centrifuge")]
        plugins.client_transports(|random| {
            let centrifuge = lmserver_centrifuge::Centrifuge::new(random);
            ClientTransports {
                node: centrifuge.node(),
                transports: centrifuge.transports(),
            }
        });
        plugins
    }

    /// Adds a kind of provider.
    ///
    /// # Panics
    ///
    /// If there is one of that kind: the binary was put together wrongly.
    pub fn provider(&mut self, kind: &'static str, open: OpenProvider) {
        let former = self.providers.insert(kind, open);
        refuse_duplicate("provider", kind, former.is_some());
    }

    /// Adds a transport; it serves `/connection/NAME`.
    ///
    /// # Panics
    ///
    /// If there is one of that name: the binary was put together wrongly.
    pub fn transport(&mut self, name: &'static str, open: OpenTransport) {
        let former = self.transports.insert(name, open);
        refuse_duplicate("transport", name, former.is_some());
    }

    /// Adds the transports of clients that name their channels themselves. They serve
    /// `/connection/NAME` too: where [`transport`](Self::transport) has the same name, the
    /// requests that name no channel.
    ///
    /// # Panics
    ///
    /// If there are some already: the binary was put together wrongly.
    pub fn client_transports(&mut self, open: OpenClientTransports) {
        let former = self.client_transports.replace(open);
        refuse_duplicate("transports", "of clients", former.is_some());
    }

    /// Opens the transports of clients that name their channels themselves.
    pub(crate) fn open_client_transports(&self, random: [u8; 16]) -> Option<ClientTransports> {
        self.client_transports.map(|open| open(random))
    }

    /// Opens all transports, by their names.
    pub(crate) fn open_transports(&self) -> Vec<(Box<str>, Box<dyn Transport>)> {
        let open = |(name, open): (&&str, &OpenTransport)| ((*name).into(), open());
        self.transports.iter().map(open).collect()
    }

    /// The constructor of a kind.
    pub(crate) fn find_provider(&self, kind: &str) -> Option<OpenProvider> {
        self.providers.get(kind).copied()
    }

    /// The kinds, in alphabetical order.
    pub(crate) fn provider_kinds(&self) -> impl Iterator<Item = &'static str> {
        self.providers.keys().copied()
    }
}

#[expect(clippy::panic, reason = "a build mistake, said before anything runs")]
fn refuse_duplicate(what: &str, name: &str, is_duplicate: bool) {
    if is_duplicate {
        panic!("{what} `{name}` is registered twice");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_has_its_line_in_the_table() {
        let plugins = Plugins::builtin();
        let kinds: Vec<_> = plugins.provider_kinds().collect();
        let transports: Vec<_> = plugins.transports.keys().copied().collect();
        assert_eq!(kinds.contains(&"anthropic"), cfg!(feature = "anthropic"));
        assert_eq!(kinds.contains(&"bedrock"), cfg!(feature = "bedrock"));
        assert_eq!(kinds.contains(&"echo"), cfg!(feature = "echo"));
        assert_eq!(kinds.contains(&"openai"), cfg!(feature = "openai"));
        assert_eq!(kinds.contains(&"gemini"), cfg!(feature = "gemini"));
        assert_eq!(kinds.contains(&"ollama"), cfg!(feature = "ollama"));
        assert_eq!(kinds.contains(&"cohere"), cfg!(feature = "cohere"));
        let clients = plugins.open_client_transports([0; 16]);
        assert_eq!(clients.is_some(), cfg!(feature = "centrifuge"));
        assert_eq!(transports.contains(&"sse"), cfg!(feature = "sse"));
        assert_eq!(
            transports.contains(&"websocket"),
            cfg!(feature = "websocket")
        );
    }

    #[test]
    #[should_panic(expected = "provider `twice` is registered twice")]
    fn a_name_that_is_registered_twice_is_a_build_mistake() {
        let mut plugins = Plugins::default();
        plugins.provider("twice", |_, _| None);
        plugins.provider("twice", |_, _| None);
    }
}
