//! The loop: one owner of connections, runs, channels and plugins.
//!
//! ```text
//!   wait ─► take in ─► expire ─► settle ─► wish ─────► deliver ─► note ───► warm up ─┐
//!    ▲      flags,     due       one read  the         logs to    answers   spare    │
//!    │      accepts    hints     each      service's   sockets    that have dials    │
//!    │                                     own                    begun              │
//!    └───────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! - The clock is read once a turn, after the wait.
//! - A callback gets its own state, its connection's outbox and the agenda, which are different
//!   fields of the reactor. What it asks for is carried out after it has returned.
//! - A connection is read at most once a turn, [`READ_BYTES`] at most; whoever has more goes to
//!   the back of the queue.
//! - Subscribers are written once a turn: what a busy turn appended leaves in one write.
//! - What rarely runs is `#[cold]` or `#[inline(never)]`: a token that comes alone finds little of
//!   the code in the caches, and what lies between is fetched with it.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::arena::Arena;
use crate::channel::registry::Registry;
use crate::conn::{Conn, Flags};
use crate::directory::Directory;
use crate::effect::Effect;
use crate::ids::{ChannelId, ConnId, DialId, RunId};
use crate::limits::{ChannelLimits, Limits};
use crate::metrics::Metrics;
use crate::plugin::access::NoAccess;
use crate::plugin::provider::Output;
use crate::plugin::service::Service;
use crate::routing::Ledger;
use crate::routing::Routing;
use crate::run::Run;
use crate::run::acknowledging::Acknowledging;
use crate::run::dial::Dial;
use crate::run::pool::Pool;
use crate::run::warm::Warm;
use crate::sys::mio::MioSys;
use crate::sys::{ListenAddr, Signal, SockId, Sys, SysEvent};
use crate::time::Moment;
use crate::timers::{Owner, Timers};
use crate::tls::Identity;

mod accept;
mod check;
mod client;
mod closing;
mod conn_deadline;
mod deliver;
mod dial;
mod members;
mod query;
mod route;
mod run_deadline;
mod runs;
mod serve;
mod stop;
mod upstream;
mod warm;

use accept::Listener;
use stop::Stop;

/// Bytes read from one connection in one turn.
pub const READ_BYTES: usize = 16 * 1024;

/// The engine on one thread. Everything that lives while the server runs is in here.
pub struct Reactor<S: Sys> {
    sys: S,
    service: Box<dyn Service>,
    /// The verdicts where the service gives none.
    no_access: NoAccess,
    routing: Arc<Routing>,
    limits: Limits,
    listeners: Vec<Listener>,
    /// When one of them is to be looked at; [`Moment::NEVER`] for none.
    accepts_at: Moment,
    conns: Arena<ConnId, Conn>,
    /// Whose socket it is; a socket's number is small.
    by_sock: Vec<Option<ConnId>>,
    clients: usize,
    runs: Arena<RunId, Run>,
    /// Connections to providers that are being made.
    dials: Arena<DialId, Dial>,
    pool: Pool,
    acknowledging: Acknowledging,
    ledger: Ledger,
    warm: Warm,
    channels: Registry,
    directory: Directory,
    agenda: Vec<Effect>,
    /// What of it is being carried out; what that asks for in turn lies above it.
    batches: Vec<VecDeque<Effect>>,
    /// Connections with something to do, each at most once.
    work: VecDeque<ConnId>,
    timers: Timers,
    /// When the first timer, or the first deadline of a channel, was due as this turn began.
    next_expiry: Moment,
    stop: Stop,
    now: Moment,
    metrics: Metrics,
    buffers: Buffers,
}

/// Memory that is used again each turn.
#[derive(Default)]
struct Buffers {
    events: Vec<SysEvent>,
    /// What a socket gave.
    read: Vec<u8>,
    /// The same behind TLS.
    plain: Vec<u8>,
    /// Own and log bytes for one write.
    join: Vec<u8>,
    outputs: Vec<Output>,
    /// Runs whose providers sent their first bytes in this turn, or something before the first content.
    answered: Vec<RunId>,
    /// Runs whose attempts have begun to answer in this turn.
    begun: Vec<RunId>,
    dirty: Vec<ChannelId>,
    /// Connections that a delivery leaves to be flushed one by one.
    long_way: Vec<ConnId>,
    abandoned: Vec<ChannelId>,
}

impl Reactor<MioSys> {
    /// [Runs](Self::run) on the operating system. It is here that the loop is made for it, so that
    /// this package's optimisation is the loop's too.
    ///
    /// # Errors
    ///
    /// As for [`run`](Self::run).
    pub fn run_here(&mut self) -> io::Result<()> {
        self.run()
    }
}

