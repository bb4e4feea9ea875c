//! What an SDK of Centrifugo says and understands, written from the protocol's description alone:
//! commands, replies and pushes in JSON and in Protobuf, and the requests around them.

use lmserver::proto::ws::{frame, handshake};
use serde_json::{Value, json};

use crate::protobuf::{connect_and_subscribe, replies};
use crate::watcher::Via;

/// What a watcher learns.
#[derive(Debug)]
pub(crate) enum Told {
    /// An event, with its position.
    Event(String, Value),
    /// The position that was brought is of no use; the newest is this one.
    Lost(String, Value),
    /// The subscription is refused with this code.
    Refused(u64),
    /// It is ended with this code.
    Unsubscribed(u16),
    /// The connection ends with this code.
    Ends(u16),
    /// The server asks whether somebody is there.
    Ping,
}

/// One connection of an SDK.
pub(crate) struct Sdk {
    via: Via,
    channel: String,
    last: Option<(String, u64)>,
    unread: Vec<u8>,
    epoch: String,
    session: String,
    node: String,
    /// Commands that travel in requests of their own, a body each.
    pub(crate) posts: Vec<Vec<u8>>,
    pub(crate) told: Vec<Told>,
    /// Messages that were taken, each with publications or without.
    pub(crate) messages: usize,
}

impl Sdk {
    pub(crate) fn new(via: Via, channel: &str, last_id: Option<&str>) -> Self {
        let last = last_id.and_then(|id| id.split_once('-'));
        Self {
            via,
            channel: channel.to_owned(),
            last: last.map(|(epoch, offset)| (epoch.to_owned(), offset.parse().unwrap())),
            unread: Vec::new(),
            epoch: String::new(),
            session: String::new(),
            node: String::new(),
            posts: Vec::new(),
            told: Vec::new(),
            messages: 0,
        }
    }

    /// The request that opens the connection, and the key of its handshake if it is one.
    pub(crate) fn request(&self) -> (Vec<u8>, String) {
        let mut out = Vec::new();
        let get = |target: String| format!("GET {target} HTTP/1.1\r\nHost: sim\r\n\r\n");
        match self.via {
            Via::SdkJson | Via::SdkProtobuf => {
                let format = match self.via {
                    Via::SdkJson => "",
                    _ => "?format=protobuf",
                };
                let target = format!("/connection/websocket{format}");
                let accept = handshake::write_request(&mut out, "sim", &target, [7; 16], &[]);
                return (out, accept);
            }
            Via::SdkSse => {
                let commands = format!("{}\n{}", connect(), self.subscribe());
                let target = format!("/connection/sse?cf_connect={}", percent(&commands));
                out.extend(get(target).bytes());
            }
            Via::SdkStream => out.extend(post("/connection/http_stream", connect().as_bytes())),
            Via::UniSse => {
                let request = json!({"subs": {&self.channel: self.position()}}).to_string();
                let target = format!("/connection/uni_sse?cf_connect={}", percent(&request));
                out.extend(get(target).bytes());
            }
            Via::Sse11 | Via::Sse10 | Via::WebSocket => panic!("no SDK speaks so"),
        }
        (out, String::new())
    }

    /// Where it wants to go on.
    fn position(&self) -> Value {
        match &self.last {
            Some((epoch, offset)) => json!({"recover": true, "epoch": epoch, "offset": offset}),
            // Two ways of wanting it all.
            None if self.via == Via::SdkJson && self.channel.starts_with("chat:") => json!({}),
            None => json!({"recover": true}),
        }
    }

    fn subscribe(&self) -> String {
        let mut request = self.position();
        request["channel"] = self.channel.clone().into();
        json!({"id": 2, "subscribe": request}).to_string()
    }

    /// What is said once a WebSocket stands: both commands at once.
    pub(crate) fn greeting(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mask = Some([6; 4]);
        if self.via == Via::SdkJson {
            let commands = format!("{}\n{}", connect(), self.subscribe());
            frame::write_frame(
                &mut out,
                frame::Opcode::Text,
                true,
                commands.as_bytes(),
                mask,
            );
            return out;
        }
        let last = self.last.as_ref();
        let last = last.map(|(epoch, offset)| (epoch.as_str(), *offset));
        let commands = connect_and_subscribe(&self.channel, last);
        frame::write_frame(&mut out, frame::Opcode::Binary, true, &commands, mask);
        out
    }

