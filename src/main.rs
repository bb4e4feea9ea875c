//! The lmserver program.

use std::process::ExitCode;

fn main() -> ExitCode {
    lmserver::run(lmserver::Plugins::builtin(), std::env::args_os())
}
