//! Ends: how soon the provider's connection is closed where nobody wants the rest of an answer, or
//! no rest comes, and what a client costs that stops reading.

use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::thread::sleep;
use std::time::Duration;

use rustix::net::{self, AddressFamily, SocketType, sockopt};

use crate::mock::{self, Mock, Seen};
use crate::publisher::API_KEY;
use crate::stats::{median, now, percentile};
use crate::streams::Streams;
use crate::subject::{Programs, Server};
use crate::table::Table;

const ROUNDS: usize = 10;
const PAUSE: Duration = Duration::from_millis(20);
const NEVER: Duration = Duration::from_secs(3600);
/// Of the provider's timers.
const TIMER: Duration = Duration::from_millis(500);
/// Milliseconds from a cancel, or a timer, to the provider's connection closed.
const CLOSED_IN: f64 = 100.0;
const STREAMS: usize = 50;
const TOKENS: usize = 50;
/// Tokens of the answer that is not read: some 4 MB, more than sockets take.
const UNREAD: usize = 20_000;
/// Share by which the others may differ: the noise of the comparison.
const NOISE: f64 = 1.05;

/// How an answer comes to an end before its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// The client of `/v1/chat/completions` goes away.
    Gone,
    /// `DELETE /api/chat/…`.
    Deleted,
    /// The provider falls silent, and its timer runs out.
    Silent,
}

pub fn run(programs: &Programs) -> Result<Table, String> {
    let mut table = Table::new("An answer's early end", ["lmserver", "slowest"]);
    let mock = Mock::start()?;
    let provider = mock.address;
    let timers = "first_event_timeout = \"500ms\"\nbetween_events_timeout = \"500ms\"\nbreaker_failures = 1000\n";
    let server = Server::configured(programs, |address| {
        super::answering(address, provider, timers)
    })?;
    for (what, end, has_begun) in [
        ("the client goes, before the first token", End::Gone, false),
        ("the client goes, amid the answer", End::Gone, true),
        ("DELETE, before the first token", End::Deleted, false),
        ("DELETE, amid the answer", End::Deleted, true),
        ("no first token within the timer", End::Silent, false),
        ("no next token within the timer", End::Silent, true),
    ] {
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let time = closed_in(&server, &mock, end, has_begun);
            times.push(time.map_err(|e| format!("{what}: {e}"))?);
        }
        let (middle, most) = (median(&times), percentile(&times, 1.0));
        let cells = [
            format!("{middle:.2} ms"),
            format!("{most:.2} ms"),
            String::new(),
        ];
        let what = format!("{what}: provider closed in");
        table.at_most(&what, cells, most, CLOSED_IN);
    }
    drop(server);
    unread(programs, &mock, &mut table)?;
    Ok(table)
}

/// Milliseconds until the provider's connection is closed.
fn closed_in(server: &Server, mock: &Mock, end: End, has_begun: bool) -> Result<f64, String> {
    mock.take_seen();
    let pause = if end == End::Silent { NEVER } else { PAUSE };
    let first = if has_begun { PAUSE } else { NEVER };
    let model = format!("mock/{}", mock::model(1000, pause, first));
    let (mut client, mut channel) = (connect(server.address)?, String::new());
    if end == End::Deleted {
        let body = format!("{{\"message\":\"Hello\",\"model\":\"{model}\"}}");
        let answer = exchange(&mut client, &request("POST", "/api/chat", &body), b"}")?;
        let id = answer
            .split("\"channel_id\":\"")
            .nth(1)
            .and_then(|it| it.split('"').next());
        channel = id.ok_or("no channel")?.to_owned();
    } else {
        let messages = "[{\"role\":\"user\",\"content\":\"Hello\"}]";
        let body = format!("{{\"model\":\"{model}\",\"stream\":true,\"messages\":{messages}}}");
        let request = request("POST", "/v1/chat/completions", &body);
        client.write_all(request.as_bytes()).map_err(text)?;
    }
    let asked = wait_for(mock, |seen| matches!(seen, Seen::Asked(_)))?;
    if has_begun && end == End::Deleted {
        sleep(3 * PAUSE);
    } else if has_begun {
        read_until(&mut client, b"@")?;
    }
    let from = match end {
        End::Gone => {
            let at = now();
            drop(client);
            at
        }
        End::Deleted => {
            let (at, path) = (now(), format!("/api/chat/{channel}"));
            exchange(&mut client, &request("DELETE", &path, ""), b"}")?;
            at
        }
        End::Silent => {
            let begun = if has_begun { now() } else { asked };
            begun + TIMER.as_nanos() as u64
        }
    };
    let closed = wait_for(mock, |seen| matches!(seen, Seen::Broken(_)))?;
    Ok((closed as f64 - from as f64) / 1e6)
}

