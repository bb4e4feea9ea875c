//! A client of [`Many`](super::transport): random wishes, slow reads, cuts; and a judge of all
//! that it is told.

use std::collections::BTreeMap;

use lmserver::runtime::sys::sim::{LineId, Net, Peer, Random, Received, Weather};
use lmserver::runtime::time::Moment;

use super::transport::check_sum;
use crate::world::SERVER;

/// Larger than this a message holds one event.
const LARGEST_MESSAGE: usize = 16 * 1024;

/// What a client does.
#[derive(Clone)]
pub(super) struct Habits {
    pub(super) channels: Vec<String>,
    /// The names of the encodings that it draws from.
    pub(super) encodings: Vec<&'static str>,
    pub(super) gates: bool,
    /// How often it subscribes at most, lost connections aside.
    pub(super) subscribes: u64,
    /// How often it publishes at most.
    pub(super) publishes: u64,
    pub(super) sizes: Vec<usize>,
    /// How much it wants to be told.
    pub(super) says: Vec<usize>,
    /// Milliseconds between its bursts of commands, and commands of a burst.
    pub(super) pause: u64,
    pub(super) burst: usize,
    /// Until when it has wishes.
    pub(super) until: Moment,
    /// Bytes that it takes at a time until then, and the milliseconds between.
    pub(super) most: usize,
    pub(super) every: u64,
    pub(super) weather: Weather,
    /// Bytes after which it loses its connection, one for each connection; after the last: never.
    pub(super) cuts: Vec<usize>,
    /// Does it say goodbye now and then?
    pub(super) leaves: bool,
    /// Does every channel keep all of its events?
    pub(super) keeps_all: bool,
}

/// What it knows of a subscription.
#[derive(Debug)]
struct Subscribed {
    epoch: String,
    next: u64,
    is_gated: bool,
    passed: Option<u64>,
    had_last: bool,
}

#[derive(Debug, Default)]
struct Channel {
    now: Option<Subscribed>,
    /// Where it stood when it last lost a subscription, for the next.
    position: Option<(String, u64)>,
    /// With which position the subscription under way was asked for.
    asked: Option<(u64, Option<(String, u64)>)>,
    top: Option<(String, u64)>,
}

/// One client.
pub(super) struct Client {
    habits: Habits,
    random: Random,
    line: Option<LineId>,
    unsent: Vec<u8>,
    unread: Vec<u8>,
    received: usize,
    channels: BTreeMap<String, Channel>,
    serial: u64,
    next_burst: Moment,
    next_read: Moment,
    not_before: Moment,
    asked_tops: bool,
    said_bye: bool,
    /// The farewell, after which nothing may come.
    farewell: Option<String>,
    /// Connections that ended without a word, and not by this side.
    pub(super) lost: u64,
    pub(super) events: u64,
    pub(super) messages: u64,
    pub(super) lags: u64,
    pub(super) is_done: bool,
}

impl Client {
    pub(super) fn new(habits: Habits, seed: u64) -> Self {
        Self {
            habits,
            random: Random::new(seed),
            line: None,
            unsent: Vec::new(),
            unread: Vec::new(),
            received: 0,
            channels: BTreeMap::new(),
            serial: 0,
            next_burst: Moment(0),
            next_read: Moment(0),
            not_before: Moment(0),
            asked_tops: false,
            said_bye: false,
            farewell: None,
            lost: 0,
            events: 0,
            messages: 0,
            lags: 0,
            is_done: false,
        }
    }

    fn tell(&mut self, command: &str) {
        self.unsent.extend(command.as_bytes());
        self.unsent.push(b'\n');
    }

    fn subscribe(&mut self, name: &str) {
        self.serial += 1;
        self.habits.subscribes = self.habits.subscribes.saturating_sub(1);
        let serial = self.serial;
        let kind = self.random.pick(&self.habits.encodings);
        let gated = self.habits.gates && self.random.once_in(2);
        let channel = self.channels.entry(name.to_owned()).or_default();
        // From where it stands; while it reads already, from anywhere.
        let position = channel.position.clone().filter(|_| channel.now.is_none());
        let after = match &position {
            Some((epoch, offset)) => format!("{epoch}-{offset}"),
            None if self.random.once_in(3) => "now".into(),
            None => "beginning".into(),
        };
        channel.asked = Some((serial, position));
        let gate = if gated { "gated" } else { "open" };
        self.tell(&format!("sub {serial} {name} {kind} {gate} {after}"));
    }

