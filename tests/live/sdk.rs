//! Answers over Centrifugo's protocol on real sockets: late, cut off, changing, in a crowd, to the
//! end of the server.

use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::client::{Event, text_of};
use crate::clients::Client;
use crate::program::Server;
use crate::protobuf::{connect_and_subscribe, replies};
use crate::provider::Provider;
use crate::websocket::{Message, upgrade};
use crate::wire::Wire;

/// What a client without an SDK, or with one, speaks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Via {
    Sse,
    WebSocket,
    Json,
    Protobuf,
    /// A stream, and commands in requests of their own.
    HttpStream,
}

/// A client of the protocol that reads one channel.
struct Sdk {
    wire: Wire,
    heard: Heard,
}

/// What was heard of a channel.
#[derive(Default)]
struct Heard {
    epoch: String,
    events: VecDeque<Event>,
}

impl Sdk {
    fn open(server: &Server, via: Via, channel: &str, last: Option<&str>) -> Self {
        let mut wire = server.connect();
        let last = last.map(position);
        if via == Via::Protobuf {
            wire.say(upgrade("/connection/websocket?format=protobuf"));
            assert_eq!(wire.head().status(), 101);
            wire.send_frame(2, &connect_and_subscribe(channel, last));
        } else {
            wire.say(upgrade("/connection/websocket"));
            assert_eq!(wire.head().status(), 101);
            let subscribe = json!({"id": 2, "subscribe": recovering(channel, last)});
            let connect = r#"{"id":1,"connect":{}}"#;
            wire.send_frame(1, format!("{connect}\n{subscribe}").as_bytes());
        }
        Self {
            wire,
            heard: Heard::default(),
        }
    }

    /// The next event, or the code with which the server closes.
    fn next(&mut self) -> Result<Event, u16> {
        loop {
            if let Some(event) = self.heard.events.pop_front() {
                return Ok(event);
            }
            let (first, payload) = self.wire.frame();
            let values = match first {
                0x81 => payload
                    .split(|byte| *byte == b'\n')
                    .map(|line| serde_json::from_slice(line).unwrap())
                    .collect(),
                0x82 => replies(&payload),
                0x88 => return Err(u16::from_be_bytes([payload[0], payload[1]])),
                other => panic!("a frame that begins with {other:#x}"),
            };
            values.iter().for_each(|value| self.heard.take(value));
        }
    }

    /// All that comes up to the end of the answer.
    fn rest(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let event = self.next().expect("the answer goes on");
            let is_last = event.data["type"] == "end" || event.data["type"] == "error";
            events.push(event);
            if is_last {
                return events;
            }
        }
    }
}

impl Heard {
    fn take(&mut self, reply: &Value) {
        assert!(reply.get("error").is_none(), "{reply}");
        if let Some(result) = reply.get("subscribe") {
            assert_eq!(result["recovered"], true, "{reply}");
            self.epoch = result["epoch"].as_str().unwrap().to_owned();
            let missed = result["publications"].as_array().into_iter().flatten();
            missed.for_each(|publication| self.publication(publication));
        } else if let Some(publication) = reply["push"].get("pub") {
            self.publication(publication);
        }
    }

    fn publication(&mut self, publication: &Value) {
        self.events.push_back(Event {
            id: format!("{}-{}", self.epoch, publication["offset"]),
            data: publication["data"].clone(),
        });
    }
}

/// What a subscribe command asks for that goes on behind a position, or takes all.
fn recovering(channel: &str, last: Option<(&str, u64)>) -> Value {
    let mut request = json!({"channel": channel, "recover": true});
    if let Some((epoch, offset)) = last {
        request["epoch"] = epoch.into();
        request["offset"] = offset.into();
    }
    request
}

/// Epoch and offset.
fn position(id: &str) -> (&str, u64) {
    let (epoch, offset) = id.split_once('-').unwrap();
    (epoch, offset.parse().unwrap())
}

/// So many events behind a position, by any transport; then the connection is lost.
fn some(server: &Server, via: Via, channel: &str, last: Option<&str>, count: usize) -> Vec<Event> {
    match via {
        Via::Sse => {
            let mut stream = server.listen(channel, last);
            (0..count).map(|_| stream.next().unwrap()).collect()
        }
        Via::WebSocket => {
            let mut wire = server.connect();
            wire.open(channel, last);
            let events = (0..count).map(|_| match wire.message() {
                Message::Event(mut data) => {
                    let id = data.as_object_mut().unwrap().remove("id").unwrap();
                    let id = id.as_str().unwrap().to_owned();
                    Event { id, data }
                }
                Message::Close(code) => panic!("closed with {code}"),
            });
            events.collect()
        }
        Via::Json | Via::Protobuf => {
            let mut sdk = Sdk::open(server, via, channel, last);
            (0..count).map(|_| sdk.next().unwrap()).collect()
        }
        Via::HttpStream => {
            let mut client = Client::connect(server);
            let request = recovering(channel, last.map(position));
            let mut heard = Heard::default();
            heard.take(&client.command(json!({"subscribe": request})));
            while heard.events.len() < count {
                heard.take(&client.next());
            }
            heard.events.into_iter().take(count).collect()
        }
    }
}

