//! Spare connections: the reactor's side of `run/warm.rs`.

use std::sync::Arc;

use super::Reactor;
use crate::ids::{ConnId, DialId};
use crate::routing::Instance;
use crate::run::dial::Purpose;
use crate::run::pool::PoolKey;
use crate::sys::Sys;

impl<S: Sys> Reactor<S> {
    /// A request goes to a place: spares are kept for it, unless its provider is not, or no
    /// longer, one that is configured.
    pub(super) fn note_traffic(&mut self, key: &PoolKey, instance: &Arc<Instance>) {
        let configured = self.routing.providers.get(&instance.name);
        if configured.is_some_and(|it| Arc::ptr_eq(it, instance)) && !self.stop.is_draining() {
            self.warm.asked(key, instance, self.now);
        }
    }

    /// Dials for the spares that are missing.
    pub(super) fn warm_up(&mut self) {
        if self.warm.due().is_some_and(|due| due <= self.now) {
            self.dial_spares();
        }
    }

    #[inline(never)]
    fn dial_spares(&mut self) {
        loop {
            let Self {
                warm, pool, now, ..
            } = self;
            let Some((key, instance)) = warm.missing(*now, |key| pool.idle(key)) else {
                return;
            };
            self.dial(Purpose::Spare, key, instance);
        }
    }

    /// A spare connection is ready.
    pub(super) fn keep_spare(&mut self, conn: ConnId, key: PoolKey) {
        self.warm.dialed(&key);
        self.metrics.upstream_spares += 1;
        self.keep(conn, key, true);
    }

    /// A spare connection did not come about.
    pub(super) fn miss_spare(&mut self, key: &PoolKey) {
        self.warm.dialed(key);
        self.warm.failed(key, self.now);
    }

    /// The peer has made an idle connection useless.
    pub(super) fn lose_idle(&mut self, id: ConnId) {
        if let Some(key) = self.pool.place_of_spare(id) {
            self.warm.failed(key, self.now);
        }
        self.close(id);
    }

    /// An idle connection has been kept for as long as it may be.
    pub(super) fn retire_idle(&mut self, id: ConnId) {
        if let Some(key) = self.pool.place_of_spare(id) {
            self.warm.served(key, self.now);
        }
        self.close(id);
    }

    /// Keeps nothing warm any more; what is idle serves on, for as long as it is kept.
    pub(super) fn stop_warming(&mut self) {
        self.warm.clear();
        let spares = self.dials.iter();
        let spares = spares.filter(|(_, dial)| dial.purpose == Purpose::Spare);
        let spares: Vec<DialId> = spares.map(|(id, _)| id).collect();
        for id in spares {
            self.drop_dial(id);
        }
    }
}
