//! A stage for one session or one service, where there is no engine: for their tests.
//!
//! ```
//! use lmserver_runtime::plugin::stage::{Stage, Wish};
//!
//! let mut stage = Stage::default();
//! stage.cx().out().extend_from_slice(b"hello");
//! stage.cx().cancel("chat:1");
//! assert_eq!(stage.take_out(), b"hello");
//! assert_eq!(stage.take_wishes(), [Wish::Cancel { channel: "chat:1".into() }]);
//! ```

use std::sync::Arc;
use std::time::Duration;

use lmserver_proto::http1::Response;
use lmserver_proto::http1::server::Answering;

use crate::effect::Effect;
use crate::event::After;
use crate::ids::ConnId;
use crate::limits::Limits;
use crate::plugin::service::ServiceCx;
use crate::plugin::transport::SessionCx;
use crate::routing::Routing;
use crate::time::Moment;

/// What the engine is to a session: a clock, an output, somebody who hears its wishes. Random
/// bytes are zero.
pub struct Stage {
    /// The clock.
    pub now: Moment,
    /// Is something of the connection unsent?
    pub unsent: bool,
    /// The request that opens the session.
    pub answering: Answering,
    limits: Limits,
    out: Vec<u8>,
    agenda: Vec<Effect>,
    random: fn(&mut [u8]),
}

/// What a session asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// [`SessionCx::subscribe`].
    Subscribe {
        /// The channel's name.
        channel: Box<str>,
        /// From where.
        after: After,
        /// The name of the encoding.
        encoding: &'static str,
        /// May the channel be created?
        may_create: bool,
    },
    /// [`SessionCx::cancel`].
    Cancel {
        /// The channel's name.
        channel: Box<str>,
    },
    /// [`SessionCx::hand_back`].
    HandBack {
        /// What HTTP is to answer.
        response: Option<Response>,
        /// What came after the request.
        leftover: Vec<u8>,
    },
}

impl Default for Stage {
    fn default() -> Self {
        Self {
            now: Moment(0),
            unsent: false,
            answering: Answering::default(),
            limits: Limits::default(),
            out: Vec::new(),
            agenda: Vec::new(),
            random: |_| {},
        }
    }
}

impl Stage {
    /// The context of one callback.
    pub fn cx(&mut self) -> SessionCx<'_> {
        SessionCx {
            now: self.now,
            unix_seconds: 0,
            limits: &self.limits,
            unsent: self.unsent,
            answering: self.answering,
            conn: ConnId {
                index: 0,
                generation: 0,
            },
            out: &mut self.out,
            agenda: &mut self.agenda,
            random: &mut self.random,
        }
    }

    /// The context of one call of a service: nothing is stopping, nothing is full.
    pub fn service_cx<'a>(
        &'a mut self,
        routing: &'a Arc<Routing>,
        unix_time: Duration,
    ) -> ServiceCx<'a> {
        ServiceCx {
            now: self.now,
            unix_time,
            routing,
            draining: false,
            full: false,
            peer: None,
            session: self.cx(),
        }
    }

    /// What was written since the last call.
    pub fn take_out(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// What was asked for since the last call.
    pub fn take_wishes(&mut self) -> Vec<Wish> {
        self.agenda.drain(..).filter_map(Wish::of).collect()
    }
}

impl Wish {
    fn of(effect: Effect) -> Option<Self> {
        Some(match effect {
            Effect::Subscribe {
                channel,
                after,
                encoding,
                may_create,
                ..
            } => Self::Subscribe {
                channel,
                after,
                encoding: encoding.name(),
                may_create,
            },
            Effect::Cancel { channel } => Self::Cancel { channel },
            Effect::HandBack {
                response, leftover, ..
            } => Self::HandBack { response, leftover },
            // The engine's own.
            Effect::Begin { .. } => return None,
        })
    }
}
