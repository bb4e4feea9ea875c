//! Centrifugo's server API: `POST /api/METHOD`, by which backends publish, look and direct.
//!
//! ```text
//! POST /api/publish {"channel":…}                         ┐
//! POST /api {"method":"publish","params":{"channel":…}}   ┴► key? ─► Method ─► Task ─► {"result":…}
//!                                                                      └► Query ─► the engine
//! ```
//!
//! A wrong key is 401. Every other mistake is 200 with a number, as the API's clients expect, or
//! the number's HTTP status where `X-Centrifugo-Error-Mode: transport` asks for it:
//!
//! | code | meaning | status |
//! | --- | --- | --- |
//! | 100 | no room, or the server stops: try again | 500 |
//! | 102 | unknown channel: no namespace, no `[channels] open` | 404 |
//! | 103 | permission denied: `chat:` channels are the server's own | 403 |
//! | 104 | no such method | 404 |
//! | 107 | bad request | 400 |
//! | 108 | the feature is off for the channel | 400 |
//! | 112 | the position is one of another incarnation of the channel | 416 |
//!
//! Keys of a body that are not known are ignored, and no body is an empty object.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lmserver_proto::http1::{Request, Response};
use lmserver_proto::json::{Error, Object};
use lmserver_runtime::plugin::service::{Answer, Reply};
use lmserver_runtime::time::Moment;

mod batch;
mod channels;
mod glob;
mod idempotency;
mod info;
mod mistake;
mod publish;
mod sessions;
mod task;

pub(super) use idempotency::Remembered;

use crate::access::{ChannelOptions, Policy, check_name, is_chat};
use crate::json;
use mistake::{Code, Mistake};
use task::{Said, Step, Task};

/// What the methods know.
pub(super) struct Desk<'a> {
    /// What channels there are.
    pub(super) policy: &'a Policy,
    /// Publications that may come again.
    pub(super) remembered: &'a mut Remembered,
    /// The id of this process.
    pub(super) node: &'a str,
    /// The reactor's clock.
    pub(super) now: Moment,
}

/// A method of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Method {
    Publish,
    Broadcast,
    Subscribe,
    Unsubscribe,
    Disconnect,
    Refresh,
    Presence,
    PresenceStats,
    History,
    HistoryRemove,
    Channels,
    Info,
    Rpc,
    Batch,
    /// Of map channels, which are not available: the name.
    Map(&'static str),
}

impl Method {
    /// All of them.
    const ALL: &[Self] = &[
        Self::Publish,
        Self::Broadcast,
        Self::Subscribe,
        Self::Unsubscribe,
        Self::Disconnect,
        Self::Refresh,
        Self::Presence,
        Self::PresenceStats,
        Self::History,
        Self::HistoryRemove,
        Self::Channels,
        Self::Info,
        Self::Rpc,
        Self::Batch,
        Self::Map("map_publish"),
        Self::Map("map_remove"),
        Self::Map("map_state"),
        Self::Map("map_stream"),
        Self::Map("map_stats"),
        Self::Map("map_clear"),
    ];

    /// The method of a name.
    pub(super) fn find(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|method| method.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Broadcast => "broadcast",
            Self::Subscribe => "subscribe",
            Self::Unsubscribe => "unsubscribe",
            Self::Disconnect => "disconnect",
            Self::Refresh => "refresh",
            Self::Presence => "presence",
            Self::PresenceStats => "presence_stats",
            Self::History => "history",
            Self::HistoryRemove => "history_remove",
            Self::Channels => "channels",
            Self::Info => "info",
            Self::Rpc => "rpc",
            Self::Batch => "batch",
            Self::Map(name) => name,
        }
    }

    /// Understands a command.
    fn understand(self, body: &[u8], desk: &mut Desk<'_>) -> Task {
        let understood = match self {
            Self::Publish => publish::publish(body, desk),
            Self::Broadcast => publish::broadcast(body, desk),
            Self::Subscribe => sessions::subscribe(body, desk),
            Self::Unsubscribe => sessions::unsubscribe(body, desk),
            Self::Disconnect => sessions::disconnect(body),
            Self::Refresh => sessions::refresh(body),
            Self::Presence => channels::presence(body, desk),
            Self::PresenceStats => channels::presence_stats(body, desk),
            Self::History => channels::history(body, desk),
            Self::HistoryRemove => channels::history_remove(body, desk),
            Self::Channels => channels::channels(body),
            Self::Info => info::info(desk),
            Self::Rpc => rpc(body),
            Self::Batch => batch::batch(body, desk),
            Self::Map(_) => {
                let message = "not available: this server has no map channels";
                Err(Mistake::new(Code::NotAvailable, message))
            }
        };
        understood.into()
    }
}

impl Desk<'_> {
    /// Carries out `POST /api/METHOD`.
    #[inline(never)]
    pub(super) fn call(&mut self, method: Method, request: &Request, body: &[u8]) -> Reply {
        let shape = Shape::of(method, request);
        drive(method.understand(body, self), shape)
    }

    /// Carries out `POST /api`.
    #[inline(never)]
    pub(super) fn call_named(&mut self, request: &Request, body: &[u8]) -> Reply {
        let refuse = |mistake| drive(Task::Said(Err(mistake)), Shape::of(Method::Rpc, request));
        match named(body) {
            Err(mistake) => refuse(mistake),
            Ok((method, params)) => match Method::find(&method) {
                Some(method) => self.call(method, request, params),
                None => refuse(Mistake::new(Code::NotFound, "method not found")),
            },
        }
    }
}