impl<S: Sys> Reactor<S> {
    /// An engine that listens nowhere yet.
    pub fn new(
        sys: S,
        service: Box<dyn Service>,
        routing: Arc<Routing>,
        limits: Limits,
        channels: ChannelLimits,
    ) -> Self {
        let now = sys.now();
        Self {
            sys,
            service,
            no_access: NoAccess::default(),
            routing,
            limits,
            listeners: Vec::new(),
            accepts_at: Moment::NEVER,
            conns: Arena::new(),
            by_sock: Vec::new(),
            clients: 0,
            runs: Arena::new(),
            dials: Arena::new(),
            pool: Pool::default(),
            acknowledging: Acknowledging::default(),
            ledger: Ledger::default(),
            warm: Warm::default(),
            channels: Registry::new(channels),
            directory: Directory::default(),
            agenda: Vec::new(),
            batches: Vec::new(),
            work: VecDeque::new(),
            timers: Timers::default(),
            next_expiry: Moment::NEVER,
            stop: Stop::Running,
            now,
            metrics: Metrics::default(),
            buffers: Buffers {
                read: vec![0; READ_BYTES],
                ..Buffers::default()
            },
        }
    }

    /// Listens at an address, with TLS if there is an identity to show. Says where it really
    /// listens.
    ///
    /// # Errors
    ///
    /// The system's: the address is in use, or not this machine's.
    pub fn listen(&mut self, at: &ListenAddr, tls: Option<Identity>) -> io::Result<ListenAddr> {
        let (sock, addr) = self.sys.listen(at)?;
        self.listeners.push(Listener::new(sock, tls));
        self.accepts_at = Moment(0);
        Ok(addr)
    }

    /// Runs until it is told to stop and everything is said.
    ///
    /// # Errors
    ///
    /// The system's, where the loop cannot go on.
    pub fn run(&mut self) -> io::Result<()> {
        while self.turn()? {}
        Ok(())
    }

    /// One turn. False when the server has stopped.
    ///
    /// # Errors
    ///
    /// As for [`run`](Self::run).
    pub fn turn(&mut self) -> io::Result<bool> {
        self.wait()?;
        self.take_in();
        self.accept();
        self.expire();
        self.settle();
        self.grant_wish();
        self.deliver();
        self.note_first_events(None);
        self.expect_streams();
        self.warm_up();
        Ok(self.go_on())
    }

    /// The counters.
    #[inline(never)]
    pub fn metrics(&self) -> Metrics {
        Metrics {
            connections: self.clients as u64,
            channels: self.channels.len() as u64,
            channel_bytes: self.channels.total_bytes() as u64,
            clients: self.directory.clients() as u64,
            users: self.directory.users() as u64,
            subscriptions: self.channels.subscriptions() as u64,
            runs: self.runs.len() as u64,
            open_breakers: self.ledger.open_breakers() as u64,
            queued: self.ledger.queued() as u64,
            targets: self.ledger.loads(),
            ..self.metrics.clone()
        }
    }

    fn wait(&mut self) -> io::Result<()> {
        let idle = self.work.is_empty() && self.agenda.is_empty() && !self.channels.is_dirty();
        let Self {
            conns, runs, dials, ..
        } = self;
        let hint = self.timers.next(|owner| match owner {
            Owner::Conn(id) => conns.get(id).map(|it| it.armed),
            Owner::Run(id) => runs.get(id).map(|it| it.armed),
            Owner::Dial(id) => dials.get(id).map(|it| it.armed),
        });
        let or_never = |at: Option<Moment>| at.unwrap_or(Moment::NEVER);
        self.next_expiry = or_never(hint).min(self.channels.deadline());
        let until = if idle {
            let others = [
                self.accepts_at,
                or_never(self.wish_at()),
                or_never(self.warm.due()),
                or_never(self.stop.deadline()),
            ];
            let first = others.into_iter().fold(self.next_expiry, Moment::min);
            (first != Moment::NEVER).then_some(first)
        } else {
            Some(self.now)
        };
        self.buffers.events.clear();
        self.sys.poll(until, &mut self.buffers.events)?;
        self.now = self.sys.now();
        self.metrics.turns += 1;
        Ok(())
    }

    fn take_in(&mut self) {
        let mut events = std::mem::take(&mut self.buffers.events);
        for event in &mut events {
            match event {
                SysEvent::Ready {
                    sock,
                    readable,
                    writable,
                    closed,
                } => {
                    self.note_readiness(*sock, *readable, *writable, *closed);
                }
                SysEvent::Resolved { ticket, addrs } => {
                    let addrs = std::mem::replace(addrs, Ok(Vec::new()));
                    self.resolved(*ticket, addrs);
                }
                SysEvent::Signal(Signal::Stop) => self.begin_stop(),
                SysEvent::Signal(Signal::Reload) => self.reload(),
            }
        }
        self.buffers.events = events;
    }

    fn note_readiness(&mut self, sock: SockId, readable: bool, writable: bool, closed: bool) {
        let owner = self.by_sock.get(sock.0 as usize).copied().flatten();
        let Some(id) = owner else {
            return self.note_waiting(sock);
        };
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        for (told, flag) in [
            (readable, Flags::READABLE),
            (writable, Flags::WRITABLE),
            (closed, Flags::PEER_CLOSED),
        ] {
            if told {
                conn.flags.set(flag);
            }
        }
        self.enqueue(id);
    }

