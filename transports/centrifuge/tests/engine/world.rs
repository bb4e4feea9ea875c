//! A simulated server with its clients.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use lmserver_proto::http1;
use lmserver_proto::http1::client::{Exchange, ResponseEvent};
use lmserver_proto::percent;
use lmserver_proto::ws::frame::{self, Opcode};
use lmserver_proto::ws::{self, Role};
use lmserver_runtime::limits::{ChannelLimits, Limits};
use lmserver_runtime::plugin::access::ClientSettings;
use lmserver_runtime::reactor::Reactor;
use lmserver_runtime::routing::Routing;
use lmserver_runtime::sys::sim::{Faults, LineId, Net, Peer, PeerId, Received, SimSys, Weather};
use lmserver_runtime::sys::{ListenAddr, Signal, Sys};
use lmserver_runtime::time::Moment;

use crate::site::Site;

const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// How often a client looks for something new to send.
const STEP: Duration = Duration::from_millis(5);

/// A client that sends what it is told and keeps what it gets.
#[derive(Default)]
struct Wire {
    unsent: Vec<u8>,
    received: Vec<u8>,
    line: Option<LineId>,
    is_ended: bool,
    hangs_up: bool,
    /// It takes nothing.
    stalls: bool,
}

impl Peer for Wire {
    fn step(&mut self, now: Moment, net: &mut Net<'_>) {
        if self.line.is_none() {
            self.line = net.connect(SERVER, Weather::default());
        }
        let Some(line) = self.line.filter(|_| !self.is_ended) else {
            return net.done();
        };
        let sent = net.write(line, &self.unsent);
        self.unsent.drain(..sent);
        while !self.stalls {
            match net.read(line, &mut self.received, usize::MAX) {
                Received::Bytes(_) => {}
                Received::Nothing => break,
                Received::End | Received::Reset => {
                    self.is_ended = true;
                    break;
                }
            }
        }
        if self.hangs_up || self.is_ended {
            self.is_ended = true;
            net.close(line);
            return net.done();
        }
        net.wake(now + STEP);
    }
}

/// A client of the world.
#[derive(Clone, Copy)]
pub(crate) struct Client(PeerId);

/// A server and its clients.
pub(crate) struct World {
    reactor: Reactor<SimSys>,
    readers: BTreeMap<PeerId, Reader>,
}

/// What reads a client's bytes.
enum Reader {
    /// The handshake is not read.
    Handshake,
    WebSocket(Box<ws::Connection>),
    Response(Box<Exchange>),
}

/// What a client got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    Text(String),
    Binary(Vec<u8>),
    Ping,
    Close(u16, String),
    /// A status, and the fields of its head.
    Head(u16, String),
    /// The end of a response.
    End,
    /// The end of the connection.
    Gone,
}

