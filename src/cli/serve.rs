//! `lmserver serve`: the start of the server.

use std::process::ExitCode;

use super::check::failure;
use super::{FAILURE, USAGE, report};
use crate::config::{Config, Environment, Flags, Inputs};
use crate::plugins::Plugins;

pub(super) fn run(plugins: &Plugins, flags: &Flags) -> ExitCode {
    let environment = Environment::of_process();
    let inputs = Inputs {
        flags,
        environment: &environment,
        plugins,
    };
    let (config, warnings) = match Config::load(inputs) {
        Ok(read) => read,
        Err(findings) => {
            report(&failure(&findings));
            return ExitCode::from(USAGE);
        }
    };
    crate::log::start(config.log);
    let _ = warnings;
    ExitCode::from(FAILURE)
}