    #[cold]
    fn reload(&mut self) {
        match self.service.reload() {
            Some(routing) => {
                let former = std::mem::replace(&mut self.routing, routing);
                let Self {
                    routing,
                    ledger,
                    metrics,
                    ..
                } = self;
                let is_another =
                    |provider: &str, model: &str| routing.has_changed(&former, provider, model);
                contained(metrics, || ledger.forgive(is_another));
                self.stop_warming();
                log::info!("the configuration was read again: new requests use it");
                self.call_all();
            }
            None => log::warn!("the configuration was not changed"),
        }
    }

    fn expire(&mut self) {
        // What was given a deadline since has it in a later turn.
        if self.next_expiry <= self.now {
            self.expire_due();
        }
    }

    #[inline(never)]
    fn expire_due(&mut self) {
        while let Some((at, owner)) = self.timers.pop_due(self.now) {
            match owner {
                Owner::Conn(id) => self.expire_conn(id, at),
                Owner::Run(id) => self.expire_run(id, at),
                Owner::Dial(id) => self.expire_dial(id, at),
            }
            self.run_agenda();
        }
        if self.channels.deadline() <= self.now {
            let mut abandoned = std::mem::take(&mut self.buffers.abandoned);
            self.channels.expire(self.now, &mut abandoned);
            for channel in abandoned.drain(..) {
                self.abandon(channel);
            }
            self.buffers.abandoned = abandoned;
        }
    }

    fn settle(&mut self) {
        self.run_agenda();
        for _ in 0..self.work.len() {
            let Some(id) = self.work.pop_front() else {
                break;
            };
            if let Some(conn) = self.conns.get_mut(id) {
                conn.flags.clear(Flags::QUEUED);
                self.serve(id);
            }
        }
    }

    /// Carries out what callbacks asked for, and what those ask for in turn.
    fn run_agenda(&mut self) {
        if !self.agenda.is_empty() {
            self.carry_out_agenda();
        }
    }

    #[inline(never)]
    fn carry_out_agenda(&mut self) {
        while !self.agenda.is_empty() {
            let batch = std::mem::take(&mut self.agenda);
            self.batches.push(batch.into());
            while let Some(effect) = self.batches.last_mut().and_then(VecDeque::pop_front) {
                self.carry_out_effect(effect);
            }
            self.batches.pop();
        }
    }

    fn carry_out_effect(&mut self, effect: Effect) {
        match effect {
            Effect::Subscribe {
                conn,
                channel,
                wish,
                create,
            } => self.subscribe(conn, &channel, &wish, create),
            Effect::Unsubscribe { conn, channel } => {
                if let Ok(channel) = self.channels.find(&channel) {
                    self.unsubscribe_from(conn, channel);
                }
            }
            Effect::Gate { conn, channel } => {
                if let Ok(channel) = self.channels.find(&channel) {
                    self.close_gate(conn, channel);
                }
            }
            Effect::Ask { conn, query, tag } => self.answer_session(conn, query, tag),
            Effect::Register { conn, identity } => self.register(conn, identity),
            Effect::Join {
                conn,
                channel,
                membership,
            } => self.join(conn, &channel, *membership),
            Effect::Leave { conn, channel } => self.leave(conn, &channel),
            Effect::Signal { conn, signal } => {
                // What its channels held before goes before what comes of the signal.
                self.flush_early(conn);
                self.tell(conn, |session, cx| session.signalled(&signal, cx));
            }
            Effect::Cancel { channel } => {
                if let Ok(id) = self.channels.find(&channel) {
                    self.cancel(id);
                }
            }
            Effect::HandBack {
                conn,
                answering,
                response,
                leftover,
            } => self.hand_back(conn, answering, response, &leftover),
            Effect::Begin { run } => {
                self.begin(run);
                self.tell_start(run);
            }
        }
    }

    /// Has this connection's session asked for something that is still to be carried out?
    fn has_wishes(&self, id: ConnId) -> bool {
        let batches = self.batches.iter().flatten();
        batches.chain(&self.agenda).any(|effect| effect.is_of(id))
    }

    /// Forgets what this connection's session asked for.
    fn forget_wishes(&mut self, id: ConnId) {
        self.agenda.retain(|effect| !effect.is_of(id));
        for batch in &mut self.batches {
            batch.retain(|effect| !effect.is_of(id));
        }
    }

    /// Puts a connection into the queue of work, once.
    fn enqueue(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id)
            && !conn.flags.has(Flags::QUEUED)
        {
            conn.flags.set(Flags::QUEUED);
            self.work.push_back(id);
        }
    }

    /// Takes a connection into the table.
    fn insert(&mut self, conn: Conn) -> ConnId {
        let sock = conn.sock;
        let id = self.conns.insert_with(|_| conn);
        let index = sock.0 as usize;
        if self.by_sock.len() <= index {
            self.by_sock.resize(index + 1, None);
        }
        if let Some(owner) = self.by_sock.get_mut(index) {
            *owner = Some(id);
        }
        id
    }
}

/// Calls into a plugin. A panic there is contained: `None`.
fn contained<R>(metrics: &mut Metrics, call: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(value) => Some(value),
        Err(_) => {
            metrics.panics += 1;
            log::error!("a plugin panicked; what it served is ended, the server goes on");
            None
        }
    }
}
