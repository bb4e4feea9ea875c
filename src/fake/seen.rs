//! What came in, and how each of the connections ended: `GET /fake/requests`.
//!
//! A session has no way to its service, so they share numbers: one of each request, some of each
//! model. They are atomic because a factory of sessions is shared between threads as the engine
//! sees it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::Instant;

use lmserver_proto::http1::Request;
use lmserver_runtime::event::write_json_string;

/// The clock of what is seen: milliseconds since the start. A connection that fails ends without a
/// call that tells the time, so it is read here.
#[derive(Clone, Copy, Debug)]
struct Clock(Instant);

impl Clock {
    #[expect(
        clippy::disallowed_methods,
        reason = "a session is dropped without being told when"
    )]
    fn start() -> Self {
        Self(Instant::now())
    }

    fn now(self) -> u32 {
        u32::try_from(self.0.elapsed().as_millis()).unwrap_or(u32::MAX)
    }
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// All of it was written.
    Complete = 1,
    /// The fake closed or reset the connection.
    Cut,
    /// The client did, before all was written.
    Closed,
}

/// What a request's answer is, by the number of its [`End`].
const STATES: [&str; 4] = ["open", "complete", "cut", "closed_by_client"];

/// How the answer to a request ended, and when.
#[derive(Debug, Default)]
struct Ending {
    /// The number of an [`End`]; 0 while it is open.
    how: AtomicU8,
    at: AtomicU32,
}

/// The requests of a model, and how many answers ended in which way. Requests that are no longer
/// remembered one by one are counted too.
#[derive(Debug, Default)]
struct Count {
    all: AtomicU32,
    /// By the number of the [`End`] less one.
    ended: [AtomicU32; 3],
}

/// Knows whom to tell how the answer to a request ended.
#[derive(Clone, Debug)]
pub(super) struct Teller {
    /// The number of the request.
    pub(super) number: u32,
    ending: Arc<Ending>,
    count: Arc<Count>,
    clock: Clock,
}

impl Teller {
    pub(super) fn witness(&self) -> Witness {
        Witness(self.clone())
    }
}

/// Tells once how an answer ended: if nobody says otherwise, the client closed.
#[derive(Debug)]
pub(super) struct Witness(Teller);

impl Witness {
    pub(super) fn tell(&self, end: End) {
        let Teller {
            ending,
            count,
            clock,
            ..
        } = &self.0;
        let how = end as u8;
        if ending.how.swap(how, Ordering::Relaxed) != 0 {
            return;
        }
        ending.at.store(clock.now(), Ordering::Relaxed);
        if let Some(ended) = count.ended.get(usize::from(how) - 1) {
            ended.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        if self.0.ending.how.load(Ordering::Relaxed) == 0 {
            self.tell(End::Closed);
        }
    }
}

/// One request.
#[derive(Debug)]
struct Seen {
    number: u32,
    path: String,
    model: Box<str>,
    began: u32,
    ending: Arc<Ending>,
    /// As a JSON object.
    headers: String,
    /// As JSON; null where it is none, or longer than [`BODY_BYTES`].
    body: String,
}

/// What came in, bounded.
#[derive(Debug)]
pub(super) struct Requests {
    clock: Clock,
    last: u32,
    seen: VecDeque<Seen>,
    counts: BTreeMap<Box<str>, Arc<Count>>,
}

impl Requests {
    pub(super) fn new() -> Self {
        Self {
            clock: Clock::start(),
            last: 0,
            seen: VecDeque::new(),
            counts: BTreeMap::new(),
        }
    }

    /// Notes a request. Who tells how the answer to it ends, and how many of its model there were
    /// before it.
    pub(super) fn note(&mut self, request: &Request, body: &[u8], model: &str) -> (Teller, u32) {
        self.last = self.last.wrapping_add(1);
        if self.seen.len() >= REQUESTS {
            self.seen.pop_front();
        }
        let ending = Arc::new(Ending::default());
        self.seen.push_back(Seen {
            number: self.last,
            path: request.path().to_owned(),
            model: model.into(),
            began: self.clock.now(),
            ending: Arc::clone(&ending),
            headers: headers(request),
            body: kept(body),
        });
        if !self.counts.contains_key(model) && self.counts.len() >= MODELS {
            self.counts.clear();
        }
        let count = self.counts.entry(model.into()).or_default();
        let before = count.all.fetch_add(1, Ordering::Relaxed);
        let teller = Teller {
            number: self.last,
            ending,
            count: Arc::clone(count),
            clock: self.clock,
        };
        (teller, before)
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.seen.clear();
        self.counts.clear();
    }

