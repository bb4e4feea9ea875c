//! One who watches an answer: loses its connection, comes back with the last complete id, changes
//! the transport, and remembers all that it was told.

use lmserver::proto::http1::client::{Exchange, ResponseEvent};
use lmserver::proto::http1::{Limits, Method};
use lmserver::proto::sse::decode::{Decoder, Item};
use lmserver::proto::ws::{self, handshake};
use lmserver::runtime::sys::sim::{LineId, Net, Received, Weather};
use lmserver::runtime::time::Moment;
use serde_json::Value;

use crate::client::Fetch;
use crate::sdk::{Sdk, Told, post};
use crate::world::SERVER;

/// By which transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    Sse11,
    Sse10,
    WebSocket,
    /// As the SDKs of Centrifugo do, over a WebSocket.
    SdkJson,
    SdkProtobuf,
    /// The same over a stream, with commands in its request, or in requests of their own.
    SdkSse,
    SdkStream,
    /// Without an SDK.
    UniSse,
}

impl Via {
    pub(crate) const ALL: [Self; 8] = [
        Self::Sse11,
        Self::Sse10,
        Self::WebSocket,
        Self::SdkJson,
        Self::SdkProtobuf,
        Self::SdkSse,
        Self::SdkStream,
        Self::UniSse,
    ];

    /// The ways of Centrifugo's protocol.
    pub(crate) const SDK: [Self; 5] = [
        Self::SdkJson,
        Self::SdkProtobuf,
        Self::SdkSse,
        Self::SdkStream,
        Self::UniSse,
    ];

    pub(crate) fn is_sdk(self) -> bool {
        Self::SDK.contains(&self)
    }

    fn is_websocket(self) -> bool {
        matches!(self, Self::WebSocket | Self::SdkJson | Self::SdkProtobuf)
    }
}

/// How a connection is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    Close,
    Reset,
}

/// One connection of a watcher.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leg {
    pub(crate) via: Via,
    /// Milliseconds before it begins.
    pub(crate) after: u64,
    /// Bytes after which it dies; none: it lives to the end.
    pub(crate) cut: Option<usize>,
    pub(crate) death: Death,
    /// Bytes that it takes at a time, and the milliseconds between.
    pub(crate) most: usize,
    pub(crate) every: u64,
    pub(crate) weather: Weather,
}

impl Leg {
    pub(crate) fn new(via: Via) -> Self {
        Self {
            via,
            after: 0,
            cut: None,
            death: Death::Close,
            most: usize::MAX,
            every: 0,
            weather: Weather::default(),
        }
    }

    pub(crate) fn cut(self, bytes: usize) -> Self {
        Self {
            cut: Some(bytes),
            ..self
        }
    }

    pub(crate) fn after(self, millis: u64) -> Self {
        Self {
            after: millis,
            ..self
        }
    }
}

/// An event as it was seen.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) id: String,
    pub(crate) json: Value,
    pub(crate) at: Moment,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By the watcher.
    Died,
    /// The response was whole (SSE), or the server closed with this code (WebSocket).
    Whole(u16),
    /// The connection went before that.
    Lost,
}

/// One who watches.
pub(crate) struct Watcher {
    legs: Vec<Leg>,
    leg: usize,
    conn: Option<Connection>,
    not_before: Option<Moment>,
    /// The cursor that the first connection brings.
    pub(crate) last_id: Option<String>,
    pub(crate) seen: Vec<Seen>,
    pub(crate) resets: Vec<Value>,
    pub(crate) ends: Vec<Ended>,
    /// Statuses of responses other than 200 and 101.
    pub(crate) statuses: Vec<u16>,
    /// Raw bytes of the latest connection.
    pub(crate) raw: Vec<u8>,
    /// When heartbeats and pings came.
    pub(crate) beats: Vec<Moment>,
    pub(crate) done: bool,
    /// After the end it comes back until it is told to stop, as an `EventSource` does.
    pub(crate) persistent: bool,
    /// What it sends once the WebSocket stands.
    pub(crate) says: Option<String>,
    /// Does it ping the server whenever it gets something, thirty times at most?
    pub(crate) pings: bool,
    /// Does it answer pings?
    pub(crate) pongs: bool,
    /// Does it leave the end of its connection to the server?
    pub(crate) stays: bool,
    /// Messages of the latest connection, if an SDK counted them.
    pub(crate) messages: usize,
}

