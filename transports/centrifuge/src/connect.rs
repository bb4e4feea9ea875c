//! The connect command, or the request that stands for it: who the client is, what the server
//! subscribes it to, and the answer once all of that has its place.

use std::fmt::Display;

use lmserver_proto::centrifuge::{
    Channel, ConnectRequest, ConnectResult, DisconnectCode, ErrorCode, Publication, Push,
    PushEvent, ReplyResult, Subscription,
};
use lmserver_runtime::event::Position;
use lmserver_runtime::plugin::access::{ConnectAsk, ConnectGrant, Denial};
use lmserver_runtime::plugin::transport::{Disconnect, Entry, Identity, SessionCx};
use lmserver_runtime::time::Moment;
use uuid::{Builder, Uuid};

use crate::dispatch::{disconnect_of, error_of};
use crate::encoding::publication;
use crate::placement::{Facts, Missed};
use crate::session::{Client, Phase, Rare};
use crate::subscribe::Wanted;
use crate::subscription::Purpose;

/// What the server calls itself.
pub(crate) const VERSION: &str = concat!("lmserver ", env!("CARGO_PKG_VERSION"));

/// A connect command whose subscriptions get their places.
#[derive(Debug)]
pub(crate) struct Connecting {
    id: u32,
    ttl: Option<u32>,
    /// Those that have one.
    pub(crate) placed: Vec<ServerSide>,
    /// Bytes of publications that the answer carries so far.
    pub(crate) bytes: usize,
    /// One could not get its place, since the server is busy.
    pub(crate) failed: bool,
}

/// A subscription that the server made.
#[derive(Debug)]
pub(crate) struct ServerSide {
    pub(crate) channel: Box<str>,
    pub(crate) facts: Facts,
    pub(crate) missed: Vec<Missed>,
}

impl Client {
    /// Takes the first message of a unidirectional connection. Later ones mean nothing.
    pub(crate) fn first_message(
        &mut self,
        bytes: &[u8],
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        if self.phase != Phase::Fresh {
            return Ok(());
        }
        match ConnectRequest::from_json(bytes) {
            Ok(request) => self.connect(0, &request, None, cx),
            Err(error) => self.disconnect(error.disconnect(), cx),
        }
    }

    /// Connects the client. `resume` is a position in one of its subscriptions.
    pub(crate) fn connect(
        &mut self,
        id: u32,
        request: &ConnectRequest<'_>,
        resume: Option<Position>,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        let channels: Vec<&str> = request.subs.iter().map(|(name, _)| &**name).collect();
        let ask = ConnectAsk {
            token: &request.token,
            channels: &channels,
            is_unidirectional: self.carrier.is_unidirectional,
            unix_time: cx.unix_time,
        };
        let grant = match cx.access().connect(&ask) {
            Ok(grant) => grant,
            Err(denial) => return self.reject(id, denial, cx),
        };
        let settings = cx.access().settings();
        let limit = settings.user_connection_limit;
        if grant.subscriptions.len() > settings.channel_limit {
            return self.disconnect(DisconnectCode::ChannelLimit, cx);
        }
        if limit > 0 && !grant.user.is_empty() && cx.connections_of(&grant.user) >= limit {
            return self.disconnect(DisconnectCode::ConnectionLimit, cx);
        }
        self.begin(id, grant, request, resume, cx)
    }

    /// Carries out a refusal to connect.
    fn reject(
        &mut self,
        id: u32,
        denial: Denial,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        let error = match denial {
            Denial::Disconnect(code) => return self.disconnect(disconnect_of(code), cx),
            Denial::Error(code) => error_of(code),
        };
        if self.carrier.is_unidirectional {
            return self.disconnect(error.unidirectional(), cx);
        }
        if let Some(stream) = &mut self.stream
            && stream.refuses_by_status()
            && error.temporary
        {
            return self.disconnect(DisconnectCode::TooManyRequests, cx);
        }
        // Clients close by themselves. If the server did, some would miss the answer.
        self.phase = Phase::Rejected;
        self.busy = None;
        self.error(id, error, cx);
        Ok(())
    }

    /// Takes on who the client is, and asks for the server's subscriptions.
    fn begin(
        &mut self,
        id: u32,
        grant: ConnectGrant,
        request: &ConnectRequest<'_>,
        resume: Option<Position>,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        self.phase = Phase::Connecting;
        self.id = random_id(cx);
        self.user = grant.user;
        let ttl = self.take_expiry(grant.expiry, cx);
        if self.stream.is_some() || self.carrier.is_unidirectional {
            self.rare_mut().session = Some(random_id(cx));
        }
        if grant.info.is_some() {
            self.rare_mut().info = grant.info;
        }
        let busy = self.busy.get_or_insert_default();
        busy.waiting = grant.subscriptions.len();
        busy.connecting = Some(Connecting {
            id,
            ttl,
            placed: Vec::new(),
            bytes: 0,
            failed: false,
        });
        let is_only = grant.subscriptions.len() == 1;
        for (channel, grant) in grant.subscriptions {
            let asked = request
                .subs
                .iter()
                .rev()
                .find(|(name, _)| **name == *channel);
            let mut wanted = asked.map_or_else(Wanted::default, |(_, it)| Wanted::of(it));
            if let Some(position) = resume {
                wanted.resume(position, is_only);
            }
            self.place(&channel, grant, wanted, Purpose::Connect, cx);
        }
        self.connect_if_placed(cx)
    }

