//! The registry against a trivial reference, under random schedules.
//!
//! ```text
//!   seed ──► steps ──► World ─┬─► Registry      the thing itself
//!                             └─► Reference     a Vec of events; of each client what it has seen
//! ```
//!
//! A schedule is a few dozen steps drawn from a seed: create, append, publish, subscribe, write
//! some bytes, kill, resume, finish, deliver, wait. After each step the two must agree. At the end
//! every chat is finished, every client comes back until it has all, and everything expires:
//! nothing may be left.
//!
//! `LMSERVER_SCHEDULES` sets how many are run; `LMSERVER_SEED` replays one.

use std::time::Duration;

use super::registry::Registry;
use super::{Cursor, Life};
use crate::event::{Epoch, Position};
use crate::ids::ConnId;
use crate::limits::ChannelLimits;
use crate::sys::sim::Random;
use crate::time::Moment;

mod readers;
mod reference;
mod writers;

use reference::{ENCODINGS, Known, Reference};

/// Schedules of an ordinary test run.
const SCHEDULES: u64 = 100_000;

#[test]
fn random_schedules_agree_with_a_trivial_reference() {
    if let Some(seed) = number("LMSERVER_SEED") {
        return World::new(seed).run();
    }
    let count = number("LMSERVER_SCHEDULES").unwrap_or(SCHEDULES);
    let mut steps = 0;
    for seed in 0..count {
        let mut world = World::new(seed);
        world.run();
        steps += world.steps;
    }
    eprintln!("channel model: {count} schedules, {steps} steps");
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Names the seed of a schedule that failed.
struct Blame(u64);

impl Drop for Blame {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("channel model failed: replay with LMSERVER_SEED={}", self.0);
        }
    }
}

/// One who reads a channel, comes back, and remembers what it has had.
struct Client {
    name: usize,
    encoding: usize,
    attached: Option<(ConnId, Cursor)>,
    /// The offset before the first event that it has had since it last had to start anew.
    base: u64,
    /// The event that comes next, and how much of it is there.
    next: u64,
    partial: Vec<u8>,
    /// The position of the last event that it has had whole.
    last: Option<Position>,
    /// All whole events since `base`.
    wire: Vec<u8>,
}