struct Connection {
    line: LineId,
    unsent: Vec<u8>,
    received: usize,
    next_read: Moment,
    exchange: Exchange,
    via: Via,
    sse: Decoder,
    ws: Option<ws::Connection>,
    accept: String,
    sdk: Option<Sdk>,
    /// What an SDK sends beside its stream.
    posts: Vec<Fetch>,
    said_close: bool,
    pings: u8,
    close_code: Option<u16>,
    whole: bool,
    /// It was told not to come back.
    stops: bool,
}

impl Watcher {
    /// Watches by these connections; after the last one as that one, without cuts.
    pub(crate) fn new(legs: Vec<Leg>) -> Self {
        Self {
            legs,
            leg: 0,
            conn: None,
            not_before: None,
            last_id: None,
            seen: Vec::new(),
            resets: Vec::new(),
            ends: Vec::new(),
            statuses: Vec::new(),
            raw: Vec::new(),
            beats: Vec::new(),
            done: false,
            persistent: false,
            says: None,
            pings: false,
            pongs: true,
            stays: false,
            messages: 0,
        }
    }

    pub(crate) fn persistent(mut self) -> Self {
        self.persistent = true;
        self
    }

    pub(crate) fn from(mut self, id: &str) -> Self {
        self.last_id = Some(id.to_owned());
        self
    }

    /// The text of the answer.
    pub(crate) fn text(&self) -> String {
        self.seen
            .iter()
            .filter(|seen| seen.json["type"] == "chunk")
            .filter_map(|seen| seen.json["message"].as_str())
            .collect()
    }

    pub(crate) fn terminal(&self) -> Option<&Value> {
        self.seen
            .iter()
            .map(|seen| &seen.json)
            .find(|json| is_terminal(json))
    }

    fn has_all(&self) -> bool {
        let last = self.seen.last();
        last.is_some_and(|last| is_terminal(&last.json))
    }

    /// Every stream is `start`, then any number of middle events, then one terminal event.
    pub(crate) fn expect_a_whole_stream(&self) {
        assert_eq!(self.seen[0].json["type"], "start", "{:?}", self.seen);
        for (n, seen) in self.seen.iter().enumerate() {
            let offset = seen.id.split_once('-').unwrap().1;
            assert_eq!(offset, (n + 1).to_string(), "{:?}", self.seen);
            assert_eq!(
                is_terminal(&seen.json),
                n + 1 == self.seen.len(),
                "{:?}",
                self.seen
            );
            assert_eq!(seen.json["type"] == "start", n == 0, "{:?}", self.seen);
        }
    }

    fn current_leg(&self) -> Leg {
        match self.legs.get(self.leg) {
            Some(leg) => *leg,
            None => Leg {
                cut: None,
                after: 1,
                ..*self.legs.last().unwrap()
            },
        }
    }

    /// Gives up, whatever there is still to come.
    pub(crate) fn leave(&mut self, net: &mut Net<'_>) {
        if let Some(conn) = self.conn.take() {
            net.close(conn.line);
        }
    }

    /// Goes on. True when it has all.
    pub(crate) fn drive(&mut self, now: Moment, net: &mut Net<'_>, channel: &str) -> bool {
        if self.done {
            return true;
        }
        if self.conn.is_none() {
            let leg = self.current_leg();
            let due = *self.not_before.get_or_insert(Moment(now.0 + leg.after));
            if now < due {
                net.wake(due);
                return false;
            }
            self.not_before = None;
            assert!(
                self.ends.len() < 1000,
                "it comes back for ever: {}",
                self.describe()
            );
            self.connect(leg, channel, net);
        }
        let Some(mut conn) = self.conn.take() else {
            // Nobody listens.
            self.ends.push(Ended::Lost);
            self.leg += 1;
            self.not_before = Some(Moment(now.0 + 1000));
            net.wake(Moment(now.0 + 1000));
            return false;
        };
        match self.go_on(&mut conn, now, net) {
            None => self.conn = Some(conn),
            Some(end) => {
                self.done |= conn.stops || (self.stays && self.has_all());
                if let Ended::Whole(_) = end {
                    // As the server asked, or as a patient client of a WebSocket would.
                    let pause = conn.sse.retry().map_or(1000, |retry| retry.as_millis());
                    self.not_before = Some(Moment(now.0 + u64::try_from(pause).unwrap()));
                }
                self.ends.push(end);
                self.leg += 1;
                if !self.done {
                    net.wake(now);
                }
            }
        }
        self.done
    }