    /// A burst of random wishes.
    fn wish(&mut self) {
        for _ in 0..self.random.part(self.habits.burst) {
            let name = self.random.pick(&self.habits.channels);
            match self.random.below(20) {
                0..=3 if self.habits.subscribes > 0 => self.subscribe(&name),
                4 => {
                    let serial = self.serial;
                    self.tell(&format!("unsub {serial} {name}"));
                }
                5 => {
                    let size = self.random.pick(&self.habits.says);
                    self.tell(&format!("say {size}"));
                }
                6 if self.habits.publishes > 0 && !name.starts_with("chat:") => {
                    self.habits.publishes -= 1;
                    self.tell(&format!("fleet {name}"));
                }
                7 if self.habits.leaves && self.random.once_in(10) => {
                    let how = self.random.pick(&["done", "protocol"]);
                    self.tell(&format!("bye {how}"));
                    self.said_bye = true;
                }
                _ if self.habits.publishes > 0 && !name.starts_with("chat:") => {
                    self.habits.publishes -= 1;
                    let size = self.random.pick(&self.habits.sizes);
                    self.tell(&format!("pub {name} {size}"));
                }
                _ => {}
            }
        }
    }

    fn connect(&mut self, net: &mut Net<'_>) {
        self.line = net.connect(SERVER, self.habits.weather);
        self.unsent = b"GET /many HTTP/1.1\r\nHost: sim\r\n\r\n".to_vec();
        self.unread.clear();
        self.received = 0;
        self.asked_tops = false;
        self.said_bye = false;
        self.farewell = None;
        let names: Vec<String> = self.channels.keys().cloned().collect();
        for name in names {
            let channel = self.channels.get_mut(&name).unwrap();
            channel.asked = None;
            channel.top = None;
            if channel.position.is_some() {
                self.subscribe(&name);
            }
        }
    }

    /// The connection is gone.
    fn disconnected(&mut self, now: Moment, is_own: bool, net: &mut Net<'_>) {
        if let Some(line) = self.line.take() {
            net.close(line);
        }
        if !is_own && self.farewell.is_none() {
            self.lost += 1;
        }
        self.channels.values_mut().for_each(Channel::leave);
        if !self.habits.cuts.is_empty() {
            self.habits.cuts.remove(0);
        }
        self.not_before = Moment(now.0 + self.random.pick(&[1, 20, 500]));
        net.wake(self.not_before);
    }

    /// Has it all that was published in what it reads?
    fn has_all(&self) -> bool {
        self.asked_tops
            && self.channels.values().all(|channel| {
                channel.asked.is_none()
                    && channel.now.as_ref().is_none_or(|it| {
                        let had = (it.epoch.clone(), it.next - 1);
                        channel
                            .top
                            .as_ref()
                            .is_some_and(|top| top.0 == had.0 && top.1 <= had.1)
                    })
            })
    }

    fn go_on(&mut self, now: Moment, net: &mut Net<'_>) {
        let Some(line) = self.line else { return };
        let is_early = now < self.habits.until;
        if is_early && now >= self.next_burst {
            self.next_burst = Moment(now.0 + 1 + self.random.below(self.habits.pause));
            if self.unsent.len() < 10_000 && self.farewell.is_none() {
                self.wish();
            }
        }
        net.wake(if is_early {
            self.next_burst
        } else {
            Moment(now.0 + 1000)
        });
        // Whoever said goodbye comes back once more.
        if !is_early && !self.asked_tops && !self.said_bye {
            self.asked_tops = true;
            for name in self.channels.keys().cloned().collect::<Vec<_>>() {
                self.tell(&format!("top {name}"));
            }
        }
        let sent = net.write(line, &self.unsent);
        self.unsent.drain(..sent);
        loop {
            let cut = self.habits.cuts.first().copied();
            if cut.is_some_and(|cut| self.received >= cut) {
                if self.random.once_in(2) {
                    net.reset(line);
                }
                return self.disconnected(now, true, net);
            }
            if is_early && now < self.next_read {
                return net.wake(self.next_read);
            }
            let most = if is_early {
                self.habits.most
            } else {
                usize::MAX
            };
            let most = most.min(cut.map_or(usize::MAX, |cut| cut - self.received));
            let mut bytes = Vec::new();
            match net.read(line, &mut bytes, most) {
                Received::Nothing => break,
                Received::Bytes(count) => {
                    self.received += count;
                    self.take(&bytes);
                    if self.habits.every > 0 {
                        self.next_read = Moment(now.0 + self.habits.every);
                    }
                }
                Received::End | Received::Reset => return self.disconnected(now, false, net),
            }
        }
        if !is_early && self.has_all() {
            net.close(line);
            self.line = None;
            self.is_done = true;
            net.done();
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        assert!(
            self.farewell.is_none(),
            "{:?} after {:?}",
            String::from_utf8_lossy(bytes),
            self.farewell
        );
        self.unread.extend_from_slice(bytes);
        let unread = std::mem::take(&mut self.unread);
        let mut rest = &unread[..];
        while let Some(after) = self.take_frame(rest) {
            rest = after;
            assert!(
                self.farewell.is_none() || rest.is_empty(),
                "something follows the farewell"
            );
        }
        self.unread = rest.to_vec();
    }

    /// Takes one frame, if it is there. The rest.
    fn take_frame<'a>(&mut self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let (tag, rest) = bytes.split_first()?;
        match tag {
            b'O' | b'F' | b'r' => {
                let (text, rest) = measured(rest)?;
                match tag {
                    b'O' => self.told(text),
                    b'F' => self.farewell = Some(String::from_utf8(text.to_vec()).unwrap()),
                    _ => {
                        self.messages += 1;
                        self.event(text, 1);
                    }
                }
                Some(rest)
            }
            b'P' | b'J' => {
                let end = rest.iter().take(12).position(|byte| *byte == b':');
                assert!(end.is_some() || rest.len() < 12, "a torn frame");
                let (number, rest) = rest.split_at(end?);
                let length: usize = std::str::from_utf8(number).unwrap().parse().unwrap();
                let tail = usize::from(*tag == b'P');
                if rest.len() < 1 + length + tail {
                    return None;
                }
                let (message, rest) = rest[1..].split_at(length);
                assert!(tail == 0 || rest[0] == b'!', "a torn message");
                self.message(*tag, message);
                Some(&rest[tail..])
            }
            _ => panic!("a torn frame: {:?}", String::from_utf8_lossy(bytes)),
        }
    }

