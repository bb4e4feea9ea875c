//! The table of plugins: one line each, behind its Cargo feature.

use std::collections::BTreeMap;

use lmserver_runtime::plugin::provider::OpenProvider;

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
}

impl Plugins {
    /// All plugins that this binary was built with.
    pub fn builtin() -> Self {
        let mut plugins = Self::default();
        #[cfg(feature = "echo")]
        plugins.provider("echo", lmserver_echo::open);
        #[cfg(feature = "openai")]
        plugins.provider("openai", lmserver_openai::open);
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
