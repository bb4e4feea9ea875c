//! Commands about channels that are not subscribing, and those that bring new tokens.
//!
//! What has to be asked of the engine is tagged with the command's id and its kind, so that
//! nothing need be kept until the answer comes.

use std::collections::BTreeSet;

use lmserver_proto::centrifuge::{
    ClientInfo, ErrorCode, HistoryRequest, HistoryResult, Publication, PublishRequest, ReplyResult,
    SubRefreshRequest,
};
use lmserver_runtime::channel::History;
use lmserver_runtime::directory::Members;
use lmserver_runtime::event::{self, Details, payload};
use lmserver_runtime::limits::Retention;
use lmserver_runtime::plugin::access::{
    ActAsk, ActGrant, Action, Denial, RefreshGrant, SubscribeAsk,
};
use lmserver_runtime::plugin::query::{Answer, Publish, Query, Range};
use lmserver_runtime::plugin::transport::{Disconnect, Entry, SessionCx};

use crate::connect::VERSION;
use crate::encoding::{client_info, publication};
use crate::queue;
use crate::session::Client;

/// A tag is a command's id, and one of these behind it.
const IDS: u32 = 32;
const PUBLISH: u64 = 0;
const PRESENCE: u64 = 1 << IDS;
const PRESENCE_STATS: u64 = 2 << IDS;
const HISTORY: u64 = 3 << IDS;

/// What a publication or a member takes in an answer beside what it brings, roughly.
const ITEM_BYTES: usize = 64;

impl Client {
    /// Asks whether the client may do something; else it is refused, and the reason is said.
    fn may(
        &mut self,
        action: Action,
        id: u32,
        channel: &str,
        data: &[u8],
        cx: &mut SessionCx<'_>,
    ) -> Result<Option<ActGrant>, Disconnect> {
        if channel.is_empty() {
            self.bad_request(cx)?;
            return Ok(None);
        }
        let ask = ActAsk {
            action,
            user: &self.user,
            channel,
            is_subscribed: self.subscriptions.find(channel).is_some(),
            data,
        };
        match cx.access().act(&ask) {
            Ok(grant) => Ok(Some(grant)),
            Err(denial) => {
                self.deny(id, denial, cx)?;
                Ok(None)
            }
        }
    }

    pub(crate) fn publish(
        &mut self,
        id: u32,
        request: &PublishRequest<'_>,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        let channel = &*request.channel;
        if !channel.is_empty() {
            let refusal = match (request.kind, request.data) {
                (0, []) => Some(ErrorCode::BadRequest),
                (0, _) => None,
                _ => Some(ErrorCode::NotAvailable),
            };
            if let Some(code) = refusal {
                self.error(id, code, cx);
                return Ok(());
            }
        }
        let Some(grant) = self.may(Action::Publish, id, channel, request.data, cx)? else {
            return Ok(());
        };
        let subscription = self.subscriptions.find(channel);
        let (data, binary) = payload(request.data);
        let details = Details {
            publisher: Some(self.info(subscription.and_then(|it| it.info()))),
            as_delta: grant.as_delta,
            binary,
            ..Details::default()
        };
        let publish = Publish {
            channel: channel.into(),
            data,
            details: Some(Box::new(details)),
            retention: grant.create.unwrap_or(Retention::NONE),
            is_fleeting: false,
        };
        cx.ask(Query::Publish(publish), u64::from(id) | PUBLISH);
        Ok(())
    }

    pub(crate) fn presence(
        &mut self,
        id: u32,
        channel: &str,
        counts: bool,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        if self.may(Action::Presence, id, channel, &[], cx)?.is_some() {
            let kind = if counts { PRESENCE_STATS } else { PRESENCE };
            cx.ask(Query::Presence(channel.into()), u64::from(id) | kind);
        }
        Ok(())
    }

    pub(crate) fn history(
        &mut self,
        id: u32,
        request: &HistoryRequest<'_>,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        let channel = &*request.channel;
        let Some(grant) = self.may(Action::History, id, channel, &[], cx)? else {
            return Ok(());
        };
        let since = request.since.as_ref();
        if request.reverse && since.is_some_and(|since| since.offset == 0) {
            self.error(id, ErrorCode::BadRequest, cx);
            return Ok(());
        }
        let most = cx.access().settings().history_limit;
        let limit = usize::try_from(request.limit).map_or(most, |limit| limit.min(most));
        let epoch = since.map(|since| &*since.epoch);
        let range = Range {
            channel: channel.into(),
            since: since.map(|since| since.offset),
            epoch: epoch.filter(|epoch| !epoch.is_empty()).map(Into::into),
            limit,
            reverse: request.reverse,
            create: grant.create,
        };
        cx.ask(Query::History(range), u64::from(id) | HISTORY);
        Ok(())
    }

    /// Answers the command that a tag stands for.
    pub(crate) fn reply_with(&mut self, tag: u64, answer: &Answer<'_>, cx: &mut SessionCx<'_>) {
        let id = u32::try_from(tag & u64::from(u32::MAX)).unwrap_or_default();
        let kind = tag & !u64::from(u32::MAX);
        match answer {
            Answer::Published(_) | Answer::Done => self.reply(id, ReplyResult::Publish, cx),
            Answer::Presence(members) if kind == PRESENCE => self.reply_members(id, members, cx),
            Answer::Presence(members) => self.reply_count(id, members, cx),
            Answer::History(history) => self.reply_history(id, history, cx),
            Answer::Unrecoverable => self.error(id, ErrorCode::UnrecoverablePosition, cx),
            Answer::Unknown | Answer::Expired => self.error(id, ErrorCode::UnknownChannel, cx),
            Answer::TooLarge { .. } => self.error(id, ErrorCode::LimitExceeded, cx),
            _ => self.error(id, ErrorCode::Internal, cx),
        }
    }

