//! Idle connections to providers, kept for the next request to the same place.

use std::sync::Arc;
use std::time::Duration;

use crate::ids::ConnId;
use crate::plugin::provider::Endpoint;
use crate::routing::Instance;
use crate::tls::Trust;

/// Idle connections kept for one place: as many as answers come at once on a busy day. Each is some
/// hundred bytes here; setting one up again costs as much as a hundred tokens, and much more with TLS.
const MOST_IDLE: usize = 256;

/// How long an idle connection is kept; shorter than what common servers allow.
pub(crate) const IDLE: Duration = Duration::from_secs(50);

/// What a connection must have in common with a request to serve it: the endpoint, the way there
/// and whom it trusted.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PoolKey {
    endpoint: Endpoint,
    proxy: Option<(Box<str>, u16)>,
    trust: SameTrust,
}

/// Whom a connection trusted: the very same value, which is kept alive here, so that no other can
/// take its place in memory while a connection that it verified is idle.
#[derive(Clone)]
struct SameTrust(Trust);

impl PartialEq for SameTrust {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0.0, &other.0.0)
    }
}

impl Eq for SameTrust {}

impl PoolKey {
    pub(crate) fn new(endpoint: &Endpoint, instance: &Instance) -> Self {
        Self {
            endpoint: endpoint.clone(),
            proxy: instance
                .proxy
                .as_ref()
                .map(|proxy| (proxy.host.clone(), proxy.port)),
            trust: SameTrust(instance.trust.clone()),
        }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}

/// The idle connections by place, the latest used last. Places are as few as providers, and looked
/// through. One whose connections are all in use stays, until there is a new one.
#[derive(Default)]
pub(crate) struct Pool {
    places: Vec<(PoolKey, Vec<Idle>)>,
}

/// An idle connection.
#[derive(Clone, Copy)]
pub(crate) struct Idle {
    pub(crate) conn: ConnId,
    /// Was it made ahead of need, and never used?
    pub(crate) is_spare: bool,
}

impl Pool {
    /// Keeps a connection; the one that must make room for it, if any.
    pub(crate) fn put(&mut self, key: PoolKey, conn: Idle) -> Option<ConnId> {
        let Some(idle) = self.at(&key) else {
            self.places.retain(|(_, idle)| !idle.is_empty());
            self.places.push((key, vec![conn]));
            return None;
        };
        idle.push(conn);
        if idle.len() > MOST_IDLE {
            Some(idle.remove(0).conn)
        } else {
            None
        }
    }

    /// Takes the connection that was used last.
    pub(crate) fn take(&mut self, key: &PoolKey) -> Option<Idle> {
        self.at(key)?.pop()
    }

    fn at(&mut self, key: &PoolKey) -> Option<&mut Vec<Idle>> {
        let mut places = self.places.iter_mut();
        places.find_map(|(place, idle)| (place == key).then_some(idle))
    }

    /// Forgets a connection that has ended. False: it was not idle.
    pub(crate) fn remove(&mut self, conn: ConnId) -> bool {
        let mut found = false;
        for (_, idle) in &mut self.places {
            let before = idle.len();
            idle.retain(|it| it.conn != conn);
            found |= idle.len() < before;
        }
        found
    }

    /// How many connections to a place are idle.
    pub(crate) fn idle(&self, key: &PoolKey) -> usize {
        let mut places = self.places.iter();
        let found = places.find(|(place, _)| place == key);
        found.map_or(0, |(_, idle)| idle.len())
    }

    /// Where a connection leads, if it was made ahead of need and never used.
    pub(crate) fn place_of_spare(&self, conn: ConnId) -> Option<&PoolKey> {
        let is_it = |it: &Idle| it.conn == conn && it.is_spare;
        let mut places = self.places.iter();
        places.find_map(|(key, idle)| idle.iter().any(is_it).then_some(key))
    }

    /// All of them, to be closed.
    pub(crate) fn drain(&mut self) -> Vec<ConnId> {
        self.places
            .drain(..)
            .flat_map(|(_, idle)| idle)
            .map(|it| it.conn)
            .collect()
    }
}
