//! Messages per CPU second when the publisher never pauses.

use super::{exact_window, thousands};
use crate::stats::median;
use crate::subject::{Load, Programs, Server};
use crate::table::Table;
use crate::wire::Transport;

const SUBSCRIBERS: usize = 1_000;
const ROUNDS: usize = 5;
/// Messages of one window: about a second of CPU for either subject.
const MESSAGES: [usize; 2] = [2_000, 200];
/// Messages that a subscriber may be behind before the publisher waits.
const WINDOW: usize = 1_000;
const TEXT_BYTES: usize = 8;
const TARGET: f64 = 6.0;

pub fn run(programs: &Programs) -> Result<Table, String> {
    let title = "Publishing flat out, messages a CPU second";
    let mut table = Table::new(title, ["lmserver", "bare"]);
    for transport in Transport::PLAIN {
        let servers = [Server::lmserver(programs, None)?, Server::bare(programs)?];
        let mut loads = [
            Load::start(&servers[0], transport)?,
            Load::start(&servers[1], transport)?,
        ];
        let commands = MESSAGES.map(|messages| format!("flat {messages} {WINDOW} {TEXT_BYTES}"));
        for load in &mut loads {
            load.ask(&format!("connect {SUBSCRIBERS}"))?;
            load.ask(&format!("paced 20 0.1 {TEXT_BYTES}"))?;
        }
        let mut rates = [Vec::new(), Vec::new()];
        let mut coalesced = [0.0, 0.0];
        for round in 0..ROUNDS {
            for turn in [round % 2, 1 - round % 2] {
                let (report, spent) =
                    exact_window(&servers[turn], &mut loads[turn], &commands[turn])?;
                rates[turn].push(report.value("published") / (spent / 1e9));
                coalesced[turn] = report.value("delivered") / report.value("reads");
            }
        }
        let ratios: Vec<f64> = rates[0]
            .iter()
            .zip(&rates[1])
            .map(|(own, bare)| own / bare)
            .collect();
        let ratio = median(&ratios);
        let what = format!(
            "{}, {} subscribers",
            transport.name(),
            thousands(SUBSCRIBERS)
        );
        let cells = [
            format!("{:.0}", median(&rates[0])),
            format!("{:.0}", median(&rates[1])),
            format!("{ratio:.2}"),
        ];
        table.at_least(&what, cells, ratio, TARGET);
        let [own, bare] = coalesced.map(|value| format!("{value:.1}"));
        table.note(
            "  messages in one read of a subscriber",
            [own, bare, String::new()],
        );
    }
    Ok(table)
}
