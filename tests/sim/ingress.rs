//! Clients of OpenAI's API whose connections die: a response is taken up where it was, and an
//! answer that nobody is left for ends.

use std::net::SocketAddr;
use std::time::Duration;

use lmserver::proto::http1::client::{Exchange, ResponseEvent, write_request};
use lmserver::proto::http1::{Limits, Method};
use lmserver::runtime::sys::sim::{LineId, Net, Peer, PeerId, Received, Weather};
use lmserver::runtime::time::Moment;
use serde_json::Value;

use crate::kill::UPSTREAM;
use crate::script::{Act, Framing, blocks, response};
use crate::upstream::Upstream;
use crate::world::{SERVER, Setup, World};

const WORDS: [&str; 5] = ["Hel", "lo ", "\u{1f600}", "\n\"wor\"", "ld"];

/// Somebody who asks for a stream, loses the connection after some bytes, and may come back.
struct Client {
    target: &'static str,
    body: String,
    /// After how many bytes each connection dies; behind the last one none does.
    cuts: Vec<usize>,
    dies_by_reset: bool,
    /// Does it come back for a response?
    returns: bool,
    weather: Weather,
    line: Option<LineId>,
    unsent: Vec<u8>,
    exchange: Exchange,
    received: usize,
    text: String,
    id: Option<String>,
    last: Option<u64>,
    events: Vec<Value>,
    connections: usize,
    killed_at: Option<Moment>,
    over: bool,
}

impl Client {
    fn new(target: &'static str, body: &str, cuts: Vec<usize>) -> Self {
        Self {
            target,
            body: body.to_owned(),
            cuts,
            dies_by_reset: false,
            returns: target == "/v1/responses",
            weather: Weather::default(),
            line: None,
            unsent: Vec::new(),
            exchange: Exchange::new(&Method::Post),
            received: 0,
            text: String::new(),
            id: None,
            last: None,
            events: Vec::new(),
            connections: 0,
            killed_at: None,
            over: false,
        }
    }

    /// Opens the next connection: asks, or goes on behind the last whole event. Of a response
    /// whose id never came nothing more can be had.
    fn connect(&mut self, net: &mut Net<'_>) {
        let (method, target) = match &self.id {
            None if self.connections > 0 => {
                self.over = true;
                return;
            }
            None => (Method::Post, self.target.to_owned()),
            Some(id) => {
                let after = self.last.map(|last| format!("&starting_after={last}"));
                let after = after.unwrap_or_default();
                (
                    Method::Get,
                    format!("{}/{id}?stream=true{after}", self.target),
                )
            }
        };
        self.connections += 1;
        let body = if method == Method::Post {
            self.body.as_str()
        } else {
            ""
        };
        let fields = [("Content-Type", "application/json")];
        write_request(
            &mut self.unsent,
            &method,
            &target,
            "sim",
            fields,
            body.as_bytes(),
        );
        self.exchange = Exchange::new(&method);
        self.received = 0;
        self.text.clear();
        self.line = net.connect(SERVER, self.weather);
    }

    /// How many bytes of this connection are still read; none: all.
    fn left(&self) -> Option<usize> {
        let cut = self.cuts.get(self.connections.checked_sub(1)?)?;
        Some(cut.saturating_sub(self.received))
    }

    fn take(&mut self) {
        loop {
            match self.exchange.next_event(&Limits::default()).unwrap() {
                None => return,
                Some(ResponseEvent::Head(head)) => {
                    assert_eq!(head.status, 200);
                    let channel = head.fields.get("x-channel-id").unwrap();
                    self.id = Some(lmserver_llm_api::names::id("resp_", channel));
                }
                Some(ResponseEvent::Body(bytes)) => {
                    self.text.push_str(&String::from_utf8_lossy(bytes));
                    while let Some((event, rest)) = self.text.split_once("\n\n") {
                        let data = event.lines().find_map(|it| it.strip_prefix("data: "));
                        let event: Value = serde_json::from_str(data.unwrap()).unwrap_or_default();
                        self.last = event["sequence_number"].as_u64().or(self.last);
                        self.events.push(event);
                        self.text = rest.to_owned();
                    }
                }
                Some(ResponseEvent::End { .. }) => self.over = true,
            }
        }
    }
}

impl Peer for Client {
    fn step(&mut self, now: Moment, net: &mut Net<'_>) {
        while !self.over {
            if self.line.is_none() {
                self.connect(net);
            }
            let Some(line) = self.line else { break };
            let sent = net.write(line, &self.unsent);
            self.unsent.drain(..sent);
            let most = self.left().unwrap_or(usize::MAX);
            let mut bytes = Vec::new();
            // A connection that is to die at its first byte has been heard of by the server.
            let received = if most == 0 && !self.unsent.is_empty() {
                Received::Nothing
            } else if most == 0 {
                Received::End
            } else {
                net.read(line, &mut bytes, most)
            };
            match received {
                Received::Nothing => return,
                Received::Bytes(_) => {
                    self.received += bytes.len();
                    self.exchange.feed(&bytes);
                    self.take();
                }
                Received::End | Received::Reset => {
                    if self.dies_by_reset {
                        net.reset(line);
                    } else {
                        net.close(line);
                    }
                    self.killed_at = Some(now);
                    self.line = None;
                    self.over |= !self.returns;
                }
            }
        }
        if let Some(line) = self.line.take() {
            net.close(line);
        }
        net.done();
    }

