//! What a subscriber that never reads costs the others and the server.

use super::exact_window;
use crate::stats::median;
use crate::subject::{Load, Programs, Server};
use crate::table::Table;
use crate::wire::Transport;

const SUBSCRIBERS: usize = 1_000;
const ROUNDS: usize = 6;
/// 20 messages of 2 KiB a second: what the stalled socket can hold is full after half a second.
const COMMAND: &str = "paced 20 2 2048";
/// Share by which the others' median may differ; what alternating windows of one server differ by.
const TARGET: f64 = 1.05;
/// Bytes that the server with a stalled subscriber may have grown by more than the other: pages of
/// the allocator, far below the messages of one round (80 KiB).
const GROWTH: f64 = 32768.0;

pub fn run(programs: &Programs) -> Result<Table, String> {
    let title = "1,000 subscribers, one more that never reads";
    let mut table = Table::new(title, ["with it", "without"]);
    for transport in Transport::ALL {
        let servers = [
            Server::lmserver(programs, None)?,
            Server::lmserver(programs, None)?,
        ];
        let mut loads = [
            Load::start(&servers[0], transport)?,
            Load::start(&servers[1], transport)?,
        ];
        for load in &mut loads {
            load.ask(&format!("connect {SUBSCRIBERS}"))?;
            load.ask("paced 20 1 2048")?;
        }
        let before = servers.each_ref().map(Server::memory);
        loads[0].ask("stall")?;
        let (mut medians, mut tails) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        let mut cpu = [0.0, 0.0];
        for round in 0..ROUNDS {
            for turn in [round % 2, 1 - round % 2] {
                let (report, spent) = exact_window(&servers[turn], &mut loads[turn], COMMAND)?;
                medians[turn].push(report.value("p50") / 1e3);
                tails[turn].push(report.value("p99") / 1e3);
                cpu[turn] += spent / report.value("delivered") / 1e3 / ROUNDS as f64;
            }
        }
        let name = transport.name();
        let pair = |values: [f64; 2], unit: &str| values.map(|value| format!("{value:.1} {unit}"));
        let delay = medians.each_ref().map(|list| median(list));
        let ratio = delay[0] / delay[1];
        let [with, without] = pair(delay, "us");
        let cells = [with, without, format!("{ratio:.3}")];
        table.at_most(
            &format!("{name}: the others' median delay"),
            cells,
            ratio,
            TARGET,
        );
        let [with, without] = pair(tails.each_ref().map(|list| median(list)), "us");
        table.note("  p99", [with, without, String::new()]);
        let [with, without] = pair(cpu, "us");
        table.note(
            "  CPU per delivered message",
            [with, without, format!("{:.3}", cpu[0] / cpu[1])],
        );
        let grown = [0, 1]
            .map(|at: usize| servers[at].memory().anonymous as f64 - before[at].anonymous as f64);
        let [with, without] = pair(grown, "B");
        let more = grown[0] - grown[1];
        let cells = [with, without, format!("{more:+.0} B")];
        table.at_most(&format!("{name}: memory grown"), cells, more, GROWTH);
    }
    Ok(table)
}
