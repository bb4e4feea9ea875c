//! Asking for a subscription: what the client wants against what it is granted.
//!
//! ```text
//!   request ─► limits ─► the application's grant ─► what is asked of the engine
//!                                                      position, encoding, gate
//! ```

use lmserver_proto::centrifuge::filter::Filter;
use lmserver_proto::centrifuge::{ErrorCode, ReplyResult, SubscribeRequest};
use lmserver_runtime::event::{After, ClientInfo, Position};
use lmserver_runtime::plugin::access::{Feature, SubscribeAsk, SubscribeGrant};
use lmserver_runtime::plugin::transport::{self, Disconnect, Lost, Membership, SessionCx};

use crate::encoding::Pushes;
use crate::session::Client;
use crate::subscription::{Extra, Flags, Purpose, Subscription, Wish};

/// The longest name of a channel, in bytes.
const CHANNEL_LENGTH: usize = 255;

/// What a client wants of a subscription.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// Behind which offset and of which epoch publications are to be recovered.
    pub(crate) recover: Option<(u64, Box<str>)>,
    /// It may be recovered later.
    pub(crate) recoverable: bool,
    pub(crate) positioned: bool,
    pub(crate) join_leave: bool,
    pub(crate) delta: bool,
    pub(crate) numbered: bool,
    pub(crate) refuses_unrecoverable: bool,
    pub(crate) filter: Option<Filter>,
}

impl Wanted {
    pub(crate) fn of(request: &SubscribeRequest<'_>) -> Self {
        let has = |bit| request.flag & bit != 0;
        Self {
            recover: (request.recover).then(|| (request.offset, (*request.epoch).into())),
            recoverable: request.recoverable || request.recover,
            positioned: request.positioned,
            join_leave: request.join_leave,
            delta: request.delta == "fossil",
            numbered: has(SubscribeRequest::COMPACTION),
            refuses_unrecoverable: has(SubscribeRequest::REFUSE_UNRECOVERABLE),
            filter: None,
        }
    }
}

impl Wanted {
    /// Takes a position that the client has come to since it wrote its request, if it is one of
    /// this channel or may be: the channel is the only one, or the request names no position.
    pub(crate) fn resume(&mut self, position: Position, is_only: bool) {
        let epoch = position.epoch.as_str();
        let named = self.recover.as_ref().map(|(_, epoch)| &**epoch);
        if is_only || named.is_none_or(|named| named == epoch) {
            self.recover = Some((position.offset, epoch.into()));
        }
    }
}

