//! Reading the configuration again: a whole new one, or a report; never half.

use lmserver_runtime::limits::{ChannelLimits, Limits};
use lmserver_runtime::sys::ListenAddr;

use super::environment::Environment;
use super::report::Report;
use super::{Auth, Client, Config, Flags, Inputs, Log};
use crate::access::Namespaces;
use crate::api::Patience;
use crate::plugins::Plugins;

/// Reads the configuration again from where it was read at the start.
pub struct Reloader {
    flags: Flags,
    environment: Environment,
    plugins: Plugins,
    fixed: Fixed,
}

/// What a reload does not change: it holds from one start to the next.
struct Fixed {
    server: (ListenAddr, Option<Vec<String>>, bool),
    auth: Auth,
    limits: Limits,
    channels: (ChannelLimits, bool),
    llm_patience: Patience,
    client: Client,
    namespaces: Namespaces,
    log: Log,
}

impl Reloader {
    /// Remembers where `started` came from. The environment is that of the start: a process
    /// cannot be given another one.
    pub fn new(inputs: Inputs<'_>, started: &Config) -> Self {
        Self {
            flags: inputs.flags.clone(),
            environment: inputs.environment.clone(),
            plugins: inputs.plugins.clone(),
            fixed: Fixed::of(started),
        }
    }

    /// Reads it again. Warnings and mistakes go to the log; with mistakes there is no new one.
    pub fn reload(&self) -> Option<Config> {
        let Self {
            flags,
            environment,
            plugins,
            ..
        } = self;
        match Config::load(Inputs {
            flags,
            environment,
            plugins,
        }) {
            Ok((config, report)) => {
                log_warnings(&report);
                for section in self.fixed.changed_in(&Fixed::of(&config)) {
                    log::warn!("[{section}] has changed: that takes effect at the next start");
                }
                log::info!("configuration read again: {}", config.summary());
                Some(config)
            }
            Err(report) => {
                for finding in report.findings() {
                    log::error!("{}", finding.on_one_line());
                }
                let count = report.mistakes();
                log::error!("the configuration has {count} mistakes: the former one stays");
                None
            }
        }
    }
}

impl Fixed {
    fn of(config: &Config) -> Self {
        let server = &config.server;
        Self {
            server: (
                server.listen.clone(),
                server.allowed_origins.clone(),
                server.page,
            ),
            auth: config.auth.clone(),
            limits: config.limits.clone(),
            channels: (config.channels.clone(), config.open_channels),
            llm_patience: config.llm_patience,
            client: config.client.clone(),
            // Open channels are what [channels] says.
            namespaces: Namespaces {
                open: None,
                ..config.namespaces.clone()
            },
            log: config.log,
        }
    }

    /// The sections that differ.
    fn changed_in(&self, other: &Self) -> impl Iterator<Item = &'static str> {
        let sections = [
            ("server", self.server == other.server),
            ("auth", self.auth == other.auth),
            ("limits", self.limits == other.limits),
            ("channels", self.channels == other.channels),
            ("llm_api", self.llm_patience == other.llm_patience),
            ("client", self.client == other.client),
            ("namespace.*", self.namespaces == other.namespaces),
            ("log", self.log == other.log),
        ];
        sections
            .into_iter()
            .filter(|(_, is_same)| !is_same)
            .map(|(name, _)| name)
    }
}

/// Says each warning in one line.
pub(crate) fn log_warnings(report: &Report) {
    report
        .warnings()
        .for_each(|warning| log::warn!("{}", warning.on_one_line()));
}
