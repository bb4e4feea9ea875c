//! Server CPU per delivered message at 20,000 deliveries a second: lmserver beside the bare limit,
//! and Centrifugo's subscribers beside those of plain WebSocket.

use super::{side_by_side, thousands};
use crate::stats::median;
use crate::subject::{Load, Programs, Server};
use crate::table::Table;
use crate::wire::Transport;

const DELIVERIES_A_SECOND: f64 = 20_000.0;
const ROUNDS: usize = 8;
const SECONDS: f64 = 2.0;
const TEXT_BYTES: usize = 8;
const TARGET: f64 = 1.05;
const TARGET_OF_CENTRIFUGO: f64 = 1.15;

pub fn run(programs: &Programs) -> Result<Table, String> {
    let mut table = Table::new(
        "CPU per delivered message, 20,000 a second",
        ["lmserver", "bare"],
    );
    for subscribers in [1_000, 10_000] {
        for transport in Transport::PLAIN {
            let servers = [Server::lmserver(programs, None)?, Server::bare(programs)?];
            compare(&mut table, servers, [transport; 2], subscribers, TARGET)?;
        }
    }
    Ok(table)
}

pub fn run_centrifugo(programs: &Programs) -> Result<Table, String> {
    let mut table = Table::new(
        "CPU per delivered message, 20,000 a second, Centrifugo's protocol",
        ["Centrifugo", "plain"],
    );
    for transport in Transport::CENTRIFUGO {
        let servers = [
            Server::lmserver(programs, None)?,
            Server::lmserver(programs, None)?,
        ];
        let transports = [transport, Transport::WebSocket];
        compare(&mut table, servers, transports, 1_000, TARGET_OF_CENTRIFUGO)?;
    }
    Ok(table)
}

fn compare(
    table: &mut Table,
    servers: [Server; 2],
    transports: [Transport; 2],
    subscribers: usize,
    target: f64,
) -> Result<(), String> {
    let mut loads = [
        Load::start(&servers[0], transports[0])?,
        Load::start(&servers[1], transports[1])?,
    ];
    let rate = DELIVERIES_A_SECOND / subscribers as f64;
    let command = format!("paced {rate} {SECONDS} {TEXT_BYTES}");
    let warm_up = format!("paced {rate} {} {TEXT_BYTES}", 2.0 / rate);
    for load in &mut loads {
        load.ask(&format!("connect {subscribers}"))?;
        load.ask(&warm_up)?;
    }
    let mut costs = [Vec::new(), Vec::new()];
    let mut delays = [Vec::new(), Vec::new()];
    let mut bytes = [0.0, 0.0];
    let mut together = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        let first = round % 2;
        let windows = side_by_side(&servers, &mut loads, &command, rate, first)?;
        for (subject, (report, spent)) in windows.into_iter().enumerate() {
            costs[subject].push(spent / report.value("delivered") / 1e3);
            delays[subject].push(report.value("p50") / 1e3);
            bytes[subject] = report.value("bytes") / report.value("delivered");
            together[subject].push(report.value("delivered") / report.value("reads"));
        }
    }
    if std::env::var_os("VERBOSE").is_some() {
        eprintln!("{costs:.2?}");
    }
    let ratios: Vec<f64> = costs[0]
        .iter()
        .zip(&costs[1])
        .map(|(own, bare)| own / bare)
        .collect();
    let ratio = median(&ratios);
    let what = format!(
        "{}, {} subscribers",
        transports[0].name(),
        thousands(subscribers)
    );
    let cells = |values: [f64; 2], unit: &str| values.map(|value| format!("{value:.2} {unit}"));
    let [own, bare] = cells([median(&costs[0]), median(&costs[1])], "us");
    table.at_most(&what, [own, bare, format!("{ratio:.3}")], ratio, target);
    let [own, bare] = cells(delays.each_ref().map(|list| median(list) / 1e3), "ms");
    table.note(
        "  median delay, client's reading included",
        [own, bare, String::new()],
    );
    // Above 1 the machine was too busy to keep the pace, and messages left the server together.
    let [own, bare] = together.map(|list| format!("{:.2}", median(&list)));
    table.note(
        "  messages in one read of a subscriber",
        [own, bare, String::new()],
    );
    let [own, bare] = cells(bytes, "B");
    table.note("  bytes on the wire a message", [own, bare, String::new()]);
    Ok(())
}
