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
/// Pairs of windows, of which one has the client that does not read.
const PAIRS: usize = 30;
/// From the end of that client's answer to the window: what it made to do is done by then.
const CALM: Duration = Duration::from_millis(250);
/// How long the server keeps an answer after its end: longer than that and a window.
const KEPT: Duration = Duration::from_millis(1500);
/// How late it may forget it.
const LATE: Duration = Duration::from_millis(200);
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
        super::answering(address, provider, KEPT, timers)
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
        if let Some(Seen::Asked(at) | Seen::Told(at) | Seen::Broken(at)) =
            seen.into_iter().find(&is_it)
        {
            return Ok(at);
        }
        sleep(Duration::from_millis(1));
    }
    Err("the provider saw nothing of it within 5 s".into())
}

/// What the others see of a client that asks for a long answer and reads nothing of it.
///
/// Windows with that client and without it alternate in one server: two processes of one program
/// differ by themselves by more than what is looked for. Before each window a client
/// stalls, and its answer comes to its end; only for a window without it does it go then. So all
/// windows have the same past, and the answer is in the server's memory in all of them. The two of
/// a pair change places from pair to pair.
fn unread(programs: &Programs, mock: &Mock, table: &mut Table) -> Result<(), String> {
    let server = keeping(programs, mock)?;
    let mut others = Streams::connect(server.address, STREAMS)?;
    let mut windows: [Vec<Window>; 2] = Default::default();
    for pair in 0..=PAIRS {
        for turn in 0..2 {
            let at = (turn + pair) % 2;
            let window = window(&server, mock, &mut others, at == 0)?;
            // The first ones open connections and warm up.
            if pair > 0 {
                windows[at].push(window);
            }
        }
    }
    let cpu = windows
        .each_ref()
        .map(|list| list.iter().map(|it| it.cpu).collect());
    compare(table, "CPU a token", &cpu);
    let delay = windows
        .each_ref()
        .map(|list| list.iter().map(|it| it.delay).collect());
    compare(table, "median delay", &delay);
    let [unread, read] = [false, true].map(|is_read| grown(programs, mock, is_read));
    let [unread, read] = [unread?, read?];
    let cells = [
        format!("{:.0} kB", unread / 1e3),
        format!("{:.0} kB", read / 1e3),
        format!("{:+.0} kB", (unread - read) / 1e3),
    ];
    table.note("  RSS that its answer adds: unread / read", cells);
    Ok(())
}

/// A row of what windows with such a client and without it told, in pairs.
fn compare(table: &mut Table, what: &str, [with, without]: &[Vec<f64>; 2]) {
    let ratios: Vec<f64> = with.iter().zip(without).map(|(a, b)| a / b).collect();
    let ratio = median(&ratios);
    let [with, without] = [with, without].map(|list| format!("{:.2} us", median(list)));
    let what = format!("others with / without a client that stops reading: {what}");
    table.at_most(&what, [with, without, format!("{ratio:.3}")], ratio, NOISE);
    let [low, high] = [0.25, 0.75].map(|share| percentile(&ratios, share));
    let half = [String::new(), String::new(), format!("{low:.2}-{high:.2}")];
    table.note("  the middle half of the pairs", half);
}

/// A server that keeps answers for as long as a window needs them.
fn keeping(programs: &Programs, mock: &Mock) -> Result<Server, String> {
    Server::configured(programs, |address| {
        super::answering(address, mock.address, KEPT, "")
    })
}

/// Bytes by which a fresh server grows with one long answer. That takes a server each: what one has
/// freed it takes again, and does not grow.
fn grown(programs: &Programs, mock: &Mock, is_read: bool) -> Result<f64, String> {
    let server = keeping(programs, mock)?;
    let mut client = Streams::connect(server.address, 1)?;
    client.ask(&question(1, PAUSE), 1, Duration::ZERO)?;
    server.settled_cpu();
    let before = server.memory().rss;
    mock.take_seen();
    let long = question(UNREAD, Duration::ZERO);
    let _stalled = if is_read {
        client.ask(&long, UNREAD, Duration::ZERO)?;
        None
    } else {
        Some(stall(server.address, &long)?)
    };
    wait_for(mock, |seen| matches!(seen, Seen::Told(_)))?;
    server.settled_cpu();
    Ok(server.memory().rss as f64 - before as f64)
}

/// What the others had of one window, in microseconds.
struct Window {
    /// The server's, a token.
    cpu: f64,
    delay: f64,
}

/// One window of the others, with or without a client that has stalled.
fn window(
    server: &Server,
    mock: &Mock,
    others: &mut Streams,
    has_stalled: bool,
) -> Result<Window, String> {
    mock.take_seen();
    let begun = now();
    let mut stalled = Some(stall(server.address, &question(UNREAD, Duration::ZERO))?);
    let told = wait_for(mock, |seen| matches!(seen, Seen::Told(_)))?;
    server.settled_cpu();
    if !has_stalled {
        let_go(server, stalled.take())?;
    }
    sleep_until(told, CALM);
    let spent = server.settled_cpu();
    let seen = others.ask(&question(TOKENS, PAUSE), TOKENS, Duration::from_millis(50))?;
    let spent = server.settled_cpu() - spent;
    let window = Window {
        cpu: spent as f64 / seen.tokens as f64 / 1e3,
        delay: median(&seen.delays),
    };
    if std::env::var_os("VERBOSE").is_some() {
        println!(
            "stalled: {has_stalled:5}, answer in {:.0} ms, {:.2} us a token, delay {:.2} us",
            (told - begun) as f64 / 1e6,
            window.cpu,
            window.delay
        );
    }
    if has_stalled {
        let_go(server, stalled)?;
    }
    // The next window has its own long answer alone.
    sleep_until(told, KEPT + LATE);
    Ok(window)
}

/// Closes a connection, and waits until the server, which had it until now, has done the same.
fn let_go(server: &Server, client: Option<TcpStream>) -> Result<(), String> {
    let open = server.descriptors();
    drop(client);
    for _ in 0..5000 {
        if server.descriptors() < open {
            return Ok(());
        }
        sleep(Duration::from_millis(1));
    }
    Err("the server had closed the connection, or does not".into())
}

fn sleep_until(from: u64, later: Duration) {
    let at = from + later.as_nanos() as u64;
    sleep(Duration::from_nanos(at.saturating_sub(now())));
}

fn question(tokens: usize, pause: Duration) -> String {
    let model = mock::model(tokens, pause, pause);
    let messages = "[{\"role\":\"user\",\"content\":\"Hello\"}]";
    let body = format!("{{\"model\":\"mock/{model}\",\"stream\":true,\"messages\":{messages}}}");
    request("POST", "/v1/chat/completions", &body)
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