/// When it happened; the provider notes it, however late it is asked.
fn wait_for(mock: &Mock, is_it: impl Fn(&Seen) -> bool) -> Result<u64, String> {
    for _ in 0..5000 {
        let seen = mock.take_seen();
        if let Some(Seen::Asked(at) | Seen::Broken(at)) = seen.into_iter().find(&is_it) {
            return Ok(at);
        }
        sleep(Duration::from_millis(1));
    }
    Err("the provider saw nothing of it within 5 s".into())
}

/// What the others see of a client that asks for a long answer and reads nothing of it, beside a
/// server whose clients all read.
fn unread(programs: &Programs, mock: &Mock, table: &mut Table) -> Result<(), String> {
    let provider = mock.address;
    let start = || Server::configured(programs, |address| super::answering(address, provider, ""));
    let servers = [start()?, start()?];
    let mut clients = [
        Streams::connect(servers[0].address, STREAMS)?,
        Streams::connect(servers[1].address, STREAMS)?,
    ];
    let messages = "[{\"role\":\"user\",\"content\":\"Hello\"}]";
    let ask = |model: &str| {
        let body =
            format!("{{\"model\":\"mock/{model}\",\"stream\":true,\"messages\":{messages}}}");
        request("POST", "/v1/chat/completions", &body)
    };
    let long = ask(&mock::model(UNREAD, Duration::ZERO, Duration::ZERO));
    let _stalled = stall(servers[0].address, &long)?;
    Streams::connect(servers[1].address, 1)?.ask(&long, UNREAD, Duration::ZERO)?;
    let (mut cpu, mut delays) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    let mut before = [0; 2];
    for round in 0..=ROUNDS {
        for turn in 0..2 {
            let at = (turn + round) % 2;
            let request = ask(&mock::model(TOKENS, PAUSE, PAUSE));
            let spent = servers[at].settled_cpu();
            let seen = clients[at].ask(&request, TOKENS, Duration::from_millis(50))?;
            let spent = servers[at].settled_cpu() - spent;
            if round == 0 {
                before[at] = servers[at].memory().rss;
            } else {
                cpu[at].push(spent as f64 / seen.tokens as f64 / 1e3);
                delays[at].push(median(&seen.delays));
            }
        }
    }
    for (what, lists) in [("CPU a token", &cpu), ("median delay", &delays)] {
        let ratios: Vec<f64> = lists[0].iter().zip(&lists[1]).map(|(a, b)| a / b).collect();
        let ratio = median(&ratios);
        let [with, without] = lists.each_ref().map(|it| format!("{:.2} us", median(it)));
        let what = format!("the others beside a client that stops reading: {what}");
        table.at_most(&what, [with, without, format!("{ratio:.2}")], ratio, NOISE);
    }
    let grown = [0, 1].map(|at: usize| servers[at].memory().rss as f64 - before[at] as f64);
    let cells = [
        format!("{:.0} kB", grown[0] / 1e3),
        format!("{:.0} kB", grown[1] / 1e3),
        String::new(),
    ];
    table.note("  memory grown in those windows", cells);
    Ok(())
}

/// A client with the smallest receive buffer, which asks and reads nothing.
fn stall(address: SocketAddrV4, request: &str) -> Result<TcpStream, String> {
    let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None).map_err(text)?;
    sockopt::set_socket_recv_buffer_size(&socket, 2048).map_err(text)?;
    net::connect(&socket, &address).map_err(text)?;
    let mut stream = TcpStream::from(socket);
    stream.write_all(request.as_bytes()).map_err(text)?;
    Ok(stream)
}

fn connect(address: SocketAddrV4) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(address).map_err(text)?;
    stream.set_nodelay(true).map_err(text)?;
    let patience = Some(Duration::from_secs(5));
    stream.set_read_timeout(patience).map_err(text)?;
    Ok(stream)
}

/// Sends a request and reads an answer up to its last byte.
fn exchange(stream: &mut TcpStream, request: &str, last: &[u8]) -> Result<String, String> {
    stream.write_all(request.as_bytes()).map_err(text)?;
    read_until(stream, last)
}

fn read_until(stream: &mut TcpStream, needle: &[u8]) -> Result<String, String> {
    let (mut answer, mut buffer) = (Vec::new(), [0; 16 * 1024]);
    while memchr::memmem::find(&answer, needle).is_none() {
        match stream.read(&mut buffer).map_err(text)? {
            0 => return Err(format!("closed after {}", String::from_utf8_lossy(&answer))),
            count => answer.extend_from_slice(&buffer[..count]),
        }
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    if answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.1 20") {
        return Ok(answer);
    }
    Err(answer)
}

fn request(method: &str, path: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {API_KEY}\r\n\
         Authorization: Bearer {API_KEY}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
