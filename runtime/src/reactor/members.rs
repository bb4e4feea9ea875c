//! Registered sessions, members of channels, and what sessions are told.

use std::rc::Rc;

use super::Reactor;
use super::query::Outcome;
use crate::conn::Flags;
use crate::directory::{Identity, Membership, Notice, Signal, Target};
use crate::effect::Effect;
use crate::ids::{ChannelId, ConnId};
use crate::plugin::query::Query;
use crate::plugin::transport::{Disconnect, Session, SessionCx};
use crate::sys::Sys;

impl<S: Sys> Reactor<S> {
    /// Answers a question of a session.
    #[inline(never)]
    pub(super) fn answer_session(&mut self, id: ConnId, query: Query, tag: u64) {
        let outcome = self.answer_query(query);
        // What else the session has asked for comes before the run begins, and may read its channel.
        if let Outcome::Submitted { channel, .. } = outcome
            && let Some(run) = self.channels.get(channel).and_then(|it| it.run)
        {
            self.tell_start(run);
        }
        if !self.is_listening(id) {
            return;
        }
        let told = self.with_session_and(id, |session, cx, _, channels| {
            let answer = outcome.answer(channels, cx.directory);
            session.answered(tag, answer, cx)
        });
        self.settle_session(id, told);
        self.enqueue(id);
    }

    /// Makes a session known, if it is still there.
    #[inline(never)]
    pub(super) fn register(&mut self, id: ConnId, identity: Identity) {
        if self.is_listening(id) {
            self.directory.register(id, identity);
        }
    }

    #[inline(never)]
    pub(super) fn join(&mut self, id: ConnId, channel: &str, membership: Membership) {
        if !self.is_listening(id) {
            return;
        }
        let info = membership.info.clone();
        if self.directory.join(id, channel, membership) {
            self.notify_members(channel, &Notice::Joined(info));
        }
    }

    #[inline(never)]
    pub(super) fn leave(&mut self, id: ConnId, channel: &str) {
        if let Some(left) = self.directory.leave(id, channel)
            && left.is_announced
        {
            self.notify_members(channel, &Notice::Left(left.info));
        }
    }

    /// The session of a connection is gone: nothing finds it any more, and others hear of it.
    pub(super) fn forget_session(&mut self, id: ConnId) {
        for channel in self.directory.forget(id) {
            self.agenda.push(Effect::Leave { conn: id, channel });
        }
    }

    /// Has something told to all whom a target means. Says how many.
    #[inline(never)]
    pub(super) fn signal(&mut self, target: &Target, signal: Signal) -> usize {
        let found = self.directory.find(target);
        let signal = Rc::new(signal);
        for conn in &found {
            self.agenda.push(Effect::Signal {
                conn: *conn,
                signal: Rc::clone(&signal),
            });
        }
        found.len()
    }

    /// Tells every subscriber of a channel something that stands in no log.
    pub(super) fn notify_subscribers(&mut self, channel: ChannelId, notice: &Notice) {
        let Some(held) = self.channels.get(channel) else {
            return;
        };
        let name = Box::from(held.name());
        let conns: Vec<ConnId> = held.subscribers().collect();
        self.notify(&conns, &name, notice);
    }

    fn notify_members(&mut self, channel: &str, notice: &Notice) {
        let conns: Vec<ConnId> = self.directory.members(channel).hearers().collect();
        self.notify(&conns, channel, notice);
    }

    fn notify(&mut self, conns: &[ConnId], channel: &str, notice: &Notice) {
        for conn in conns {
            self.tell(*conn, |session, cx| session.noticed(channel, notice, cx));
        }
    }

    /// Calls a session that still listens.
    #[inline(never)]
    pub(super) fn tell(
        &mut self,
        id: ConnId,
        call: impl FnOnce(&mut dyn Session, &mut SessionCx<'_>) -> Result<(), Disconnect>,
    ) {
        if !self.is_listening(id) {
            return;
        }
        let told = self.with_session(id, call);
        self.settle_session(id, told);
        self.enqueue(id);
    }

    /// Is there a session that has not said goodbye?
    pub(super) fn is_listening(&self, id: ConnId) -> bool {
        let conn = self.conns.get(id);
        self.is_session(id) && conn.is_some_and(|conn| !conn.flags.has(Flags::CLOSING))
    }
}