struct World {
    blame: Blame,
    random: Random,
    limits: ChannelLimits,
    registry: Registry,
    now: Moment,
    names: Vec<(String, Known)>,
    clients: Vec<Client>,
    conns: u32,
    finishes: u64,
    undelivered: bool,
    big: bool,
    steps: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut limits = reference::limits(&mut random);
        // A few worlds hold large documents, so that slow readers fall off the log.
        let big = random.once_in(100);
        if big {
            limits.max_total_bytes = 256 << 20;
        }
        let chats = if big { 0 } else { 1 + random.below(3) };
        let opens = if big { 1 } else { random.below(3) };
        let names = (0..chats)
            .map(|n| format!("chat:{n}"))
            .chain((0..opens).map(|n| format!("open{n}")))
            .map(|name| (name, Known::Never))
            .collect();
        Self {
            blame: Blame(seed),
            big,
            registry: Registry::new(limits.clone()),
            random,
            limits,
            now: Moment(0),
            names,
            clients: Vec::new(),
            conns: 0,
            finishes: 0,
            undelivered: false,
            steps: 0,
        }
    }

    fn run(&mut self) {
        let steps = if self.big {
            120
        } else {
            20 + self.random.below(30)
        };
        for _ in 0..steps {
            self.step();
            self.steps += 1;
        }
        self.finish_everything();
        self.everybody_gets_all();
        self.nothing_is_left();
    }

    fn step(&mut self) {
        let name = self.random.index(self.names.len());
        match self.random.below(16) {
            0 => self.create(name),
            1..=3 => self.grow(name),
            4 => self.subscribe(name),
            5..=9 => self.write_somebody(),
            10 => self.kill_somebody(),
            11 => self.resume_somebody(),
            12 if self.random.once_in(4) => self.finish(name),
            12 | 13 => self.deliver(),
            14 if self.big => self.grow(name),
            14 if self.random.once_in(2) => self.wait(),
            _ => self.write_somebody(),
        }
        self.check();
    }

    fn is_open(&self, name: usize) -> bool {
        self.names[name].0.starts_with("open")
    }

    fn held(&self, name: usize) -> Option<&Reference> {
        match &self.names[name].1 {
            Known::Held(reference) => Some(reference),
            Known::Forgotten { .. } | Known::Never => None,
        }
    }

    fn held_mut(&mut self, name: usize) -> Option<&mut Reference> {
        match &mut self.names[name].1 {
            Known::Held(reference) => Some(reference),
            Known::Forgotten { .. } | Known::Never => None,
        }
    }

    fn readers(&self, name: usize) -> usize {
        self.clients
            .iter()
            .filter(|it| it.name == name && it.attached.is_some())
            .count()
    }

    fn epoch(&mut self) -> Epoch {
        let bytes = self.random.number().to_le_bytes();
        Epoch::from_random([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5]])
    }

    fn wait(&mut self) {
        let deadline = self.registry.earliest();
        assert!(self.registry.deadline() <= deadline, "late");
        self.now = match (self.random.below(4), deadline) {
            (0, deadline) if deadline != Moment::NEVER => self.now.max(deadline),
            (1, deadline) if deadline != Moment::NEVER => self.now.max(Moment(deadline.0 - 1)),
            _ => self.now + Duration::from_millis(self.random.below(70_000)),
        };
        self.expire();
    }

    fn expire(&mut self) {
        let mut abandoned = Vec::new();
        self.registry.expire(self.now, &mut abandoned);
        let (now, limits) = (self.now, self.limits.clone());
        for name in 0..self.names.len() {
            let mut cut = false;
            match &mut self.names[name].1 {
                Known::Held(it) if it.finished.is_some_and(|at| at + limits.ttl <= now) => {
                    assert!(self.registry.get(it.id).is_none(), "kept beyond its time");
                    self.names[name].1 = Known::Forgotten { since: now };
                    cut = true;
                }
                Known::Held(it) if it.unread_until.is_some_and(|at| at <= now) => {
                    it.unread_until = None;
                    if it.open {
                        assert!(self.registry.get(it.id).is_none(), "kept beyond its time");
                        self.names[name].1 = Known::Never;
                    } else {
                        let place = abandoned.iter().position(|id| *id == it.id);
                        abandoned.swap_remove(place.unwrap());
                    }
                }
                Known::Held(it) => {
                    assert!(self.registry.get(it.id).is_some(), "forgotten early");
                    let keeps = it.open && limits.history_size > 0;
                    if keeps && it.published_at + limits.history_ttl <= now {
                        it.trimmed = it.newest();
                    }
                }
                Known::Forgotten { since } if *since + limits.tombstone_ttl <= now => {
                    self.names[name].1 = Known::Never;
                }
                Known::Forgotten { .. } | Known::Never => {}
            }
            if cut {
                self.cut_readers(name);
            }
        }
        assert_eq!(abandoned, [], "abandoned without reason");
        let deadline = self.registry.deadline();
        assert!(
            deadline > now,
            "a deadline that is past: {deadline:?}, {now:?}"
        );
    }

    fn check(&self) {
        let mut attached = 0;
        for client in &self.clients {
            let Some((conn, cursor)) = client.attached else {
                continue;
            };
            attached += 1;
            let view = self
                .registry
                .get(cursor.channel)
                .unwrap()
                .view(cursor.view)
                .unwrap();
            assert_eq!(
                view.subscribers[cursor.slot as usize].conn, conn,
                "slots and cursors agree"
            );
            assert_eq!(view.encoding.name(), ENCODINGS[client.encoding].name());
        }
        assert_eq!(self.registry.subscribers().count(), attached);
        for name in 0..self.names.len() {
            let Some(reference) = self.held(name) else {
                continue;
            };
            let channel = self.registry.get(reference.id).unwrap();
            assert_eq!(channel.subscribers as usize, self.readers(name));
            let position = Position {
                epoch: reference.epoch,
                offset: reference.newest(),
            };
            assert_eq!(channel.position(), position);
            assert_eq!(
                channel.life() == Life::Finished,
                reference.finished.is_some()
            );
        }
    }

    fn finish_everything(&mut self) {
        for name in 0..self.names.len() {
            self.finish(name);
        }
        self.deliver();
        self.check();
    }

    fn everybody_gets_all(&mut self) {
        for client in 0..self.clients.len() {
            if self.held(self.clients[client].name).is_none() {
                continue;
            }
            if self.clients[client].attached.is_none() {
                self.resume(client);
            }
            while self.write(client, 1 << 20) {}
            if self.clients[client].attached.is_none() {
                continue;
            }
            while self.write(client, 1 << 20) {}
            let client = &self.clients[client];
            let (name, known) = &self.names[client.name];
            let Known::Held(reference) = known else {
                continue;
            };
            let mut whole = Vec::new();
            for offset in client.base + 1..=reference.newest() {
                whole.extend(reference.wire(name, offset, client.encoding));
            }
            assert!(client.wire == whole, "once, in order, nothing lost");
        }
        self.check();
    }

    fn nothing_is_left(&mut self) {
        for client in 0..self.clients.len() {
            self.kill(client);
        }
        while self.registry.deadline() != Moment::NEVER {
            self.now = self.registry.deadline();
            self.expire();
        }
        let left = (self.registry.len(), self.registry.total_bytes());
        assert_eq!(left, (0, 0), "nothing is left (seed {})", self.blame.0);
    }
}
