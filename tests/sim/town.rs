//! Several questions to one host of providers: what worlds about routing are about.

use std::time::Duration;

use lmserver::runtime::metrics::Metrics;
use lmserver::runtime::sys::Sys;
use lmserver::runtime::sys::sim::{PeerId, Weather};
use lmserver::runtime::time::Moment;
use serde_json::Value;

use crate::client::{Fetch, Question};
use crate::scene::{UPSTREAM, begun, chunk, ending, whole};
use crate::script::{Act, Framing, response};
use crate::upstream::Upstream;
use crate::watcher::{Leg, Seen, Via, Watcher};
use crate::world::{Setup, World};

/// A world with a host that serves all providers, and those who ask.
pub(crate) struct Town {
    pub(crate) world: World,
    pub(crate) upstream: PeerId,
    pub(crate) questions: Vec<PeerId>,
}

impl Town {
    /// Questions at these times to these models, each watched by one.
    pub(crate) fn new(setup: Setup, upstream: Upstream, asks: &[(u64, &str)]) -> Self {
        let mut town = Self::empty(setup, upstream);
        for (at, model) in asks {
            town.ask(*at, model, |question| question);
        }
        town
    }

    pub(crate) fn empty(setup: Setup, upstream: Upstream) -> Self {
        let mut world = setup.build();
        let upstream = world.add(upstream);
        let addr = UPSTREAM.parse().unwrap();
        world.host("up.example", addr, upstream, Weather::default());
        Self {
            world,
            upstream,
            questions: Vec::new(),
        }
    }

    pub(crate) fn ask(&mut self, at: u64, model: &str, tune: impl FnOnce(Question) -> Question) {
        let ask = Fetch::post_chat(model, "hi", Weather::default());
        let watchers = vec![Watcher::new(vec![Leg::new(Via::Sse11)])];
        let question = tune(Question::new(ask, watchers).at(Moment(at)));
        self.questions.push(self.world.add(question));
    }

    /// Runs until all is said. Everybody has seen a whole stream.
    pub(crate) fn run(&mut self) {
        self.world.run(Duration::from_secs(3000));
        for id in &self.questions {
            for watcher in &self.world.peer::<Question>(*id).watchers {
                watcher.expect_a_whole_stream();
            }
        }
    }

    /// Runs until the server has stopped, and what it said last has been read.
    pub(crate) fn run_to_stop(&mut self) {
        self.world.run_to_stop(Duration::from_secs(600));
        let until = self.world.now() + Duration::from_secs(1);
        let sys = self.world.sys();
        sys.return_at(until);
        let mut events = Vec::new();
        while sys.now() < until {
            sys.poll(Some(until), &mut events).unwrap();
        }
    }

    pub(crate) fn upstream(&self) -> &Upstream {
        let id = self.upstream;
        self.world.peer(id)
    }

    pub(crate) fn metrics(&self) -> Metrics {
        self.world.reactor.metrics()
    }

    pub(crate) fn watcher(&self, question: usize) -> &Watcher {
        let question: &Question = self.world.peer(self.questions[question]);
        &question.watchers[0]
    }

    pub(crate) fn last(&self, question: usize) -> Seen {
        self.watcher(question).seen.last().unwrap().clone()
    }

    /// How a question ended, its attempts, and when in milliseconds.
    pub(crate) fn ending(&self, question: usize) -> (String, Vec<String>, u64) {
        let Seen { json, at, .. } = self.last(question);
        let word = json["code"]
            .as_str()
            .or_else(|| json["finish_reason"].as_str());
        (word.unwrap().to_owned(), attempts(&json), at.0)
    }

    /// The times at which the providers were asked, in milliseconds.
    pub(crate) fn asked_at(&self) -> Vec<u64> {
        self.upstream().asked_at.iter().map(|at| at.0).collect()
    }
}

/// The failed attempts of a terminal event, as `provider/model code`.
pub(crate) fn attempts(json: &Value) -> Vec<String> {
    let list = json["attempts"].as_array().cloned().unwrap_or_default();
    let one = |it: Value| {
        let part = |key: &str| it[key].as_str().unwrap().to_owned();
        format!("{}/{} {}", part("provider"), part("model"), part("code"))
    };
    list.into_iter().map(one).collect()
}

/// A whole answer at once.
pub(crate) fn says(text: &str) -> Vec<Act> {
    vec![Act::Send(whole(&[text]))]
}

/// An answer that takes some time.
pub(crate) fn says_for(text: &str, millis: u64) -> Vec<Act> {
    vec![
        Act::Send(begun(&[text])),
        Act::Wait(millis),
        Act::Send(ending()),
    ]
}

/// A refusal in the head, with a further field if there is one.
pub(crate) fn refuses(status: &str, field: &str) -> Vec<Act> {
    let kind = match field {
        "" => "application/json".to_owned(),
        field => format!("application/json\r\n{field}"),
    };
    let body = br#"{"error":{"message":"no","type":"server_error"}}"#;
    vec![Act::Send(response(status, &kind, Framing::Length, body))]
}

/// An answer that breaks off after some text.
pub(crate) fn breaks_off(text: &str) -> Vec<Act> {
    vec![
        Act::Send(begun(&[text])),
        Act::Send(chunk(b"data: {")),
        Act::Close,
    ]
}

/// A provider that has no capacity.
pub(crate) fn busy() -> Vec<Act> {
    refuses("503 Service Unavailable", "")
}