    /// The answer to a ping, as a frame, or as a request of its own.
    pub(crate) fn pong(&mut self, unsent: &mut Vec<u8>) {
        let mask = Some([6; 4]);
        match self.via {
            Via::SdkJson => frame::write_frame(unsent, frame::Opcode::Text, true, b"{}", mask),
            Via::SdkProtobuf => {
                frame::write_frame(unsent, frame::Opcode::Binary, true, &[0], mask);
            }
            _ if self.session.is_empty() => {}
            _ => self.send("{}"),
        }
    }

    /// Sends commands beside the stream.
    fn send(&mut self, commands: &str) {
        let body = json!({"session": self.session, "node": self.node, "data": commands});
        self.posts.push(body.to_string().into_bytes());
    }

    /// Takes bytes of a stream of lines.
    pub(crate) fn take_stream(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
        while let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.unread.drain(..=end).collect();
            self.take_text(&line[..end]);
        }
    }

    /// Takes a message of JSON documents.
    pub(crate) fn take_text(&mut self, message: &[u8]) {
        self.messages += 1;
        for line in message.split(|byte| *byte == b'\n') {
            let value = serde_json::from_slice(line);
            self.take_reply(&value.unwrap_or_else(|error| panic!("{error}: {line:?}")));
        }
    }

    /// Takes a message of Protobuf.
    pub(crate) fn take_binary(&mut self, message: &[u8]) {
        self.messages += 1;
        for reply in replies(message) {
            self.take_reply(&reply);
        }
    }

    fn take_reply(&mut self, reply: &Value) {
        let is_uni = self.via == Via::UniSse;
        let push = if is_uni { reply } else { &reply["push"] };
        if *reply == json!({}) {
            self.told.push(Told::Ping);
        } else if let Some(code) = reply["error"]["code"].as_u64() {
            self.told.push(Told::Refused(code));
        } else if let Some(result) = reply.get("connect") {
            self.connected(result);
        } else if let Some(result) = reply.get("subscribe").filter(|_| !is_uni) {
            self.subscribed(result);
        } else if let Some(publication) = push.get("pub") {
            assert_eq!(push["channel"], self.channel.as_str(), "{reply}");
            self.take_publication(publication);
        } else if let Some(code) = push["unsubscribe"]["code"].as_u64() {
            self.told
                .push(Told::Unsubscribed(u16::try_from(code).unwrap()));
        } else if let Some(code) = push["disconnect"]["code"].as_u64() {
            self.told.push(Told::Ends(u16::try_from(code).unwrap()));
        } else {
            panic!("what is {reply}?");
        }
    }

    fn connected(&mut self, result: &Value) {
        let text = |key: &str| result[key].as_str().unwrap_or_default().to_owned();
        assert!(!text("client").is_empty(), "{result}");
        (self.session, self.node) = (text("session"), text("node"));
        match self.via {
            Via::SdkStream => self.send(&self.subscribe()),
            Via::UniSse => match result["subs"].get(&self.channel) {
                Some(subscribed) => self.subscribed(subscribed),
                None => self.told.push(Told::Refused(102)),
            },
            _ => {}
        }
    }

    fn subscribed(&mut self, result: &Value) {
        self.epoch = result["epoch"].as_str().unwrap().to_owned();
        assert_eq!(result["recoverable"], true, "{result}");
        if self.last.is_some() || result["was_recovering"] == true {
            if result["recovered"] != true {
                let offset = result["offset"].as_u64().unwrap_or(0);
                let id = format!("{}-{offset}", self.epoch);
                return self.told.push(Told::Lost(id, result.clone()));
            }
            // The offset is that of the request; publications carry the client on from there.
            let asked = self.last.as_ref().map_or(0, |(_, offset)| *offset);
            assert_eq!(result["offset"].as_u64().unwrap_or(0), asked, "{result}");
        }
        for publication in result["publications"].as_array().into_iter().flatten() {
            self.take_publication(publication);
        }
    }

    fn take_publication(&mut self, publication: &Value) {
        let offset = publication["offset"].as_u64().unwrap();
        let id = format!("{}-{offset}", self.epoch);
        self.told.push(Told::Event(id, publication["data"].clone()));
    }
}

fn connect() -> String {
    json!({"id": 1, "connect": {"name": "sim"}}).to_string()
}

/// A request with a body.
pub(crate) fn post(target: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut out =
        format!("POST {target} HTTP/1.1\r\nHost: sim\r\nContent-Length: {length}\r\n\r\n")
            .into_bytes();
    out.extend(body);
    out
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
