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

use crate::directory::{Directory, Identity, Membership};
use crate::effect::Effect;
use crate::event::After;
use crate::ids::ConnId;
use crate::limits::{Limits, Retention};
use crate::plugin::access::{Access, NoAccess};
use crate::plugin::query::Query;
use crate::plugin::service::{Parts, ServiceCx};
use crate::plugin::transport::SessionCx;
use crate::routing::Routing;
use crate::time::Moment;

/// What the engine is to a session: a clock, an output, somebody who hears its wishes. Random
/// bytes are zero.
pub struct Stage {
    /// The clock.
    pub now: Moment,
    /// The wall clock.
    pub unix_time: Duration,
    /// Is something of the connection unsent?
    pub unsent: bool,
    /// Does its socket take nothing?
    pub blocked: bool,
    /// The request that opens the session.
    pub answering: Answering,
    limits: Limits,
    out: Vec<u8>,
    agenda: Vec<Effect>,
    random: fn(&mut [u8]),
    access: Box<dyn Access>,
    directory: Directory,
    questions: Vec<Query>,
}

/// The connection that the stage stands for.
const NOBODY: ConnId = ConnId {
    index: 0,
    generation: 0,
};

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
        /// How the channel is made if it is not there.
        create: Option<Retention>,
        /// Are its events asked about?
        gated: bool,
    },
    /// [`SessionCx::unsubscribe`].
    Unsubscribe {
        /// The channel's name.
        channel: Box<str>,
    },
    /// [`SessionCx::gate`].
    Gate {
        /// The channel's name.
        channel: Box<str>,
    },
    /// [`SessionCx::ask`]: what is asked is in [`Stage::take_questions`].
    Ask {
        /// The question's tag.
        tag: u64,
    },
    /// [`SessionCx::register`].
    Register(Identity),
    /// [`SessionCx::join`].
    Join {
        /// The channel's name.
        channel: Box<str>,
        /// The member.
        membership: Membership,
    },
    /// [`SessionCx::leave`].
    Leave {
        /// The channel's name.
        channel: Box<str>,
    },
    /// [`SessionCx::cancel`].
    Cancel {
        /// The channel's name.
        channel: Box<str>,
    },
    /// [`SessionCx::hand_back`].
    HandBack {
        /// What is known of the request by then.
        answering: Answering,
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
            unix_time: Duration::ZERO,
            unsent: false,
            blocked: false,
            answering: Answering::default(),
            limits: Limits::default(),
            out: Vec::new(),
            agenda: Vec::new(),
            random: |_| {},
            access: Box::new(NoAccess::default()),
            directory: Directory::default(),
            questions: Vec::new(),
        }
    }
}

impl Stage {
    /// The context of one callback.
    pub fn cx(&mut self) -> SessionCx<'_> {
        SessionCx {
            now: self.now,
            unix_time: self.unix_time,
            limits: &self.limits,
            unsent: self.unsent,
            blocked: self.blocked,
            answering: self.answering,
            conn: NOBODY,
            out: &mut self.out,
            agenda: &mut self.agenda,
            random: &mut self.random,
            access: self.access.as_mut(),
            directory: &self.directory,
        }
    }

    /// Gives the verdicts from now on.
    pub fn set_access(&mut self, access: Box<dyn Access>) {
        self.access = access;
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
            session: Parts {
                limits: &self.limits,
                answering: self.answering,
                conn: NOBODY,
                out: &mut self.out,
                agenda: &mut self.agenda,
                random: &mut self.random,
                directory: &self.directory,
            },
        }
    }

    /// What was written since the last call.
    pub fn take_out(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// What was asked for since the last call.
    pub fn take_wishes(&mut self) -> Vec<Wish> {
        let questions = &mut self.questions;
        self.agenda
            .drain(..)
            .filter_map(|effect| Wish::of(effect, questions))
            .collect()
    }

    /// The questions among the wishes taken since the last call.
    pub fn take_questions(&mut self) -> Vec<Query> {
        std::mem::take(&mut self.questions)
    }
}

impl Wish {
    fn of(effect: Effect, questions: &mut Vec<Query>) -> Option<Self> {
        Some(match effect {
            Effect::Subscribe {
                channel,
                wish,
                create,
                ..
            } => Self::Subscribe {
                channel,
                after: wish.after,
                encoding: wish.encoding.name(),
                create,
                gated: wish.gated,
            },
            Effect::Unsubscribe { channel, .. } => Self::Unsubscribe { channel },
            Effect::Gate { channel, .. } => Self::Gate { channel },
            Effect::Ask { query, tag, .. } => {
                questions.push(query);
                Self::Ask { tag }
            }
            Effect::Register { identity, .. } => Self::Register(identity),
            Effect::Join {
                channel,
                membership,
                ..
            } => Self::Join {
                channel,
                membership: *membership,
            },
            Effect::Leave { channel, .. } => Self::Leave { channel },
            Effect::Cancel { channel } => Self::Cancel { channel },
            Effect::HandBack {
                answering,
                response,
                leftover,
                ..
            } => Self::HandBack {
                answering,
                response,
                leftover,
            },
            // The engine's own.
            Effect::Begin { .. } | Effect::Signal { .. } => return None,
        })
    }
}