    fn connect(&mut self, leg: Leg, channel: &str, net: &mut Net<'_>) {
        let Some(line) = net.connect(SERVER, leg.weather) else {
            return;
        };
        let mut unsent = Vec::new();
        let mut accept = String::new();
        let last = self.last_id.as_deref();
        match leg.via {
            Via::Sse11 | Via::Sse10 => {
                let version = if leg.via == Via::Sse11 { "1.1" } else { "1.0" };
                let cursor = last
                    .map(|id| format!("Last-Event-ID: {id}\r\n"))
                    .unwrap_or_default();
                let head = format!(
                    "GET /connection/sse?channel={channel} HTTP/{version}\r\nHost: sim\r\n{cursor}\r\n"
                );
                unsent.extend(head.as_bytes());
            }
            Via::SdkJson | Via::SdkProtobuf | Via::SdkSse | Via::SdkStream | Via::UniSse => {
                (unsent, accept) = Sdk::new(leg.via, channel, last).request();
            }
            Via::WebSocket => {
                let cursor = last
                    .map(|id| format!("&last_event_id={id}"))
                    .unwrap_or_default();
                let target = format!("/connection/websocket?channel={channel}{cursor}");
                accept = handshake::write_request(&mut unsent, "sim", &target, [7; 16], &[]);
            }
        }
        let sdk = leg.via.is_sdk().then(|| Sdk::new(leg.via, channel, last));
        let mut exchange = Exchange::new(&match leg.via {
            Via::SdkStream => Method::Post,
            _ => Method::Get,
        });
        if leg.via.is_websocket() {
            exchange = exchange.with_upgrade();
        }
        self.raw.clear();
        self.conn = Some(Connection {
            line,
            unsent,
            received: 0,
            next_read: Moment(0),
            exchange,
            via: leg.via,
            sse: Decoder::new(1 << 20),
            ws: None,
            accept,
            sdk,
            posts: Vec::new(),
            said_close: false,
            pings: 0,
            close_code: None,
            whole: false,
            stops: false,
        });
    }

    fn go_on(&mut self, conn: &mut Connection, now: Moment, net: &mut Net<'_>) -> Option<Ended> {
        let leg = self.current_leg();
        loop {
            let sent = net.write(conn.line, &conn.unsent);
            conn.unsent.drain(..sent);
            conn.posts.retain_mut(|post| !post.drive(net));
            if leg.cut.is_some_and(|cut| conn.received >= cut) {
                match leg.death {
                    Death::Close => net.close(conn.line),
                    Death::Reset => net.reset(conn.line),
                }
                return Some(Ended::Died);
            }
            if now < conn.next_read {
                net.wake(conn.next_read);
                return None;
            }
            let most = leg
                .cut
                .map_or(usize::MAX, |cut| cut - conn.received)
                .min(leg.most);
            let mut bytes = Vec::new();
            match net.read(conn.line, &mut bytes, most) {
                Received::Nothing => return None,
                Received::Bytes(count) => {
                    conn.received += count;
                    self.raw.extend(&bytes);
                    self.take(conn, &bytes, now);
                    if leg.every > 0 {
                        conn.next_read = Moment(now.0 + leg.every);
                    }
                }
                Received::End => {
                    if !conn.via.is_websocket()
                        && let Ok(Some(ResponseEvent::End { .. })) = conn.exchange.closed()
                    {
                        self.finish(conn);
                    }
                    net.close(conn.line);
                    return Some(self.how_it_ended(conn));
                }
                Received::Reset => {
                    net.close(conn.line);
                    return Some(self.how_it_ended(conn));
                }
            }
            if conn.whole && (conn.via.is_sdk() || !conn.via.is_websocket()) {
                net.close(conn.line);
                return Some(self.how_it_ended(conn));
            }
            if conn.via.is_sdk() && (conn.stops || (self.has_all() && !self.stays)) {
                // It has all, and the server has no more to say.
                net.close(conn.line);
                self.done = true;
                return Some(Ended::Whole(conn.close_code.unwrap_or(200)));
            }
        }
    }

    fn how_it_ended(&self, conn: &Connection) -> Ended {
        match (conn.close_code, conn.whole) {
            (Some(code), _) => Ended::Whole(code),
            (None, true) => Ended::Whole(200),
            (None, false) => Ended::Lost,
        }
    }

