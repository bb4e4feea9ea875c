//! The scenarios, one table each.

mod fanout;
mod flatout;
mod instructions;
mod latency;
mod memory;
mod slow;
mod start;

use crate::subject::{Load, Programs, Report, Server};

pub const NAMES: &str = "scenarios: fanout flatout memory slow latency start instructions";

pub fn run(name: &str, programs: &Programs) -> Result<(), String> {
    let table = match name {
        "fanout" => fanout::run(programs)?,
        "flatout" => flatout::run(programs)?,
        "memory" => memory::run(programs)?,
        "slow" => slow::run(programs)?,
        "latency" => latency::run(programs)?,
        "start" => start::run(programs)?,
        "instructions" => instructions::run(programs)?,
        _ => return Err(format!("unknown scenario {name:?}; {NAMES}")),
    };
    table.print();
    Ok(())
}

/// A window of load that must deliver everything, and the CPU that the server spent in it.
fn exact_window(server: &Server, load: &mut Load, command: &str) -> Result<(Report, f64), String> {
    let before = server.settled_cpu();
    let report = load.ask(command)?;
    let spent = server.settled_cpu() - before;
    require_exact(server, &report)?;
    Ok((report, spent as f64))
}

/// Fails where a subscriber did not get every message once and in order.
fn require_exact(server: &Server, report: &Report) -> Result<(), String> {
    if report.is_exact() {
        return Ok(());
    }
    Err(format!(
        "{:?}: {} lost, {} out of order, {} subscribers behind",
        server.kind,
        report.value("lost"),
        report.value("out_of_order"),
        report.value("behind"),
    ))
}

/// Thousands with commas, as people read them.
fn thousands(value: usize) -> String {
    let digits = value.to_string();
    let head = digits.len() % 3;
    let mut out = digits[..head].to_owned();
    for at in (head..digits.len()).step_by(3) {
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(&digits[at..at + 3]);
    }
    out
}
