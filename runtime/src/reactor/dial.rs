//! Dialing: from an endpoint to a connection that takes a request.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use lmserver_proto::http1::Method;
use lmserver_proto::http1::client::{Exchange, ResponseEvent};

use super::Reactor;
use crate::conn::link::Link;
use crate::conn::{Conn, Flags, Role};
use crate::ids::{ConnId, DialId};
use crate::routing::Instance;
use crate::run::dial::{Dial, Failed, Late, Purpose, Step};
use crate::run::pool::PoolKey;
use crate::sys::Sys;
use crate::time::Moment;
use crate::timers::Owner;

impl<S: Sys> Reactor<S> {
    /// Begins to dial. What comes of it is told later, never at once.
    pub(super) fn dial(
        &mut self,
        purpose: Purpose,
        key: PoolKey,
        instance: Arc<Instance>,
    ) -> DialId {
        let dial = Dial::new(purpose, key, instance, self.now);
        let (host, port) = dial.hop();
        let host = host.to_owned();
        let id = self.dials.insert_with(|_| dial);
        self.sys.resolve(&host, port, id.ticket());
        self.arm_dial(id);
        id
    }

    fn take_dial(&mut self, id: DialId) -> Option<Dial> {
        self.timers.disown();
        self.dials.remove(id)
    }

    /// Gives a dial up, and its connection with it.
    pub(super) fn drop_dial(&mut self, id: DialId) {
        if let Some(conn) = self.take_dial(id).and_then(|dial| dial.conn) {
            self.close(conn);
        }
    }

    /// A name was looked up.
    #[inline(never)]
    pub(super) fn resolved(&mut self, ticket: u64, addrs: io::Result<Vec<SocketAddr>>) {
        let id = DialId::from_ticket(ticket);
        let Some(dial) = self.dials.get_mut(id) else {
            return;
        };
        if !matches!(dial.step, Step::Resolving) {
            return;
        }
        match addrs {
            Ok(addrs) => {
                dial.step = Step::Connecting {
                    left: VecDeque::from(addrs),
                    until: self.now,
                };
                self.connect_next(id, "no address");
            }
            Err(error) => {
                let why = match dial.proxy() {
                    Some(proxy) => {
                        let proxy = &proxy.host;
                        format!("the name of the proxy {proxy} cannot be resolved: {error}")
                    }
                    None => format!("the name {} cannot be resolved: {error}", dial.host()),
                };
                self.unreachable(id, why);
            }
        }
    }

    /// Tries the next address; `why` the last one failed is told when there is none.
    fn connect_next(&mut self, id: DialId, why: &str) {
        let mut why = why.to_owned();
        loop {
            let now = self.now;
            let Some(dial) = self.dials.get_mut(id) else {
                return;
            };
            let Some(addr) = dial.next_address(now) else {
                let why = format!("cannot connect to {}: {why}", dial.hop_name());
                return self.unreachable(id, why);
            };
            match self.sys.connect(addr) {
                Ok(sock) => {
                    self.metrics.upstream_connects += 1;
                    let mut conn = Conn::new(sock, Link::Plain, Role::Dialing(id), None, now);
                    conn.flags.set(Flags::CONNECTING);
                    let conn = self.insert(conn);
                    if let Some(dial) = self.dials.get_mut(id) {
                        dial.conn = Some(conn);
                    }
                    return self.arm_dial(id);
                }
                Err(error) => why = format!("{addr}: {error}"),
            }
        }
    }

    /// The address that is being tried is given up.
    fn give_up_address(&mut self, id: DialId, why: &str) {
        let conn = self.dials.get_mut(id).and_then(|dial| dial.conn.take());
        if let Some(conn) = conn {
            self.close(conn);
        }
        self.connect_next(id, why);
    }

    /// A connecting socket has become ready: is the connect decided?
    #[inline(never)]
    pub(super) fn check_connect(&mut self, conn_id: ConnId) {
        let Some(conn) = self.conns.get_mut(conn_id) else {
            return;
        };
        let Role::Dialing(id) = conn.role else {
            return;
        };
        match self.sys.connected(conn.sock) {
            Ok(false) => {}
            Ok(true) => {
                conn.flags.clear(Flags::CONNECTING);
                conn.flags.set(Flags::WRITABLE);
                self.connected(id, conn_id);
            }
            Err(error) => self.give_up_address(id, &error.to_string()),
        }
    }

    fn connected(&mut self, id: DialId, conn_id: ConnId) {
        let Some(dial) = self.dials.get_mut(id) else {
            return;
        };
        let Some(request) = dial.proxy().map(|proxy| dial.tunnel_request(proxy)) else {
            return self.secure(id, conn_id);
        };
        dial.step = Step::Tunnel(Box::new(Exchange::new(&Method::Connect)));
        if let Some(conn) = self.conns.get_mut(conn_id) {
            conn.outbox.bytes().extend_from_slice(&request);
        }
    }

