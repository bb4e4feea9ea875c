//! What came in, and how each of the connections ended: `GET /fake/requests`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use lmserver_proto::http1::Request;
use serde_json::{Value, json};

/// The clock of what is seen. A connection that fails ends without a call that tells the time, so it is read here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(Instant);

impl Clock {
    #[expect(
        clippy::disallowed_methods,
        reason = "a session is dropped without being told when"
    )]
    fn start() -> Self {
        Self(Instant::now())
    }

    fn now(self) -> Duration {
        self.0.elapsed()
    }
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// All of it was written.
    Complete,
    /// The fake closed or reset the connection.
    Cut,
    /// The client did, before all was written.
    Closed,
}

impl End {
    fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Cut => "cut",
            Self::Closed => "closed_by_client",
        }
    }
}

/// How the answer to a request ended.
#[derive(Debug)]
struct Told {
    number: u64,
    model: Arc<str>,
    end: End,
    at: Duration,
}

/// Knows whom to tell how the answer to a request ended.
#[derive(Clone, Debug)]
pub(super) struct Teller {
    /// The number of the request.
    pub(super) number: u64,
    model: Arc<str>,
    clock: Clock,
    sender: Sender<Told>,
}

impl Teller {
    pub(super) fn witness(&self) -> Witness {
        Witness {
            teller: self.clone(),
            is_told: false,
        }
    }
}

/// Tells once how an answer ended: if nobody says otherwise, the client closed.
#[derive(Debug)]
pub(super) struct Witness {
    teller: Teller,
    is_told: bool,
}

impl Witness {
    pub(super) fn tell(&mut self, end: End) {
        if !std::mem::replace(&mut self.is_told, true) {
            // Nobody listens once the server has ended.
            let Teller {
                number,
                model,
                clock,
                sender,
            } = &self.teller;
            let _ = sender.send(Told {
                number: *number,
                model: Arc::clone(model),
                end,
                at: clock.now(),
            });
        }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.tell(End::Closed);
    }
}

/// One request.
#[derive(Debug)]
struct Seen {
    number: u64,
    path: String,
    model: Arc<str>,
    began: Duration,
    end: Option<(End, Duration)>,
    headers: Vec<(String, String)>,
    /// Not kept where it is longer than [`BODY_BYTES`].
    body: Option<Value>,
}

/// What came in, bounded.
#[derive(Debug)]
pub(super) struct Requests {
    clock: Clock,
    sender: Sender<Told>,
    receiver: Receiver<Told>,
    last: u64,
    seen: VecDeque<Seen>,
    counts: BTreeMap<Arc<str>, Count>,
}

/// The requests of a model: those that are no longer remembered one by one are counted too.
#[derive(Debug)]
struct Count {
    /// The number of the first.
    first: u64,
    all: u64,
    complete: u64,
    cut: u64,
    closed: u64,
}

impl Requests {
    pub(super) fn new() -> Self {
        let (sender, receiver) = channel();
        Self {
            clock: Clock::start(),
            sender,
            receiver,
            last: 0,
            seen: VecDeque::new(),
            counts: BTreeMap::new(),
        }
    }