    /// Answers the connect command, once nothing is waited for.
    pub(crate) fn connect_if_placed(&mut self, cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        let Some(busy) = self.busy.as_mut().filter(|busy| busy.waiting == 0) else {
            return Ok(());
        };
        let Some(connecting) = busy.connecting.take() else {
            return Ok(());
        };
        self.busy.take_if(|busy| busy.is_idle());
        if connecting.failed {
            self.leave_all(cx);
            let busy = Denial::Error(error_number(ErrorCode::Internal));
            return self.reject(connecting.id, busy, cx);
        }
        self.phase = Phase::Connected;
        let settings = cx.access().settings();
        let (interval, timeout) = (settings.ping_interval, settings.pong_timeout);
        let pings = !interval.is_zero() && !self.pings_by_frames;
        self.say_connected(
            &connecting,
            if pings { interval.as_secs() } else { 0 },
            pings && !timeout.is_zero() && !self.carrier.is_unidirectional,
            cx,
        );
        self.heart.due = if interval.is_zero() {
            Moment::NEVER
        } else {
            let wait = cx.jitter(interval / 2, interval);
            cx.now + wait
        };
        let session = self.rare.as_ref().and_then(|rare| rare.session);
        cx.register(Identity {
            client: self.id.as_u128(),
            user: self.user.clone(),
            session: session.map(|session| session.as_u128()),
        });
        for placed in connecting.placed {
            self.join(&placed.channel, placed.facts.membership, cx);
        }
        Ok(())
    }

    /// Writes the answer: what the client is told of itself and of its subscriptions.
    fn say_connected(
        &mut self,
        connecting: &Connecting,
        ping: u64,
        pong: bool,
        cx: &mut SessionCx<'_>,
    ) {
        let text = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
        let rare = self.rare.as_deref();
        let (session, node) = rare.map_or((None, None), |rare| (rare.session, rare.node));
        let (client, session, node) = (self.id.to_string(), text(session), text(node));
        let (placed, protocol) = (&connecting.placed, self.carrier.protocol());
        let entries: Vec<Vec<Entry<'_>>> = placed.iter().map(ServerSide::entries).collect();
        let publications: Vec<Vec<Publication<'_>>> = (placed.iter().zip(&entries))
            .map(|(placed, entries)| {
                let quoted = placed.facts.is_delta;
                (entries.iter().zip(&placed.missed))
                    .map(|(entry, missed)| publication(entry, &missed.json, protocol, quoted))
                    .collect()
            })
            .collect();
        let subs: Vec<Subscription<'_>> = (placed.iter().zip(&publications))
            .map(|(placed, publications)| Subscription {
                channel: &placed.channel,
                result: placed.facts.result(publications),
            })
            .collect();
        let result = ConnectResult {
            client: &client,
            version: VERSION,
            ttl: connecting.ttl,
            subs: &subs,
            ping: u32::try_from(ping).unwrap_or(u32::MAX),
            pong,
            session: &session,
            node: &node,
            ..ConnectResult::default()
        };
        if !self.carrier.is_unidirectional {
            return self.reply(connecting.id, ReplyResult::Connect(&result), cx);
        }
        // Of one subscription the client has a position from here on.
        let position = match connecting.placed.as_slice() {
            [one] => one.position(),
            _ => None,
        };
        self.say_connect_push(&result, position, cx);
    }

    fn say_connect_push(
        &mut self,
        result: &ConnectResult<'_>,
        position: Option<Position>,
        cx: &mut SessionCx<'_>,
    ) {
        if let Some(stream) = &mut self.stream {
            stream.begin(cx);
        }
        let carrier = self.carrier;
        let push = Push {
            channel: Channel::None,
            event: PushEvent::Connect(result),
        };
        let position = position.as_ref().map(|position| position as &dyn Display);
        carrier.say_at(position, cx.out(), |_, out| carrier.write_push(&push, out));
    }

    pub(crate) fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}

impl ServerSide {
    fn entries(&self) -> Vec<Entry<'_>> {
        let entries = self.missed.iter();
        entries
            .map(|missed| missed.entry(&self.channel, &self.facts))
            .collect()
    }

    /// Where the client stands when it has read the answer.
    fn position(&self) -> Option<Position> {
        let position = self.facts.position?;
        let newest = self.missed.last().map(|missed| missed.offset);
        Some(Position {
            offset: newest.unwrap_or(position.offset),
            ..position
        })
    }
}

/// A random id of version 4.
fn random_id(cx: &mut SessionCx<'_>) -> Uuid {
    let mut bytes = [0; 16];
    cx.random(&mut bytes);
    Builder::from_random_bytes(bytes).into_uuid()
}

fn error_number(code: ErrorCode) -> u16 {
    u16::try_from(code.number()).unwrap_or_default()
}
