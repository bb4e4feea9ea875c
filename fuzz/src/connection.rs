//! A whole server, one client, whatever that client sends.
//!
//! ```text
//!   input ──► Client ──► SimSys ──► Reactor: Api, SSE, WebSocket, the echo provider
//!                ◄── answers ◄──┘
//! ```
//!
//! - The engine neither spins nor hangs, and its tables agree after every turn.
//! - What the client gets is one whole answer after the other, in the order of its requests; a
//!   stream it is given, and a WebSocket, are well-formed to the last byte.
//! - When the client has gone and the server was told to stop, no socket is left.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lmserver::Plugins;
use lmserver::access::{Policy, PolicySettings};
use lmserver::api::{Api, ApiSettings};
use lmserver::config::{Config, Environment, Flags, Inputs};
use lmserver_centrifuge::Centrifuge;
use lmserver_proto::http1::client::{Exchange, ResponseEvent};
use lmserver_proto::http1::server::{Connection, Event};
use lmserver_proto::http1::{Limits, Method, Response};
use lmserver_proto::{sse, ws};
use lmserver_runtime::plugin::transport::Transport;
use lmserver_runtime::reactor::Reactor;
use lmserver_runtime::sys::sim::{Faults, LineId, Net, Peer, Received, SimSys, Weather};
use lmserver_runtime::sys::{ListenAddr, Signal};
use lmserver_runtime::time::Moment;

use crate::{cut, mode};

const AT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// Later than every timeout of an idle connection, so that what is left then was forgotten.
const STOP: Moment = Moment(200_000);

/// The client ends its side once it has sent all: who listens is gone then.
const ENDS_ITS_SIDE: u8 = 2;

/// Turns of one world; more is a loop that does not end.
const TURNS_MAX: u32 = 200_000;

