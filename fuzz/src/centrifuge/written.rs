//! Commands as a client writes them, in both encodings at once.

use std::borrow::Cow;

use lmserver_proto::centrifuge::{Command, Protocol, Request, SubscribeRequest};

/// A message: its keys in JSON, unless a payload has no form there, and its fields in Protobuf.
#[derive(Default)]
pub(super) struct Written {
    json: Option<Vec<String>>,
    protobuf: Vec<u8>,
}

impl Written {
    fn new() -> Self {
        Self {
            json: Some(Vec::new()),
            protobuf: Vec::new(),
        }
    }

    /// Writes a command.
    pub(super) fn of(command: &Command<'_>) -> Self {
        let mut out = Self::new();
        out.number(1, "id", command.id.into());
        let (number, name) = match &command.request {
            Request::Pong | Request::Unknown => return out,
            Request::Connect(_) => (4, "connect"),
            Request::Subscribe(_) => (5, "subscribe"),
            Request::Unsubscribe { .. } => (6, "unsubscribe"),
            Request::Publish(_) => (7, "publish"),
            Request::Presence { .. } => (8, "presence"),
            Request::PresenceStats { .. } => (9, "presence_stats"),
            Request::History(_) => (10, "history"),
            Request::Rpc { .. } => (13, "rpc"),
            Request::Send { .. } => (12, "send"),
            Request::Refresh { .. } => (14, "refresh"),
            Request::SubRefresh(_) => (15, "sub_refresh"),
        };
        out.message(number, name, request(&command.request));
        if command.id == 0 && number != 12 {
            // Without an id this is more than a pong only because `send` stands beside it.
            out.message(12, "send", Self::new());
        }
        out
    }

    /// The object, if there is one.
    pub(super) fn json(&self) -> Option<Vec<u8>> {
        self.object().map(String::into_bytes)
    }

    /// The message with its length in front.
    pub(super) fn protobuf_frame(&self) -> Vec<u8> {
        let mut out = Vec::new();
        varint(self.protobuf.len() as u64, &mut out);
        out.extend_from_slice(&self.protobuf);
        out
    }

    fn object(&self) -> Option<String> {
        let fields = self.json.as_ref()?;
        Some(format!("{{{}}}", fields.join(",")))
    }

    fn field(&mut self, name: &str, value: Option<String>) {
        match (&mut self.json, value) {
            (Some(fields), Some(value)) => fields.push(format!("{}:{value}", quoted(name))),
            (json, _) => *json = None,
        }
    }

    fn number(&mut self, number: u8, name: &str, value: i128) {
        self.field(name, Some(value.to_string()));
        varint(u64::from(number) << 3, &mut self.protobuf);
        varint(value as u64, &mut self.protobuf);
    }

    fn flag(&mut self, number: u8, name: &str, value: bool) {
        self.field(name, Some(value.to_string()));
        varint(u64::from(number) << 3, &mut self.protobuf);
        varint(value.into(), &mut self.protobuf);
    }

    fn bytes(&mut self, number: u8, value: &[u8]) {
        varint(u64::from(number) << 3 | 2, &mut self.protobuf);
        varint(value.len() as u64, &mut self.protobuf);
        self.protobuf.extend_from_slice(value);
    }

    fn text(&mut self, number: u8, name: &str, value: &str) {
        self.field(name, Some(quoted(value)));
        self.bytes(number, value.as_bytes());
    }

    fn payload(&mut self, number: u8, name: &str, value: &[u8]) {
        if value.is_empty() {
            return;
        }
        self.field(name, as_value(value));
        self.bytes(number, value);
    }

    fn message(&mut self, number: u8, name: &str, value: Self) {
        self.field(name, value.object());
        self.bytes(number, &value.protobuf);
    }

    /// A map, its entries in order.
    fn map(&mut self, number: u8, name: &str, entries: Vec<(&Cow<'_, str>, Entry)>) {
        let mut object = Self::new();
        for (key, entry) in entries {
            object.field(key, entry.json);
            let mut pair = Self::new();
            pair.bytes(1, key.as_bytes());
            pair.bytes(2, &entry.protobuf);
            self.bytes(number, &pair.protobuf);
        }
        self.field(name, object.object());
    }
}

struct Entry {
    json: Option<String>,
    protobuf: Vec<u8>,
}

fn request(request: &Request<'_>) -> Written {
    let mut out = Written::new();
    match request {
        Request::Pong | Request::Unknown => {}
        Request::Connect(request) => {
            out.text(1, "token", &request.token);
            out.payload(2, "data", request.data);
            let subs = request.subs.iter().map(|(channel, sub)| {
                let sub = subscribe(sub);
                let json = sub.object();
                let protobuf = sub.protobuf;
                (channel, Entry { json, protobuf })
            });
            out.map(3, "subs", subs.collect());
            out.text(4, "name", &request.name);
            out.text(5, "version", &request.version);
            let headers = request.headers.iter().map(|(name, value)| {
                let json = Some(quoted(value));
                let protobuf = value.as_bytes().to_vec();
                (name, Entry { json, protobuf })
            });
            out.map(6, "headers", headers.collect());
            out.number(7, "flag", request.flag.into());
        }
        Request::Subscribe(request) => return subscribe(request),
        Request::Unsubscribe { channel }
        | Request::Presence { channel }
        | Request::PresenceStats { channel } => out.text(1, "channel", channel),
        Request::Publish(request) => {
            out.text(1, "channel", &request.channel);
            out.payload(2, "data", request.data);
            out.number(3, "type", request.kind.into());
        }
        Request::History(request) => {
            out.text(1, "channel", &request.channel);
            out.number(7, "limit", request.limit.into());
            if let Some(since) = &request.since {
                let mut position = Written::new();
                position.number(1, "offset", since.offset.into());
                position.text(2, "epoch", &since.epoch);
                out.message(8, "since", position);
            }
            out.flag(9, "reverse", request.reverse);
        }
        Request::Rpc { method, data } => {
            out.payload(1, "data", data);
            out.text(2, "method", method);
        }
        Request::Send { data } => out.payload(1, "data", data),
        Request::Refresh { token } => out.text(1, "token", token),
        Request::SubRefresh(request) => {
            out.text(1, "channel", &request.channel);
            out.text(2, "token", &request.token);
            out.number(3, "type", request.kind.into());
        }
    }
    out
}

fn subscribe(request: &SubscribeRequest<'_>) -> Written {
    let mut out = Written::new();
    out.text(1, "channel", &request.channel);
    out.text(2, "token", &request.token);
    out.flag(3, "recover", request.recover);
    out.text(6, "epoch", &request.epoch);
    out.number(7, "offset", request.offset.into());
    out.payload(8, "data", request.data);
    out.flag(9, "positioned", request.positioned);
    out.flag(10, "recoverable", request.recoverable);
    out.flag(11, "join_leave", request.join_leave);
    out.text(12, "delta", &request.delta);
    // Only in its own encoding does a filter say anything.
    if let Some(filter) = request.tags_filter {
        match filter.protocol {
            Protocol::Json => out.field("tf", as_value(filter.source)),
            Protocol::Protobuf => out.bytes(13, filter.source),
        }
    }
    out.number(14, "flag", request.flag.into());
    out.number(15, "type", request.kind.into());
    out
}

/// The text of a payload, if it is one value of JSON in one line.
fn as_value(payload: &[u8]) -> Option<String> {
    let value: &serde_json::value::RawValue = serde_json::from_slice(payload).ok()?;
    let same = value.get().len() == payload.len() && !payload.contains(&b'\n');
    same.then(|| value.get().to_owned())
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("any text")
}

pub(crate) fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
