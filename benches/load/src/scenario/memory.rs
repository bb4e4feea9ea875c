//! User memory and set-up CPU of an idle subscription.

use std::thread::sleep;
use std::time::Duration;

use super::thousands;
use crate::stats::median;
use crate::subject::{Load, Programs, Server};
use crate::table::Table;
use crate::wire::Transport;

const SUBSCRIBERS: usize = 10_000;
const ROUNDS: usize = 3;

/// One server's figures.
struct Idle {
    before: f64,
    rss: f64,
    anonymous: f64,
    set_up: f64,
}

pub fn run(programs: &Programs) -> Result<Table, String> {
    let title = format!("Idle subscriptions, {} of them", thousands(SUBSCRIBERS));
    let mut table = Table::new(&title, ["lmserver", "bare"]);
    for (transport, bytes, set_up, growth) in [
        (Transport::Sse, 384.0, 40.0, 3.8),
        (Transport::WebSocket, 448.0, 50.0, 4.5),
        (Transport::CentrifugoJson, 768.0, 80.0, 7.7),
        (Transport::CentrifugoProtobuf, 768.0, 80.0, 7.7),
    ] {
        let (mut own, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            own.push(idle(&Server::lmserver(programs, None)?, transport)?);
            bare.push(idle(&Server::bare(programs)?, transport)?);
        }
        let of = |of: fn(&Idle) -> f64| {
            [&own, &bare].map(|list| median(&list.iter().map(of).collect::<Vec<_>>()))
        };
        let count = SUBSCRIBERS as f64;
        let rss = of(|idle| idle.rss);
        let name = transport.name();
        let cells = |values: [f64; 2], unit: &str| {
            let [own, bare] = values.map(|value| format!("{value:.1} {unit}"));
            [own, bare, String::new()]
        };
        let each = rss.map(|rss| rss / count);
        table.at_most(
            &format!("{name}: RSS each"),
            cells(each, "B"),
            each[0],
            bytes,
        );
        let anonymous = of(|idle| idle.anonymous).map(|bytes| bytes / count);
        table.note("  of which anonymous", cells(anonymous, "B"));
        let mega = rss.map(|rss| rss / 1e6);
        table.at_most(
            &format!("{name}: RSS growth"),
            cells(mega, "MB"),
            mega[0],
            growth,
        );
        let before = of(|idle| idle.before).map(|bytes| bytes / 1e6);
        table.note("  RSS without subscribers", cells(before, "MB"));
        let cpu = of(|idle| idle.set_up);
        table.at_most(
            &format!("{name}: set-up CPU"),
            cells(cpu, "us"),
            cpu[0],
            set_up,
        );
    }
    Ok(table)
}

fn idle(server: &Server, transport: Transport) -> Result<Idle, String> {
    let mut load = Load::start(server, transport)?;
    sleep(Duration::from_millis(200));
    let (before, cpu) = (server.memory(), server.settled_cpu());
    load.ask(&format!("connect {SUBSCRIBERS}"))?;
    let spent = server.settled_cpu() - cpu;
    sleep(Duration::from_millis(500));
    let after = server.memory();
    Ok(Idle {
        before: before.rss as f64,
        rss: after.rss.saturating_sub(before.rss) as f64,
        anonymous: after.anonymous.saturating_sub(before.anonymous) as f64,
        set_up: spent as f64 / SUBSCRIBERS as f64 / 1e3,
    })
}
