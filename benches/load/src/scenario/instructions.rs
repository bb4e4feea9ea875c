//! Instructions in user space per delivered message and per provider token, counted by callgrind.
//!
//! Each figure is the difference of two runs that differ in nothing but the count of messages, so
//! that start, set-up and stop fall out of it. Nothing here is noisy: a change of the code shows.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process;
use std::time::Duration;

use super::latency;
use crate::subject::{Load, Programs, Server};
use crate::table::Table;
use crate::upstream;
use crate::wire::Transport;

const SUBSCRIBERS: usize = 200;
const FEW: usize = 20;
const MANY: usize = 220;
const TEXT_BYTES: usize = 8;
/// Slow enough that a token is through before the next, under callgrind too.
const PAUSE: Duration = Duration::from_millis(40);

pub fn run(programs: &Programs) -> Result<Table, String> {
    let mut table = Table::new("Instructions (user space, callgrind)", ["lmserver", "runs"]);
    let messages = (MANY - FEW) as f64;
    for transport in Transport::PLAIN {
        let cost = |subscribers: usize, window: usize| -> Result<f64, String> {
            let many = deliver(programs, transport, subscribers, MANY, window)?;
            let few = deliver(programs, transport, subscribers, FEW, window)?;
            Ok((many - few) / messages)
        };
        let (one, all, coalesced) = (cost(1, 1)?, cost(SUBSCRIBERS, 1)?, cost(SUBSCRIBERS, 100)?);
        let name = transport.name();
        let each = (all - one) / (SUBSCRIBERS - 1) as f64;
        let mut note = |what: String, value: f64, runs: &str| {
            table.note(&what, [format!("{value:.0}"), runs.into(), String::new()]);
        };
        note(format!("{name}: a delivery"), each, "200 - 1 subscribers");
        note(
            format!("{name}: a publication, with one delivery"),
            one,
            "1 subscriber",
        );
        let each = coalesced / SUBSCRIBERS as f64;
        note(
            format!("{name}: a delivery, flat out"),
            each,
            "200 subscribers",
        );
    }
    let tokens = (chat(programs, MANY)? - chat(programs, FEW)?) / messages;
    let cells = [format!("{tokens:.0}"), "1 subscriber".into(), String::new()];
    table.note("a provider's token to an SSE subscriber", cells);
    Ok(table)
}

/// Instructions of a whole run with so many messages.
fn deliver(
    programs: &Programs,
    transport: Transport,
    subscribers: usize,
    messages: usize,
    window: usize,
) -> Result<f64, String> {
    let profile = profile();
    let server = Server::callgrind(programs, None, &profile)?;
    let mut load = Load::start(&server, transport)?;
    load.ask(&format!("connect {subscribers}"))?;
    let report = load.ask(&format!("flat {messages} {window} {TEXT_BYTES}"))?;
    if !report.is_exact() {
        return Err("a delivery was lost under callgrind".into());
    }
    load.ask("close")?;
    drop(load);
    finish(server, &profile)
}

/// Instructions of a whole run with one answer of so many tokens.
fn chat(programs: &Programs, tokens: usize) -> Result<f64, String> {
    let provider = upstream::start()?;
    let profile = profile();
    let server = Server::callgrind(programs, Some(provider), &profile)?;
    let text = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(server.address).map_err(text)?;
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .map_err(text)?;
    stream
        .write_all(latency::request(true, tokens, PAUSE).as_bytes())
        .map_err(text)?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 16 * 1024]);
    while !answer.ends_with(b"0\r\n\r\n") {
        match stream.read(&mut buffer).map_err(text)? {
            0 => break,
            count => answer.extend_from_slice(&buffer[..count]),
        }
    }
    let (seen, _) = upstream::stamps(&answer);
    if seen.len() != tokens {
        return Err(format!("{} of {tokens} tokens came", seen.len()));
    }
    drop(stream);
    finish(server, &profile)
}

fn profile() -> PathBuf {
    std::env::temp_dir().join(format!("lmserver-bench-{}.callgrind", process::id()))
}

/// Stops the server and reads the total from its profile.
fn finish(server: Server, profile: &PathBuf) -> Result<f64, String> {
    server.stop()?;
    let text = fs::read_to_string(profile).map_err(|e| format!("{}: {e}", profile.display()))?;
    if std::env::var_os("KEEP_PROFILES").is_none() {
        let _ = fs::remove_file(profile);
    }
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
    total.ok_or_else(|| "callgrind wrote no total".into())
}
