//! `POST /api/publish`, as Centrifugo's server API has it: `{"channel":…,"data":…}` becomes one
//! event of an open channel.
//!
//! A wrong key is 401. Every other mistake is 200 with a number, as that API's clients expect:
//!
//! | code | meaning |
//! | --- | --- |
//! | 100 | no room, or the server stops: try again |
//! | 102 | unknown channel: `[channels] open` is off |
//! | 103 | permission denied: `chat:` channels are the server's own |
//! | 107 | bad request |
//!
//! The body is read in place; the only copy is that of the data.

use std::borrow::Cow;

use lmserver_proto::http1::{Request, Response};
use lmserver_runtime::event::one_line;
use lmserver_runtime::limits::Retention;
use lmserver_runtime::plugin::query::Publish;
use lmserver_runtime::plugin::service::{Answer, Query, Reply};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::auth::Auth;
use super::connection::check_name;
use super::refusal::{Refusal, clip};
use super::{Outcome, ask, chat, is_object};

/// Publishes. Other keys of the body are ignored.
pub(super) fn publish(
    auth: &Auth,
    open_channels: Option<Retention>,
    request: &Request,
    body: &[u8],
) -> Outcome {
    auth.caller(request)?;
    match read(body, open_channels) {
        Ok(query) => Ok(ask(query, |answer, _| published(&answer))),
        Err(mistake) => Ok(mistake.reply()),
    }
}

#[derive(Deserialize)]
struct Publication<'a> {
    #[serde(borrow)]
    channel: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// A mistake with its number.
struct Mistake {
    code: u16,
    message: String,
}

fn read(body: &[u8], open_channels: Option<Retention>) -> Result<Query, Mistake> {
    let bad = |why: &str| Mistake::new(BAD_REQUEST, format!("bad request: {}", clip(why)));
    if !is_object(body) {
        return Err(bad(r#"send {"channel":"news","data":{"text":"hi"}}"#));
    }
    let Publication { channel, data } =
        serde_json::from_slice(body).map_err(|error| bad(&error.to_string()))?;
    check_name(&channel).map_err(|mistake| bad(&mistake))?;
    if channel.starts_with(chat::PREFIX) {
        let message = "permission denied: channels named chat:… are written by the server alone";
        return Err(Mistake::new(PERMISSION_DENIED, message));
    }
    let Some(retention) = open_channels else {
        let message = "unknown channel: channels for publications are off, see [channels] open";
        return Err(Mistake::new(UNKNOWN_CHANNEL, message));
    };
    let channel = match channel {
        Cow::Borrowed(name) => name.into(),
        Cow::Owned(name) => name.into_boxed_str(),
    };
    Ok(Query::Publish(Publish {
        channel,
        data: one_line(data.get().as_bytes()),
        details: None,
        retention,
        is_fleeting: false,
    }))
}

fn published(answer: &Answer<'_>) -> Outcome {
    let mistake = match answer {
        Answer::Published(published) => {
            let position = published.position;
            let (offset, epoch) = (position.offset, position.epoch);
            let body = format!(r#"{{"result":{{"offset":{offset},"epoch":"{epoch}"}}}}"#);
            return Ok(Reply::Response(Response::json(200, body)));
        }
        Answer::TooLarge { limit } => {
            let message = format!("bad request: the data is larger than a channel, {limit} bytes");
            Mistake::new(BAD_REQUEST, message)
        }
        Answer::Unknown => Mistake::new(UNKNOWN_CHANNEL, "unknown channel"),
        Answer::Overloaded => Mistake::new(INTERNAL, "no room for another channel; try again soon"),
        Answer::Draining => Mistake::new(INTERNAL, "the server is stopping; try again soon"),
        _ => return Err(Refusal::internal()),
    };
    Ok(mistake.reply())
}

impl Mistake {
    fn new(code: u16, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    fn reply(&self) -> Reply {
        let error = serde_json::json!({ "code": self.code, "message": self.message });
        let body = serde_json::json!({ "error": error }).to_string();
        Reply::Response(Response::json(200, body))
    }
}

const INTERNAL: u16 = 100;
const UNKNOWN_CHANNEL: u16 = 102;
const PERMISSION_DENIED: u16 = 103;
const BAD_REQUEST: u16 = 107;
