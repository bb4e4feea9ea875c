//! What must hold after every turn, for the simulator.

use super::Reactor;
use crate::channel::Pending;
use crate::conn::{Conn, Flags, Role};
use crate::ids::ConnId;
use crate::run::dial::Purpose;
use crate::run::{Current, Phase, Wait};
use crate::sys::Sys;

impl<S: Sys> Reactor<S> {
    /// Checks that the tables agree with each other.
    ///
    /// # Errors
    ///
    /// What does not agree.
    pub fn check(&self) -> Result<(), String> {
        let mut cursors = 0;
        for (id, conn) in self.conns.iter() {
            if self.by_sock.get(conn.sock.0 as usize).copied().flatten() != Some(id) {
                return Err(format!("{id:?} is not the owner of {:?}", conn.sock));
            }
            if conn.flags.has(Flags::QUEUED) != self.work.contains(&id) {
                return Err(format!("{id:?}: its flag and the queue do not agree"));
            }
            if let Role::Upstream(run) = conn.role {
                let attempt = self.runs.get(run).and_then(|run| run.attempt.as_ref());
                if attempt.is_none_or(|attempt| attempt.conn != Some(id)) {
                    return Err(format!("{id:?} serves a run that does not know it"));
                }
            }
            if let Role::Dialing(dial) = conn.role
                && self
                    .dials
                    .get(dial)
                    .is_none_or(|dial| dial.conn != Some(id))
            {
                return Err(format!("{id:?} is made by a dial that does not know it"));
            }
            if let Some(mistake) = self.check_unsent(id, conn) {
                return Err(mistake);
            }
            // A channel may be forgotten before its last reader notices.
            let held = conn.cursors.iter();
            let held = held.filter(|cursor| self.channels.get(cursor.channel).is_some());
            cursors += held.count();
        }
        let mut subscribers = 0;
        for (channel, view, slot, subscriber) in self.channels.subscribers() {
            subscribers += 1;
            let conn = subscriber.conn;
            if let Some(it) = self.conns.get(conn).filter(|_| subscriber.keeps_up)
                && (it.sock != subscriber.sock || !it.may_keep_up())
            {
                return Err(format!("{conn:?} is said to keep up, and cannot"));
            }
            let agrees = self.conns.get(conn).is_some_and(|conn| {
                conn.cursors.iter().any(|cursor| {
                    cursor.channel == channel && cursor.view == view && cursor.slot as usize == slot
                })
            });
            if !agrees {
                return Err(format!(
                    "{conn:?} stands in {channel:?} and does not know it"
                ));
            }
        }
        if cursors != subscribers {
            return Err(format!("{cursors} cursors, {subscribers} subscribers"));
        }
        for (id, run) in self.runs.iter() {
            if self
                .channels
                .get(run.channel)
                .and_then(|channel| channel.run)
                != Some(id)
            {
                return Err(format!("{id:?} writes a channel that does not know it"));
            }
        }
        if self.accepts_at > self.accepting() {
            return Err("a listener waits for nothing".to_owned());
        }
        self.check_dials()?;
        self.check_ledger()?;
        self.channels.check()
    }

    /// A dial for a run and the run's attempt know each other.
    fn check_dials(&self) -> Result<(), String> {
        for (id, dial) in self.dials.iter() {
            let Purpose::Run(run) = dial.purpose else {
                continue;
            };
            let attempt = self.runs.get(run).and_then(|run| run.attempt.as_ref());
            let waits = |attempt: &Current| matches!(attempt.phase, Phase::Dialing(it) if it == id);
            if !attempt.is_some_and(waits) {
                return Err(format!("{id:?} is for a run that does not wait for it"));
            }
        }
        for (key, count) in self.warm.dials() {
            let spares = self.dials.iter();
            let spares = spares.filter(|(_, it)| it.purpose == Purpose::Spare && it.key == *key);
            if spares.count() != usize::try_from(count).unwrap_or(usize::MAX) {
                return Err("the dials for spares are not those that are counted".to_owned());
            }
        }
        let mut attempts = self.runs.iter().filter_map(|(_, run)| run.attempt.as_ref());
        let lost = attempts.find(|attempt| match attempt.phase {
            Phase::Dialing(dial) => self.dials.get(dial).is_none(),
            Phase::Answering => attempt.conn.is_none(),
            Phase::Local => false,
        });
        match lost {
            Some(_) => Err("an attempt waits for nothing".to_owned()),
            None => Ok(()),
        }
    }

    /// The ledger counts the runs that have a slot, and those that wait stand in it, once.
    fn check_ledger(&self) -> Result<(), String> {
        let (mut slots, mut waits) = (0, 0);
        for (id, run) in self.runs.iter() {
            if (run.attempt.is_some() && run.slot.is_none())
                || (run.wait.is_some() && run.slot.is_some())
            {
                return Err(format!("{id:?} both waits and does not"));
            }
            slots += usize::from(run.slot.is_some());
            if let Some(Wait::Queue { .. }) = run.wait {
                waits += 1;
                if self.ledger.waiting().filter(|it| *it == id).count() != 1 {
                    return Err(format!("{id:?} waits in no queue, or in several"));
                }
            }
        }
        let running = self.ledger.running();
        if (running, self.ledger.queued()) != (slots, waits) {
            return Err(format!(
                "{slots} slots and {waits} waits, but the ledger has {:?}",
                (running, self.ledger.queued())
            ));
        }
        Ok(())
    }

    /// What a socket takes is written: nobody waits for a word that nobody says.
    fn check_unsent(&self, id: ConnId, conn: &Conn) -> Option<String> {
        let is_idle = conn.flags.has(Flags::WRITABLE)
            && !conn.flags.has(Flags::CONNECTING)
            && !conn.flags.has(Flags::QUEUED)
            && !self.channels.is_dirty();
        if !is_idle {
            return None;
        }
        if !conn.outbox.is_empty() {
            return Some(format!("{id:?} has {} bytes unsent", conn.outbox.len()));
        }
        let forgotten = conn.cursors.iter().find(|cursor| {
            let channel = self.channels.get(cursor.channel);
            let keeps_up = self.channels.last_delivery(cursor).is_some();
            !keeps_up && channel.is_some_and(|it| matches!(it.pending(cursor), Pending::Bytes(_)))
        });
        forgotten.map(|cursor| format!("{id:?} is not written what {cursor:?} has before it"))
    }

    /// Bytes that the connection with most of them holds of its own, unsent.
    pub fn largest_outbox(&self) -> usize {
        let all = self.conns.iter().map(|(_, conn)| conn.outbox.capacity());
        all.max().unwrap_or(0)
    }

    /// The world.
    pub fn sys(&self) -> &S {
        &self.sys
    }

    /// The world, to be changed.
    pub fn sys_mut(&mut self) -> &mut S {
        &mut self.sys
    }

    /// Is nothing left that would hold a connection or a run?
    pub fn is_quiet(&self) -> bool {
        self.conns.len() == 0
            && self.runs.len() == 0
            && self.dials.len() == 0
            && self.work.is_empty()
    }
}
