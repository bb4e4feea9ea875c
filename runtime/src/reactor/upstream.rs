//! What happens on connections to providers: request, answer, pool.

use std::sync::Arc;
use std::time::Duration;

use super::Reactor;
use crate::conn::{Flags, Role, Trailing};
use crate::event::ErrorCode;
use crate::ids::{ConnId, RunId};
use crate::plugin::provider::{Output, ProviderError};
use crate::routing::Target;
use crate::run::dial::Purpose;
use crate::run::pool::{IDLE, Idle, PoolKey};
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
        attempt.holds_back = false;
        let kept = if may_reuse {
            self.take_kept(&key)
        } else {
            None
        };
        let Some((target, attempt)) = self.runs.get_mut(id).and_then(Run::trying) else {
            return;
        };
        let instance = Arc::clone(&target.instance);
        if let Some(idle) = kept {
            attempt.reused = true;
            if idle.is_spare {
                self.metrics.upstream_spares_used += 1;
                self.warm.served(&key, self.now);
            } else {
                self.metrics.upstream_reuses += 1;
            }
            self.ask_on(id, idle.conn);
            return self.note_traffic(&key, &instance);
        }
        let dial = self.dial(Purpose::Run(id), key, instance);
        if let Some(attempt) = self.runs.get_mut(id).and_then(|run| run.attempt.as_mut()) {
            attempt.phase = Phase::Dialing(dial);
        }
    }

    /// The idle connection to a place that was used last, if its peer has been silent since.
    fn take_kept(&mut self, key: &PoolKey) -> Option<Idle> {
        while let Some(idle) = self.pool.take(key) {
            // What came unasked is no answer to what is asked now.
            let quiet = self.conns.get(idle.conn).is_some_and(|conn| {
                !conn.flags.has(Flags::READABLE) && !conn.flags.has(Flags::PEER_CLOSED)
            });
            if quiet {
                return Some(idle);
            }
            if idle.is_spare {
                self.warm.failed(key, self.now);
            }
            self.close(idle.conn);
        }
        None
    }

    /// A connection for a run's attempt is ready.
    pub(super) fn ask_on(&mut self, id: RunId, conn_id: ConnId) {
        let Some(attempt) = self.runs.get_mut(id).and_then(|run| run.attempt.as_mut()) else {
            return self.close(conn_id);
        };
        attempt.conn = Some(conn_id);
        if let Some(conn) = self.conns.get_mut(conn_id) {
            conn.role = Role::Upstream(id);
        }
        self.send_request(id, conn_id);
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
        // At once: the answer is waited for, and what else this turn has to do is not.
        self.flush(conn_id);
        self.arm_run(id);
    }

    /// Takes bytes of a provider in.
    pub(super) fn feed_upstream(&mut self, id: RunId, conn_id: ConnId, bytes: &[u8]) {
        let Some(attempt) = self.runs.get_mut(id).and_then(|run| run.attempt.as_mut()) else {
            return self.close(conn_id);
        };
        let is_first = !attempt.answered;
        if is_first {
            attempt.answered = true;
            // It is not sent again.
            if let Some(upstream) = &mut attempt.upstream {
                upstream.request = Vec::new();
            }
        }
        let mut outputs = std::mem::take(&mut self.buffers.outputs);
        let receive = |attempt: &mut Current, _, outputs: &mut Vec<Output>| {
            attempt.generation.receive(bytes, outputs)
        };
        let outcome = self.with_generation(id, receive, &mut outputs);
        self.take_outputs(id, &mut outputs, outcome);
        self.buffers.outputs = outputs;
        let attempt = self.runs.get(id).and_then(|run| run.attempt.as_ref());
        if attempt.is_some_and(|attempt| is_first || !attempt.first_event) {
            self.buffers.answered.push(id);
        }
    }

    /// A provider's connection has ended, or failed for the reason given.
    pub(super) fn upstream_ended(&mut self, id: RunId, conn_id: ConnId, why: Option<&str>) {
        let host = self.host_of(id);
        let Some(attempt) = self.runs.get_mut(id).and_then(|run| run.attempt.as_mut()) else {
            return self.close(conn_id);
        };
        let closed = why.unwrap_or("the connection was closed").to_owned();
        if !attempt.answered && attempt.reused {
            // A kept connection may have died unnoticed: the request was not answered, so it is
            // sent once more (RFC 9112 §9.3.1).
            self.drop_conn(id);
            return self.connect_upstream(id, false);
        }
        if !attempt.answered {
            let why = format!("{host} gave no answer: {closed}");
            let error = ProviderError::new(ErrorCode::ProviderUnreachable, why);
            return self.fail_attempt(id, error);
        }
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
        if let Phase::Dialing(dial) = attempt.phase {
            return self.drop_dial(dial);
        }
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
            self.keep(conn_id, key, false);
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
    #[inline(never)]
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
            self.keep(conn_id, key, false);
        } else if !sound || !trailing.generation.wants_more() {
            self.close(conn_id);
        }
    }

    /// Keeps a connection for the next request.
    pub(super) fn keep(&mut self, conn_id: ConnId, key: PoolKey, is_spare: bool) {
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
        if let Some(oldest) = self.pool.put(
            key,
            Idle {
                conn: conn_id,
                is_spare,
            },
        ) {
            self.close(oldest);
        }
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
