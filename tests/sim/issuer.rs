//! The server of a key set: whatever is asked, it plays what it plays at that time.

use std::collections::VecDeque;

use lmserver::runtime::sys::sim::{LineId, Net, Peer, Received};
use lmserver::runtime::time::Moment;

use crate::script::Act;

/// The server of a key set.
pub(crate) struct Issuer {
    /// What it plays from when on, in order.
    plays: Vec<(Moment, Vec<Act>)>,
    lines: Vec<Line>,
    /// When it was asked.
    pub(crate) asked: Vec<Moment>,
    /// The last request.
    pub(crate) request: String,
    /// Connections that its client ended before all was played.
    pub(crate) broken_off: usize,
}

struct Line {
    id: LineId,
    heard: Vec<u8>,
    acts: Option<VecDeque<Act>>,
    ready_at: Moment,
    is_over: bool,
}

impl Issuer {
    pub(crate) fn new(acts: Vec<Act>) -> Self {
        Self {
            plays: vec![(Moment(0), acts)],
            lines: Vec::new(),
            asked: Vec::new(),
            request: String::new(),
            broken_off: 0,
        }
    }

    /// Plays something else from `at` on.
    pub(crate) fn then(mut self, at: Moment, acts: Vec<Act>) -> Self {
        self.plays.push((at, acts));
        self
    }

    fn acts(&self, now: Moment) -> VecDeque<Act> {
        let begun = self.plays.iter().rev().find(|(at, _)| *at <= now);
        begun.unwrap().1.clone().into()
    }

    fn hear(&mut self, index: usize, now: Moment, net: &mut Net<'_>) {
        let line = &mut self.lines[index];
        let mut bytes = Vec::new();
        loop {
            match net.read(line.id, &mut bytes, usize::MAX) {
                Received::Bytes(_) => line.heard.append(&mut bytes),
                Received::Nothing => break,
                Received::End | Received::Reset => {
                    let is_played = line.acts.as_ref().is_some_and(VecDeque::is_empty);
                    self.broken_off += usize::from(!is_played);
                    net.close(line.id);
                    line.is_over = true;
                    return;
                }
            }
        }
        if line.acts.is_none() && line.heard.ends_with(b"\r\n\r\n") {
            self.request = String::from_utf8(line.heard.clone()).unwrap();
            self.asked.push(now);
            let acts = self.acts(now);
            self.lines[index].acts = Some(acts);
        }
    }
}

impl Peer for Issuer {
    fn step(&mut self, now: Moment, net: &mut Net<'_>) {
        net.done();
        while let Some(id) = net.accept() {
            self.lines.push(Line {
                id,
                heard: Vec::new(),
                acts: None,
                ready_at: now,
                is_over: false,
            });
        }
        for index in 0..self.lines.len() {
            self.hear(index, now, net);
            self.lines[index].play(now, net);
        }
        self.lines.retain(|line| !line.is_over);
    }

    fn describe(&self) -> String {
        format!("issuer, asked {} times", self.asked.len())
    }
}

impl Line {
    fn play(&mut self, now: Moment, net: &mut Net<'_>) {
        let Some(acts) = self.acts.as_mut().filter(|_| !self.is_over) else {
            return;
        };
        loop {
            if now < self.ready_at {
                return net.wake(self.ready_at);
            }
            match acts.pop_front() {
                None => return,
                Some(Act::Send(mut bytes)) => {
                    let sent = net.write(self.id, &bytes);
                    bytes.drain(..sent);
                    if !bytes.is_empty() {
                        return acts.push_front(Act::Send(bytes));
                    }
                }
                Some(Act::Wait(millis)) => self.ready_at = Moment(now.0 + millis),
                Some(Act::Close) => {
                    net.close(self.id);
                    self.is_over = true;
                    return;
                }
                Some(Act::Reset) => {
                    net.reset(self.id);
                    self.is_over = true;
                    return;
                }
                Some(Act::Stall) => return acts.push_front(Act::Stall),
            }
        }
    }
}