    fn message(&mut self, tag: u8, message: &[u8]) {
        self.messages += 1;
        let mut events = Vec::new();
        if tag == b'J' {
            events.extend(message.split(|byte| *byte == b'\n'));
        } else {
            let mut rest = message;
            while !rest.is_empty() {
                let (event, after) = measured(rest).unwrap();
                events.push(event);
                rest = after;
            }
        }
        assert!(
            events.len() == 1 || message.len() <= LARGEST_MESSAGE,
            "a message of {} bytes",
            message.len()
        );
        for event in &events {
            self.event(event, events.len());
        }
    }

    /// An event of a log; its message held so many.
    fn event(&mut self, bytes: &[u8], count: usize) {
        let (name, epoch, offset, is_last) = read_event(bytes);
        let it = self.subscribed(&name);
        assert_eq!(
            (&it.epoch, it.next),
            (&epoch, offset),
            "{name}: lost or doubled"
        );
        if it.is_gated {
            assert_eq!(
                it.passed.take(),
                Some(offset),
                "{name}: the gate was not asked"
            );
            assert_eq!(count, 1, "{name}: the gate let one pass");
        }
        it.next += 1;
        it.had_last |= is_last;
        self.events += 1;
    }

    fn subscribed(&mut self, name: &str) -> &mut Subscribed {
        let serial = self.serial;
        let channel = self.channels.get_mut(name).unwrap();
        let it = channel.now.as_mut();
        it.unwrap_or_else(|| panic!("{name} is not subscribed to, after {serial} wishes"))
    }

    /// A frame of the session's own.
    fn told(&mut self, text: &[u8]) {
        if let Some(event) = text.strip_prefix(b"took ") {
            return self.told_event(event, false);
        }
        if let Some(event) = text.strip_prefix(b"replaced ") {
            return self.told_event(event, true);
        }
        let text = std::str::from_utf8(text).unwrap();
        let words: Vec<&str> = text.split(' ').collect();
        match words[..] {
            ["hello" | "said" | "noticed" | "alive", ..] => {}
            ["placed", serial, name, epoch, offset, reset, gate] => {
                self.placed(
                    serial,
                    name,
                    (epoch, offset.parse().unwrap()),
                    reset == "true",
                    gate,
                );
            }
            ["refused", serial, name, ..] => {
                let channel = self.channels.get_mut(name).unwrap();
                channel.now = None;
                channel.settle(serial);
                if words[3] != "Finished" {
                    channel.position = None;
                }
            }
            ["unsubscribed", _, name] => {
                if let Some(channel) = self.channels.get_mut(name) {
                    channel.leave();
                }
            }
            ["pass", name, offset] => {
                let offset = offset.parse().unwrap();
                let it = self.subscribed(name);
                assert!(
                    it.is_gated && it.next == offset && it.passed.is_none(),
                    "{text} {it:?}"
                );
                it.passed = Some(offset);
            }
            ["skip", name, offset] => {
                let it = self.subscribed(name);
                assert!(it.is_gated && it.passed.is_none(), "{text} {it:?}");
                assert_eq!(it.next.to_string(), offset, "{text}");
                it.next += 1;
            }
            ["open", name, offset] => {
                let it = self.subscribed(name);
                assert!(it.is_gated && it.passed.is_none(), "{text} {it:?}");
                assert_eq!(it.next.to_string(), offset, "{text}");
                it.is_gated = false;
            }
            ["lagged", name, offset] => {
                let offset: u64 = offset.parse().unwrap();
                assert!(!self.habits.keeps_all, "nothing is trimmed here");
                self.lags += 1;
                let it = self.subscribed(name);
                assert!(offset + 1 > it.next, "{text}: it had {}", it.next - 1);
                it.next = offset + 1;
                it.passed = None;
            }
            ["ended", name] => {
                let it = self.subscribed(name);
                assert!(it.passed.is_none(), "{it:?}");
                let channel = self.channels.get_mut(name).unwrap();
                channel.leave();
            }
            ["top", name, epoch, offset] => {
                let channel = self.channels.get_mut(name).unwrap();
                channel.top = Some((epoch.to_owned(), offset.parse().unwrap()));
            }
            _ => panic!("what is {text:?}?"),
        }
    }