    fn take(&mut self, conn: &mut Connection, bytes: &[u8], now: Moment) {
        if conn.ws.is_some() {
            return self.take_frames(conn, bytes, now);
        }
        conn.exchange.feed(bytes);
        loop {
            match conn.exchange.next_event(&Limits::default()).unwrap() {
                None => return,
                Some(ResponseEvent::Head(head)) => {
                    if head.status == 101 {
                        handshake::check_response(101, &head.fields, &conn.accept, &[]).unwrap();
                        conn.ws = Some(ws::Connection::new(ws::Role::Client));
                        if let Some(sdk) = &conn.sdk {
                            conn.unsent.extend(sdk.greeting());
                        } else if let Some(text) = &self.says {
                            let (opcode, mask) = (ws::frame::Opcode::Text, Some([1, 2, 3, 4]));
                            ws::frame::write_frame(
                                &mut conn.unsent,
                                opcode,
                                true,
                                text.as_bytes(),
                                mask,
                            );
                        }
                        let leftover = conn.exchange.take_leftover();
                        return self.take_frames(conn, &leftover, now);
                    }
                    // An SDK that is to come back later is told so by a status.
                    let is_later = head.status == 503 && conn.sdk.is_some();
                    if head.status != 200 && !is_later {
                        self.statuses.push(head.status);
                    }
                }
                Some(ResponseEvent::Body(body)) => {
                    if let Some(sdk) = &mut conn.sdk {
                        take_sdk_body(sdk, conn.via, &mut conn.sse, body);
                        self.hear_sdk(conn, now);
                        continue;
                    }
                    let mut body = body;
                    while let Some(item) = conn.sse.next_item(&mut body).unwrap() {
                        match item {
                            Item::Event {
                                data,
                                last_event_id,
                                ..
                            } => {
                                let json = serde_json::from_slice(data).unwrap_or(Value::Null);
                                let id = last_event_id.to_owned();
                                note(
                                    &mut self.seen,
                                    &mut self.resets,
                                    &mut self.last_id,
                                    id,
                                    json,
                                    now,
                                );
                            }
                            Item::Comment(text) => {
                                assert_eq!(text, b"hb");
                                self.beats.push(now);
                            }
                            Item::Field { name, .. } => panic!("unknown field {name:?}"),
                        }
                    }
                }
                Some(ResponseEvent::End { .. }) => self.finish(conn),
            }
        }
    }

    /// A response is whole.
    fn finish(&mut self, conn: &mut Connection) {
        conn.whole = true;
        let told = self.statuses.last().is_some();
        let is_last = self.terminal().is_some() && !self.persistent;
        self.done = (told && conn.sdk.is_none()) || conn.stops || is_last;
    }

    fn take_frames(&mut self, conn: &mut Connection, bytes: &[u8], now: Moment) {
        let Some(ws) = &mut conn.ws else { return };
        ws.feed(bytes);
        if self.pings && !conn.said_close && conn.pings < 30 {
            conn.pings += 1;
            let (opcode, mask) = (ws::frame::Opcode::Ping, Some([8; 4]));
            ws::frame::write_frame(&mut conn.unsent, opcode, true, b"there?", mask);
        }
        assert!(
            conn.close_code.is_none() || bytes.is_empty(),
            "something after the close frame"
        );
        let mut hear = false;
        while let Some(event) = ws.next_event(&ws::Limits::default()).unwrap() {
            match event {
                ws::Event::Text(text) if conn.sdk.is_some() => {
                    if let Some(sdk) = &mut conn.sdk {
                        sdk.take_text(text.as_bytes());
                    }
                    hear = true;
                }
                ws::Event::Binary(bytes) if conn.sdk.is_some() => {
                    if let Some(sdk) = &mut conn.sdk {
                        sdk.take_binary(&bytes);
                    }
                    hear = true;
                }
                ws::Event::Text(text) => {
                    let (id, json) = split_message(&text);
                    note(
                        &mut self.seen,
                        &mut self.resets,
                        &mut self.last_id,
                        id,
                        json,
                        now,
                    );
                }
                ws::Event::Ping(payload) => {
                    self.beats.push(now);
                    if self.pongs {
                        let (opcode, mask) = (ws::frame::Opcode::Pong, Some([9; 4]));
                        ws::frame::write_frame(&mut conn.unsent, opcode, true, payload, mask);
                    }
                }
                ws::Event::Close { code, .. } => {
                    conn.close_code = code;
                    if !conn.said_close {
                        conn.said_close = true;
                        ws::frame::write_close(&mut conn.unsent, code, "", Some([5; 4]));
                    }
                    let stop = code.is_some_and(|code| code != 1013 && code != 4408);
                    conn.stops = stop && (self.terminal().is_some() || code != Some(1000));
                    conn.stops |= code == Some(1000) && !self.persistent;
                    if conn.sdk.is_some() {
                        conn.stops = code.is_some_and(|code| (3500..4000).contains(&code));
                    }
                }
                ws::Event::Pong(payload) => {
                    assert!(
                        self.pings && payload == b"there?",
                        "a pong nobody asked for"
                    );
                }
                ws::Event::Binary(_) => panic!("the server never sends these"),
            }
        }
        if hear {
            self.hear_sdk(conn, now);
        }
    }

