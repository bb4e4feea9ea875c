//! What came in, and how each of the connections ended: `GET /fake/requests`.

use std::collections::{BTreeMap, VecDeque};
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

/// Knows whom to tell how the answer to a request ended.
#[derive(Clone, Debug)]
pub(super) struct Teller {
    number: u64,
    clock: Clock,
    sender: Sender<(u64, End, Duration)>,
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
                clock,
                sender,
            } = &self.teller;
            let _ = sender.send((*number, end, clock.now()));
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
    model: String,
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
    sender: Sender<(u64, End, Duration)>,
    receiver: Receiver<(u64, End, Duration)>,
    last: u64,
    seen: VecDeque<Seen>,
    /// Requests by their model's name.
    counts: BTreeMap<String, u64>,
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

    /// Notes a request; its number, and how many of its model there were before it.
    pub(super) fn note(&mut self, request: &Request, body: &[u8], model: &str) -> (u64, u64) {
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
        self.seen.push_back(Seen {
            number: self.last,
            path: request.path().to_owned(),
            model: model.to_owned(),
            began: self.clock.now(),
            end: None,
            headers: headers.collect(),
            body,
        });
        if !self.counts.contains_key(model) && self.counts.len() >= MODELS {
            self.counts.clear();
        }
        let count = self.counts.entry(model.to_owned()).or_default();
        *count += 1;
        (self.last, *count - 1)
    }

    /// Who tells how the answer to this request ends.
    pub(super) fn teller(&self, number: u64) -> Teller {
        Teller {
            number,
            clock: self.clock,
            sender: self.sender.clone(),
        }
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
            let of_model = || self.seen.iter().filter(|seen| seen.model == *name);
            let ended = |end| {
                of_model()
                    .filter(|seen| seen.end.is_some_and(|(how, _)| how == end))
                    .count()
            };
            let state = json!({
                "count": count,
                "open": of_model().filter(|seen| seen.end.is_none()).count(),
                "complete": ended(End::Complete),
                "cut": ended(End::Cut),
                "closed_by_client": ended(End::Closed),
            });
            models.insert(name.clone(), state);
        }
        let requests = self.seen.iter().filter(|seen| wanted(&seen.model));
        let requests: Vec<Value> = requests.map(Seen::report).collect();
        let now = millis(self.clock.now());
        json!({"now_ms": now, "models": models, "requests": requests})
    }

    /// Takes in what the witnesses have told.
    fn hear(&mut self) {
        while let Ok((number, end, at)) = self.receiver.try_recv() {
            let mut seen = self.seen.iter_mut();
            if let Some(seen) = seen.find(|seen| seen.number == number) {
                seen.end = Some((end, at));
            }
        }
    }
}

impl Seen {
    fn report(&self) -> Value {
        let headers = self.headers.iter().cloned();
        let headers = headers.map(|(name, value)| (name, Value::String(value)));
        json!({
            "number": self.number,
            "path": self.path,
            "model": self.model,
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
