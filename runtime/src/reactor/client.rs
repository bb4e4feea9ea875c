//! Clients: requests, sessions, and the change between the two.

use lmserver_proto::http1::server::{Answering, Connection, Event};
use lmserver_proto::http1::{Request, Response, imf_fixdate};

use super::{Reactor, contained};
use crate::channel::registry::Registry;
use crate::channel::{Backlog, Cursor, GateState, Pending, Placement, Wanted};
use crate::conn::cursors::Cursors;
use crate::conn::front::Front;
use crate::conn::{Conn, Flags, Role};
use crate::event::Epoch;
use crate::ids::{ChannelId, ConnId};
use crate::limits::Retention;
use crate::plugin::query::Query;
use crate::plugin::service::{Parts, Reply, Service, ServiceCx, Unread};
use crate::plugin::transport::{Disconnect, Session, SessionCx};
use crate::sys::Sys;

impl<S: Sys> Reactor<S> {
    /// Takes bytes of a client in.
    pub(super) fn feed_client(&mut self, id: ConnId, bytes: &[u8]) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        match &mut conn.role {
            Role::Front(front) => {
                front.http.feed(bytes);
                front.note_progress(self.now);
                self.drive_front(id);
            }
            Role::Session(_) => {
                let outcome = self.with_session(id, |session, cx| session.receive(bytes, cx));
                self.settle_session(id, outcome);
            }
            Role::Dialing(_)
            | Role::Upstream(_)
            | Role::Trailing(_)
            | Role::Pooled { .. }
            | Role::Lingering { .. } => {}
        }
    }

    /// Reads the requests that are there and answers each, while the outbox has room.
    pub(super) fn drive_front(&mut self, id: ConnId) {
        loop {
            let Some(conn) = self.conns.get_mut(id) else {
                return;
            };
            if conn.flags.has(Flags::CLOSING) || conn.outbox.len() > self.limits.outbox_bytes {
                return;
            }
            let Role::Front(front) = &mut conn.role else {
                return;
            };
            match front.http.next_event(&self.limits.http) {
                Ok(None) => return,
                Ok(Some(Event::Continue)) => front.http.write_continue(conn.outbox.bytes()),
                Ok(Some(Event::Request { head, body })) => self.answer_request(id, &head, &body),
                Err(error) => {
                    let message = error.to_string();
                    return self.refuse(id, error.status(), error.code(), &message);
                }
            }
        }
    }

    fn answer_request(&mut self, id: ConnId, head: &Request, body: &[u8]) {
        self.metrics.requests += 1;
        let reply = self.with_service(id, |service, cx| service.call(head, body, cx));
        match reply {
            Some(reply) => self.carry_out(id, reply),
            None => self.close(id),
        }
    }

    fn carry_out(&mut self, id: ConnId, mut reply: Reply) {
        loop {
            match reply {
                Reply::Response(response) => return self.respond(id, &response),
                Reply::Session(session) => return self.begin_session(id, session),
                Reply::Ask(query, then) => {
                    // What sessions are told takes effect before the next question is asked, and
                    // a provider is asked before anything is made of it.
                    let is_first = matches!(query, Query::Signal(..) | Query::Submit(_));
                    let outcome = self.answer_query(query);
                    if is_first {
                        self.run_agenda();
                    }
                    match self.continue_with(id, &outcome, then) {
                        Some(next) => reply = next,
                        None => return self.close(id),
                    }
                }
            }
        }
    }

    fn respond(&mut self, id: ConnId, response: &Response) {
        let date = self.date();
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        let Role::Front(front) = &mut conn.role else {
            return;
        };
        if !front.http.respond(response, &date, conn.outbox.bytes()) {
            conn.flags.set(Flags::CLOSING);
        }
        front.note_response(self.now);
    }

    /// Answers what cannot be read any further, and closes.
    pub(super) fn refuse(&mut self, id: ConnId, status: u16, code: &'static str, message: &str) {
        let date = self.date();
        let Some(head) = self.front_mut(id).map(|front| front.http.take_unfinished()) else {
            return;
        };
        let unread = Unread {
            head: head.as_deref(),
            status,
            code,
            message,
        };
        let response = self.with_service(id, |service, cx| service.refuse(&unread, cx));
        let Some(response) = response else {
            return self.close(id);
        };
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        let Role::Front(front) = &mut conn.role else {
            return;
        };
        front.http.reject(&response, &date, conn.outbox.bytes());
        conn.flags.set(Flags::CLOSING);
    }

    fn front_mut(&mut self, id: ConnId) -> Option<&mut Front> {
        let Role::Front(front) = &mut self.conns.get_mut(id)?.role else {
            return None;
        };
        Some(front)
    }

    fn begin_session(&mut self, id: ConnId, session: Box<dyn Session>) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        let role = std::mem::replace(&mut conn.role, Role::Session(session));
        self.metrics.sessions += 1;
        let Role::Front(mut front) = role else { return };
        let leftover = front.http.take_leftover();
        drop(front);
        self.run_agenda();
        if !leftover.is_empty() {
            self.feed_client(id, &leftover);
        }
    }

    /// Makes a session's connection one of HTTP again.
    #[inline(never)]
    pub(super) fn hand_back(
        &mut self,
        id: ConnId,
        answering: Answering,
        response: Option<Response>,
        leftover: &[u8],
    ) {
        let date = self.date();
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        if !matches!(conn.role, Role::Session(_)) {
            return;
        }
        if conn.flags.has(Flags::MID_EVENT) {
            // The rest of the event comes from its channel yet, then what the session wrote.
            return self.disconnect(id, &Disconnect::Done);
        }
        self.unsubscribe(id);
        self.metrics.sessions -= 1;
        self.forget_session(id);
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        let mut front = Front {
            http: Connection::resume(answering),
            waiting_since: self.now,
            in_request: false,
        };
        let keeps = match response {
            Some(response) => front.http.respond(&response, &date, conn.outbox.bytes()),
            None => front.http.end_stream(),
        };
        if !keeps {
            conn.flags.set(Flags::CLOSING);
        }
        front.http.feed(leftover);
        front.note_progress(self.now);
        conn.role = Role::Front(Box::new(front));
        self.drive_front(id);
        self.enqueue(id);
    }

    /// Places a subscriber and tells its session, unless that has said goodbye since it asked.
    #[inline(never)]
    pub(super) fn subscribe(
        &mut self,
        id: ConnId,
        name: &str,
        wish: &Wanted,
        create: Option<Retention>,
    ) {
        if !self.is_listening(id) {
            return;
        }
        if let Ok(channel) = self.channels.find(name) {
            self.unsubscribe_from(id, channel);
        }
        // Over its limit the server takes no subscriber; while it drains, those of what it holds.
        let is_full = self.clients > self.limits.connections;
        let busy = self.stop.is_draining();
        let missing = create.filter(|_| self.channels.find(name).is_err());
        let create = missing.map(|retention| (draw_epoch(&mut self.sys), retention));
        let (placement, cursor) = if is_full {
            (Placement::Busy, None)
        } else {
            self.channels.place(id, name, wish, create, busy, self.now)
        };
        match (self.conns.get_mut(id), cursor) {
            (Some(conn), Some(cursor)) => conn.cursors.push(cursor),
            (None, Some(cursor)) => return self.release(&cursor),
            (_, None) => {}
        }
        self.tell_placed(id, name, &placement, cursor.map(|cursor| cursor.channel));
        self.enqueue(id);
    }

    /// Tells a session where it stands, and moves its cursor behind what it then wrote itself.
    fn tell_placed(
        &mut self,
        id: ConnId,
        name: &str,
        placement: &Placement,
        channel: Option<ChannelId>,
    ) {
        let told = self.with_session_and(id, |session, cx, _, channels| {
            let held = channel.and_then(|channel| channels.get(channel));
            let mut backlog = match (placement, held) {
                (Placement::Placed { position, .. }, Some(held)) => {
                    Backlog::behind(held, position.offset)
                }
                _ => Backlog::empty(),
            };
            let outcome = session.placed(name, placement, &mut backlog, cx);
            (outcome, backlog.taken_to())
        });
        if let (Some((Ok(()), taken)), Some(channel)) = (&told, channel)
            && let Some(conn) = self.conns.get_mut(id)
            && let Some(held) = self.channels.get(channel)
            && let Some(cursor) = conn.cursors.find_mut(channel)
        {
            held.advance(cursor, *taken);
        }
        self.settle_session(id, told.map(|(outcome, _)| outcome));
    }

    /// Ends all subscriptions of a connection.
    pub(super) fn unsubscribe(&mut self, id: ConnId) {
        while let Some(cursor) = self.conns.get_mut(id).and_then(|conn| conn.cursors.pop()) {
            self.release(&cursor);
        }
    }

    /// Ends a connection's subscription of a channel, if it has one. An event that is half written
    /// is finished first.
    pub(super) fn unsubscribe_from(&mut self, id: ConnId, channel: ChannelId) {
        self.demote(id);
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        let Some((index, _)) = conn.cursors.find(channel) else {
            return;
        };
        if conn.flags.has(Flags::MID_EVENT) && conn.cursors.turn() == index {
            if let Some(cursor) = conn.cursors.current_mut() {
                cursor.gate = GateState::Leaving;
            }
            return;
        }
        if let Some(cursor) = conn.cursors.remove(index) {
            self.release(&cursor);
        }
    }

    /// Closes the gate of a subscription. What is begun is written first.
    #[inline(never)]
    pub(super) fn close_gate(&mut self, id: ConnId, channel: ChannelId) {
        self.demote(id);
        let conn = self.conns.get_mut(id);
        if let Some(cursor) = conn.and_then(|conn| conn.cursors.find_mut(channel))
            && cursor.gate == GateState::Open
        {
            cursor.gate = GateState::Ask;
        }
    }

    pub(super) fn release(&mut self, cursor: &Cursor) {
        let moved = self.channels.unsubscribe(cursor, self.now);
        let Some((conn, former)) = moved else { return };
        let Some(conn) = self.conns.get_mut(conn) else {
            return;
        };
        let mut cursors = conn.cursors.as_mut_slice().iter_mut();
        let moved = cursors
            .find(|it| it.channel == cursor.channel && it.view == cursor.view && it.slot == former);
        if let Some(moved) = moved {
            moved.slot = cursor.slot;
        }
    }

    /// The connection is about to do something else than keep up with its channel.
    pub(super) fn demote(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        for cursor in conn.cursors.as_mut_slice() {
            if let Some(at) = self.channels.demote(cursor) {
                conn.last_write = conn.last_write.max(at);
            }
        }
    }

    /// Calls a session with what it may see and use.
    pub(super) fn with_session<R>(
        &mut self,
        id: ConnId,
        call: impl FnOnce(&mut dyn Session, &mut SessionCx<'_>) -> R,
    ) -> Option<R> {
        self.with_session_and(id, |session, cx, _, _| call(session, cx))
    }

    /// The same, with its cursors and the channels.
    pub(super) fn with_session_and<R>(
        &mut self,
        id: ConnId,
        call: impl FnOnce(&mut dyn Session, &mut SessionCx<'_>, &Cursors, &Registry) -> R,
    ) -> Option<R> {
        self.demote(id);
        let unix_time = self.sys.unix_time();
        let Self {
            sys,
            service,
            no_access,
            conns,
            channels,
            directory,
            limits,
            agenda,
            metrics,
            now,
            ..
        } = self;
        let conn = conns.get_mut(id)?;
        let unsent = has_unsent(conn, channels);
        let blocked = conn.blocked_since.is_some();
        let Role::Session(session) = &mut conn.role else {
            return None;
        };
        let mut random = |out: &mut [u8]| sys.random(out);
        let mut cx = SessionCx {
            now: *now,
            unix_time,
            limits,
            unsent,
            blocked,
            answering: Answering::default(),
            conn: id,
            out: conn.outbox.bytes(),
            agenda,
            random: &mut random,
            access: service.access().unwrap_or(no_access),
            directory,
        };
        contained(metrics, || {
            call(session.as_mut(), &mut cx, &conn.cursors, channels)
        })
    }

    /// Draws the consequence of a session's callback; `None` is a panic.
    pub(super) fn settle_session(&mut self, id: ConnId, outcome: Option<Result<(), Disconnect>>) {
        match outcome {
            Some(Ok(())) => {}
            Some(Err(why)) => self.disconnect(id, &why),
            // The session is gone already, or it panicked.
            None if self.is_session(id) => self.close(id),
            None => {}
        }
    }

    pub(super) fn is_session(&self, id: ConnId) -> bool {
        self.conns
            .get(id)
            .is_some_and(|conn| matches!(conn.role, Role::Session(_)))
    }

    fn with_service<R>(
        &mut self,
        id: ConnId,
        call: impl FnOnce(&mut dyn Service, &mut ServiceCx<'_>) -> R,
    ) -> Option<R> {
        self.with_service_and(id, |service, cx, _| call(service, cx))
    }

    fn continue_with(
        &mut self,
        id: ConnId,
        outcome: &super::query::Outcome,
        then: crate::plugin::service::Continuation,
    ) -> Option<Reply> {
        self.with_service_and(id, |_, cx, channels| {
            then(outcome.answer(channels, cx.session.directory), cx)
        })
    }

    /// Calls the service, or one of its continuations, with what it may see and use.
    fn with_service_and<R>(
        &mut self,
        id: ConnId,
        call: impl FnOnce(&mut dyn Service, &mut ServiceCx<'_>, &Registry) -> R,
    ) -> Option<R> {
        let unix_time = self.sys.unix_time();
        let full = self.clients > self.limits.connections;
        let draining = self.stop.is_draining();
        let Self {
            sys,
            service,
            conns,
            channels,
            directory,
            routing,
            limits,
            agenda,
            metrics,
            now,
            ..
        } = self;
        let conn = conns.get_mut(id)?;
        let Role::Front(front) = &conn.role else {
            return None;
        };
        let answering = front.http.answering();
        let mut random = |out: &mut [u8]| sys.random(out);
        let mut cx = ServiceCx {
            now: *now,
            unix_time,
            routing,
            draining,
            full,
            peer: conn.peer,
            session: Parts {
                limits,
                answering,
                conn: id,
                out: conn.outbox.bytes(),
                agenda,
                random: &mut random,
                directory,
            },
        };
        contained(metrics, || call(service.as_mut(), &mut cx, channels))
    }

    pub(super) fn date(&self) -> String {
        imf_fixdate(self.sys.unix_time().as_secs())
    }
}

/// Draws the mark of a new channel's incarnation.
pub(super) fn draw_epoch<S: Sys>(sys: &mut S) -> Epoch {
    let mut random = [0; 6];
    sys.random(&mut random);
    Epoch::from_random(random)
}

/// Is something for this client unsent, of its own or of its channel?
pub(super) fn has_unsent(conn: &Conn, channels: &Registry) -> bool {
    let behind = |cursor: &Cursor| {
        let channel = channels.get(cursor.channel);
        channel.is_some_and(|channel| matches!(channel.pending(cursor), Pending::Bytes(_)))
    };
    conn.has_own_bytes() || conn.cursors.iter().any(behind)
}
