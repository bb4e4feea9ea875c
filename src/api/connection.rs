//! `GET /connection/{transport}?channel=…`: who may listen, to what, and from where. Without a
//! channel `/connection/{transport}` is for clients that name channels themselves, with commands.
//!
//! The transport gives the answer, refusals included, since what a refusal looks like is its
//! affair. What is decided here is its input. Only where there is no room for a client with
//! commands the answer is 503 before the transport is asked, as those clients expect it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lmserver_proto::http1::Request;
use lmserver_proto::percent;
use lmserver_runtime::event::After;
use lmserver_runtime::limits::Retention;
use lmserver_runtime::plugin::access::Denial;
use lmserver_runtime::plugin::service::ServiceCx;
use lmserver_runtime::plugin::transport::{Admission, Opening, Transport};

use super::Outcome;
use super::auth::{Auth, presented_token};
use super::origin::Origin;
use super::refusal::{Code, Refusal, clip};
use crate::access::{Policy, check_name, code, is_chat, retention};

/// The transports by the last part of their path.
pub(super) type Transports = BTreeMap<Box<str>, Arc<dyn Transport>>;

/// What the API knows about listening.
pub(super) struct Listening<'a> {
    pub(super) transports: &'a Transports,
    /// Those of clients that name their channels themselves.
    pub(super) clients: &'a Transports,
    pub(super) auth: &'a Auth,
    pub(super) policy: &'a mut Policy,
}

impl Listening<'_> {
    /// Opens a session that listens to one channel.
    #[inline(never)]
    pub(super) fn open(
        &self,
        name: &str,
        request: &Request,
        body: &[u8],
        origin: &Origin,
        cx: &mut ServiceCx<'_>,
    ) -> Outcome {
        let Some(transport) = self.transports.get(name) else {
            return Err(self.unknown(name));
        };
        let Some(channel) = named_channel(request) else {
            return Err(Refusal::invalid(format!(
                "the channel is missing: GET /connection/{name}?channel=CHANNEL"
            )));
        };
        check_name(&channel).map_err(Refusal::invalid)?;
        let (admission, create) = self.judge(request, &channel, cx.unix_time);
        let opening = Opening {
            request,
            channel: &channel,
            after: cursor(request),
            admission,
            may_cancel: self
                .auth
                .may_cancel(request, &channel, cx.unix_time)
                .is_ok(),
            create,
            body,
            fields: origin.fields(),
        };
        Ok(cx.open(&**transport, opening))
    }

    /// Opens a session of a client that names its channels itself.
    #[inline(never)]
    pub(super) fn open_client(
        self,
        name: &str,
        request: &Request,
        body: &[u8],
        origin: &Origin,
        cx: &mut ServiceCx<'_>,
    ) -> Outcome {
        let Some(transport) = self.clients.get(name) else {
            return Err(self.unknown(name));
        };
        // While the server drains they may come back to answers that still run.
        if cx.full {
            return Err(full());
        }
        let opening = Opening {
            request,
            channel: "",
            after: cursor(request),
            admission: Admission::Granted,
            may_cancel: false,
            create: None,
            body,
            fields: origin.fields(),
        };
        Ok(cx.open_client(&**transport, opening, self.policy))
    }

    /// May the client listen to this channel, and how is that made if it is not there? A channel
    /// of a namespace is as closed to this client as to others without a connection token.
    fn judge(
        &self,
        request: &Request,
        channel: &str,
        now: Duration,
    ) -> (Admission, Option<Retention>) {
        if self.policy.is_ruled_by_name(channel) {
            let open = self.policy.namespaces().open.as_ref();
            let open = open.filter(|_| self.policy.namespaces().resolve(channel).is_ok());
            let create = open.filter(|_| !is_chat(channel)).map(retention);
            return (self.auth.admit(request, channel, now), create);
        }
        let token = presented_token(request).unwrap_or_default();
        match self.policy.listen(channel, &token, now) {
            Ok(grant) => (Admission::Granted, grant.create),
            Err(denial) => (refused(denial, !token.is_empty()), None),
        }
    }

    fn unknown(&self, name: &str) -> Refusal {
        let mut names = BTreeSet::new();
        names.extend(self.transports.keys().chain(self.clients.keys()));
        let known: Vec<_> = names
            .into_iter()
            .map(|name| format!("/connection/{name}"))
            .collect();
        let message = format!(
            "no transport {:?}; there are {}",
            clip(name),
            known.join(", ")
        );
        Refusal::new(Code::NotFound, message)
    }
}

/// What is said to a client that may not listen to a channel of a namespace.
fn refused(denial: Denial, has_token: bool) -> Admission {
    let needed = "this channel needs a subscription token: send it as ?token=… or \
                  Authorization: Bearer …";
    match denial {
        Denial::Error(code::TOKEN_EXPIRED) => {
            Admission::Unauthorized("the token has expired; get a new one".to_owned())
        }
        Denial::Error(code::INTERNAL) => {
            Admission::Unauthorized("the token's key is not known yet; try again soon".to_owned())
        }
        _ if has_token => Admission::Forbidden("the token is not good for this channel".to_owned()),
        _ => Admission::Unauthorized(needed.to_owned()),
    }
}

fn full() -> Refusal {
    let message = "the server has no room and takes no more clients; come back soon";
    Refusal::new(Code::Overloaded, message).with_field("Retry-After", RETRY_AFTER)
}

/// The channel that a request names.
pub(super) fn named_channel(request: &Request) -> Option<Cow<'_, str>> {
    parameter(request, "channel").filter(|name| !name.is_empty())
}

/// From where the client wants to read: `Last-Event-ID`, else its twins in the query.
pub(super) fn cursor(request: &Request) -> After {
    if let Some(value) = request
        .fields
        .get_bytes("last-event-id")
        .filter(|id| !id.is_empty())
    {
        return std::str::from_utf8(value).map_or(After::Unreadable, After::parse);
    }
    ["last_event_id", "lastEventId", "since"]
        .into_iter()
        .find_map(|name| parameter(request, name))
        .map_or(After::Beginning, |value| After::parse(&value))
}

fn parameter<'a>(request: &'a Request, name: &str) -> Option<Cow<'a, str>> {
    request
        .query()
        .and_then(|query| percent::query_value(query, name))
}

/// Seconds after which a client that found no room may come back.
const RETRY_AFTER: &str = "5";