impl<'a> Desk<'a> {
    /// The options of a channel.
    fn channel(&self, name: &str) -> Result<&'a ChannelOptions, Mistake> {
        check_name(name).map_err(Mistake::bad)?;
        self.policy.namespaces().resolve(name).map_err(|_| {
            let message = "unknown channel: no namespace is configured for it, and \
                           [channels] open is off";
            Mistake::new(Code::UnknownChannel, message)
        })
    }

    /// The options of a channel that is not the server's own.
    fn own_channel(&self, name: &str) -> Result<&'a ChannelOptions, Mistake> {
        let options = self.channel(name)?;
        if is_chat(name) {
            let message =
                "permission denied: channels named chat:… are written by the server alone";
            return Err(Mistake::new(Code::PermissionDenied, message));
        }
        Ok(options)
    }
}

/// As many as the body has room for: it has a bound.
const MANY: usize = usize::MAX;

/// What is known of a place in a channel.
const POSITION: &[&str] = &["offset", "epoch"];

/// A place in a channel, as commands name it.
fn position(written: &Object<'_>) -> Result<(u64, Box<str>), Mistake> {
    let offset = written.number("offset")?.unwrap_or_default();
    Ok((offset, text(written, "epoch")?.into()))
}

/// What the response looks like.
#[derive(Clone, Copy)]
struct Shape {
    /// Is a mistake an HTTP status?
    has_status: bool,
    /// What the result stands under.
    key: &'static str,
}

impl Shape {
    fn of(method: Method, request: &Request) -> Self {
        let mode = request.fields.get("x-centrifugo-error-mode");
        let is_batch = method == Method::Batch;
        Self {
            has_status: mode.is_some_and(|mode| mode.eq_ignore_ascii_case("transport")),
            key: if is_batch { "replies" } else { "result" },
        }
    }

    fn respond(self, said: &Said) -> Response {
        let mut body = Vec::new();
        let status = match said {
            Ok(result) => {
                write_member(self.key, result, &mut body);
                200
            }
            Err(mistake) if self.has_status => {
                body = mistake.json();
                mistake.code.status()
            }
            Err(mistake) => {
                write_member("error", &mistake.json(), &mut body);
                200
            }
        };
        Response::json(status, body)
    }
}

/// Asks the engine until there is a result.
fn drive(task: Task, shape: Shape) -> Reply {
    match task.step() {
        Step::Said(said) => Reply::Response(shape.respond(&said)),
        Step::Ask(query, then) => Reply::Ask(
            query,
            Box::new(move |answer, _| drive(then(&answer), shape)),
        ),
    }
}

/// `rpc`: there are no procedures.
fn rpc(body: &[u8]) -> Result<Task, Mistake> {
    if text(&parse(body, &["method"])?, "method")?.is_empty() {
        return Err(Mistake::bad("`method` is missing"));
    }
    Err(Mistake::new(Code::NotFound, "method not found"))
}

/// The method of a command that names it, and its parameters.
fn named(body: &[u8]) -> Result<(Cow<'_, str>, &[u8]), Mistake> {
    let named = parse(body, &["method", "params"])?;
    let method = named.text("method")?.ok_or(Error::Missing("method"))?;
    Ok((method, named.value("params").unwrap_or(b"{}")))
}

/// Reads the parameters of a command.
fn parse<'a>(body: &'a [u8], known: &'static [&'static str]) -> Result<Object<'a>, Mistake> {
    let body = if body.trim_ascii().is_empty() {
        b"{}"
    } else {
        body
    };
    Ok(Object::read(body, known)?)
}

/// A string that is empty where it is not there.
fn text<'a>(object: &Object<'a>, key: &str) -> Result<Cow<'a, str>, Mistake> {
    Ok(object.text(key)?.unwrap_or_default())
}

/// The bytes that a text in base64 means.
fn from_base64(name: &str, text: &str) -> Result<Vec<u8>, Mistake> {
    let decoded = STANDARD.decode(text);
    decoded.map_err(|_| Mistake::bad(format_args!("`{name}` is not base64")))
}

/// JSON in base64.
fn document(name: &str, text: &str) -> Result<Box<[u8]>, Mistake> {
    let bytes = from_base64(name, text)?;
    json::document(&bytes).ok_or_else(|| Mistake::bad(format_args!("`{name}` is not JSON")))
}

/// What it means that the engine does not do it.
fn refused(answer: &Answer<'_>) -> Mistake {
    match answer {
        Answer::Unknown => Mistake::new(Code::UnknownChannel, "unknown channel"),
        Answer::Expired => Mistake::new(
            Code::UnknownChannel,
            "unknown channel: it has ended and is no longer kept",
        ),
        Answer::Unrecoverable => {
            Mistake::new(Code::UnrecoverablePosition, "unrecoverable position")
        }
        Answer::Overloaded => Mistake::new(
            Code::Internal,
            "no room for another channel; try again soon",
        ),
        Answer::Draining => Mistake::new(Code::Internal, "the server is stopping; try again soon"),
        _ => Mistake::internal(),
    }
}

/// Sets off the next element of an array or an object that has begun.
fn separate(out: &mut Vec<u8>) {
    if !matches!(out.last(), Some(b'[' | b'{')) {
        out.push(b',');
    }
}

/// Appends `{"result":…}`, or `{"error":…}`.
fn write_response(said: &Said, out: &mut Vec<u8>) {
    match said {
        Ok(result) => write_member("result", result, out),
        Err(mistake) => write_member("error", &mistake.json(), out),
    }
}

/// Appends an object with one member.
fn write_member(key: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{""#);
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(br#"":"#);
    out.extend_from_slice(value);
    out.push(b'}');
}
