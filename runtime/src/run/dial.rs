//! A connection on its way: the name, the addresses, the proxy, TLS.
//!
//! ```text
//!   Resolving ─► Connecting ─► Tunnel ─► Handshake ─► ready: for a run, or kept
//!       │            │ next address │        │
//!       └────────────┴──────────────┴────────┴── failed
//! ```

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lmserver_proto::http1::client::Exchange;

use super::pool::PoolKey;
use crate::event::ErrorCode;
use crate::ids::{ConnId, RunId};
use crate::plugin::provider::ProviderError;
use crate::routing::{Instance, Proxy};
use crate::time::Moment;

/// One dial.
pub(crate) struct Dial {
    pub(crate) purpose: Purpose,
    /// Where it goes.
    pub(crate) key: PoolKey,
    /// Whose proxy, trust and timer hold.
    pub(crate) instance: Arc<Instance>,
    pub(crate) step: Step,
    pub(crate) conn: Option<ConnId>,
    began: Moment,
    /// The earliest timer set for it.
    pub(crate) armed: Moment,
}

/// What the connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The attempt of a run that waits for it.
    Run(RunId),
    /// To be there when it is needed.
    Spare,
}

/// How far it is.
pub(crate) enum Step {
    /// The name is being looked up.
    Resolving,
    /// An address is being tried; these are left.
    Connecting {
        left: VecDeque<SocketAddr>,
        until: Moment,
    },
    /// The proxy is being asked for a tunnel.
    Tunnel(Box<Exchange>),
    /// TLS shakes hands.
    Handshake,
}

/// Why a dial failed.
pub(crate) enum Failed {
    /// Name, connect, proxy or TLS.
    Unreachable(String),
    /// Its time is over.
    TooLate,
}

/// Which deadline has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Late {
    /// The time to connect is over.
    All,
    /// One address has had its share of that.
    Address,
}

impl Dial {
    pub(crate) fn new(
        purpose: Purpose,
        key: PoolKey,
        instance: Arc<Instance>,
        now: Moment,
    ) -> Self {
        Self {
            purpose,
            key,
            instance,
            step: Step::Resolving,
            conn: None,
            began: now,
            armed: Moment::NEVER,
        }
    }

    /// The name of the host that the connection is for.
    pub(crate) fn host(&self) -> &str {
        &self.key.endpoint().host
    }

    /// The proxy that it goes through: only TLS goes through one.
    pub(crate) fn proxy(&self) -> Option<&Proxy> {
        let proxy = self.instance.proxy.as_ref();
        proxy.filter(|_| self.key.endpoint().tls)
    }

    /// Whom the socket connects to.
    pub(crate) fn hop(&self) -> (&str, u16) {
        match self.proxy() {
            Some(proxy) => (&proxy.host, proxy.port),
            None => (self.host(), self.key.endpoint().port),
        }
    }

    /// The same for a person.
    pub(crate) fn hop_name(&self) -> String {
        match self.proxy() {
            Some(proxy) => format!("the proxy {}", proxy.host),
            None => self.host().to_owned(),
        }
    }

    /// The next address. It gets its share of what is left of the time, so that a silent one does
    /// not cost all.
    pub(crate) fn next_address(&mut self, now: Moment) -> Option<SocketAddr> {
        let end = self.end();
        let Step::Connecting { left, until } = &mut self.step else {
            return None;
        };
        let addr = left.pop_front()?;
        let share = end.since(now) / u32::try_from(left.len() + 1).unwrap_or(u32::MAX);
        *until = now + share;
        Some(addr)
    }

    /// The earliest deadline and what it is for.
    pub(crate) fn deadline(&self) -> (Moment, Late) {
        let end = self.end();
        match &self.step {
            Step::Connecting { left, until } if !left.is_empty() && *until < end => {
                (*until, Late::Address)
            }
            _ => (end, Late::All),
        }
    }

    /// The error of an attempt whose connection did not come about.
    pub(crate) fn error(&self, failed: Failed) -> ProviderError {
        match failed {
            Failed::Unreachable(why) => ProviderError::new(ErrorCode::ProviderUnreachable, why),
            Failed::TooLate => {
                let limit = seconds(self.instance.timers.connect);
                let host = self.host();
                let why = format!("no connection to {host} within connect_timeout ({limit})");
                ProviderError::new(ErrorCode::ProviderTimeout, why)
            }
        }
    }

    /// The request for a tunnel (RFC 9110 §9.3.6).
    pub(crate) fn tunnel_request(&self, proxy: &Proxy) -> Vec<u8> {
        let (host, port) = (self.host(), self.key.endpoint().port);
        let authority = if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        let request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
        let mut request = request.into_bytes();
        if let Some(authorization) = &proxy.authorization {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(authorization.expose().as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        request
    }

    fn end(&self) -> Moment {
        self.began + self.instance.timers.connect
    }
}

/// A duration for a person.
pub(crate) fn seconds(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{} s", duration.as_secs())
    } else {
        format!("{} ms", duration.as_millis())
    }
}
