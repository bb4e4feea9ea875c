//! A subscription has its place: the client is told, with the first of what it missed.
//!
//! What the answer does not carry follows as ordinary pushes from the log, so that a long backlog
//! costs no copy. The answer says `recovered` all the same, since all of it comes.

use lmserver_proto::centrifuge::{
    Channel, ErrorCode, Publication, PushEvent, PushSubscribe, SubscribeResult,
    SubscribeResultWriter,
};
use lmserver_runtime::channel::{Backlog, Placement};
use lmserver_runtime::event::{Details, Json, Kind, Position};
use lmserver_runtime::plugin::transport::{Disconnect, Entry, Gate, Membership, SessionCx};

use crate::connect::ServerSide;
use crate::encoding::{Pushes, publication};
use crate::queue;
use crate::session::Client;
use crate::subscription::{Purpose, Wish};

/// Bytes of publications that an answer carries.
const ANSWER_BYTES: usize = 16 * 1024;

/// What is so about a subscription that has its place.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// Where the client stands before what the answer carries; none in a channel without history.
    pub(crate) position: Option<Position>,
    pub(crate) is_recoverable: bool,
    pub(crate) is_positioned: bool,
    pub(crate) was_recovering: bool,
    pub(crate) recovered: bool,
    pub(crate) is_delta: bool,
    /// The channel's number, where pushes name it so.
    number: u32,
    ttl: Option<u32>,
    data: Option<Box<[u8]>>,
    pub(crate) membership: Option<Box<Membership>>,
}

/// A missed publication that the answer to a connect command carries.
#[derive(Debug)]
pub(crate) struct Missed {
    pub(crate) offset: u64,
    kind: Kind,
    pub(crate) json: Box<[u8]>,
    details: Option<Details>,
}

impl Missed {
    fn of(entry: &Entry<'_>) -> Self {
        Self {
            offset: entry.offset,
            kind: entry.kind,
            json: entry.json.whole().into(),
            details: entry.details.cloned(),
        }
    }

    /// The entry that it was.
    pub(crate) fn entry<'a>(&'a self, channel: &'a str, facts: &Facts) -> Entry<'a> {
        let epoch = facts.position.map(|position| position.epoch);
        Entry {
            channel,
            epoch: epoch.unwrap_or_else(|| lmserver_runtime::event::Epoch::from_random([0; 6])),
            offset: self.offset,
            kind: self.kind,
            json: Json::new(&self.json),
            details: self.details.as_ref(),
            previous: None,
            is_kept: epoch.is_some(),
            number: 0,
            created: 0,
            note: b"",
        }
    }
}

impl Facts {
    /// The client wants what came behind an offset. With an epoch it wants the newest alone.
    fn recover_from(&mut self, offset: u64, epoch: Option<&str>, backlog: &mut Backlog<'_>) {
        self.was_recovering = true;
        let known = self
            .position
            .map(|position| Position { offset, ..position });
        if let Some(epoch) = epoch {
            recover_newest(self, known, epoch, backlog);
        } else if self.recovered {
            self.position = known;
        }
    }

    /// What the client is told.
    pub(crate) fn result<'a>(&'a self, publications: &'a [Publication<'a>]) -> SubscribeResult<'a> {
        let position = self.position.as_ref();
        SubscribeResult {
            ttl: self.ttl,
            recoverable: self.is_recoverable,
            epoch: position.map_or("", |position| position.epoch.as_str()),
            publications,
            recovered: self.recovered,
            offset: position.map_or(0, |position| position.offset),
            positioned: self.is_positioned,
            data: self.data.as_deref().unwrap_or_default(),
            was_recovering: self.was_recovering,
            delta: self.is_delta,
            id: self.number.into(),
        }
    }

    /// The same where the server subscribed a connected client.
    fn push(&self) -> PushSubscribe<'_> {
        let position = self.position.as_ref();
        PushSubscribe {
            recoverable: self.is_recoverable,
            epoch: position.map_or("", |position| position.epoch.as_str()),
            offset: position.map_or(0, |position| position.offset),
            positioned: self.is_positioned,
            data: self.data.as_deref().unwrap_or_default(),
        }
    }
}

