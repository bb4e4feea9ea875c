//! Connections to providers: name, address, proxy, TLS, request, answer, pool.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use lmserver_proto::http1::Method;
use lmserver_proto::http1::client::{Exchange, ResponseEvent};

use super::Reactor;
use crate::conn::link::Link;
use crate::conn::{Conn, Flags, Role, Trailing};
use crate::event::ErrorCode;
use crate::ids::{ConnId, RunId};
use crate::plugin::provider::{Output, ProviderError};
use crate::routing::{Proxy, Target};
use crate::run::pool::{IDLE, PoolKey};
use crate::run::{Current, Phase, Run};
use crate::sys::Sys;

/// How long the end of an answer's framing is waited for, so that its connection can be kept.
const TRAILING: Duration = Duration::from_secs(1);

impl<S: Sys> Reactor<S> {
    /// Finds a connection for a run's request: an idle one if that may be, else a new one.
    pub(super) fn connect_upstream(&mut self, id: RunId, may_reuse: bool) {
        let Some((target, attempt)) = self.runs.get_mut(id).and_then(Run::trying) else {
            return;
        };
        let Some(upstream) = &attempt.upstream else {
            return;
        };
        let key = PoolKey::new(&upstream.endpoint, &target.instance);
        attempt.since = self.now;
        attempt.reused = false;
        let kept = if may_reuse {
            self.take_kept(&key)
        } else {
            None
        };
        let Some((target, attempt)) = self.runs.get_mut(id).and_then(Run::trying) else {
            return;
        };
        let Some(upstream) = &attempt.upstream else {
            return;
        };
        if let Some(conn) = kept {
            attempt.reused = true;
            attempt.conn = Some(conn);
            self.metrics.upstream_reuses += 1;
            if let Some(conn) = self.conns.get_mut(conn) {
                conn.role = Role::Upstream(id);
            }
            return self.send_request(id, conn);
        }
        let (host, port) = match proxy_for(target, attempt) {
            Some(proxy) => (proxy.host.clone(), proxy.port),
            None => (upstream.endpoint.host.clone(), upstream.endpoint.port),
        };
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        attempt.phase = Phase::Resolving { ticket };
        self.resolving.insert(ticket, id);
        self.sys.resolve(&host, port, ticket);
    }

    /// The idle connection to a place that was used last, if its peer has been silent since.
    fn take_kept(&mut self, key: &PoolKey) -> Option<ConnId> {
        while let Some(idle) = self.pool.take(key) {
            // What came unasked is no answer to what is asked now.
            let quiet = self.conns.get(idle).is_some_and(|conn| {
                !conn.flags.has(Flags::READABLE) && !conn.flags.has(Flags::PEER_CLOSED)
            });
            if quiet {
                return Some(idle);
            }
            self.close(idle);
        }
        None
    }

    /// A name was looked up.
    pub(super) fn resolved(&mut self, ticket: u64, addrs: io::Result<Vec<SocketAddr>>) {
        let Some(id) = self.resolving.remove(&ticket) else {
            return;
        };
        let Some(attempt) = self.runs.get_mut(id).and_then(|run| run.attempt.as_mut()) else {
            return;
        };
        // The attempt may have moved on since it asked.
        if !matches!(attempt.phase, Phase::Resolving { ticket: asked } if asked == ticket) {
            return;
        }
        match addrs {
            Ok(addrs) => {
                attempt.phase = Phase::Connecting {
                    left: VecDeque::from(addrs),
                    until: self.now,
                };
                self.connect_next(id, "no address");
            }
            Err(error) => {
                let why = match self.proxy_of(id) {
                    Some(proxy) => {
                        format!("the name of the proxy {proxy} cannot be resolved: {error}")
                    }
                    None => format!("the name {} cannot be resolved: {error}", self.host_of(id)),
                };
                self.unreachable(id, why);
            }
        }
    }