    /// All that is known, of one model or of all, as JSON. Times are milliseconds.
    pub(super) fn report(&self, model: Option<&str>) -> String {
        let wanted = |name: &str| model.is_none_or(|model| model == name);
        let mut json = Object::new();
        json.number("now_ms", self.clock.now());
        let mut models = Object::new();
        for (name, count) in self.counts.iter().filter(|(name, _)| wanted(name)) {
            models.raw(name, &count.report());
        }
        json.raw("models", &models.end());
        let requests = self.seen.iter().filter(|seen| wanted(&seen.model));
        let requests: Vec<String> = requests.map(Seen::report).collect();
        json.raw("requests", &format!("[{}]", requests.join(",")));
        json.end()
    }
}

impl Count {
    fn report(&self) -> String {
        let all = self.all.load(Ordering::Relaxed);
        let mut json = Object::new();
        json.number("count", all);
        let mut open = all;
        for (ended, state) in self.ended.iter().zip(STATES.iter().skip(1)) {
            let ended = ended.load(Ordering::Relaxed);
            json.number(state, ended);
            open = open.saturating_sub(ended);
        }
        json.number("open", open);
        json.end()
    }
}

impl Seen {
    fn report(&self) -> String {
        let how = usize::from(self.ending.how.load(Ordering::Relaxed));
        let state = STATES.get(how).copied().unwrap_or_default();
        let mut json = Object::new();
        json.number("number", self.number);
        json.text("path", &self.path);
        json.text("model", &self.model);
        json.text("state", state);
        json.number("began_ms", self.began);
        match how {
            0 => json.raw("ended_ms", "null"),
            _ => json.number("ended_ms", self.ending.at.load(Ordering::Relaxed)),
        }
        json.raw("headers", &self.headers);
        json.raw("body", &self.body);
        json.end()
    }
}

fn headers(request: &Request) -> String {
    let mut json = Object::new();
    for (name, value) in request.fields.iter() {
        let value = String::from_utf8_lossy(value);
        json.text(&name.to_ascii_lowercase(), &value);
    }
    json.end()
}

fn kept(body: &[u8]) -> String {
    let document = crate::json::document(body).filter(|it| it.len() <= BODY_BYTES);
    let text = document.and_then(|it| String::from_utf8(it.into_vec()).ok());
    text.unwrap_or_else(|| "null".to_owned())
}

/// A JSON object that is written member by member.
struct Object(Vec<u8>);

impl Object {
    fn new() -> Self {
        Self(vec![b'{'])
    }

    fn raw(&mut self, key: &str, value: &str) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        write_json_string(key, &mut self.0);
        self.0.push(b':');
        self.0.extend_from_slice(value.as_bytes());
    }

    fn text(&mut self, key: &str, value: &str) {
        self.raw(key, &super::dialect::quote(value));
    }

    fn number(&mut self, key: &str, value: u32) {
        self.raw(key, &value.to_string());
    }

    fn end(mut self) -> String {
        self.0.push(b'}');
        String::from_utf8(self.0).unwrap_or_default()
    }
}

/// Requests that are remembered.
const REQUESTS: usize = 1024;

/// Models whose requests are counted; at one more, counting begins anew.
const MODELS: usize = 4096;

/// Bytes of a body that is remembered.
const BODY_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use lmserver_proto::http1::server::{Connection, Event};
    use serde_json::Value;

    use super::*;

    fn request() -> Request {
        let mut connection = Connection::new();
        connection.feed(b"POST /api/chat HTTP/1.1\r\nHost: a\r\n\r\n");
        match connection.next_event(&lmserver_proto::http1::Limits::default()) {
            Ok(Some(Event::Request { head, .. })) => head,
            other => panic!("{other:?}"),
        }
    }

    fn parsed(requests: &Requests, model: Option<&str>) -> Value {
        serde_json::from_str(&requests.report(model)).unwrap()
    }

    #[test]
    fn a_model_s_requests_are_counted_longer_than_they_are_remembered() {
        let (mut requests, request) = (Requests::new(), request());
        let (teller, before) = requests.note(&request, b"{}", "old");
        assert_eq!(before, 0);
        let open = teller.witness();
        for _ in 0..REQUESTS {
            drop(requests.note(&request, b"{}", "new").0.witness());
        }
        let report = parsed(&requests, None);
        assert_eq!(report["models"]["old"]["open"], 1);
        assert_eq!(report["models"]["new"]["closed_by_client"], REQUESTS);
        assert_eq!(report["requests"][0]["model"], "new");
        open.tell(End::Complete);
        drop(open);
        let report = parsed(&requests, Some("old"));
        assert_eq!(report["models"]["old"]["complete"], 1);
        assert_eq!(report["models"]["old"]["closed_by_client"], 0);
        assert_eq!(report["models"]["new"], Value::Null);
    }

    #[test]
    fn what_ends_after_all_was_forgotten_is_not_counted() {
        let (mut requests, request) = (Requests::new(), request());
        let open = requests.note(&request, b"no JSON", "m").0.witness();
        requests.clear();
        assert_eq!(requests.note(&request, b"{}", "m").1, 0);
        drop(open);
        let report = parsed(&requests, None);
        assert_eq!(report["models"]["m"]["open"], 1);
        assert_eq!(report["requests"].as_array().map(Vec::len), Some(1));
        assert_eq!(report["requests"][0]["headers"]["host"], "a");
        assert_eq!(report["requests"][0]["body"], serde_json::json!({}));
    }
}
