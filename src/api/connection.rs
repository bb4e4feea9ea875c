//! `GET /connection/{transport}?channel=…`: who may listen, to what, and from where.
//!
//! The transport gives the answer, refusals included, since what a refusal looks like is its
//! affair. What is decided here is its input.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use lmserver_proto::http1::Request;
use lmserver_proto::percent;
use lmserver_runtime::event::After;
use lmserver_runtime::limits::Retention;
use lmserver_runtime::plugin::service::ServiceCx;
use lmserver_runtime::plugin::transport::{Opening, Transport};

use super::Outcome;
use super::auth::Auth;
use super::chat;
use super::origin::Origin;
use super::refusal::{Code, Refusal, clip};

/// The transports by the last part of their path.
pub(super) type Transports = BTreeMap<Box<str>, Arc<dyn Transport>>;

/// What the API knows about listening.
pub(super) struct Listening<'a> {
    pub(super) transports: &'a Transports,
    pub(super) auth: &'a Auth,
    /// What channels keep that exist as soon as they are named, if such are allowed.
    pub(super) open_channels: Option<Retention>,
}

impl Listening<'_> {
    /// Opens a session.
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
        let Some(channel) = parameter(request, "channel").filter(|name| !name.is_empty()) else {
            return Err(Refusal::invalid(format!(
                "the channel is missing: GET /connection/{name}?channel=CHANNEL"
            )));
        };
        check_name(&channel).map_err(Refusal::invalid)?;
        let opening = Opening {
            request,
            channel: &channel,
            after: cursor(request),
            admission: self.auth.admit(request, &channel, cx.unix_time),
            may_cancel: self
                .auth
                .may_cancel(request, &channel, cx.unix_time)
                .is_ok(),
            create: self
                .open_channels
                .filter(|_| !channel.starts_with(chat::PREFIX)),
            body,
            fields: origin.fields(),
        };
        Ok(cx.open(&**transport, opening))
    }

    fn unknown(&self, name: &str) -> Refusal {
        let known: Vec<_> = self
            .transports
            .keys()
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

/// Checks the name of a channel.
///
/// # Errors
///
/// What a name must be.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > NAME_MAX {
        return Err(format!(
            "a channel's name has 1 to {NAME_MAX} bytes, not {}",
            name.len()
        ));
    }
    if name.chars().any(char::is_control) {
        return Err("a channel's name has no control characters".to_owned());
    }
    Ok(())
}

fn parameter<'a>(request: &'a Request, name: &str) -> Option<Cow<'a, str>> {
    request
        .query()
        .and_then(|query| percent::query_value(query, name))
}

/// Bytes of a channel's name, as in Centrifugo.
const NAME_MAX: usize = 255;