    /// Tries the next address; `why` the last one failed is told when there is none.
    fn connect_next(&mut self, id: RunId, why: &str) {
        let mut why = why.to_owned();
        loop {
            let Some((target, attempt)) = self.runs.get_mut(id).and_then(Run::trying) else {
                return;
            };
            let Phase::Connecting { left, until } = &mut attempt.phase else {
                return;
            };
            let Some(addr) = left.pop_front() else {
                let hop = match self.proxy_of(id) {
                    Some(proxy) => format!("the proxy {proxy}").into(),
                    None => self.host_of(id),
                };
                return self.unreachable(id, format!("cannot connect to {hop}: {why}"));
            };
            // Each address gets its share of what is left, so that a silent one does not cost all.
            let rest = (attempt.began + target.instance.timers.connect).since(self.now);
            let share = rest / u32::try_from(left.len() + 1).unwrap_or(u32::MAX);
            *until = self.now + share;
            match self.sys.connect(addr) {
                Ok(sock) => {
                    self.metrics.upstream_connects += 1;
                    let mut conn = Conn::new(sock, Link::Plain, Role::Upstream(id), None, self.now);
                    conn.flags.set(Flags::CONNECTING);
                    let conn = self.insert(conn);
                    if let Some(attempt) =
                        self.runs.get_mut(id).and_then(|run| run.attempt.as_mut())
                    {
                        attempt.conn = Some(conn);
                    }
                    return self.arm_run(id);
                }
                Err(error) => why = format!("{addr}: {error}"),
            }
        }
    }

    /// The address that is being tried is given up.
    pub(super) fn give_up_address(&mut self, id: RunId, why: &str) {
        self.drop_conn(id);
        self.connect_next(id, why);
    }

