//! `subscribe`, `unsubscribe`, `disconnect` and `refresh`: what clients are told.
//!
//! They are meant by their user, of whose clients one may be picked by its id or its session's.
//! Without a user the id or the session has to be given. That nobody is meant is no mistake.

use std::borrow::Cow;

use lmserver_runtime::event::one_line;
use lmserver_runtime::plugin::service::{Answer, Query};
use lmserver_runtime::plugin::transport::{Signal, Target};
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::mistake::Mistake;
use super::task::{Said, Task};
use super::{Desk, StreamPosition, document, parse, refused};
use crate::access::Extras;
use crate::token::Overrides;

/// Who is meant, in all of these commands.
#[derive(Deserialize)]
struct Who<'a> {
    #[serde(borrow, default)]
    user: Cow<'a, str>,
    #[serde(borrow, default)]
    client: Cow<'a, str>,
    #[serde(borrow, default)]
    session: Cow<'a, str>,
    #[serde(borrow, default)]
    whitelist: Vec<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Subscribe<'a> {
    #[serde(borrow, default)]
    channel: Cow<'a, str>,
    #[serde(borrow)]
    info: Option<&'a RawValue>,
    b64info: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    b64data: Option<Cow<'a, str>>,
    recover_since: Option<StreamPosition>,
    expire_at: Option<i64>,
    #[serde(rename = "override")]
    overrides: Option<Written>,
}

#[derive(Deserialize)]
struct Written {
    presence: Option<Switch>,
    join_leave: Option<Switch>,
    force_push_join_leave: Option<Switch>,
    force_recovery: Option<Switch>,
    force_positioning: Option<Switch>,
}

#[derive(Deserialize)]
struct Switch {
    #[serde(default)]
    value: bool,
}

#[derive(Deserialize)]
struct Unsubscribe<'a> {
    #[serde(borrow, default)]
    channel: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Disconnect<'a> {
    #[serde(borrow)]
    disconnect: Option<Why<'a>>,
}

#[derive(Deserialize)]
struct Why<'a> {
    code: u16,
    #[serde(borrow, default)]
    reason: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Refresh<'a> {
    #[serde(default)]
    expired: bool,
    expire_at: Option<i64>,
    #[serde(borrow)]
    info: Option<&'a RawValue>,
}

/// `subscribe`.
pub(super) fn subscribe(body: &[u8], desk: &Desk<'_>) -> Result<Task, Mistake> {
    let request: Subscribe<'_> = parse(body)?;
    let target = target(body)?;
    desk.channel(&request.channel)?;
    let value = |switch: Option<Switch>| switch.map(|switch| switch.value);
    let overrides = request.overrides.map(|written| Overrides {
        presence: value(written.presence),
        join_leave: value(written.join_leave),
        force_push_join_leave: value(written.force_push_join_leave),
        force_recovery: value(written.force_recovery),
        force_positioning: value(written.force_positioning),
    });
    let extras = Extras {
        info: carried("b64info", request.info, request.b64info.as_deref())?,
        data: carried("b64data", request.data, request.b64data.as_deref())?,
        overrides: overrides.unwrap_or_default(),
        expires_at: request.expire_at.and_then(moment),
        ..Extras::default()
    };
    let grant = desk
        .policy
        .give(&request.channel, extras)
        .ok_or_else(|| Mistake::bad("clients cannot be subscribed to a channel of that name"))?;
    let signal = Signal::Subscribe {
        channel: request.channel.into(),
        grant: Box::new(grant),
        since: request
            .recover_since
            .map(|since| (since.offset, since.epoch)),
    };
    Ok(tell(target, signal))
}

/// `unsubscribe`.
pub(super) fn unsubscribe(body: &[u8], desk: &Desk<'_>) -> Result<Task, Mistake> {
    let request: Unsubscribe<'_> = parse(body)?;
    let target = target(body)?;
    desk.channel(&request.channel)?;
    let signal = Signal::Unsubscribe {
        channel: request.channel.into(),
        code: 2000,
        reason: "server unsubscribe".into(),
    };
    Ok(tell(target, signal))
}

/// `disconnect`.
pub(super) fn disconnect(body: &[u8]) -> Result<Task, Mistake> {
    let request: Disconnect<'_> = parse(body)?;
    let (code, reason) = match request.disconnect {
        None => (3503, Cow::Borrowed("force disconnect")),
        Some(why) if (3000..5000).contains(&why.code) => (why.code, why.reason),
        Some(_) => return Err(Mistake::bad("a disconnect has a code of 3000 to 4999")),
    };
    let reason = if reason.is_empty() {
        "disconnect".into()
    } else {
        reason.into()
    };
    Ok(tell(target(body)?, Signal::Disconnect { code, reason }))
}

/// `refresh`.
pub(super) fn refresh(body: &[u8]) -> Result<Task, Mistake> {
    let request: Refresh<'_> = parse(body)?;
    let signal = Signal::Refresh {
        expired: request.expired,
        expires_at: request.expire_at.and_then(moment),
        info: carried("b64info", request.info, None)?,
    };
    Ok(tell(target(body)?, signal))
}

/// Who is meant.
fn target(body: &[u8]) -> Result<Option<Target>, Mistake> {
    let who: Who<'_> = parse(body)?;
    let client = Id::read(&who.client);
    let session = Id::read(&who.session);
    Ok(match (client, session) {
        // An id that no client ever gets.
        (Id::Foreign, _) | (_, Id::Foreign) => None,
        (client, session) if !who.user.is_empty() => Some(Target::User {
            user: who.user.into(),
            client: client.known(),
            session: session.known(),
            except: who
                .whitelist
                .iter()
                .filter_map(|client| Id::read(client).known())
                .collect(),
        }),
        (Id::Known(client), _) => Some(Target::Client(client)),
        (_, Id::Known(session)) => Some(Target::Session(session)),
        (Id::Absent, Id::Absent) => return Err(Mistake::bad("`user` is missing")),
    })
}

/// The id of a client or a session.
#[derive(Clone, Copy)]
enum Id {
    Absent,
    Known(u128),
    /// Of another form than all ids here.
    Foreign,
}

impl Id {
    fn read(text: &str) -> Self {
        match (text, Uuid::parse_str(text)) {
            ("", _) => Self::Absent,
            (_, Ok(id)) => Self::Known(id.as_u128()),
            (_, Err(_)) => Self::Foreign,
        }
    }

    fn known(self) -> Option<u128> {
        match self {
            Self::Known(id) => Some(id),
            Self::Absent | Self::Foreign => None,
        }
    }
}

fn tell(target: Option<Target>, signal: Signal) -> Task {
    let Some(target) = target else {
        return Task::Said(Ok(b"{}".to_vec()));
    };
    Task::ask(Query::Signal(target, signal), told)
}

fn told(answer: &Answer<'_>) -> Said {
    match answer {
        Answer::Signalled(_) => Ok(b"{}".to_vec()),
        other => Err(refused(other)),
    }
}

/// JSON that is handed on, given as it is or in base64.
fn carried(
    name: &str,
    json: Option<&RawValue>,
    binary: Option<&str>,
) -> Result<Option<Box<[u8]>>, Mistake> {
    match (binary.filter(|text| !text.is_empty()), json) {
        (Some(text), _) => document(name, text).map(Some),
        (None, json) => Ok(json.map(|json| one_line(json.get().as_bytes()))),
    }
}

/// Seconds since 1970; 0 is no moment.
fn moment(seconds: i64) -> Option<u64> {
    u64::try_from(seconds).ok().filter(|seconds| *seconds > 0)
}
