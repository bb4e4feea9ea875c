//! A client: questions, event streams, requests about a channel.

use serde_json::{Value, json};

use crate::program::Server;
use crate::wire::{Head, Wire};

/// One event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) data: Value,
}

/// An event stream under way.
pub(crate) struct Stream {
    wire: Wire,
    pub(crate) head: Head,
    /// What of it has come and was not taken.
    text: String,
    is_over: bool,
}

/// The bytes of a request, complete with the length of its body.
pub(crate) fn request(method: &str, target: &str, fields: &[(&str, &str)], body: &str) -> String {
    let mut request = format!("{method} {target} HTTP/1.1\r\nHost: lmserver\r\n");
    for (name, value) in fields {
        request += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() {
        request += "Content-Type: application/json\r\n";
        request += &format!("Content-Length: {}\r\n", body.len());
    }
    request + "\r\n" + body
}

/// The question, as the body of a POST.
pub(crate) fn question(text: &str) -> String {
    json!({ "message": text }).to_string()
}

impl Wire {
    /// Makes a request and takes its answer.
    pub(crate) fn call(
        &mut self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: &str,
    ) -> (Head, Value) {
        self.say(request(method, target, fields, body));
        let head = self.head();
        let body = self.body(&head);
        let value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        (head, value)
    }

    /// Makes a request whose answer is an event stream.
    pub(crate) fn stream(mut self, request: &str) -> Stream {
        self.say(request);
        let head = self.head();
        assert_eq!(head.status(), 200, "{head:?}");
        assert_eq!(head.field("content-type"), Some("text/event-stream"));
        Stream {
            wire: self,
            head,
            text: String::new(),
            is_over: false,
        }
    }

    /// Makes a request whose answer is an event stream that ends: its text.
    pub(crate) fn raw_stream(mut self, request: &str) -> String {
        self.say(request);
        let head = self.head();
        assert_eq!(head.status(), 200, "{head:?}");
        assert_eq!(head.field("content-type"), Some("text/event-stream"));
        String::from_utf8(self.body(&head)).unwrap()
    }

    /// Asks, and listens with the same request.
    pub(crate) fn ask(self, text: &str) -> Stream {
        let accept = [("Accept", "text/event-stream")];
        self.stream(&request("POST", "/api/chat", &accept, &question(text)))
    }
}

impl Server {
    /// Makes a request on a connection of its own.
    pub(crate) fn call(&self, method: &str, target: &str, body: &str) -> (Head, Value) {
        self.connect().call(method, target, &[], body)
    }

    /// Asks, and listens with the same request.
    pub(crate) fn ask(&self, text: &str) -> Stream {
        self.connect().ask(text)
    }

    /// Asks: the name of the channel.
    pub(crate) fn post(&self, text: &str) -> String {
        let (head, body) = self.call("POST", "/api/chat", &question(text));
        assert_eq!(head.status(), 200, "{body}");
        body["channel_id"].as_str().unwrap().to_owned()
    }

    /// Listens to a channel, from the beginning or from behind an event.
    pub(crate) fn listen(&self, channel: &str, after: Option<&str>) -> Stream {
        self.connect().stream(&listening(channel, after))
    }
}

/// The request to listen to a channel.
pub(crate) fn listening(channel: &str, after: Option<&str>) -> String {
    let target = format!("/connection/sse?channel={channel}");
    let fields: Vec<_> = after.map(|id| ("Last-Event-ID", id)).into_iter().collect();
    request("GET", &target, &fields, "")
}

impl Stream {
    /// The channel whose events these are, where the answer names it.
    pub(crate) fn channel(&self) -> String {
        self.head.field("x-channel-id").unwrap().to_owned()
    }

    /// The next event. None: the answer is over.
    pub(crate) fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = next_event(&self.text) {
                self.text = rest;
                return Some(event);
            }
            if self.is_over {
                assert_eq!(self.text, "", "an event is cut");
                return None;
            }
            match self.wire.chunk() {
                Some(chunk) => self.text += str::from_utf8(&chunk).expect("no character is cut"),
                None => self.is_over = true,
            }
        }
    }

    /// Takes events until one of this type.
    pub(crate) fn until(&mut self, kind: &str) -> Event {
        loop {
            let event = self.next().expect("more events");
            if event.data["type"] == kind {
                return event;
            }
        }
    }

    /// The events that are left.
    pub(crate) fn rest(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.next()).collect()
    }

    /// The connection, for the next request.
    pub(crate) fn into_wire(self) -> Wire {
        assert!(self.is_over);
        self.wire
    }
}

/// The first event of a text, and what follows it.
pub(crate) fn next_event(text: &str) -> Option<(Event, String)> {
    let mut rest = text;
    loop {
        let (block, behind) = rest.split_once("\n\n")?;
        rest = behind;
        let field = |name: &str| {
            let mut lines = block.lines();
            lines.find_map(|line| line.strip_prefix(name))
        };
        if let Some(data) = field("data: ") {
            let event = Event {
                id: field("id: ").expect("every event has an id").to_owned(),
                data: serde_json::from_str(data).expect("data is JSON"),
            };
            return Some((event, rest.to_owned()));
        }
    }
}

/// The answer that events tell.
pub(crate) fn text_of(events: &[Event]) -> String {
    let chunks = events.iter().filter(|event| event.data["type"] == "chunk");
    chunks
        .map(|event| event.data["message"].as_str().unwrap())
        .collect()
}

/// The terminal event, which is the last.
pub(crate) fn end_of(events: &[Event]) -> &Value {
    let is_terminal = |event: &&Event| event.data["type"] == "end" || event.data["type"] == "error";
    assert_eq!(events.iter().filter(is_terminal).count(), 1, "{events:?}");
    events
        .iter()
        .next_back()
        .filter(is_terminal)
        .map(|event| &event.data)
        .unwrap()
}

/// The answer of a stream that ends well.
pub(crate) fn answer(stream: &mut Stream) -> String {
    let events = stream.rest();
    assert_eq!(end_of(&events)["finish_reason"], "stop", "{events:?}");
    text_of(&events)
}

/// The code and message of a stream that ends with an error.
pub(crate) fn failure(stream: &mut Stream) -> (String, String) {
    let events = stream.rest();
    let end = end_of(&events);
    let text = |key: &str| end[key].as_str().unwrap_or_default().to_owned();
    (text("code"), text("message"))
}