impl Client {
    /// Carries out a subscribe command.
    pub(crate) fn subscribe(
        &mut self,
        id: u32,
        request: &SubscribeRequest<'_>,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        if request.channel.is_empty() {
            return self.bad_request(cx);
        }
        if let Err(code) = self.may_ask(request, cx) {
            self.error(id, code, cx);
            return Ok(());
        }
        let client = self.id.to_string();
        let ask = SubscribeAsk {
            user: &self.user,
            client: &client,
            channel: &request.channel,
            token: &request.token,
            unix_time: cx.unix_time,
        };
        let grant = match cx.access().subscribe(&ask) {
            Ok(grant) => grant,
            Err(denial) => return self.deny(id, denial, cx),
        };
        let mut wanted = Wanted::of(request);
        if let Some(filter) = &request.tags_filter {
            // Differences are made from publications that a filter may leave out.
            let parsed = filter.parse().ok();
            match parsed.filter(|_| grant.tags_filter && !wanted.delta) {
                Some(filter) => wanted.filter = Some(filter),
                None => {
                    self.error(id, ErrorCode::BadRequest, cx);
                    return Ok(());
                }
            }
        }
        self.busy.get_or_insert_default().waiting += 1;
        self.place(&request.channel, grant, wanted, Purpose::Command(id), cx);
        Ok(())
    }

    /// What can be said without the application.
    fn may_ask(
        &self,
        request: &SubscribeRequest<'_>,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), ErrorCode> {
        if request.kind != 0 {
            return Err(ErrorCode::NotAvailable);
        }
        if request.channel.len() > CHANNEL_LENGTH {
            return Err(ErrorCode::BadRequest);
        }
        if self.subscriptions.find(&request.channel).is_some() {
            return Err(ErrorCode::AlreadySubscribed);
        }
        if self.subscriptions.len() >= cx.access().settings().channel_limit {
            return Err(ErrorCode::LimitExceeded);
        }
        Ok(())
    }

    /// Asks the engine for a place in a channel.
    pub(crate) fn place(
        &mut self,
        channel: &str,
        mut grant: SubscribeGrant,
        mut wanted: Wanted,
        purpose: Purpose,
        cx: &mut SessionCx<'_>,
    ) {
        if grant.recovery == Feature::Off {
            wanted.recover = None;
        }
        let (ttl, ends) = self.subscription_expiry(grant.expiry, cx);
        let is_server_side = !matches!(purpose, Purpose::Command(_));
        let flags = Flags {
            is_server_side,
            by_token: grant.by_token,
            is_delta: wanted.delta && grant.delta,
            is_numbered: wanted.numbered && grant.compaction && !is_server_side,
            ..Flags::default()
        };
        let Some(encoding) = Pushes::of(self.carrier, flags.is_numbered, flags.is_delta) else {
            return;
        };
        cx.subscribe(transport::Subscription {
            channel,
            after: after(&wanted, &grant),
            encoding,
            create: grant.create,
            gated: flags.is_delta || wanted.filter.is_some(),
            lost: if grant.from_beginning {
                Lost::Oldest
            } else {
                Lost::Newest
            },
        });
        let extra = Extra {
            wish: Some(self.wish(purpose, &wanted, &mut grant, ttl)),
            filter: wanted.filter,
            ends,
            info: grant.info,
        };
        self.subscriptions.push(Subscription {
            channel: channel.into(),
            extra: Some(Box::new(extra)),
            flags,
        });
        self.reckon_expiry();
    }

    /// What has to be known when the place is there. Takes what the grant has for the client.
    fn wish(
        &self,
        purpose: Purpose,
        wanted: &Wanted,
        grant: &mut SubscribeGrant,
        ttl: Option<u32>,
    ) -> Wish {
        let is_recoverable = grant.recovery.is_on(wanted.recoverable);
        let recover = wanted.recover.as_ref();
        let newest_alone = recover.filter(|_| grant.is_cache);
        Wish {
            purpose,
            cache_epoch: newest_alone.map(|(_, epoch)| epoch.clone()),
            recover: recover.map(|(offset, _)| *offset),
            refuses_unrecoverable: wanted.refuses_unrecoverable,
            is_recoverable,
            is_positioned: is_recoverable || grant.positioning.is_on(wanted.positioned),
            ttl,
            membership: self.membership(grant, wanted.join_leave),
            data: grant.data.take(),
        }
    }

    /// As whom the client is a member of a channel, if it is one.
    fn membership(&self, grant: &SubscribeGrant, asks: bool) -> Option<Box<Membership>> {
        if !grant.presence && !grant.join_leave {
            return None;
        }
        Some(Box::new(Membership {
            info: self.info(grant.info.as_deref()),
            is_listed: grant.presence,
            is_announced: grant.join_leave,
            hears: grant.join_leave && grant.push_join_leave.is_on(asks),
        }))
    }

    /// The client as others see it in a channel.
    pub(crate) fn info(&self, channel_info: Option<&[u8]>) -> ClientInfo {
        ClientInfo {
            user: self.user.clone(),
            client: self.id.to_string().into(),
            connection_info: self.rare.as_ref().and_then(|rare| rare.info.clone()),
            channel_info: channel_info.map(Into::into),
        }
    }

    /// Makes the client a member of a channel.
    pub(crate) fn join(
        &mut self,
        channel: &str,
        membership: Option<Box<Membership>>,
        cx: &mut SessionCx<'_>,
    ) {
        if let Some(membership) = membership
            && let Some(subscription) = self.subscriptions.find_mut(channel)
        {
            subscription.flags.is_member = true;
            cx.join(channel, *membership);
        }
    }

    /// Carries out an unsubscribe command.
    pub(crate) fn unsubscribe(
        &mut self,
        id: u32,
        channel: &str,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        if channel.is_empty() {
            return self.bad_request(cx);
        }
        self.drop_subscription(channel, cx);
        self.reply(id, ReplyResult::Unsubscribe, cx);
        Ok(())
    }
}

/// From where the engine is asked to begin.
fn after(wanted: &Wanted, grant: &SubscribeGrant) -> After {
    match &wanted.recover {
        // All of it, of which the newest is taken.
        Some(_) if grant.is_cache => After::Beginning,
        Some((offset, epoch)) if epoch.is_empty() => After::Offset(*offset),
        Some((offset, epoch)) => {
            let position = format!("{epoch}-{offset}").parse();
            position.map_or(After::Unreadable, After::Position)
        }
        None if grant.from_beginning => After::Beginning,
        None => After::Now,
    }
}