    /// An event that the session has written itself.
    fn told_event(&mut self, bytes: &[u8], opens: bool) {
        let (name, epoch, offset, is_last) = read_event(bytes);
        let it = self.subscribed(&name);
        assert_eq!(
            (&it.epoch, it.next),
            (&epoch, offset),
            "{name}: lost or doubled"
        );
        if opens {
            assert!(it.is_gated && it.passed.is_none());
            it.is_gated = false;
        }
        it.next += 1;
        it.had_last |= is_last;
        self.events += 1;
    }

    fn placed(&mut self, serial: &str, name: &str, place: (&str, u64), reset: bool, gate: &str) {
        let keeps_all = self.habits.keeps_all;
        let channel = self.channels.get_mut(name).unwrap();
        if let Some((asked, position)) = &channel.asked
            && asked.to_string() == serial
            && let Some((epoch, offset)) = position
        {
            if !reset {
                assert_eq!((epoch.as_str(), *offset), place, "{name}: not where it was");
            } else if keeps_all {
                assert_ne!(
                    epoch, place.0,
                    "{name}: from {offset} a reset for nothing to {place:?}"
                );
            }
        }
        channel.settle(serial);
        channel.now = Some(Subscribed {
            epoch: place.0.to_owned(),
            next: place.1 + 1,
            is_gated: gate == "gated",
            passed: None,
            had_last: false,
        });
    }
}

impl Channel {
    /// A wish is answered.
    fn settle(&mut self, serial: &str) {
        if self
            .asked
            .as_ref()
            .is_some_and(|(asked, _)| asked.to_string() == serial)
        {
            self.asked = None;
        }
    }

    /// The subscription is over; it remembers where it stood.
    fn leave(&mut self) {
        if let Some(it) = self.now.take() {
            self.position = Some((it.epoch, it.next - 1));
        }
    }
}

/// Four bytes of length, and so many.
fn measured(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}

/// Channel, epoch, offset, and whether it is the last.
fn read_event(bytes: &[u8]) -> (String, String, u64, bool) {
    let mut words = bytes.splitn(6, |byte| *byte == b' ');
    let mut word = || {
        std::str::from_utf8(words.next().unwrap())
            .unwrap()
            .to_owned()
    };
    let (name, epoch, offset, last, sum) = (word(), word(), word(), word(), word());
    let json = word();
    assert_eq!(
        sum,
        format!("{:x}", check_sum(json.as_bytes())),
        "a torn event"
    );
    (name, epoch, offset.parse().unwrap(), last == "last")
}

impl Peer for Client {
    fn step(&mut self, now: Moment, net: &mut Net<'_>) {
        if self.is_done {
            return;
        }
        if self.line.is_none() {
            if now < self.not_before {
                return net.wake(self.not_before);
            }
            self.connect(net);
            if self.line.is_none() {
                self.not_before = Moment(now.0 + 1000);
                return net.wake(self.not_before);
            }
        }
        self.go_on(now, net);
    }

    fn describe(&self) -> String {
        let waits: Vec<_> = self
            .channels
            .iter()
            .filter(|(_, it)| it.now.is_some() || it.asked.is_some())
            .collect();
        format!(
            "client on {:?}, received {}, events {}, lags {}, lost {}, unsent {}, farewell {:?}, {waits:?}",
            self.line,
            self.received,
            self.events,
            self.lags,
            self.lost,
            self.unsent.len(),
            self.farewell
        )
    }
}