    fn reply_members(&mut self, id: u32, members: &Members, cx: &mut SessionCx<'_>) {
        let size = |info: &event::ClientInfo| ITEM_BYTES + info.client.len() + info.heap_bytes();
        let bytes: usize = members.listed().map(size).sum();
        if bytes > queue::room(cx) {
            let is_too_large = bytes > queue::ANSWERS_BYTES;
            return self.error(id, refusal(is_too_large), cx);
        }
        let clients: Vec<(&str, ClientInfo<'_>)> = members
            .listed()
            .map(|info| (&*info.client, client_info(info)))
            .collect();
        self.reply(id, ReplyResult::Presence(&clients), cx);
    }

    fn reply_count(&mut self, id: u32, members: &Members, cx: &mut SessionCx<'_>) {
        let mut users: BTreeSet<&str> = BTreeSet::new();
        users.extend(members.listed().map(|info| &*info.user));
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let result = ReplyResult::PresenceStats {
            clients: count(members.listed().count()),
            users: count(users.len()),
        };
        self.reply(id, result, cx);
    }

    fn reply_history(&mut self, id: u32, history: &History<'_>, cx: &mut SessionCx<'_>) {
        let protocol = self.carrier.protocol();
        // What does not fit the client asks for again, behind the last that it got.
        let (mut room, is_short) = (queue::room(cx), queue::is_short(cx));
        let mut entries: Vec<Entry<'_>> = Vec::new();
        for entry in history.entries() {
            let size = size_of_entry(&entry);
            let fits = size <= room || (is_short && entries.is_empty());
            if !fits && entries.is_empty() {
                return self.error(id, ErrorCode::TooManyRequests, cx);
            }
            if !fits {
                break;
            }
            room = room.saturating_sub(size);
            entries.push(entry);
        }
        let texts: Vec<_> = entries.iter().map(|entry| entry.json.whole()).collect();
        let publications: Vec<Publication<'_>> = (entries.iter().zip(&texts))
            .map(|(entry, json)| publication(entry, json, protocol, false))
            .collect();
        let position = history.position();
        let result = HistoryResult {
            publications: &publications,
            epoch: position.epoch.as_str(),
            offset: position.offset,
        };
        self.reply(id, ReplyResult::History(&result), cx);
    }

    pub(crate) fn refresh(
        &mut self,
        id: u32,
        token: &str,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        if self.rare.as_ref().is_none_or(|rare| rare.ends.is_none()) {
            return self.bad_request(cx);
        }
        let now = cx.unix_time;
        let expiry = match cx.access().refresh(&self.user, token, now) {
            Ok(expiry) => expiry,
            Err(denial) => return self.deny(id, denial, cx),
        };
        let ttl = self.take_expiry(expiry, cx);
        let client = self.id.to_string();
        let result = ReplyResult::Refresh {
            client: &client,
            version: VERSION,
            ttl,
        };
        self.reply(id, result, cx);
        Ok(())
    }

    pub(crate) fn refresh_subscription(
        &mut self,
        id: u32,
        request: &SubRefreshRequest<'_>,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        if request.kind != 0 {
            self.error(id, ErrorCode::NotAvailable, cx);
            return Ok(());
        }
        let channel = &*request.channel;
        let is_by_token = if channel.is_empty() {
            // Some clients leave the token to say it.
            self.subscriptions.iter().any(|it| it.flags.by_token)
        } else {
            match self.subscriptions.find(channel) {
                None => {
                    self.error(id, ErrorCode::PermissionDenied, cx);
                    return Ok(());
                }
                Some(it) => it.flags.by_token,
            }
        };
        if !is_by_token {
            return self.bad_request(cx);
        }
        match self.ask_refresh(channel, &request.token, cx) {
            Ok(grant) => self.prolong(id, &grant, cx),
            Err(denial) => return self.deny(id, denial, cx),
        }
        Ok(())
    }

    fn ask_refresh(
        &self,
        channel: &str,
        token: &str,
        cx: &mut SessionCx<'_>,
    ) -> Result<RefreshGrant, Denial> {
        let client = self.id.to_string();
        let ask = SubscribeAsk {
            user: &self.user,
            client: &client,
            channel,
            token,
            unix_time: cx.unix_time,
        };
        cx.access().refresh_subscription(&ask)
    }

    /// Prolongs the subscription that a token is for, if there is one that rests on a token.
    fn prolong(&mut self, id: u32, grant: &RefreshGrant, cx: &mut SessionCx<'_>) {
        let (ttl, ends) = self.subscription_expiry(grant.expiry, cx);
        let subscription = self.subscriptions.find_mut(&grant.channel);
        let Some(subscription) = subscription.filter(|it| it.flags.by_token) else {
            return self.error(id, ErrorCode::PermissionDenied, cx);
        };
        subscription.set_ends(ends);
        self.reckon_expiry();
        self.reply(id, ReplyResult::SubRefresh { ttl }, cx);
    }
}

/// What an entry takes in an answer, roughly.
fn size_of_entry(entry: &Entry<'_>) -> usize {
    let details = entry.details.map_or(0, |details| {
        let publisher = details.publisher.as_ref().map_or(0, |it| it.heap_bytes());
        let tags = details.tags.iter();
        let tags: usize = tags.map(|(key, value)| key.len() + value.len()).sum();
        publisher + tags
    });
    ITEM_BYTES + entry.json.len() + details
}

/// Why an answer is not given: it never fits, or not behind what waits already.
fn refusal(is_too_large: bool) -> ErrorCode {
    if is_too_large {
        ErrorCode::LimitExceeded
    } else {
        ErrorCode::TooManyRequests
    }
}
