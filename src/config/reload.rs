//! Reading the configuration again: a whole new one, or a report; never half.

use super::environment::Environment;
use super::report::Report;
use super::{Config, Flags, Inputs};
use crate::plugins::Plugins;

/// Reads the configuration again from where it was read at the start.
#[derive(Clone)]
pub struct Reloader {
    flags: Flags,
    environment: Environment,
    plugins: Plugins,
}

impl Reloader {
    /// Remembers where the configuration comes from. The environment is that of the start: a
    /// process cannot be given another one.
    pub fn new(inputs: Inputs<'_>) -> Self {
        Self {
            flags: inputs.flags.clone(),
            environment: inputs.environment.clone(),
            plugins: inputs.plugins.clone(),
        }
    }

    /// Reads it again. Warnings and mistakes go to the log; with mistakes there is no new one.
    pub fn reload(&self) -> Option<Config> {
        let Self {
            flags,
            environment,
            plugins,
        } = self;
        match Config::load(Inputs {
            flags,
            environment,
            plugins,
        }) {
            Ok((config, report)) => {
                log_warnings(&report);
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

/// Says each warning in one line.
pub(crate) fn log_warnings(report: &Report) {
    report
        .warnings()
        .for_each(|warning| log::warn!("{}", warning.on_one_line()));
}