pub(crate) fn text(text: &str) -> Got {
    Got::Text(text.into())
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(ClientSettings::default())
    }

    pub(crate) fn with(settings: ClientSettings) -> Self {
        Self::among(1, Faults::default(), settings)
    }

    /// A world in which everything is cut and late.
    pub(crate) fn unkind(seed: u64) -> Self {
        Self::among(seed, Faults::unkind(), ClientSettings::default())
    }

    fn among(seed: u64, faults: Faults, settings: ClientSettings) -> Self {
        let routing = Routing {
            providers: BTreeMap::new(),
            models: BTreeMap::new(),
        };
        let mut reactor = Reactor::new(
            SimSys::new(seed, faults),
            Box::new(Site::new(settings)),
            Arc::new(routing),
            Limits::default(),
            ChannelLimits::default(),
        );
        reactor.listen(&ListenAddr::Tcp(SERVER), None).unwrap();
        Self {
            reactor,
            readers: BTreeMap::new(),
        }
    }

    /// A client that sends these bytes first.
    fn client(&mut self, bytes: &[u8], reader: Reader) -> Client {
        let wire = Wire {
            unsent: bytes.into(),
            ..Wire::default()
        };
        let id = self.reactor.sys_mut().add(wire);
        self.readers.insert(id, reader);
        Client(id)
    }

    /// A client that asks for a WebSocket: path with query, more fields.
    pub(crate) fn handshake(&mut self, target: &str, fields: &str) -> Client {
        let head = format!(
            "GET {target} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{fields}\r\n"
        );
        self.client(head.as_bytes(), Reader::Handshake)
    }

    /// A client with a WebSocket for JSON that has sent a message.
    pub(crate) fn websocket(&mut self, message: &str) -> Client {
        let client = self.handshake("/connection/websocket", "");
        self.send(client, message);
        client
    }

    /// A client that is connected by a command with id 1, and has been told so.
    pub(crate) fn connected(&mut self, token: &str) -> Client {
        let client = self.websocket(&format!(r#"{{"id":1,"connect":{{"token":"{token}"}}}}"#));
        let got = self.get(client);
        assert!(matches!(&got[0], Got::Head(101, _)), "{got:?}");
        assert!(
            matches!(&got[1], Got::Text(it) if it.starts_with(r#"{"id":1,"connect":{"#)),
            "{got:?}"
        );
        client
    }

    /// A client that asks by HTTP.
    pub(crate) fn request(
        &mut self,
        method: &str,
        target: &str,
        fields: &str,
        body: &[u8],
    ) -> Client {
        let mut bytes = format!(
            "{method} {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n{fields}\r\n",
            body.len()
        )
        .into_bytes();
        bytes.extend_from_slice(body);
        let exchange = Exchange::new(&http1::Method::from(method));
        self.client(&bytes, Reader::Response(Box::new(exchange)))
    }

    /// A client that asks by HTTP, in its own words.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Client {
        let exchange = Exchange::new(&http1::Method::Post);
        self.client(bytes, Reader::Response(Box::new(exchange)))
    }

    /// A request beside the others, which is answered by 204.
    pub(crate) fn post(&mut self, target: &str, fields: &str, body: &[u8]) {
        let client = self.request("POST", target, fields, body);
        let got = self.get(client);
        assert!(matches!(got[0], Got::Head(204, _)), "{got:?}");
        self.hang_up(client);
    }

    /// Publishes without a client.
    pub(crate) fn publish(&mut self, channel: &str, more: &str, data: &str) {
        let target = format!("/publish?channel={}{more}", percent::encode(channel));
        self.post(&target, "", data.as_bytes());
    }

    /// The same without waiting for the answer.
    pub(crate) fn publish_soon(&mut self, channel: &str, data: &str) {
        let target = format!("/publish?channel={}", percent::encode(channel));
        self.request("POST", &target, "", data.as_bytes());
    }

    /// Sends a text message on a WebSocket.
    pub(crate) fn send(&mut self, client: Client, message: &str) {
        let mut bytes = Vec::new();
        let mask = Some([1, 2, 3, 4]);
        frame::write_frame(&mut bytes, Opcode::Text, true, message.as_bytes(), mask);
        self.send_bytes(client, &bytes);
    }

    /// Sends a binary message on a WebSocket.
    pub(crate) fn send_binary(&mut self, client: Client, message: &[u8]) {
        let mut bytes = Vec::new();
        frame::write_frame(
            &mut bytes,
            Opcode::Binary,
            true,
            message,
            Some([1, 2, 3, 4]),
        );
        self.send_bytes(client, &bytes);
    }

    pub(crate) fn send_bytes(&mut self, client: Client, bytes: &[u8]) {
        self.wire(client).unsent.extend_from_slice(bytes);
    }

    /// Sends a message and gives what came of it.
    pub(crate) fn ask(&mut self, client: Client, message: &str) -> Vec<Got> {
        self.send(client, message);
        self.get(client)
    }

    pub(crate) fn hang_up(&mut self, client: Client) {
        self.wire(client).hangs_up = true;
        self.pass(Duration::from_millis(50));
    }

    /// The client takes nothing more, or takes what comes again.
    pub(crate) fn stall(&mut self, client: Client, stalls: bool) {
        self.wire(client).stalls = stalls;
    }

    fn wire(&mut self, client: Client) -> &mut Wire {
        self.reactor.sys_mut().peer_mut(client.0).unwrap()
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.reactor.sys().now() + time;
        self.reactor.sys_mut().return_at(until);
        while self.reactor.sys().now() < until {
            assert!(self.reactor.turn().unwrap(), "the server stopped by itself");
            self.reactor.check().unwrap();
        }
    }

    pub(crate) fn pass_seconds(&mut self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    /// Stops the server while its clients are there, and lets it run until it has stopped.
    pub(crate) fn stop(&mut self) {
        let now = self.reactor.sys().now();
        self.reactor.sys_mut().signal(now, Signal::Stop);
        while self.reactor.turn().unwrap() {}
    }

    /// What a client has got since it was last asked, a moment later.
    pub(crate) fn get(&mut self, client: Client) -> Vec<Got> {
        self.pass(Duration::from_millis(100));
        self.got(client)
    }

    /// The same, without waiting.
    pub(crate) fn got(&mut self, client: Client) -> Vec<Got> {
        let wire = self.wire(client);
        let (bytes, is_ended) = (std::mem::take(&mut wire.received), wire.is_ended);
        let mut reader = self.readers.remove(&client.0).unwrap();
        let mut got = Vec::new();
        reader.read(&bytes, &mut got);
        if is_ended {
            got.push(Got::Gone);
        }
        self.readers.insert(client.0, reader);
        got
    }

    /// What a client gets next, within so many seconds.
    pub(crate) fn wait(&mut self, client: Client, seconds: u64) -> Vec<Got> {
        for _ in 0..seconds * 10 {
            let got = self.get(client);
            if !got.is_empty() {
                return got;
            }
        }
        Vec::new()
    }

    /// What a client got, if all of it is text, in one string for each message.
    pub(crate) fn texts(&mut self, client: Client) -> Vec<String> {
        let got = self.get(client);
        got.into_iter()
            .map(|got| match got {
                Got::Text(text) => text,
                other => panic!("no text: {other:?}"),
            })
            .collect()
    }

    pub(crate) fn log_writes(&self) -> u64 {
        self.reactor.metrics().log_writes
    }
}

impl Reader {
    fn read(&mut self, bytes: &[u8], got: &mut Vec<Got>) {
        match self {
            Self::Handshake => {
                let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") else {
                    assert!(bytes.is_empty());
                    return;
                };
                let head = String::from_utf8(bytes[..end + 2].to_vec()).unwrap();
                let (status, fields) = head.split_once("\r\n").unwrap();
                let status: u16 = status.split(' ').nth(1).unwrap().parse().unwrap();
                got.push(Got::Head(status, fields.into()));
                *self = Self::WebSocket(Box::new(ws::Connection::new(Role::Client)));
                if status == 101 {
                    self.read(&bytes[end + 4..], got);
                }
            }
            Self::WebSocket(connection) => {
                connection.feed(bytes);
                while let Some(event) = connection.next_event(&ws::Limits::default()).unwrap() {
                    got.push(match event {
                        ws::Event::Text(text) => Got::Text(text.into()),
                        ws::Event::Binary(bytes) => Got::Binary(bytes.into()),
                        ws::Event::Ping(_) => Got::Ping,
                        ws::Event::Pong(_) => continue,
                        ws::Event::Close { code, reason } => {
                            Got::Close(code.unwrap_or_default(), reason.into())
                        }
                    });
                }
            }
            Self::Response(exchange) => {
                exchange.feed(bytes);
                while let Some(event) = exchange.next_event(&http1::Limits::default()).unwrap() {
                    got.push(match event {
                        ResponseEvent::Head(head) => {
                            let fields = head.fields.iter().map(|(name, value)| {
                                format!("{name}: {}\r\n", String::from_utf8_lossy(value))
                            });
                            Got::Head(head.status, fields.collect())
                        }
                        ResponseEvent::Body(bytes) => match str::from_utf8(bytes) {
                            Ok(text) => Got::Text(text.into()),
                            Err(_) => Got::Binary(bytes.into()),
                        },
                        ResponseEvent::End { .. } => Got::End,
                    });
                }
            }
        }
    }
}

/// The text with `ID` for each UUID and `EPOCH` for each epoch.
pub(crate) fn masked(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(id) = rest.get(..36)
            && id.parse::<uuid::Uuid>().is_ok()
        {
            out.push_str("ID");
            rest = &rest[36..];
        } else if let Some(behind) = rest.strip_prefix(r#""epoch":""#)
            && behind.find('"') == Some(6)
        {
            out.push_str(r#""epoch":"EPOCH"#);
            rest = &behind[6..];
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

/// The value of a key that stands in the text, up to the next quotation mark.
pub(crate) fn value(text: &str, key: &str) -> String {
    let begin = format!(r#""{key}":""#);
    let (_, behind) = text.split_once(&begin).unwrap();
    behind.split('"').next().unwrap().into()
}