impl Client {
    /// Takes the outcome of a wish for a subscription.
    pub(crate) fn take_place(
        &mut self,
        channel: &str,
        placement: &Placement,
        backlog: &mut Backlog<'_>,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        let Some(subscription) = self.subscriptions.find_mut(channel) else {
            // It was ended meanwhile.
            cx.unsubscribe(channel);
            return Ok(());
        };
        let Some(wish) = subscription.take_wish() else {
            return Ok(());
        };
        let purpose = wish.purpose;
        if purpose != Purpose::Push
            && let Some(busy) = &mut self.busy
        {
            busy.waiting = busy.waiting.saturating_sub(1);
        }
        match self.facts(channel, wish, placement, backlog) {
            Ok(facts) => self.say_placed(channel, purpose, facts, backlog, cx),
            Err(code) => self.say_unplaced(channel, purpose, code, cx),
        }
        self.connect_if_placed(cx)
    }

    /// What is so about the subscription.
    fn facts(
        &self,
        channel: &str,
        wish: Wish,
        placement: &Placement,
        backlog: &mut Backlog<'_>,
    ) -> Result<Facts, ErrorCode> {
        let (position, is_reset, is_kept) = match placement {
            Placement::Placed {
                position, reset, ..
            } => (*position, reset.is_some(), backlog.is_kept()),
            Placement::Finished(position) => (*position, false, true),
            Placement::Unknown | Placement::Gone | Placement::Expired => {
                return Err(ErrorCode::UnknownChannel);
            }
            Placement::Busy => return Err(ErrorCode::Internal),
        };
        let flags = self.subscriptions.find(channel).map(|it| it.flags);
        let flags = flags.unwrap_or_default();
        let mut facts = Facts {
            position: is_kept.then_some(position),
            is_recoverable: wish.is_recoverable && is_kept,
            is_positioned: wish.is_positioned && is_kept,
            is_delta: flags.is_delta,
            number: if flags.is_numbered {
                backlog.number()
            } else {
                0
            },
            ttl: wish.ttl,
            data: wish.data,
            membership: wish.membership,
            ..Facts::default()
        };
        if let Some(offset) = wish.recover {
            facts.recovered = !is_reset && is_kept;
            facts.recover_from(offset, wish.cache_epoch.as_deref(), backlog);
            if !facts.recovered && wish.refuses_unrecoverable {
                return Err(ErrorCode::UnrecoverablePosition);
            }
        }
        Ok(facts)
    }

    /// The client has the subscription.
    fn say_placed(
        &mut self,
        channel: &str,
        purpose: Purpose,
        facts: Facts,
        backlog: &mut Backlog<'_>,
        cx: &mut SessionCx<'_>,
    ) {
        match purpose {
            Purpose::Command(id) => {
                self.say_subscribed(id, channel, &facts, backlog, cx);
                self.join(channel, facts.membership, cx);
            }
            Purpose::Push => {
                let event = PushEvent::Subscribe(facts.push());
                self.push_about(Channel::Name(channel), event, cx);
                self.join(channel, facts.membership, cx);
            }
            Purpose::Connect => {
                let missed = self.keep_missed(channel, &facts, backlog);
                let busy = self.busy.as_mut();
                if let Some(connecting) = busy.and_then(|busy| busy.connecting.as_mut()) {
                    connecting.placed.push(ServerSide {
                        channel: channel.into(),
                        facts,
                        missed,
                    });
                }
            }
        }
    }

    /// Keeps what the answer to the connect command shall carry.
    fn keep_missed(
        &mut self,
        channel: &str,
        facts: &Facts,
        backlog: &mut Backlog<'_>,
    ) -> Vec<Missed> {
        let mut missed = Vec::new();
        let mut bytes = (self.busy.as_ref())
            .and_then(|busy| busy.connecting.as_ref())
            .map_or(0, |connecting| connecting.bytes);
        if facts.recovered {
            let room = ANSWER_BYTES.saturating_sub(bytes);
            self.take_missed(channel, backlog, room, |entry| {
                missed.push(Missed::of(entry));
                let size = entry.json.len() + MESSAGE_BYTES;
                bytes += size;
                size
            });
        }
        let busy = self.busy.as_mut();
        if let Some(connecting) = busy.and_then(|busy| busy.connecting.as_mut()) {
            connecting.bytes = bytes;
        }
        missed
    }

    /// Answers a subscribe command.
    fn say_subscribed(
        &mut self,
        id: u32,
        channel: &str,
        facts: &Facts,
        backlog: &mut Backlog<'_>,
        cx: &mut SessionCx<'_>,
    ) {
        let (protocol, quoted) = (self.carrier.protocol(), facts.is_delta);
        let result = facts.result(&[]);
        let mut reply = Vec::new();
        let mut writer = SubscribeResultWriter::begin(protocol, id, &result, &mut reply);
        if facts.recovered {
            let room = ANSWER_BYTES.min(queue::room(cx));
            self.take_missed(channel, backlog, room, |entry| {
                let before = writer.len();
                writer.publication(&publication(entry, &entry.json.whole(), protocol, quoted));
                writer.len() - before
            });
        }
        writer.finish();
        self.say(cx, |_, out| out.extend_from_slice(&reply));
    }

    /// Takes publications for an answer, until its room is full. `take` says how many bytes one is.
    fn take_missed(
        &mut self,
        channel: &str,
        backlog: &mut Backlog<'_>,
        room: usize,
        mut take: impl FnMut(&Entry<'_>) -> usize,
    ) {
        let Some(subscription) = self.subscriptions.find_mut(channel) else {
            return;
        };
        let mut bytes = 0;
        while let Some(entry) = backlog.peek() {
            if bytes + entry.json.len() > room {
                return;
            }
            backlog.next();
            let tags = entry.details.map_or(&[][..], |details| &details.tags);
            let filter = subscription.filter();
            if filter.is_none_or(|filter| filter.matches(tags)) {
                bytes += take(&entry);
                subscription.flags.has_base = true;
            }
        }
    }

    /// The client does not have the subscription.
    fn say_unplaced(
        &mut self,
        channel: &str,
        purpose: Purpose,
        code: ErrorCode,
        cx: &mut SessionCx<'_>,
    ) {
        self.drop_subscription(channel, cx);
        match purpose {
            Purpose::Command(id) => self.error(id, code, cx),
            Purpose::Push => {}
            Purpose::Connect => {
                let busy = self.busy.as_mut();
                if let Some(connecting) = busy.and_then(|busy| busy.connecting.as_mut()) {
                    connecting.failed |= code.temporary();
                }
            }
        }
    }

    /// Decides about the next event of a gated subscription.
    pub(crate) fn judge(&self, channel: &str, entry: &Entry<'_>, cx: &mut SessionCx<'_>) -> Gate {
        let Some(subscription) = self.subscriptions.find(channel) else {
            return Gate::Skip;
        };
        if let Some(filter) = subscription.filter() {
            let tags = entry.details.map_or(&[][..], |details| &details.tags);
            return if filter.matches(tags) {
                Gate::Pass
            } else {
                Gate::Skip
            };
        }
        let flags = subscription.flags;
        let encoding = Pushes::of(self.carrier, flags.is_numbered, flags.is_delta);
        let Some(encoding) = encoding.filter(|_| flags.is_delta && !flags.has_base) else {
            return Gate::Open;
        };
        let position = (self.carrier.is_unidirectional && entry.is_kept).then(|| entry.position());
        let position = position.as_ref().map(|it| it as &dyn std::fmt::Display);
        let write = |out: &mut Vec<u8>| encoding.write(entry, false, out);
        self.carrier.say_at(position, cx.out(), |_, out| write(out));
        Gate::Replaced
    }
}

/// What a publication takes in an answer beside its data, roughly.
const MESSAGE_BYTES: usize = 32;

/// Recovers the newest publication alone: leaves it in the backlog if the client lacks it.
fn recover_newest(
    facts: &mut Facts,
    known: Option<Position>,
    epoch: &str,
    backlog: &mut Backlog<'_>,
) {
    let Some(newest) = backlog.newest() else {
        return;
    };
    let fits = epoch.is_empty() || epoch == newest.epoch.as_str();
    let has_newest = fits && known.is_some_and(|known| known.offset == newest.offset);
    let leave = u64::from(!has_newest);
    while backlog.len() > leave {
        backlog.next();
    }
    facts.recovered = has_newest || !backlog.is_empty();
    facts.position = Some(newest);
}