    /// Begins TLS where the endpoint wants it, else the connection is ready.
    fn secure(&mut self, id: DialId, conn_id: ConnId) {
        let Some(dial) = self.dials.get_mut(id) else {
            return;
        };
        if !dial.key.endpoint().tls {
            return self.dialed(id, conn_id);
        }
        match Link::client(&dial.instance.trust, dial.host()) {
            Ok(link) => {
                dial.step = Step::Handshake;
                if let Some(conn) = self.conns.get_mut(conn_id) {
                    conn.link = link;
                }
            }
            Err(error) => self.unreachable(id, error.to_string()),
        }
    }

    /// TLS has come about on a connection.
    pub(super) fn note_established(&mut self, conn_id: ConnId) {
        let Some(Role::Dialing(id)) = self.conns.get(conn_id).map(|conn| &conn.role) else {
            return;
        };
        let id = *id;
        let step = self.dials.get(id).map(|dial| &dial.step);
        if matches!(step, Some(Step::Handshake)) {
            self.dialed(id, conn_id);
        }
    }

    /// The connection is ready.
    fn dialed(&mut self, id: DialId, conn_id: ConnId) {
        let Some(dial) = self.take_dial(id) else {
            return self.close(conn_id);
        };
        match dial.purpose {
            Purpose::Run(run) => {
                self.note_traffic(&dial.key, &dial.instance);
                self.ask_on(run, conn_id);
            }
            Purpose::Spare => self.keep_spare(conn_id, dial.key),
        }
    }

    /// Takes bytes of a connection that is being made: the proxy's answer.
    #[inline(never)]
    pub(super) fn feed_dial(&mut self, id: DialId, conn_id: ConnId, bytes: &[u8]) {
        let Some(dial) = self.dials.get_mut(id) else {
            return self.close(conn_id);
        };
        let Step::Tunnel(exchange) = &mut dial.step else {
            return;
        };
        exchange.feed(bytes);
        match exchange.next_event(&self.limits.http) {
            Ok(None) => {}
            Ok(Some(ResponseEvent::Head(head))) if (200..300).contains(&head.status) => {
                self.secure(id, conn_id);
                self.enqueue(conn_id);
            }
            Ok(Some(ResponseEvent::Head(head))) => {
                let why = format!("the proxy answered {} to CONNECT", head.status);
                self.unreachable(id, why);
            }
            Ok(Some(ResponseEvent::Body(_) | ResponseEvent::End { .. })) => {
                self.unreachable(id, "the proxy gave no tunnel".to_owned());
            }
            Err(error) => self.unreachable(id, format!("the proxy: {error}")),
        }
    }

    /// A connection that is being made has ended, or failed for the reason given.
    pub(super) fn dial_ended(&mut self, id: DialId, conn_id: ConnId, why: Option<&str>) {
        let Some(dial) = self.dials.get(id) else {
            return self.close(conn_id);
        };
        let closed = why.unwrap_or("the connection was closed");
        match dial.step {
            Step::Connecting { .. } => self.give_up_address(id, closed),
            Step::Tunnel(_) => self.unreachable(id, format!("the proxy: {closed}")),
            Step::Handshake => {
                let why = format!("no TLS with {}: {closed}", dial.host());
                self.unreachable(id, why);
            }
            Step::Resolving => self.close(conn_id),
        }
    }

    fn unreachable(&mut self, id: DialId, why: String) {
        self.dial_failed(id, Failed::Unreachable(why));
    }

    fn dial_failed(&mut self, id: DialId, failed: Failed) {
        let Some(dial) = self.take_dial(id) else {
            return;
        };
        if let Some(conn) = dial.conn {
            self.close(conn);
        }
        let is_late = matches!(failed, Failed::TooLate);
        let error = dial.error(failed);
        match dial.purpose {
            Purpose::Run(run) if is_late => self.fail_for_good(run, error),
            Purpose::Run(run) => self.fail_attempt(run, error),
            Purpose::Spare => {
                log::debug!("no spare connection: {}", error.message);
                self.miss_spare(&dial.key);
            }
        }
    }

    fn arm_dial(&mut self, id: DialId) {
        let Self { dials, timers, .. } = self;
        if let Some(dial) = dials.get_mut(id) {
            let (at, _) = dial.deadline();
            timers.arm(Owner::Dial(id), &mut dial.armed, at);
        }
    }

    /// A dial's hint has come true: is one of its deadlines due?
    #[inline(never)]
    pub(super) fn expire_dial(&mut self, id: DialId, hint: Moment) {
        let Some(dial) = self.dials.get_mut(id).filter(|dial| dial.armed == hint) else {
            return;
        };
        dial.armed = Moment::NEVER;
        match dial.deadline() {
            (at, _) if at > self.now => self.arm_dial(id),
            (_, Late::Address) => {
                self.give_up_address(id, "it did not answer in its share of the time");
            }
            (_, Late::All) => self.dial_failed(id, Failed::TooLate),
        }
    }
}
