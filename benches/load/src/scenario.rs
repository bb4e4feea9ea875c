//! The scenarios, one table each.

mod cancel;
mod fanout;
mod flatout;
mod instructions;
mod latency;
mod memory;
mod nginx;
mod slow;
mod start;

use std::net::SocketAddrV4;
use std::thread::{self, sleep};
use std::time::Duration;

use crate::publisher::API_KEY;
use crate::subject::{Load, Programs, Report, Server};

pub const NAMES: &str =
    "scenarios: fanout centrifugo flatout memory slow latency nginx cancel start instructions";

pub fn run(name: &str, programs: &Programs) -> Result<(), String> {
    let table = match name {
        "fanout" => fanout::run(programs)?,
        "centrifugo" => fanout::run_centrifugo(programs)?,
        "flatout" => flatout::run(programs)?,
        "memory" => memory::run(programs)?,
        "slow" => slow::run(programs)?,
        "latency" => latency::run(programs)?,
        "nginx" => nginx::run(programs)?,
        "cancel" => cancel::run(programs)?,
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

/// The configuration of an lmserver that asks `provider`. Heartbeats and timers are longer than
/// any window unless `timers` says otherwise; answers are forgotten after `kept`, so that windows do
/// not pile up.
fn answering(
    address: SocketAddrV4,
    provider: SocketAddrV4,
    kept: Duration,
    timers: &str,
) -> String {
    let ttl = kept.as_millis();
    format!(
        "[server]\nlisten = \"{address}\"\n[auth]\napi_keys = [\"{API_KEY}\"]\n\
         [channels]\nttl = \"{ttl}ms\"\n[log]\nlevel = \"error\"\n\
         [provider.mock]\nkind = \"openai\"\nbase_url = \"http://{provider}/v1\"\n\
         api_key = \"unused\"\nmodel = \"unused\"\n{timers}"
    )
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

/// One window of both subjects at once, each message of one halfway between two of the other, so
/// that whatever else the machine does meets both alike.
fn side_by_side(
    servers: &[Server; 2],
    loads: &mut [Load; 2],
    command: &str,
    rate: f64,
    first: usize,
) -> Result<[(Report, f64); 2], String> {
    let before = servers.each_ref().map(Server::settled_cpu);
    let [one, other] = loads;
    let half = Duration::from_secs_f64(0.5 / rate);
    let delays = if first == 0 {
        [Duration::ZERO, half]
    } else {
        [half, Duration::ZERO]
    };
    let ask = |load: &mut Load, delay| {
        sleep(delay);
        load.ask(command)
    };
    let (one, other) = thread::scope(|scope| {
        let other = scope.spawn(|| ask(other, delays[1]));
        (ask(one, delays[0]), other.join())
    });
    let reports = [one?, other.map_err(|_| "a thread panicked")??];
    for (server, report) in servers.iter().zip(&reports) {
        require_exact(server, report)?;
    }
    let after = servers.each_ref().map(Server::settled_cpu);
    let [one, other] = reports;
    Ok([
        (one, (after[0] - before[0]) as f64),
        (other, (after[1] - before[1]) as f64),
    ])
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