#[test]
fn an_answer_is_whole_though_every_piece_comes_over_another_transport() {
    let all = [
        Via::Json,
        Via::Sse,
        Via::Protobuf,
        Via::WebSocket,
        Via::HttpStream,
    ];
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    let channel = server.post("hi");
    let mut connection = provider.accept();
    connection.question();
    connection.begin();
    let mut seen: Vec<Event> = Vec::new();
    for round in 0..25 {
        connection.tell(&format!("{round} "));
        // Each transport follows each.
        let via = all[(round + round / 5) % 5];
        let last = seen.last().map(|event| event.id.clone());
        let count = if round == 0 { 2 } else { 1 };
        seen.extend(some(&server, via, &channel, last.as_deref(), count));
        // Two pieces at once, of which the second is for the next.
        connection.tell("and ");
        if round % 3 == 0 {
            let last = seen.last().map(|event| event.id.clone());
            seen.extend(some(&server, via, &channel, last.as_deref(), 1));
        } else {
            let last = seen.last().map(|event| event.id.clone());
            let next = all[(round + 1) % 5];
            seen.extend(some(&server, next, &channel, last.as_deref(), 1));
        }
    }
    connection.finish();
    let last = seen.last().map(|event| event.id.clone());
    let mut sdk = Sdk::open(&server, Via::Protobuf, &channel, last.as_deref());
    seen.extend(sdk.rest());
    let want: String = (0..25).map(|round| format!("{round} and ")).collect();
    assert_eq!(text_of(&seen), want);
    assert_eq!(server.listen(&channel, None).rest(), seen);
    // Who comes late gets it all.
    for via in [Via::Json, Via::Protobuf] {
        let mut late = Sdk::open(&server, via, &channel, None);
        assert_eq!(late.rest(), seen, "{via:?}");
    }
}

#[test]
fn a_client_cut_off_after_any_event_recovers_the_rest() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    let mut asked = server.ask("hi");
    provider.accept().answer("Grüße 🙂");
    let (channel, all) = (asked.channel(), asked.rest());
    for via in [Via::Json, Via::Protobuf, Via::HttpStream] {
        for count in 0..all.len() {
            let mut seen = some(&server, via, &channel, None, count);
            let last = seen.last().map(|event| event.id.clone());
            let left = all.len() - count;
            seen.extend(some(&server, via, &channel, last.as_deref(), left));
            assert_eq!(seen, all, "{via:?} after {count}");
        }
    }
}

#[test]
fn a_stop_gives_the_end_of_the_answer_and_then_3001() {
    let provider = Provider::new();
    let configuration = provider.section("p", "") + "[limits]\ndrain = \"100ms\"\n";
    let server = Server::start(&configuration);
    let channel = server.post("hi");
    let mut connection = provider.accept();
    connection.question();
    connection.begin();
    connection.tell("one ");
    let mut clients = [Via::Json, Via::Protobuf].map(|via| {
        let mut sdk = Sdk::open(&server, via, &channel, None);
        assert_eq!(sdk.next().unwrap().data["type"], "start");
        assert_eq!(sdk.next().unwrap().data["message"], "one ");
        sdk
    });
    server.signal("TERM");
    // The answer takes longer than the stop waits for it.
    for sdk in &mut clients {
        let last = sdk.next().unwrap();
        assert_eq!(last.data["code"], "shutdown", "{last:?}");
        assert_eq!(sdk.next().unwrap_err(), 3001);
        sdk.wire.send_frame(0x8, &3001u16.to_be_bytes());
    }
    drop(clients);
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn a_thousand_clients_get_one_answer_though_one_never_reads() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    let channel = server.post("hi");
    let mut connection = provider.accept();
    connection.question();
    connection.begin();
    connection.tell("begun");
    let all = [Via::Json, Via::Protobuf];
    let mut stalled = Sdk::open(&server, Via::Json, &channel, None);
    let mut crowd: Vec<Sdk> = (1..1000)
        .map(|n| Sdk::open(&server, all[n % 2], &channel, None))
        .collect();
    let piece = "x".repeat(4096);
    for _ in 0..10 {
        connection.tell(&piece);
    }
    connection.finish();
    let want = server.listen(&channel, None).rest();
    assert_eq!(text_of(&want).len(), "begun".len() + 10 * 4096);
    for sdk in &mut crowd {
        assert!(sdk.rest() == want);
    }
    drop(crowd);
    // The one that did not read has lost nothing either.
    assert!(stalled.rest() == want);
}
