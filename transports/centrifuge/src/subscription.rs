//! The subscriptions of one connection: a short list, since most connections have one.

use lmserver_proto::centrifuge::filter::Filter;
use lmserver_runtime::plugin::transport::Membership;
use lmserver_runtime::time::Moment;

/// One subscription.
#[derive(Debug, Default)]
pub(crate) struct Subscription {
    pub(crate) channel: Box<str>,
    /// What few subscriptions have.
    pub(crate) extra: Option<Box<Extra>>,
    pub(crate) flags: Flags,
}

/// What is so or not about a subscription.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    /// The server made it.
    pub(crate) is_server_side: bool,
    /// It rests on a token.
    pub(crate) by_token: bool,
    /// The client is a member of the channel.
    pub(crate) is_member: bool,
    /// Its publications may be differences.
    pub(crate) is_delta: bool,
    /// Its pushes have the channel's number.
    pub(crate) is_numbered: bool,
    /// The client holds the newest publication, so that a difference from it may follow.
    pub(crate) has_base: bool,
}

/// What few subscriptions have.
#[derive(Debug, Default)]
pub(crate) struct Extra {
    /// Only publications with these tags.
    pub(crate) filter: Option<Filter>,
    /// When it ends unless it is refreshed, the time for refreshing included.
    pub(crate) ends: Option<Moment>,
    /// JSON about the client in this channel.
    pub(crate) info: Option<Box<[u8]>>,
    /// It has no place yet: what is to be said when it has.
    pub(crate) wish: Option<Wish>,
}

impl Extra {
    fn is_empty(&self) -> bool {
        self.filter.is_none() && self.ends.is_none() && self.info.is_none() && self.wish.is_none()
    }
}

/// Whom the placement of a subscription answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The subscribe command with this id.
    Command(u32),
    /// The connect command, with the others that it waits for.
    Connect,
    /// Nobody: the client is told by a push.
    Push,
}

/// What has to be known when a subscription has its place.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) purpose: Purpose,
    /// Behind which offset publications are to be recovered.
    pub(crate) recover: Option<u64>,
    /// Error 112 is to be answered where recovery fails.
    pub(crate) refuses_unrecoverable: bool,
    /// Recovery is that of the newest publication alone; the epoch that the client knows.
    pub(crate) cache_epoch: Option<Box<str>>,
    pub(crate) is_recoverable: bool,
    pub(crate) is_positioned: bool,
    /// Seconds until it expires.
    pub(crate) ttl: Option<u32>,
    /// JSON for the client.
    pub(crate) data: Option<Box<[u8]>>,
    /// As whom the client is a member of the channel.
    pub(crate) membership: Option<Box<Membership>>,
}

/// All subscriptions of a connection.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions(Vec<Subscription>);

impl Subscriptions {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Subscription> {
        self.0.iter()
    }

    pub(crate) fn find(&self, channel: &str) -> Option<&Subscription> {
        self.0.iter().find(|it| *it.channel == *channel)
    }

    pub(crate) fn find_mut(&mut self, channel: &str) -> Option<&mut Subscription> {
        self.0.iter_mut().find(|it| *it.channel == *channel)
    }

    /// Adds one, without room for more than a few others.
    pub(crate) fn push(&mut self, subscription: Subscription) {
        if self.0.len() == self.0.capacity() {
            self.0.reserve_exact(1 + self.0.len() / 2);
        }
        self.0.push(subscription);
    }

    pub(crate) fn remove(&mut self, channel: &str) -> Option<Subscription> {
        let index = self.0.iter().position(|it| *it.channel == *channel)?;
        let removed = self.0.swap_remove(index);
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
        Some(removed)
    }

    /// Takes one of them, whichever.
    pub(crate) fn pop(&mut self) -> Option<Subscription> {
        self.0.pop()
    }

    /// The next moment at which one of them ends.
    pub(crate) fn next_end(&self) -> Moment {
        let ends = self.0.iter().filter_map(Subscription::ends);
        ends.min().unwrap_or(Moment::NEVER)
    }
}

impl Subscription {
    pub(crate) fn ends(&self) -> Option<Moment> {
        self.extra.as_ref()?.ends
    }

    pub(crate) fn info(&self) -> Option<&[u8]> {
        self.extra.as_ref()?.info.as_deref()
    }

    pub(crate) fn filter(&self) -> Option<&Filter> {
        self.extra.as_ref()?.filter.as_ref()
    }

    /// Sets when it ends.
    pub(crate) fn set_ends(&mut self, ends: Option<Moment>) {
        if ends.is_some() || self.extra.is_some() {
            self.extra.get_or_insert_default().ends = ends;
            self.shrink();
        }
    }

    /// Takes what was to be said, now that it has its place.
    pub(crate) fn take_wish(&mut self) -> Option<Wish> {
        let wish = self.extra.as_mut()?.wish.take();
        self.shrink();
        wish
    }

    fn shrink(&mut self) {
        if self.extra.as_ref().is_some_and(|extra| extra.is_empty()) {
            self.extra = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_is_small_once_it_has_its_place() {
        assert!(size_of::<Subscription>() <= 4 * size_of::<usize>());
        let mut list = Subscriptions::default();
        list.push(Subscription::default());
        assert_eq!(list.0.capacity(), 1);
        let extra = Extra {
            ends: Some(Moment(1)),
            ..Extra::default()
        };
        let mut subscription = Subscription {
            extra: Some(Box::new(extra)),
            ..Subscription::default()
        };
        assert!(subscription.take_wish().is_none() && subscription.extra.is_some());
        subscription.set_ends(None);
        assert!(subscription.extra.is_none());
    }
}