    /// A connecting socket has become ready: is the connect decided?
    pub(super) fn check_connect(&mut self, conn_id: ConnId) {
        let Some(conn) = self.conns.get_mut(conn_id) else {
            return;
        };
        let Role::Upstream(id) = conn.role else {
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

    fn connected(&mut self, id: RunId, conn_id: ConnId) {
        let Some((target, attempt)) = self.runs.get_mut(id).and_then(Run::trying) else {
            return;
        };
        let Some(upstream) = &attempt.upstream else {
            return;
        };
        if let Some(proxy) = proxy_for(target, attempt) {
            let request = connect_request(&upstream.endpoint.host, upstream.endpoint.port, proxy);
            attempt.phase = Phase::Tunnel(Box::new(Exchange::new(&Method::Connect)));
            if let Some(conn) = self.conns.get_mut(conn_id) {
                conn.outbox.bytes().extend_from_slice(&request);
            }
            return;
        }
        self.secure(id, conn_id);
    }

    /// Begins TLS where the endpoint wants it, else sends the request.
    fn secure(&mut self, id: RunId, conn_id: ConnId) {
        let Some((target, attempt)) = self.runs.get_mut(id).and_then(Run::trying) else {
            return;
        };
        let Some(upstream) = &attempt.upstream else {
            return;
        };
        if !upstream.endpoint.tls {
            return self.send_request(id, conn_id);
        }
        match Link::client(&target.instance.trust, &upstream.endpoint.host) {
            Ok(link) => {
                attempt.phase = Phase::Handshake;
                if let Some(conn) = self.conns.get_mut(conn_id) {
                    conn.link = link;
                }
            }
            Err(error) => self.unreachable(id, error.to_string()),
        }
    }

    /// TLS has come about on a connection.
    pub(super) fn note_established(&mut self, conn_id: ConnId) {
        let Some(Role::Upstream(id)) = self.conns.get(conn_id).map(|conn| &conn.role) else {
            return;
        };
        let id = *id;
        let phase = self
            .runs
            .get(id)
            .and_then(|run| run.attempt.as_ref())
            .map(|it| &it.phase);
        if matches!(phase, Some(Phase::Handshake)) {
            self.send_request(id, conn_id);
        }
    }

    fn send_request(&mut self, id: RunId, conn_id: ConnId) {
        let Some(attempt) = self.runs.get_mut(id).and_then(|run| run.attempt.as_mut()) else {
            return;
        };
        let Some(upstream) = &attempt.upstream else {
            return;
        };
        attempt.phase = Phase::Answering;
        attempt.since = self.now;
        if let Some(conn) = self.conns.get_mut(conn_id) {
            conn.outbox.bytes().extend_from_slice(&upstream.request);
        }
        self.enqueue(conn_id);
        self.arm_run(id);
    }

    /// Takes bytes of a provider in.
    pub(super) fn feed_upstream(&mut self, id: RunId, conn_id: ConnId, bytes: &[u8]) {
        let Some(attempt) = self.runs.get_mut(id).and_then(|run| run.attempt.as_mut()) else {
            return self.close(conn_id);
        };
        match &mut attempt.phase {
            Phase::Answering => {
                attempt.answered = true;
                let mut outputs = std::mem::take(&mut self.buffers.outputs);
                let receive = |attempt: &mut Current, _, outputs: &mut Vec<Output>| {
                    attempt.generation.receive(bytes, outputs)
                };
                let outcome = self.with_generation(id, receive, &mut outputs);
                self.take_outputs(id, &mut outputs, outcome);
                self.buffers.outputs = outputs;
            }
            Phase::Tunnel(exchange) => {
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
            Phase::Resolving { .. }
            | Phase::Connecting { .. }
            | Phase::Handshake
            | Phase::Local => {}
        }
    }

    /// TLS with a provider has failed.
    pub(super) fn upstream_failed(&mut self, id: RunId, conn_id: ConnId, why: &str) {
        // The alert that says why may still reach the provider.
        if let Some(conn) = self.conns.get_mut(conn_id) {
            let _ = conn.link.flush(&mut self.sys, conn.sock);
        }
        self.upstream_ended(id, conn_id, Some(why));
    }

    /// A provider's connection has ended, or failed for the reason given.
    pub(super) fn upstream_ended(&mut self, id: RunId, conn_id: ConnId, why: Option<&str>) {
        let host = self.host_of(id);
        let Some(attempt) = self.runs.get_mut(id).and_then(|run| run.attempt.as_mut()) else {
            return self.close(conn_id);
        };
        let closed = why.unwrap_or("the connection was closed").to_owned();
        match attempt.phase {
            // A kept connection may have died unnoticed: the request was not answered, so it is
            // sent once more (RFC 9112 §9.3.1).
            Phase::Answering if attempt.reused && !attempt.answered => {
                self.drop_conn(id);
                self.connect_upstream(id, false);
            }
            Phase::Answering if !attempt.answered => {
                self.unreachable(id, format!("{host} gave no answer: {closed}"));
            }
            Phase::Answering => {
                let mut outputs = std::mem::take(&mut self.buffers.outputs);
                let end = |attempt: &mut Current, _, outputs: &mut Vec<Output>| {
                    attempt.generation.closed(outputs)
                };
                let outcome = self.with_generation(id, end, &mut outputs);
                self.drop_conn(id);
                self.take_outputs(id, &mut outputs, outcome);
                self.buffers.outputs = outputs;
                self.insist_on_end(id);
            }
            Phase::Connecting { .. } => self.give_up_address(id, &closed),
            Phase::Tunnel(_) => self.unreachable(id, format!("the proxy: {closed}")),
            Phase::Handshake => {
                self.unreachable(id, format!("no TLS with {host}: {closed}"));
            }
            Phase::Resolving { .. } | Phase::Local => self.close(conn_id),
        }
    }

    /// After the end of its connection a generation has ended, whatever its plugin said.
    fn insist_on_end(&mut self, id: RunId) {
        let ended = self
            .runs
            .get(id)
            .and_then(|run| run.attempt.as_ref())
            .is_some_and(|attempt| {
                attempt.conn.is_none() && matches!(attempt.phase, Phase::Answering)
            });
        if ended {
            let host = self.host_of(id);
            let why = format!("{host} closed the connection before the end of the answer");
            self.fail_attempt(id, ProviderError::new(ErrorCode::ProviderTruncated, why));
        }
    }

    fn unreachable(&mut self, id: RunId, why: String) {
        self.fail_attempt(id, ProviderError::new(ErrorCode::ProviderUnreachable, why));
    }

    /// Closes the connection of a run's attempt.
    fn drop_conn(&mut self, id: RunId) {
        let Some(attempt) = self.runs.get_mut(id).and_then(|run| run.attempt.as_mut()) else {
            return;
        };
        if let Some(conn) = attempt.conn.take() {
            self.close(conn);
        }
    }

    /// An attempt is over: its connection is kept for another request, or closed.
    pub(super) fn release_attempt(&mut self, attempt: Current, target: Option<&Target>) {
        let Some(conn_id) = attempt.conn else { return };
        let (Some(target), Some(upstream)) = (target, &attempt.upstream) else {
            return self.close(conn_id);
        };
        let key = PoolKey::new(&upstream.endpoint, &target.instance);
        let sent = self
            .conns
            .get(conn_id)
            .is_some_and(|conn| !conn.has_own_bytes());
        if !sent || !matches!(attempt.phase, Phase::Answering) || self.stop.is_draining() {
            return self.close(conn_id);
        }
        if attempt.generation.is_reusable() {
            self.keep(conn_id, key);
        } else if attempt.generation.wants_more() {
            if let Some(conn) = self.conns.get_mut(conn_id) {
                let until = self.now + TRAILING;
                let generation = attempt.generation;
                conn.role = Role::Trailing(Box::new(Trailing {
                    generation,
                    until,
                    key,
                }));
            }
            self.arm_conn(conn_id);
        } else {
            self.close(conn_id);
        }
    }

    /// Reads on to the end of an answer's framing.
    pub(super) fn feed_trailing(&mut self, conn_id: ConnId, bytes: &[u8]) {
        let Some(conn) = self.conns.get_mut(conn_id) else {
            return;
        };
        let Role::Trailing(trailing) = &mut conn.role else {
            return;
        };
        let mut outputs = std::mem::take(&mut self.buffers.outputs);
        let outcome = super::contained(&mut self.metrics, || {
            trailing.generation.receive(bytes, &mut outputs)
        });
        outputs.clear();
        self.buffers.outputs = outputs;
        let sound = matches!(outcome, Some(Ok(())));
        if sound && trailing.generation.is_reusable() {
            let key = trailing.key.clone();
            self.keep(conn_id, key);
        } else if !sound || !trailing.generation.wants_more() {
            self.close(conn_id);
        }
    }

    fn keep(&mut self, conn_id: ConnId, key: PoolKey) {
        let Some(conn) = self.conns.get_mut(conn_id) else {
            return;
        };
        if conn.flags.has(Flags::PEER_CLOSED) {
            return self.close(conn_id);
        }
        conn.role = Role::Pooled {
            until: self.now + IDLE,
        };
        self.arm_conn(conn_id);
        if let Some(oldest) = self.pool.put(key, conn_id) {
            self.close(oldest);
        }
    }

    /// The host of the proxy that a run's connection goes through, if it does.
    fn proxy_of(&self, id: RunId) -> Option<Box<str>> {
        let run = self.runs.get(id)?;
        let proxy = proxy_for(run.current_target()?, run.attempt.as_ref()?)?;
        Some(proxy.host.clone())
    }

    fn host_of(&self, id: RunId) -> Box<str> {
        let attempt = self.runs.get(id).and_then(|run| run.attempt.as_ref());
        let upstream = attempt.and_then(|attempt| attempt.upstream.as_ref());
        upstream.map_or_else(
            || "the provider".into(),
            |upstream| upstream.endpoint.host.clone(),
        )
    }
}

/// The proxy that an attempt's connection goes through: only TLS goes through one.
fn proxy_for<'a>(target: &'a Target, attempt: &Current) -> Option<&'a Proxy> {
    let tls = attempt
        .upstream
        .as_ref()
        .is_some_and(|upstream| upstream.endpoint.tls);
    target.instance.proxy.as_ref().filter(|_| tls)
}

/// The request for a tunnel (RFC 9110 §9.3.6).
fn connect_request(host: &str, port: u16, proxy: &Proxy) -> Vec<u8> {
    let authority = if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n").into_bytes();
    if let Some(authorization) = &proxy.authorization {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(authorization.expose().as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    request
}
