//! Time from start to listening, memory of an idle server, size of the binary.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use crate::stats::median;
use crate::subject::{Programs, Server};
use crate::table::Table;

const ROUNDS: usize = 15;
const MIB: f64 = 1024.0 * 1024.0;

pub fn run(programs: &Programs) -> Result<Table, String> {
    let mut table = Table::new("Start and size", ["lmserver", "bare"]);
    let (mut times, mut memory) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for _ in 0..ROUNDS {
        for subject in 0..2 {
            let server = match subject {
                0 => Server::lmserver(programs, None)?,
                _ => Server::bare(programs)?,
            };
            times[subject].push(server.started_in.as_secs_f64() * 1e3);
            sleep(Duration::from_millis(200));
            memory[subject].push(server.memory().rss as f64 / MIB);
        }
    }
    let cells = |values: [f64; 2], unit: &str| {
        let [own, bare] = values.map(|value| format!("{value:.2} {unit}"));
        [own, bare, String::new()]
    };
    let time = times.each_ref().map(|list| median(list));
    table.at_most("start to listening", cells(time, "ms"), time[0], 10.0);
    let rss = memory.each_ref().map(|list| median(list));
    table.at_most("idle RSS", cells(rss, "MiB"), rss[0], 3.0);
    let bare = size(&programs.bare).unwrap_or(f64::NAN);
    let small = size(&programs.small).ok_or("no binary of the profile small")?;
    let what = "stripped binary, --profile small";
    table.at_most(what, cells([small, bare], "MiB"), small, 3.0);
    let normal = size(&programs.lmserver).ok_or("no release binary")?;
    table.note("  --release", cells([normal, bare], "MiB"));
    Ok(table)
}

fn size(program: &Path) -> Option<f64> {
    Some(fs::metadata(program).ok()?.len() as f64 / MIB)
}