    /// Notes a request. Who tells how the answer to it ends, and how many of its model there were
    /// before it.
    pub(super) fn note(&mut self, request: &Request, body: &[u8], model: &str) -> (Teller, u64) {
        self.hear();
        self.last += 1;
        if self.seen.len() >= REQUESTS {
            self.seen.pop_front();
        }
        let headers = request.fields.iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value).into_owned();
            (name.to_ascii_lowercase(), value)
        });
        let body = if body.len() <= BODY_BYTES {
            serde_json::from_slice(body).ok()
        } else {
            None
        };
        let model: Arc<str> = model.into();
        self.seen.push_back(Seen {
            number: self.last,
            path: request.path().to_owned(),
            model: Arc::clone(&model),
            began: self.clock.now(),
            end: None,
            headers: headers.collect(),
            body,
        });
        if !self.counts.contains_key(&model) && self.counts.len() >= MODELS {
            self.counts.clear();
        }
        let first = self.last;
        let count = self
            .counts
            .entry(Arc::clone(&model))
            .or_insert_with(|| Count {
                first,
                all: 0,
                complete: 0,
                cut: 0,
                closed: 0,
            });
        count.all += 1;
        let teller = Teller {
            number: self.last,
            model,
            clock: self.clock,
            sender: self.sender.clone(),
        };
        (teller, count.all - 1)
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.seen.clear();
        self.counts.clear();
    }

    /// All that is known, of one model or of all. Times are milliseconds.
    pub(super) fn report(&mut self, model: Option<&str>) -> Value {
        self.hear();
        let wanted = |name: &str| model.is_none_or(|model| model == name);
        let mut models = serde_json::Map::new();
        for (name, count) in self.counts.iter().filter(|(name, _)| wanted(name)) {
            models.insert(name.to_string(), count.report());
        }
        let requests = self.seen.iter().filter(|seen| wanted(&seen.model));
        let requests: Vec<Value> = requests.map(Seen::report).collect();
        let now = millis(self.clock.now());
        json!({"now_ms": now, "models": models, "requests": requests})
    }

    /// Takes in what the witnesses have told.
    fn hear(&mut self) {
        while let Ok(told) = self.receiver.try_recv() {
            let mut seen = self.seen.iter_mut();
            if let Some(seen) = seen.find(|seen| seen.number == told.number) {
                seen.end = Some((told.end, told.at));
            }
            let count = self.counts.get_mut(&told.model);
            // One from before all was forgotten counts no more.
            if let Some(count) = count.filter(|count| count.first <= told.number) {
                match told.end {
                    End::Complete => count.complete += 1,
                    End::Cut => count.cut += 1,
                    End::Closed => count.closed += 1,
                }
            }
        }
    }
}

impl Count {
    fn report(&self) -> Value {
        let ended = self.complete + self.cut + self.closed;
        json!({
            "count": self.all,
            "open": self.all.saturating_sub(ended),
            "complete": self.complete,
            "cut": self.cut,
            "closed_by_client": self.closed,
        })
    }
}

impl Seen {
    fn report(&self) -> Value {
        let headers = self.headers.iter().cloned();
        let headers = headers.map(|(name, value)| (name, Value::String(value)));
        json!({
            "number": self.number,
            "path": self.path,
            "model": &*self.model,
            "state": self.end.map_or("open", |(end, _)| end.as_str()),
            "began_ms": millis(self.began),
            "ended_ms": self.end.map(|(_, at)| millis(at)),
            "headers": headers.collect::<serde_json::Map<_, _>>(),
            "body": self.body,
        })
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
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

    use super::*;

    fn request() -> Request {
        let mut connection = Connection::new();
        connection.feed(b"POST /api/chat HTTP/1.1\r\nHost: a\r\n\r\n");
        match connection.next_event(&lmserver_proto::http1::Limits::default()) {
            Ok(Some(Event::Request { head, .. })) => head,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_model_s_requests_are_counted_longer_than_they_are_remembered() {
        let (mut requests, request) = (Requests::new(), request());
        let (teller, before) = requests.note(&request, b"{}", "old");
        assert_eq!(before, 0);
        let mut open = teller.witness();
        for _ in 0..REQUESTS {
            drop(requests.note(&request, b"{}", "new").0.witness());
        }
        let report = requests.report(None);
        assert_eq!(report["models"]["old"]["open"], 1);
        assert_eq!(report["models"]["new"]["closed_by_client"], REQUESTS);
        assert_eq!(report["requests"][0]["model"], "new");
        open.tell(End::Complete);
        drop(open);
        let report = requests.report(Some("old"));
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
        let report = requests.report(None);
        assert_eq!(report["models"]["m"]["open"], 1);
        assert_eq!(report["requests"].as_array().map(Vec::len), Some(1));
    }
}