    fn describe(&self) -> String {
        format!(
            "{} events, {} connections",
            self.events.len(),
            self.connections
        )
    }
}

/// A world whose provider says a word every few milliseconds.
fn world(seed: u64, clients: Vec<Client>) -> (World, PeerId, Vec<PeerId>) {
    let body = blocks(&WORDS, true, true).concat();
    let bytes = response("200 OK", "text/event-stream", Framing::Chunked, &body);
    let acts = bytes.chunks(200);
    let acts = acts.flat_map(|piece| [Act::Send(piece.to_vec()), Act::Wait(3)]);
    let mut setup = Setup::new(seed);
    setup.openai("up", "up.example");
    setup.model("default", &["up/m".into()]);
    let mut world = setup.build();
    let upstream = world.add(Upstream::new().plays("m", acts.collect()));
    let addr: SocketAddr = UPSTREAM.parse().unwrap();
    world.host("up.example", addr, upstream, Weather::default());
    let clients = clients.into_iter().map(|client| world.add(client));
    let clients = clients.collect();
    (world, upstream, clients)
}

const RESPONSE: &str = r#"{"input":"hi","stream":true,"background":true}"#;
const CHAT: &str = r#"{"messages":[{"role":"user","content":"hi"}],"stream":true}"#;

fn expect_whole(client: &Client) {
    for (number, event) in client.events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number, "once, in order");
    }
    let deltas = client
        .events
        .iter()
        .filter(|it| it["type"] == "response.output_text.delta");
    let text: String = deltas.map(|it| it["delta"].as_str().unwrap()).collect();
    assert_eq!(text, WORDS.concat());
    let last = client.events.last().unwrap();
    assert_eq!(last["type"], "response.completed");
    assert_eq!(
        last["response"]["output"][0]["content"][0]["text"],
        WORDS.concat()
    );
}

#[test]
fn a_response_survives_a_kill_after_every_byte() {
    let (mut undisturbed, _, clients) =
        world(1, vec![Client::new("/v1/responses", RESPONSE, Vec::new())]);
    undisturbed.run(Duration::from_secs(60));
    let first = undisturbed.peer::<Client>(clients[0]);
    expect_whole(first);
    let length = first.received;
    // All of them take their time.
    let step = if std::env::var("LMSERVER_WORLDS").is_ok() {
        1
    } else {
        5
    };
    for first in (0..=length).step_by(200) {
        let cuts = first..(first + 200).min(length + 1);
        let clients = cuts.step_by(step).map(|cut| {
            let mut cuts = vec![cut];
            if cut % 7 == 0 {
                // It dies again while it catches up.
                cuts.push(cut / 3);
            }
            let mut client = Client::new("/v1/responses", RESPONSE, cuts);
            client.dies_by_reset = cut % 2 == 0;
            client
        });
        let (mut world, _, clients) = world(first as u64, clients.collect());
        world.checks = first == 0;
        world.run(Duration::from_secs(60));
        for client in clients {
            let client = world.peer::<Client>(client);
            if client.id.is_some() {
                expect_whole(client);
            }
        }
        if first == 0 {
            world.expect_nothing_left();
        }
    }
}

#[test]
fn a_completion_whose_client_dies_after_any_byte_ends_at_the_provider() {
    let (mut undisturbed, _, clients) = world(
        1,
        vec![Client::new("/v1/chat/completions", CHAT, Vec::new())],
    );
    undisturbed.run(Duration::from_secs(60));
    let length = undisturbed.peer::<Client>(clients[0]).received;
    for cut in (0..length).step_by(17) {
        let mut client = Client::new("/v1/chat/completions", CHAT, vec![cut]);
        client.dies_by_reset = cut % 2 == 0;
        let (mut world, upstream, clients) = world(cut as u64, vec![client]);
        world.run(Duration::from_secs(60));
        let killed = world.peer::<Client>(clients[0]).killed_at.unwrap();
        world.pass(Duration::from_millis(50));
        let metrics = world.reactor.metrics();
        let ended = metrics.runs_cancelled + metrics.runs_completed;
        assert_eq!(ended, metrics.runs_started, "byte {cut}");
        // A reset may take the request with it.
        assert!(metrics.runs_started == 1 || cut == 0, "byte {cut}");
        let upstream = world.peer::<Upstream>(upstream);
        if metrics.runs_cancelled == 1 && upstream.opened == 1 {
            let ended = upstream.ended_at.first().expect("it is closed");
            assert!(
                ended.0 <= killed.0 + 10,
                "byte {cut}: {killed:?}, {ended:?}"
            );
        }
        world.expect_nothing_left();
    }
}