    /// Takes in what an SDK has understood.
    fn hear_sdk(&mut self, conn: &mut Connection, now: Moment) {
        let Some(sdk) = &mut conn.sdk else { return };
        self.messages = sdk.messages;
        for told in std::mem::take(&mut sdk.told) {
            match told {
                Told::Event(id, json) => note(
                    &mut self.seen,
                    &mut self.resets,
                    &mut self.last_id,
                    id,
                    json,
                    now,
                ),
                // It goes on from the newest.
                Told::Lost(id, result) => {
                    self.seen.clear();
                    self.last_id = Some(id);
                    self.resets.push(result);
                }
                // Gone for one who has been there, unknown to others.
                Told::Refused(102) if self.last_id.is_some() => {
                    self.seen.clear();
                    self.last_id = Some("gone-0".into());
                    conn.stops = true;
                }
                Told::Refused(102) => {
                    self.statuses.push(404);
                    conn.stops = true;
                }
                // It comes back.
                Told::Refused(_) => conn.whole = true,
                Told::Unsubscribed(code) => {
                    conn.close_code = Some(code);
                    conn.whole = true;
                }
                Told::Ends(code) => {
                    conn.close_code = Some(code);
                    conn.stops |= (3500..4000).contains(&code);
                }
                Told::Ping => {
                    self.beats.push(now);
                    if self.pongs {
                        sdk.pong(&mut conn.unsent);
                    }
                }
            }
        }
        for body in sdk.posts.drain(..) {
            let fetch = Fetch::raw(Method::Post, post("/emulation", &body), Weather::default());
            conn.posts.push(fetch);
        }
    }

    pub(crate) fn describe(&self) -> String {
        let conn = self.conn.as_ref();
        format!(
            "watcher leg {} of {}, line {:?}, received {:?}, last id {:?}, seen {}, ends {:?}, statuses {:?}, done {}",
            self.leg,
            self.legs.len(),
            conn.map(|conn| conn.line),
            conn.map(|conn| conn.received),
            self.last_id,
            self.seen.len(),
            self.ends,
            self.statuses,
            self.done,
        )
    }
}

/// Takes a piece of a response's body.
fn take_sdk_body(sdk: &mut Sdk, via: Via, sse: &mut Decoder, mut body: &[u8]) {
    if via == Via::SdkStream {
        return sdk.take_stream(body);
    }
    while let Some(item) = sse.next_item(&mut body).unwrap() {
        match item {
            Item::Event { data, .. } => sdk.take_text(data),
            Item::Comment(_) | Item::Field { .. } => panic!("no such thing is sent"),
        }
    }
}

fn note(
    seen: &mut Vec<Seen>,
    resets: &mut Vec<Value>,
    last_id: &mut Option<String>,
    id: String,
    json: Value,
    at: Moment,
) {
    // A refusal over a WebSocket is no event of the channel.
    let refusal = json["code"] == "not_found" || json["code"] == "gone";
    assert!(!id.is_empty() || refusal, "an event without an id: {json}");
    if !id.is_empty() {
        *last_id = Some(id.clone());
    }
    if json["type"] == "reset" {
        assert!(id.ends_with("-0"));
        seen.clear();
        return resets.push(json);
    }
    if id == "gone-0" {
        // All that it had is of a channel that is no more.
        seen.clear();
    }
    assert!(
        !seen.last().is_some_and(|seen| is_terminal(&seen.json)),
        "{id} {json} after the end"
    );
    if let Some((epoch, offset)) = seen.last().and_then(|last| last.id.split_once('-')) {
        let want = format!("{epoch}-{}", offset.parse::<u64>().unwrap() + 1);
        assert_eq!(id, want, "lost or doubled");
    }
    seen.push(Seen { id, json, at });
}

pub(crate) fn is_terminal(json: &Value) -> bool {
    json["type"] == "end" || json["type"] == "error"
}

/// The position that stands in front of a message, and the event behind it.
fn split_message(text: &str) -> (String, Value) {
    let positioned = text
        .strip_prefix(r#"{"id":""#)
        .and_then(|rest| rest.split_once(r#"","#));
    let Some((id, members)) = positioned else {
        return (String::new(), serde_json::from_str(text).unwrap());
    };
    let mut json: Value = serde_json::from_str(&format!("{{{members}")).unwrap();
    assert!(
        json.get("id").is_none(),
        "nothing stands in for the position: {text}"
    );
    if let Some(id) = json
        .as_object_mut()
        .and_then(|event| event.remove("call_id"))
    {
        json["id"] = id;
    }
    match json.get_mut("data") {
        Some(data) => (id.to_owned(), data.take()),
        None => (id.to_owned(), json),
    }
}
