//! What a subscriber that never reads costs the others and the server.

use super::side_by_side;
use crate::stats::median;
use crate::subject::{Load, Programs, Server};
use crate::table::Table;
use crate::wire::Transport;

const SUBSCRIBERS: usize = 1_000;
const ROUNDS: usize = 9;
/// 8 MB to the stalled subscriber and one other: more than the kernel ever takes for one socket.
const FILL: &str = "flat 2000 100 4096";
const COMMAND: &str = "paced 20 2 2048";
const RATE: f64 = 20.0;
/// Share by which the others' median may differ: the noise of the comparison.
const TARGET: f64 = 1.05;
/// Bytes that the server with a stalled subscriber may have grown by more than the other: pages of
/// the allocator, far below the 8 MB that the subscriber has not read.
const GROWTH: f64 = 32768.0;

pub fn run(programs: &Programs) -> Result<Table, String> {
    let title = "1,000 subscribers, one more that never reads";
    let mut table = Table::new(title, ["with it", "without"]);
    for transport in Transport::PLAIN {
        let servers = [
            Server::lmserver(programs, None)?,
            Server::lmserver(programs, None)?,
        ];
        let mut loads = [
            Load::start(&servers[0], transport)?,
            Load::start(&servers[1], transport)?,
        ];
        let before = servers.each_ref().map(Server::memory);
        loads[0].ask("stall")?;
        for load in &mut loads {
            load.ask("connect 1")?;
            load.ask(FILL)?;
            load.ask(&format!("connect {}", SUBSCRIBERS - 1))?;
            load.ask("paced 20 1 2048")?;
        }
        let (mut medians, mut tails) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        let mut cpu = [0.0, 0.0];
        for round in 0..ROUNDS {
            let windows = side_by_side(&servers, &mut loads, COMMAND, RATE, round % 2)?;
            for (subject, (report, spent)) in windows.into_iter().enumerate() {
                medians[subject].push(report.value("p50") / 1e3);
                tails[subject].push(report.value("p99") / 1e3);
                cpu[subject] += spent / report.value("delivered") / 1e3 / ROUNDS as f64;
            }
        }
        let name = transport.name();
        let pair = |values: [f64; 2], unit: &str| values.map(|value| format!("{value:.1} {unit}"));
        let delay = medians.each_ref().map(|list| median(list));
        let ratios: Vec<f64> = medians[0]
            .iter()
            .zip(&medians[1])
            .map(|(w, wo)| w / wo)
            .collect();
        let ratio = median(&ratios);
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
