//! The deadlines of connections: of a request, of a session, of a socket that takes nothing, of an
//! idle one.

use super::Reactor;
use crate::channel::registry::Registry;
use crate::conn::{Conn, Flags, Role};
use crate::ids::ConnId;
use crate::limits::Limits;
use crate::plugin::transport::Disconnect;
use crate::sys::Sys;
use crate::time::Moment;
use crate::timers::Owner;

impl<S: Sys> Reactor<S> {
    /// Sets the timer of a connection's earliest deadline.
    pub(super) fn arm_conn(&mut self, id: ConnId) {
        let Self {
            conns,
            channels,
            timers,
            limits,
            ..
        } = self;
        let Some(conn) = conns.get_mut(id) else {
            return;
        };
        if let Some(at) = deadline(conn, channels, limits) {
            timers.arm(Owner::Conn(id), &mut conn.armed, at);
        }
    }

    /// A connection's hint has come true: is one of its deadlines due?
    #[inline(never)]
    pub(super) fn expire_conn(&mut self, id: ConnId, hint: Moment) {
        let Some(conn) = self.conns.get_mut(id).filter(|conn| conn.armed == hint) else {
            return;
        };
        conn.armed = Moment::NEVER;
        if deadline(conn, &self.channels, &self.limits).is_none_or(|at| at > self.now) {
            return self.arm_conn(id);
        }
        let blocked_until = conn
            .blocked_since
            .map(|since| since + self.limits.write_timeout);
        if blocked_until.is_some_and(|until| until <= self.now) {
            return match conn.role {
                Role::Session(_) => self.disconnect(id, &Disconnect::Slow),
                _ => {
                    self.metrics.slow_disconnects += 1;
                    self.close(id);
                }
            };
        }
        match &conn.role {
            Role::Session(_) => {
                let outcome = self.with_session(id, |session, cx| session.expire(cx));
                self.settle_session(id, outcome);
                self.run_agenda();
                self.flush(id);
            }
            Role::Front(front)
                if front.http.is_receiving_head() || front.http.is_receiving_body() =>
            {
                let message = format!(
                    "the request was not complete within {:?}",
                    self.limits.head_timeout
                );
                self.refuse(id, 408, "timeout", &message);
                self.flush(id);
            }
            Role::Pooled { .. } => self.retire_idle(id),
            // Nothing of a request came, or everything is said: there is nobody to answer.
            _ => self.close(id),
        }
    }
}

/// A connection's earliest deadline.
fn deadline(conn: &Conn, channels: &Registry, limits: &Limits) -> Option<Moment> {
    let of_role = match &conn.role {
        Role::Front(_) if conn.flags.has(Flags::CLOSING) => None,
        Role::Front(front) => Some(front.deadline(limits)),
        Role::Session(_) if conn.flags.has(Flags::CLOSING) => None,
        Role::Session(session) => {
            let deliveries = conn.cursors.iter();
            let delivered = deliveries.filter_map(|it| channels.last_delivery(it)).max();
            session.deadline(conn.last_write.max(delivered.unwrap_or_default()))
        }
        Role::Trailing(trailing) => Some(trailing.until),
        Role::Pooled { until } | Role::Lingering { until } => Some(*until),
        Role::Dialing(_) | Role::Upstream(_) => None,
    };
    let unblocked = conn.blocked_since.map(|since| since + limits.write_timeout);
    // The run, or the dial, watches over the provider's connection.
    let watched = matches!(conn.role, Role::Dialing(_) | Role::Upstream(_));
    let unblocked = unblocked.filter(|_| !watched);
    [of_role, unblocked].into_iter().flatten().min()
}