const SETTINGS: &str = "
[server]
allowed_origins = [\"*\"]
[channels]
open = true
history_size = 5
max_channel_bytes = \"64KiB\"
max_total_bytes = \"256KiB\"
[limits]
body_bytes = \"4KiB\"
head_bytes = \"2KiB\"
drain = \"5s\"
[provider.echo]
delay = \"20ms\"
";

/// Checks one input.
pub fn check(data: &[u8]) {
    let (bits, input) = mode(data);
    let may_be_cut = bits & ENDS_ITS_SIDE != 0;
    for pieces in [vec![input], cut::uneven(input)] {
        assert_is_whole(&talk(bits, &pieces), input, may_be_cut);
    }
}

/// Lets the client talk to a server of its own; gives what it received.
fn talk(bits: u8, pieces: &[&[u8]]) -> Vec<u8> {
    let faults = if bits & 1 == 0 {
        Faults::default()
    } else {
        Faults::unkind()
    };
    let mut sys = SimSys::new(u64::from(bits), faults);
    let client = sys.add(Client {
        line: None,
        unsent: pieces.iter().rev().map(|piece| piece.to_vec()).collect(),
        received: Vec::new(),
        ends_its_side: bits & ENDS_ITS_SIDE != 0,
        pause: if bits & 4 != 0 { 30 } else { 0 },
        window: if bits & 8 != 0 { 11 } else { 64 * 1024 },
        next: Moment(0),
    });
    sys.signal(STOP, Signal::Stop);
    let mut reactor = server(sys);
    let mut turns = 0;
    loop {
        match reactor.turn() {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => panic!("{error}"),
        }
        if let Err(disagreement) = reactor.check() {
            panic!("{disagreement}");
        }
        turns += 1;
        assert!(
            turns < TURNS_MAX,
            "it does not end: {}",
            reactor.sys().dump()
        );
    }
    let metrics = reactor.metrics();
    assert_eq!(
        (metrics.connections, metrics.runs),
        (0, 0),
        "nobody is left"
    );
    let sys = reactor.sys();
    assert_eq!(sys.open_sockets(), 0, "{}", sys.dump());
    sys.peer::<Client>(client)
        .map(|client| client.received.clone())
        .unwrap_or_default()
}

fn server(sys: SimSys) -> Reactor<SimSys> {
    let plugins = Plugins::builtin();
    let inputs = Inputs {
        flags: &Flags::default(),
        environment: &Environment::default(),
        plugins: &plugins,
    };
    let config = match Config::from_text("fuzz.toml", SETTINGS, Path::new("/nonexistent"), inputs) {
        Ok((config, _)) => config,
        Err(report) => panic!("{report}"),
    };
    let transports: [(&str, Box<dyn Transport>); 2] = [
        ("sse", Box::new(lmserver_sse::Sse)),
        ("websocket", Box::new(lmserver_websocket::WebSocket)),
    ];
    let centrifuge = Centrifuge::new([7; 16]);
    let clients = centrifuge.transports();
    let api = Api::new(ApiSettings {
        api_keys: config.auth.api_keys,
        is_server_api_open: config.is_server_api_open,
        token_secret: config.auth.token_secret,
        token_lifetime: Duration::from_secs(600),
        allowed_origins: config.server.allowed_origins,
        page: config.server.page,
        policy: Policy::new(PolicySettings::new(config.namespaces)),
        transports: transports.map(|(name, it)| (name.into(), it)).into(),
        client_transports: clients
            .into_iter()
            .map(|(name, it)| (name.into(), it))
            .collect(),
        node: centrifuge.node().into(),
        llm_patience: lmserver::api::Patience::default(),
        fetcher: lmserver::token::Fetcher::default(),
        reload: Box::new(|| None),
    });
    let routing = Arc::new(config.routing);
    let mut reactor = Reactor::new(sys, Box::new(api), routing, config.limits, config.channels);
    assert!(
        reactor.listen(&ListenAddr::Tcp(AT), None).is_ok(),
        "the address is free"
    );
    reactor
}

/// Sends its pieces, reads all, and goes when the server closes.
struct Client {
    line: Option<LineId>,
    /// The next piece is the last.
    unsent: Vec<Vec<u8>>,
    received: Vec<u8>,
    ends_its_side: bool,
    /// Milliseconds between two pieces.
    pause: u64,
    window: usize,
    next: Moment,
}

impl Client {
    fn line(&mut self, net: &mut Net<'_>) -> Option<LineId> {
        let weather = Weather {
            window_to_peer: self.window,
            ..Weather::default()
        };
        self.line = self.line.or_else(|| net.connect(AT, weather));
        self.line
    }

    fn send(&mut self, line: LineId, now: Moment, net: &mut Net<'_>) {
        while let Some(piece) = self.unsent.last_mut() {
            if now < self.next {
                return;
            }
            let sent = net.write(line, piece);
            piece.drain(..sent);
            if !piece.is_empty() {
                return;
            }
            self.unsent.pop();
            if self.pause > 0 {
                self.next = now + Duration::from_millis(self.pause);
                net.wake(self.next);
            }
        }
        if self.ends_its_side {
            net.shutdown(line);
        }
    }
}

impl Peer for Client {
    fn step(&mut self, now: Moment, net: &mut Net<'_>) {
        let Some(line) = self.line(net) else {
            return net.done();
        };
        self.send(line, now, net);
        loop {
            match net.read(line, &mut self.received, 1024) {
                Received::Bytes(_) => {}
                Received::Nothing => return,
                Received::End | Received::Reset => {
                    net.close(line);
                    return net.done();
                }
            }
        }
    }
}

/// Reads what the client got as a client would that knows what it asked for.
fn assert_is_whole(received: &[u8], input: &[u8], may_be_cut: bool) {
    let mut rest = received.to_vec();
    for method in methods(input).into_iter().chain([Method::Get]) {
        if rest.is_empty() {
            return;
        }
        let mut exchange = Exchange::new(&method).with_upgrade();
        exchange.feed(&rest);
        let mut stream = None;
        let mut is_upgrade = false;
        loop {
            match exchange.next_event(&Limits::default()) {
                Ok(Some(ResponseEvent::Head(head))) => {
                    is_upgrade = head.status == 101;
                    let kind = head.fields.get("content-type").unwrap_or_default();
                    stream = kind
                        .starts_with("text/event-stream")
                        .then(|| sse::Decoder::new(1 << 20));
                }
                Ok(Some(ResponseEvent::Body(mut data))) => {
                    while let Some(decoder) = &mut stream {
                        match decoder.next_item(&mut data) {
                            Ok(Some(_)) => {}
                            Ok(None) => break,
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
                Ok(Some(ResponseEvent::End { .. })) => {}
                Ok(None) => break,
                Err(error) => panic!("{method:?}: {error}: {}", rest.escape_ascii()),
            }
        }
        // Of an HTTP/1.0 stream the end is the end of the connection.
        let is_until_close = !exchange.is_done() && exchange.closed().is_ok();
        let is_cut = may_be_cut && stream.is_some();
        let is_good = exchange.is_done() || is_until_close || is_cut;
        assert!(is_good, "{method:?}: {}", rest.escape_ascii());
        if !exchange.is_done() {
            return;
        }
        rest = exchange.take_leftover();
        if is_upgrade {
            return assert_is_websocket(&rest);
        }
    }
    assert!(
        rest.is_empty(),
        "an answer that nobody asked for: {}",
        rest.escape_ascii()
    );
}

fn assert_is_websocket(bytes: &[u8]) {
    let mut connection = ws::Connection::new(ws::Role::Client);
    connection.feed(bytes);
    loop {
        match connection.next_event(&ws::Limits::default()) {
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(error) => panic!("{error}: {}", bytes.escape_ascii()),
        }
    }
}

/// The methods of the requests that the input holds, and that of a last one whose content cannot be
/// read; what has no head is answered like a `GET`.
fn methods(input: &[u8]) -> Vec<Method> {
    let limits = Limits {
        body_bytes: 4096,
        head_bytes: 2048,
        ..Limits::default()
    };
    let mut connection = Connection::new();
    connection.feed(input);
    let mut methods = Vec::new();
    let has_unread = loop {
        match connection.next_event(&limits) {
            Ok(Some(Event::Request { head, .. })) => {
                methods.push(head.method);
                connection.respond(&Response::empty(204), "", &mut Vec::new());
            }
            Ok(Some(Event::Continue)) => {}
            Ok(None) => break connection.is_receiving_body(),
            Err(_) => break true,
        }
    };
    if has_unread && connection.answering().head_only {
        methods.push(Method::Head);
    }
    methods
}
