//! One connection of the simulated world: two pipes with latency and a window each.

use std::collections::VecDeque;
use std::io;

use crate::time::Moment;

/// How a connection behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// Milliseconds that a byte is under way, at least and at most.
    pub latency: (u64, u64),
    /// Bytes under way or unread that the server's end takes, before the peer must wait.
    pub window_to_server: usize,
    /// Bytes under way or unread that the peer's end takes, before the server must wait.
    pub window_to_peer: usize,
}

impl Default for Weather {
    fn default() -> Self {
        Self {
            latency: (0, 0),
            window_to_server: 64 * 1024,
            window_to_peer: 64 * 1024,
        }
    }
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The server's connect is under way; never decided, if nobody answers.
    Connecting,
    /// The server's connect has failed.
    Failed(io::ErrorKind),
    /// The peer waits to be accepted at this listener.
    Waiting { listener: u32 },
    /// Both ends can be used.
    Open,
    /// The server never accepted it.
    Refused,
}

/// One direction.
#[derive(Debug)]
pub(super) struct Pipe {
    flying: VecDeque<(Moment, Vec<u8>)>,
    flying_bytes: usize,
    pub(super) arrived: VecDeque<u8>,
    window: usize,
    /// When the sender's end arrives.
    fin: Option<Moment>,
    pub(super) fin_arrived: bool,
    last: Moment,
}

impl Pipe {
    fn new(window: usize) -> Self {
        Self {
            flying: VecDeque::new(),
            flying_bytes: 0,
            arrived: VecDeque::new(),
            window: window.max(1),
            fin: None,
            fin_arrived: false,
            last: Moment(0),
        }
    }

    /// Bytes that the sender may still put in.
    pub(super) fn free(&self) -> usize {
        self.window
            .saturating_sub(self.flying_bytes + self.arrived.len())
    }

    pub(super) fn is_shut(&self) -> bool {
        self.fin.is_some()
    }

    /// Puts bytes in that arrive at `at`, or later if earlier ones do. Says when.
    pub(super) fn send(&mut self, bytes: &[u8], at: Moment) -> Moment {
        self.last = self.last.max(at);
        self.flying_bytes += bytes.len();
        self.flying.push_back((self.last, bytes.to_vec()));
        self.last
    }

    /// Ends the direction; the end arrives after the bytes.
    pub(super) fn shut(&mut self, at: Moment) -> Moment {
        self.last = self.last.max(at);
        self.fin.get_or_insert(self.last);
        self.last
    }

    /// Loses what is under way.
    pub(super) fn lose(&mut self) {
        self.flying.clear();
        self.flying_bytes = 0;
    }

    /// Takes in what has arrived. True if anything has.
    pub(super) fn land(&mut self, now: Moment) -> bool {
        let mut landed = false;
        while self.flying.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, bytes)) = self.flying.pop_front() {
                self.flying_bytes -= bytes.len();
                self.arrived.extend(bytes);
                landed = true;
            }
        }
        if !self.fin_arrived && self.flying.is_empty() && self.fin.is_some_and(|at| at <= now) {
            self.fin_arrived = true;
            landed = true;
        }
        landed
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) state: State,
    pub(super) weather: Weather,
    /// Who has the far end.
    pub(super) peer: usize,
    pub(super) to_server: Pipe,
    pub(super) to_peer: Pipe,
    /// The server's socket.
    pub(super) sock: Option<u32>,
    pub(super) server_closed: bool,
    pub(super) peer_closed: bool,
    /// A reset has reached the server; the peer.
    pub(super) server_reset: bool,
    pub(super) peer_reset: bool,
    /// Readiness may be told (again).
    pub(super) read_armed: bool,
    pub(super) write_armed: bool,
    /// The end, or the reset, has been told.
    pub(super) end_told: bool,
    pub(super) touched: bool,
}

impl Line {
    pub(super) fn new(state: State, weather: Weather, peer: usize) -> Self {
        Self {
            state,
            weather,
            peer,
            to_server: Pipe::new(weather.window_to_server),
            to_peer: Pipe::new(weather.window_to_peer),
            sock: None,
            server_closed: false,
            peer_closed: false,
            server_reset: false,
            peer_reset: false,
            read_armed: true,
            write_armed: true,
            end_told: false,
            touched: false,
        }
    }

    /// Readiness to tell: readable, writable, closed. Telling it disarms it.
    pub(super) fn take_readiness(&mut self) -> Option<(bool, bool, bool)> {
        match self.state {
            State::Open => {}
            State::Failed(_) => {
                if !self.write_armed {
                    return None;
                }
                self.write_armed = false;
                return Some((true, true, true));
            }
            State::Connecting | State::Waiting { .. } | State::Refused => return None,
        }
        let ended = self.server_reset || self.to_server.fin_arrived;
        let news = !self.to_server.arrived.is_empty() || (ended && !self.end_told);
        let readable = self.read_armed && news;
        let writable = self.write_armed && (self.to_peer.free() > 0 || self.server_reset);
        if !readable && !writable {
            return None;
        }
        if readable {
            self.read_armed = false;
            self.end_told = ended;
        }
        if writable {
            self.write_armed = false;
        }
        Some((readable, writable, ended))
    }
}
