//! lmserver: turns an LLM's answer into a live, resumable channel.
//!
//! This crate is the product: program, configuration and HTTP API. The engine is [`runtime`],
//! the codecs are [`proto`]. A binary of one's own adds plugins to [`Plugins::builtin`] and calls
//! [`run`].

use std::ffi::OsString;
use std::process::ExitCode;

pub use lmserver_proto as proto;
pub use lmserver_runtime as runtime;

pub mod access;
pub mod api;
mod assemble;
mod cli;
pub mod config;
#[cfg(feature = "fake")]
mod fake;
mod json;
mod log;
mod plugins;
pub mod token;

pub use plugins::{ClientTransports, OpenClientTransports, OpenTransport, Plugins};

/// Carries out a command line; the first argument is the program's name.
pub fn run(plugins: Plugins, args: impl IntoIterator<Item = OsString>) -> ExitCode {
    cli::run(&plugins, args)
}
