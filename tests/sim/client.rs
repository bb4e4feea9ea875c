//! Clients that ask one thing: a request, a response.

use lmserver::proto::http1::client::{Exchange, ResponseEvent, write_request};
use lmserver::proto::http1::{Limits, Method};
use lmserver::runtime::sys::sim::{LineId, Net, Peer, Received, Weather};
use lmserver::runtime::time::Moment;
use serde_json::Value;

use crate::watcher::Watcher;
use crate::world::SERVER;

/// One request on a connection of its own.
pub(crate) struct Fetch {
    method: Method,
    unsent: Vec<u8>,
    weather: Weather,
    line: Option<LineId>,
    exchange: Exchange,
    pub(crate) status: Option<u16>,
    pub(crate) body: Vec<u8>,
    /// The response is whole, or will never be.
    pub(crate) over: bool,
    pub(crate) whole: bool,
}

impl Fetch {
    pub(crate) fn new(method: Method, target: &str, body: &[u8], weather: Weather) -> Self {
        let mut unsent = Vec::new();
        write_request(
            &mut unsent,
            &method,
            target,
            "sim",
            [
                ("Connection", "close"),
                ("Content-Type", "application/json"),
            ],
            body,
        );
        Self::raw(method, unsent, weather)
    }

    pub(crate) fn raw(method: Method, unsent: Vec<u8>, weather: Weather) -> Self {
        let exchange = Exchange::new(&method);
        Self {
            method,
            unsent,
            weather,
            line: None,
            exchange,
            status: None,
            body: Vec::new(),
            over: false,
            whole: false,
        }
    }

    pub(crate) fn post_chat(model: &str, message: &str, weather: Weather) -> Self {
        let body = serde_json::json!({"model": model, "message": message}).to_string();
        Self::new(Method::Post, "/api/chat", body.as_bytes(), weather)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Goes on. True when it is over.
    pub(crate) fn drive(&mut self, net: &mut Net<'_>) -> bool {
        if self.over {
            return true;
        }
        if self.line.is_none() {
            self.line = net.connect(SERVER, self.weather);
        }
        let Some(line) = self.line else {
            self.over = true;
            return true;
        };
        let sent = net.write(line, &self.unsent);
        self.unsent.drain(..sent);
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            match net.read(line, &mut bytes, usize::MAX) {
                Received::Nothing => break,
                Received::Bytes(_) => {
                    self.exchange.feed(&bytes);
                    self.read_events();
                }
                Received::End => {
                    if let Ok(Some(_)) = self.exchange.closed() {
                        self.whole = true;
                    }
                    self.over = true;
                }
                Received::Reset => self.over = true,
            }
            if self.over || self.whole {
                net.close(line);
                self.over = true;
                return true;
            }
        }
        false
    }

    fn read_events(&mut self) {
        loop {
            match self.exchange.next_event(&Limits::default()).unwrap() {
                None => return,
                Some(ResponseEvent::Head(head)) => self.status = Some(head.status),
                Some(ResponseEvent::Body(bytes)) => self.body.extend(bytes),
                Some(ResponseEvent::End { .. }) => self.whole = true,
            }
        }
    }

    pub(crate) fn describe(&self) -> String {
        format!(
            "{:?} status {:?} over {}",
            self.method, self.status, self.over
        )
    }
}

/// A fetch that is a peer of its own.
pub(crate) struct Caller {
    pub(crate) fetch: Fetch,
    pub(crate) at: Moment,
}

impl Caller {
    pub(crate) fn new(fetch: Fetch) -> Self {
        Self {
            fetch,
            at: Moment(0),
        }
    }
}

impl Peer for Caller {
    fn step(&mut self, now: Moment, net: &mut Net<'_>) {
        if now < self.at {
            return net.wake(self.at);
        }
        if self.fetch.drive(net) {
            net.done();
        }
    }

    fn describe(&self) -> String {
        self.fetch.describe()
    }
}

/// Someone who asks, and those who watch the answer.
pub(crate) struct Question {
    pub(crate) ask: Fetch,
    ask_at: Moment,
    pub(crate) channel: Option<String>,
    pub(crate) watchers: Vec<Watcher>,
    /// Cancels so long after the question was answered.
    cancel: Option<(u64, Option<Moment>, Option<Fetch>)>,
}

impl Question {
    pub(crate) fn new(ask: Fetch, watchers: Vec<Watcher>) -> Self {
        Self {
            ask,
            ask_at: Moment(0),
            channel: None,
            watchers,
            cancel: None,
        }
    }

    pub(crate) fn at(mut self, at: Moment) -> Self {
        self.ask_at = at;
        self
    }

    pub(crate) fn cancelled_after(mut self, millis: u64) -> Self {
        self.cancel = Some((millis, None, None));
        self
    }

    fn drive_cancel(&mut self, now: Moment, net: &mut Net<'_>, channel: &str) -> bool {
        let Some((millis, at, fetch)) = &mut self.cancel else {
            return true;
        };
        let due = *at.get_or_insert(Moment(now.0 + *millis));
        if now < due {
            net.wake(due);
            return false;
        }
        let weather = self.ask.weather;
        fetch
            .get_or_insert_with(|| {
                Fetch::new(
                    Method::Delete,
                    &format!("/api/chat/{channel}"),
                    b"",
                    weather,
                )
            })
            .drive(net)
    }
}

impl Peer for Question {
    fn step(&mut self, now: Moment, net: &mut Net<'_>) {
        if now < self.ask_at {
            return net.wake(self.ask_at);
        }
        if self.channel.is_none() {
            if !self.ask.drive(net) {
                return;
            }
            if self.ask.status != Some(200) {
                // Refused: there is nothing to watch.
                return net.done();
            }
            self.channel = Some(self.ask.json()["channel_id"].as_str().unwrap().to_owned());
        }
        let channel = self.channel.clone().unwrap();
        let mut all = self.drive_cancel(now, net, &channel);
        for watcher in &mut self.watchers {
            all &= watcher.drive(now, net, &channel);
        }
        if all {
            net.done();
        }
    }

    fn describe(&self) -> String {
        let mut text = format!("ask {}, channel {:?}", self.ask.describe(), self.channel);
        for watcher in &self.watchers {
            text.push_str(&format!("\n    {}", watcher.describe()));
        }
        text
    }
}
