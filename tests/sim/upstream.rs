//! A provider's server: reads requests and plays the script of the model that is asked for.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use lmserver::proto::http1::Limits;
use lmserver::proto::http1::server::{Connection, Event};
use lmserver::runtime::sys::sim::{LineId, Net, Peer, Received};
use lmserver::runtime::time::Moment;
use serde_json::Value;

use crate::script::Act;

/// A provider's server.
#[derive(Default)]
pub(crate) struct Upstream {
    scripts: BTreeMap<String, VecDeque<Vec<Act>>>,
    lines: Vec<Line>,
    /// The models that were asked for, in order.
    pub(crate) asked: Vec<String>,
    /// When they were.
    pub(crate) asked_at: Vec<Moment>,
    /// The most requests for a model that were answered at a time.
    pub(crate) most: BTreeMap<String, usize>,
    /// Connections that were opened to it.
    pub(crate) opened: usize,
    /// When.
    pub(crate) opened_at: Vec<Moment>,
    /// How long it keeps a connection on which nothing is asked; none: for ever.
    patience: Option<Duration>,
    /// Connections that this server's client ended before the script was played.
    pub(crate) broken_off: usize,
    /// When a connection was ended by the client.
    pub(crate) ended_at: Vec<Moment>,
}

struct Line {
    id: LineId,
    http: Connection,
    /// What came while the script was played.
    waiting: Vec<u8>,
    /// The model that was asked for last.
    model: String,
    acts: VecDeque<Act>,
    ready_at: Moment,
    /// When it is closed, if nothing is asked before.
    until: Option<Moment>,
    playing: bool,
    stalled: bool,
    over: bool,
}

impl Upstream {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Plays these acts whenever a model is asked for; after those of an earlier call, which are
    /// played once then.
    pub(crate) fn plays(mut self, model: &str, acts: Vec<Act>) -> Self {
        let scripts = self.scripts.entry(model.to_owned()).or_default();
        scripts.push_back(acts);
        self
    }
}

impl Upstream {
    /// Closes a connection on which nothing is asked for so long.
    pub(crate) fn patient_for(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }
}

impl Peer for Upstream {
    fn step(&mut self, now: Moment, net: &mut Net<'_>) {
        // A server is there for the others.
        net.done();
        while let Some(id) = net.accept() {
            self.opened += 1;
            self.opened_at.push(now);
            let patience = self.patience;
            self.lines.push(Line {
                id,
                http: Connection::new(),
                waiting: Vec::new(),
                model: String::new(),
                acts: VecDeque::new(),
                ready_at: now,
                until: patience.map(|patience| now + patience),
                playing: false,
                stalled: false,
                over: false,
            });
        }
        for line in self.lines.iter_mut().filter(|line| !line.over) {
            let mut bytes = Vec::new();
            loop {
                bytes.clear();
                match net.read(line.id, &mut bytes, usize::MAX) {
                    Received::Bytes(_) => line.waiting.extend(&bytes),
                    Received::Nothing => break,
                    Received::End | Received::Reset => {
                        self.broken_off += usize::from(line.playing);
                        self.ended_at.push(now);
                        net.close(line.id);
                        line.over = true;
                        break;
                    }
                }
            }
            if !line.playing {
                line.http.feed(&std::mem::take(&mut line.waiting));
            }
            while !line.over
                && !line.playing
                && let Some(event) = line.http.next_event(&Limits::default()).unwrap()
            {
                let Event::Request { body, .. } = event else {
                    continue;
                };
                let body: Value = serde_json::from_slice(&body).unwrap();
                let model = body["model"].as_str().unwrap().to_owned();
                let scripts = self.scripts.get_mut(&model).unwrap();
                let acts = match scripts.len() {
                    1 => scripts.front().cloned(),
                    _ => scripts.pop_front(),
                };
                line.acts = acts.unwrap().into();
                line.playing = true;
                line.model.clone_from(&model);
                line.until = None;
                self.asked.push(model);
                self.asked_at.push(now);
            }
            line.play(now, net);
            if let Some(until) = line.until.filter(|_| !line.over) {
                if until <= now {
                    net.close(line.id);
                    line.over = true;
                } else {
                    net.wake(until);
                }
            }
        }
        self.lines.retain(|line| !line.over);
        let mut now: BTreeMap<String, usize> = BTreeMap::new();
        for line in self.lines.iter().filter(|line| line.playing) {
            *now.entry(line.model.clone()).or_default() += 1;
        }
        for (model, count) in now {
            let most = self.most.entry(model).or_default();
            *most = count.max(*most);
        }
    }

    fn describe(&self) -> String {
        format!(
            "upstream, asked {:?}, {} lines",
            self.asked,
            self.lines.len()
        )
    }
}

impl Line {
    fn play(&mut self, now: Moment, net: &mut Net<'_>) {
        while self.playing && !self.over {
            if now < self.ready_at {
                return net.wake(self.ready_at);
            }
            match self.acts.pop_front() {
                None => {
                    // It is said; the next request may come on this connection.
                    self.playing = false;
                    self.http = Connection::new();
                    net.wake(now);
                }
                Some(Act::Send(mut bytes)) => {
                    let sent = net.write(self.id, &bytes);
                    bytes.drain(..sent);
                    if !bytes.is_empty() {
                        self.acts.push_front(Act::Send(bytes));
                        return;
                    }
                }
                Some(Act::Wait(millis)) => self.ready_at = Moment(now.0 + millis),
                Some(Act::Close) => {
                    net.close(self.id);
                    self.over = true;
                }
                Some(Act::Reset) => {
                    net.reset(self.id);
                    self.over = true;
                }
                Some(Act::Stall) => {
                    self.stalled = true;
                    self.acts.push_front(Act::Stall);
                    return;
                }
            }
        }
    }
}
