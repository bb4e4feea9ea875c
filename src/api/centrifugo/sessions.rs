//! `subscribe`, `unsubscribe`, `disconnect` and `refresh`: what clients are told.
//!
//! They are meant by their user, of whose clients one may be picked by its id or its session's.
//! Without a user the id or the session has to be given. That nobody is meant is no mistake.

use std::borrow::Cow;

use lmserver_proto::json::{Error, Object};
use lmserver_runtime::event::one_line;
use lmserver_runtime::plugin::service::{Answer, Query};
use lmserver_runtime::plugin::transport::{Signal, Target};
use uuid::Uuid;

use super::mistake::Mistake;
use super::task::{Said, Task};
use super::{Desk, MANY, POSITION, document, parse, position, refused, text};
use crate::access::Extras;
use crate::token::Overrides;

/// What is known of a `subscribe`.
const SUBSCRIBE: &[&str] = &[
    "channel",
    "info",
    "b64info",
    "data",
    "b64data",
    "recover_since",
    "expire_at",
    "override",
];

/// `subscribe`.
pub(super) fn subscribe(body: &[u8], desk: &Desk<'_>) -> Result<Task, Mistake> {
    let request = parse(body, SUBSCRIBE)?;
    let target = target(body)?;
    let channel = text(&request, "channel")?;
    desk.channel(&channel)?;
    let overrides = request.object("override", Overrides::KEYS)?;
    let overrides = overrides.map(|written| Overrides::read(&written, Some(false)));
    let since = request.object("recover_since", POSITION)?;
    let extras = Extras {
        info: carried(&request, "info", "b64info")?,
        data: carried(&request, "data", "b64data")?,
        overrides: overrides.transpose()?.unwrap_or_default(),
        expires_at: request.number("expire_at")?.and_then(moment),
        ..Extras::default()
    };
    let grant = desk
        .policy
        .give(&channel, extras)
        .ok_or_else(|| Mistake::bad("clients cannot be subscribed to a channel of that name"))?;
    let signal = Signal::Subscribe {
        channel: channel.into(),
        grant: Box::new(grant),
        since: since.map(|since| position(&since)).transpose()?,
    };
    Ok(tell(target, signal))
}

/// `unsubscribe`.
pub(super) fn unsubscribe(body: &[u8], desk: &Desk<'_>) -> Result<Task, Mistake> {
    let request = parse(body, &["channel"])?;
    let target = target(body)?;
    let channel = text(&request, "channel")?;
    desk.channel(&channel)?;
    let signal = Signal::Unsubscribe {
        channel: channel.into(),
        code: 2000,
        reason: "server unsubscribe".into(),
    };
    Ok(tell(target, signal))
}

/// `disconnect`.
pub(super) fn disconnect(body: &[u8]) -> Result<Task, Mistake> {
    let request = parse(body, &["disconnect"])?;
    let (code, reason) = match request.object("disconnect", &["code", "reason"])? {
        None => (3503, Cow::Borrowed("force disconnect")),
        Some(why) => {
            let code = why.number("code")?.ok_or(Error::Missing("code"))?;
            if !(3000..5000).contains(&code) {
                return Err(Mistake::bad("a disconnect has a code of 3000 to 4999"));
            }
            (code, text(&why, "reason")?)
        }
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
    let request = parse(body, &["expired", "expire_at", "info"])?;
    let signal = Signal::Refresh {
        expired: request.flag("expired")?.unwrap_or(false),
        expires_at: request.number("expire_at")?.and_then(moment),
        info: request.value("info").map(one_line),
    };
    Ok(tell(target(body)?, signal))
}

/// Who is meant.
fn target(body: &[u8]) -> Result<Option<Target>, Mistake> {
    let who = parse(body, &["user", "client", "session", "whitelist"])?;
    let user = text(&who, "user")?;
    let client = Id::read(&text(&who, "client")?);
    let session = Id::read(&text(&who, "session")?);
    let spared = who.texts("whitelist", MANY)?;
    Ok(match (client, session) {
        // An id that no client ever gets.
        (Id::Foreign, _) | (_, Id::Foreign) => None,
        (client, session) if !user.is_empty() => Some(Target::User {
            user: user.into(),
            client: client.known(),
            session: session.known(),
            except: spared
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
fn carried(request: &Object<'_>, json: &str, binary: &str) -> Result<Option<Box<[u8]>>, Mistake> {
    match request.text(binary)?.filter(|text| !text.is_empty()) {
        Some(text) => document(binary, &text).map(Some),
        None => Ok(request.value(json).map(one_line)),
    }
}

/// Seconds since 1970; 0 is no moment.
fn moment(seconds: i64) -> Option<u64> {
    u64::try_from(seconds).ok().filter(|seconds| *seconds > 0)
}
