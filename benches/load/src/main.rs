//! Speed and size of lmserver, each as a comparison of two subjects within one run.
//!
//! `benches/run.sh` builds everything and calls `load SCENARIO`; `benches/README.md` says what each
//! scenario means. Servers run on core 0 and everything else on core 1; what is compared is the
//! servers' CPU time, not the client's clock, in alternating windows, and the medians of those.

mod mock;
mod publisher;
mod scenario;
mod stats;
mod streams;
mod subject;
mod swarm;
mod table;
mod upstream;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;

use publisher::Kind;
use subject::Programs;
use wire::Transport;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("load: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<(), String> {
    match words {
        ["swarm", address, kind, transport] => {
            let address = address.parse().map_err(|e| format!("{address}: {e}"))?;
            let kind = if *kind == "bare" {
                Kind::Bare
            } else {
                Kind::Lmserver
            };
            swarm::Swarm::new(address, kind, Transport::parse(transport)?)?.serve()
        }
        [name, rest @ ..] => {
            let directory = |key: &str, default: &str| {
                let value = rest.iter().find_map(|word| word.strip_prefix(key));
                PathBuf::from(value.unwrap_or(default))
            };
            let target = directory("--target=", "target");
            let own = std::env::current_exe().map_err(|e| e.to_string())?;
            let programs = Programs {
                lmserver: target.join("release/lmserver"),
                small: target.join("small/lmserver"),
                profiling: target.join("profiling/lmserver"),
                bare: own.with_file_name("bare"),
                relay: own.with_file_name("relay"),
                noise: rest.contains(&"--noise"),
            };
            subject::pin(subject::LOAD_CORE);
            scenario::run(name, &programs)
        }
        [] => Err(format!(
            "usage: load SCENARIO [--target=DIRECTORY] [--noise]; {}",
            scenario::NAMES
        )),
    }
}
