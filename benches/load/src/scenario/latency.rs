//! What the way through lmserver adds between a provider's byte and a subscriber's.
//!
//! Nothing is pinned here. On a virtual machine the wake-up of a second, idle core alone costs some
//! 40 us, which two pinned sides would pay at every token; the bare relay beside it shows what any
//! process in between adds.

use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::time::Duration;

use crate::publisher::{API_KEY, Kind};
use crate::stats::{now, percentile};
use crate::subject::{self, Programs, Server};
use crate::table::Table;
use crate::upstream;

const ROUNDS: usize = 10;
const TOKENS: usize = 300;
const PAUSE: Duration = Duration::from_millis(3);
/// A delay that only delayed acknowledgements explain.
const TAIL: f64 = 35_000.0;

pub fn run(programs: &Programs) -> Result<Table, String> {
    let provider = upstream::start()?;
    let server = Server::lmserver(programs, Some(provider))?;
    let relay = Server::relay(programs, provider)?;
    for process in [&server, &relay] {
        process.unpin();
    }
    subject::unpin();
    let ways = [
        (server.address, server.kind == Kind::Lmserver),
        (provider, false),
        (relay.address, false),
    ];
    let mut delays = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        for turn in 0..ways.len() {
            let way = (turn + round) % ways.len();
            let (address, is_lmserver) = ways[way];
            delays[way].extend(read(address, is_lmserver)?);
        }
    }
    let at = |share: f64| delays.each_ref().map(|list| percentile(list, share));
    let mut table = Table::new(
        "Added time, provider's byte to subscriber's",
        ["lmserver", "direct"],
    );
    for (what, share, target) in [("median", 0.5, 60.0), ("p99", 0.99, 250.0)] {
        let [through, direct, relayed] = at(share);
        let added = through - direct;
        let cell = |value: f64| format!("{value:.1} us");
        let cells = [cell(through), cell(direct), format!("+{}", cell(added))];
        table.at_most(&format!("{what}, added"), cells, added, target);
        let cells = [
            cell(relayed),
            cell(direct),
            format!("+{}", cell(relayed - direct)),
        ];
        table.note("  the same through a bare relay", cells);
    }
    let slow = delays
        .each_ref()
        .map(|list| list.iter().filter(|&&d| d > TAIL).count());
    let cells = [slow[0].to_string(), slow[1].to_string(), String::new()];
    table.at_most(
        "tokens later than 35 ms",
        cells,
        slow[0] as f64,
        slow[1] as f64,
    );
    Ok(table)
}

/// One streamed answer: the delay of each token in microseconds.
fn read(address: SocketAddrV4, is_lmserver: bool) -> Result<Vec<f64>, String> {
    let text = |error: std::io::Error| format!("{address}: {error}");
    let mut stream = TcpStream::connect(address).map_err(text)?;
    stream.set_nodelay(true).map_err(text)?;
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .map_err(text)?;
    stream
        .write_all(request(is_lmserver, TOKENS, PAUSE).as_bytes())
        .map_err(text)?;
    let (mut delays, mut kept, mut buffer) = (Vec::new(), Vec::new(), [0; 16 * 1024]);
    while delays.len() < TOKENS {
        let count = stream.read(&mut buffer).map_err(text)?;
        let seen = now();
        if count == 0 {
            return Err(format!("{address}: ended after {} tokens", delays.len()));
        }
        kept.extend_from_slice(&buffer[..count]);
        if kept.starts_with(b"HTTP/1.1 ") && !kept.starts_with(b"HTTP/1.1 200") {
            return Err(format!("{address}: {}", String::from_utf8_lossy(&kept)));
        }
        let (stamps, used) = upstream::stamps(&kept);
        kept.drain(..used);
        delays.extend(
            stamps
                .iter()
                .map(|stamp| seen.saturating_sub(*stamp) as f64 / 1e3),
        );
    }
    Ok(delays)
}

/// The same question to lmserver and to the provider itself.
pub fn request(is_lmserver: bool, tokens: usize, pause: Duration) -> String {
    let model = upstream::model(tokens, pause);
    let (path, body) = if is_lmserver {
        (
            "/api/chat",
            format!("{{\"message\":\"Hello\",\"model\":\"mock/{model}\"}}"),
        )
    } else {
        let messages = "[{\"role\":\"user\",\"content\":\"Hello\"}]";
        let body = format!("{{\"model\":\"{model}\",\"stream\":true,\"messages\":{messages}}}");
        ("/v1/chat/completions", body)
    };
    format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {API_KEY}\r\n\
         Authorization: Bearer {API_KEY}\r\nAccept: text/event-stream\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
