//! Stopping: first no new chats, then the end of the running ones, then of the connections.
//!
//! ```text
//!   Running ─signal─► Draining ─no runs left, or drain time over─► Closing ─all closed, or 5 s─► stopped
//!      │                  └──────────── signal ────────────────────────┴───────────────────────► stopped
//! ```

use std::time::Duration;

use super::Reactor;
use crate::channel::Channel;
use crate::conn::{Conn, Flags, Role};
use crate::event::{ErrorCode, Event, Failure};
use crate::ids::{ConnId, RunId};
use crate::plugin::transport::Disconnect;
use crate::sys::Sys;
use crate::time::Moment;

/// How long connections may take to get their last bytes.
const CLOSE: Duration = Duration::from_secs(5);

/// How far a stop is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Running,
    Draining { until: Moment },
    Closing { until: Moment },
    Stopped,
}

impl Stop {
    pub(super) fn is_draining(self) -> bool {
        self != Self::Running
    }

    pub(super) fn deadline(self) -> Option<Moment> {
        match self {
            Self::Running | Self::Stopped => None,
            Self::Draining { until } | Self::Closing { until } => Some(until),
        }
    }
}

impl<S: Sys> Reactor<S> {
    /// A signal to stop: gracefully, or at once if it is not the first.
    #[cold]
    pub(super) fn begin_stop(&mut self) {
        match self.stop {
            Stop::Running => {
                let runs = self.runs.len();
                log::info!(
                    "stopping: no new chats, {runs} running may take {:?}",
                    self.limits.drain
                );
                self.stop = Stop::Draining {
                    until: self.now + self.limits.drain,
                };
                self.stop_warming();
            }
            Stop::Draining { .. } | Stop::Closing { .. } | Stop::Stopped => {
                log::warn!("told to stop again: stopping at once");
                self.stop = Stop::Stopped;
            }
        }
    }

    /// Moves a stop forward. False when there is nothing left to do.
    pub(super) fn go_on(&mut self) -> bool {
        self.stop == Stop::Running || self.go_on_stopping()
    }

    #[cold]
    fn go_on_stopping(&mut self) -> bool {
        if let Stop::Draining { until } = self.stop {
            let done = self.runs.len() == 0 && !self.has_readers_of_finished();
            if done || until <= self.now {
                self.begin_closing();
            }
        }
        if let Stop::Closing { until } = self.stop
            && (self.conns.len() == 0 || until <= self.now)
        {
            self.stop = Stop::Stopped;
            log::info!("stopped");
        }
        self.stop != Stop::Stopped
    }

    /// Is a finished answer still on its way to somebody?
    #[cold]
    fn has_readers_of_finished(&self) -> bool {
        self.conns.iter().any(|(_, conn)| self.reads_finished(conn))
    }

    fn reads_finished(&self, conn: &Conn) -> bool {
        conn.cursors.iter().any(|cursor| {
            let channel = self.channels.get(cursor.channel);
            channel.is_some_and(Channel::is_finished)
        })
    }

    /// A session has had the end of an answer. While the server closes, that was what it waited
    /// for.
    pub(super) fn go_on_closing(&mut self, id: ConnId) {
        if matches!(self.stop, Stop::Closing { .. })
            && let Some(conn) = self.conns.get(id)
            && matches!(conn.role, Role::Session(_))
            && !conn.flags.has(Flags::CLOSING)
            && !self.reads_finished(conn)
        {
            self.disconnect(id, &Disconnect::Shutdown);
        }
    }

    #[cold]
    fn begin_closing(&mut self) {
        self.close_listeners();
        let runs: Vec<RunId> = self.runs.iter().map(|(id, _)| id).collect();
        for run in runs {
            let message = "the server was stopped before the answer was complete";
            let mut failure = Failure::new(ErrorCode::Shutdown, message);
            self.name_target(run, &mut failure);
            self.finish_run(run, Event::Error(Box::new(failure)));
        }
        self.deliver();
        for id in self.pool.drain() {
            self.close(id);
        }
        let ids: Vec<ConnId> = self.conns.iter().map(|(id, _)| id).collect();
        for id in ids {
            let reads_finished = self.conns.get(id).is_some_and(|it| self.reads_finished(it));
            let Some(conn) = self.conns.get_mut(id) else {
                continue;
            };
            match conn.role {
                // It still gets its terminal event, and ends by itself.
                Role::Session(_) if reads_finished => {}
                Role::Session(_) if conn.flags.has(Flags::CLOSING) => {}
                Role::Session(_) => self.disconnect(id, &Disconnect::Shutdown),
                Role::Front(_) if conn.has_own_bytes() => conn.flags.set(Flags::CLOSING),
                Role::Lingering { .. } => {}
                Role::Dialing(dial) => self.drop_dial(dial),
                Role::Front(_) | Role::Upstream(_) | Role::Trailing(_) | Role::Pooled { .. } => {
                    self.close(id)
                }
            }
            self.run_agenda();
            self.flush(id);
        }
        self.stop = Stop::Closing {
            until: self.now + CLOSE,
        };
    }
}
