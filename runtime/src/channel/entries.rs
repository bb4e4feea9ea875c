//! Events as entries: those that a client missed, those of a history.

use super::{Channel, Life};
use crate::encoding::Entry;
use crate::event::{Json, Position};

impl Channel {
    /// An event that the log still holds.
    pub(crate) fn entry(&self, offset: u64) -> Option<Entry<'_>> {
        let kind = self.kind(offset);
        let json = Json::of_held(kind, self.log.event(offset)?);
        Some(Entry {
            channel: &self.name,
            epoch: self.epoch,
            offset,
            kind,
            json,
            details: self.details(offset),
            previous: self.previous(offset),
            is_kept: self.is_kept(),
            number: self.number,
            created: self.standing.created,
            note: &self.standing.note,
        })
    }
}

impl Channel {
    /// The first offset and the count of at most `limit` events behind `since`, or with `reverse`
    /// before it.
    pub(crate) fn range(&self, since: Option<u64>, limit: usize, reverse: bool) -> (u64, u64) {
        let (oldest, newest) = (self.oldest, self.log.last_offset());
        let limit = limit as u64;
        if reverse {
            let end = since.map_or(newest + 1, |since| since.clamp(oldest, newest + 1));
            let count = end.saturating_sub(oldest).min(limit);
            return (end - count, count);
        }
        let first = since.map_or(oldest, |since| since.saturating_add(1).max(oldest));
        (first, (newest + 1).saturating_sub(first).min(limit))
    }
}

impl Channel {
    /// The publication before an offset, where a difference from it can be made: binary data is
    /// other bytes to those who read JSON than to those who do not. Nobody asks for differences of
    /// an answer's events.
    fn previous(&self, offset: u64) -> Option<Json<'_>> {
        let before = offset.checked_sub(1).filter(|_| self.life == Life::Open)?;
        let is_binary = |offset| self.details(offset).is_some_and(|it| it.binary.is_some());
        if is_binary(before) || is_binary(offset) {
            return None;
        }
        Some(Json::new(self.log.event(before)?))
    }
}

/// What lies between a subscriber's place and the newest event. Whatever is taken from it the
/// session has written itself.
pub struct Backlog<'a> {
    channel: Option<&'a Channel>,
    next: u64,
}

impl<'a> Backlog<'a> {
    /// Nothing.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            channel: None,
            next: 1,
        }
    }

    /// What follows an offset.
    pub(crate) fn behind(channel: &'a Channel, offset: u64) -> Self {
        Self {
            channel: Some(channel),
            next: offset + 1,
        }
    }

    /// The newest position of the channel; none if the subscription was not placed.
    #[must_use]
    pub fn newest(&self) -> Option<Position> {
        self.channel.map(Channel::position)
    }

    /// How many events are left in it.
    #[must_use]
    pub fn len(&self) -> u64 {
        let newest = self.channel.map_or(0, |it| it.position().offset);
        (newest + 1).saturating_sub(self.next)
    }

    /// Is nothing left in it?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next event, without taking it.
    #[must_use]
    pub fn peek(&self) -> Option<Entry<'a>> {
        self.channel?.entry(self.next)
    }

    /// Does the channel keep a history, so that positions in it mean something?
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.channel.is_some_and(Channel::is_kept)
    }

    /// The channel's number, which no other channel of this process has; 0 where there is none.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.channel.map_or(0, |channel| channel.number)
    }

    /// The offset behind which the log's bytes begin.
    pub(crate) fn taken_to(&self) -> u64 {
        self.next - 1
    }
}

impl<'a> Iterator for Backlog<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let entry = self.peek()?;
        self.next += 1;
        Some(entry)
    }
}

/// Publications of a channel, in the order that was asked for.
#[derive(Clone)]
pub struct History<'a> {
    channel: &'a Channel,
    first: u64,
    count: u64,
    reverse: bool,
}

impl<'a> History<'a> {
    pub(crate) fn new(channel: &'a Channel, first: u64, count: u64, reverse: bool) -> Self {
        Self {
            channel,
            first,
            count,
            reverse,
        }
    }

    /// The newest position of the channel.
    #[must_use]
    pub fn position(&self) -> Position {
        self.channel.position()
    }

    /// The publications.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let (channel, first, count) = (self.channel, self.first, self.count);
        let reverse = self.reverse;
        (0..count).filter_map(move |index| {
            let index = if reverse { count - 1 - index } else { index };
            channel.entry(first + index)
        })
    }
}
