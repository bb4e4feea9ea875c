//! How requests are read from JSON: strings borrowed where they have no escapes, payloads as their
//! text, `null` as if the key were not there, objects only where objects belong.

use std::borrow::Cow;
use std::str::FromStr;

use super::{
    Call, ConnectRequest, Envelope, HEADERS, HistoryRequest, Message, Named, PublishRequest,
    Renewal, SUBSCRIPTIONS, StreamPosition, SubRefreshRequest, SubscribeRequest, TagsFilter,
};
use crate::centrifuge::Protocol;
use crate::centrifuge::decode::DecodeError;
use crate::json::{Error, Object, Wanted, string};

/// Reads a message that stands alone.
pub(in crate::centrifuge) fn read<'a>(
    message: &'a [u8],
    known: &'static [&'static str],
) -> Result<Object<'a>, DecodeError> {
    if message.trim_ascii_start().is_empty() {
        return Err(DecodeError::Empty);
    }
    Object::read(message, known).map_err(|error| match error {
        Error::NotAnObject => DecodeError::NotAnObject,
        error => error.into(),
    })
}

/// A string.
pub(in crate::centrifuge) fn text<'a>(
    object: &Object<'a>,
    key: &str,
) -> Result<Cow<'a, str>, Error> {
    object.text(key).map(Option::unwrap_or_default)
}

/// The strings of an array, at most `limit` of them.
pub(in crate::centrifuge) fn texts<'a>(
    object: &Object<'a>,
    key: &'static str,
    limit: usize,
) -> Result<Vec<Cow<'a, str>>, Error> {
    let items = object.items(key, limit)?.into_iter();
    items.map(|item| text_of(item, key)).collect()
}

impl<'a> Envelope<'a> {
    /// Reads a command.
    pub(in crate::centrifuge) fn from_json(line: &'a [u8]) -> Result<Self, DecodeError> {
        let object = read(line, REQUESTS)?;
        let part = |key, known| object.object(key, known);
        Ok(Self {
            id: number(&object, "id")?,
            connect: part("connect", ConnectRequest::KEYS)?
                .map(|it| ConnectRequest::from_object(&it))
                .transpose()?,
            subscribe: part("subscribe", SubscribeRequest::KEYS)?
                .map(|it| SubscribeRequest::from_object(&it))
                .transpose()?,
            unsubscribe: named(&object, "unsubscribe")?,
            publish: part("publish", &["channel", "data", "type"])?
                .map(|it| PublishRequest::from_object(&it))
                .transpose()?,
            presence: named(&object, "presence")?,
            presence_stats: named(&object, "presence_stats")?,
            history: part("history", &["channel", "limit", "since", "reverse"])?
                .map(|it| HistoryRequest::from_object(&it))
                .transpose()?,
            rpc: match part("rpc", &["method", "data"])? {
                None => None,
                Some(it) => Some(Call {
                    method: text(&it, "method")?,
                    data: payload(&it, "data"),
                }),
            },
            send: part("send", &["data"])?.map(|it| Message {
                data: payload(&it, "data"),
            }),
            refresh: match part("refresh", &["token"])? {
                None => None,
                Some(it) => Some(Renewal {
                    token: text(&it, "token")?,
                }),
            },
            sub_refresh: part("sub_refresh", &["channel", "token", "type"])?
                .map(|it| SubRefreshRequest::from_object(&it))
                .transpose()?,
        })
    }
}

impl<'a> ConnectRequest<'a> {
    pub(in crate::centrifuge) const KEYS: &'static [&'static str] = &[
        "token", "data", "subs", "name", "version", "headers", "flag",
    ];

    pub(in crate::centrifuge) fn from_object(object: &Object<'a>) -> Result<Self, Error> {
        let subs = object.entries("subs", SUBSCRIPTIONS)?.into_iter();
        let headers = object.entries("headers", HEADERS)?.into_iter();
        Ok(Self {
            token: text(object, "token")?,
            data: payload(object, "data"),
            subs: subs
                .map(|(channel, request)| Ok((channel, SubscribeRequest::of_channel(request)?)))
                .collect::<Result<_, Error>>()?,
            name: text(object, "name")?,
            version: text(object, "version")?,
            headers: headers
                .map(|(name, value)| Ok((name, text_of(value, "headers")?)))
                .collect::<Result<_, Error>>()?,
            flag: number(object, "flag")?,
        })
    }
}

impl<'a> SubscribeRequest<'a> {
    const KEYS: &'static [&'static str] = &[
        "channel",
        "token",
        "recover",
        "epoch",
        "offset",
        "data",
        "positioned",
        "recoverable",
        "join_leave",
        "delta",
        "tf",
        "flag",
        "type",
    ];

    /// What stands under a channel of a connect request, where `null` is as good as `{}`.
    fn of_channel(request: &'a [u8]) -> Result<Self, Error> {
        if request == b"null" {
            return Ok(Self::default());
        }
        Self::from_object(&Object::read(request, Self::KEYS)?)
    }

    fn from_object(object: &Object<'a>) -> Result<Self, Error> {
        Ok(Self {
            channel: text(object, "channel")?,
            token: text(object, "token")?,
            recover: flag(object, "recover")?,
            epoch: text(object, "epoch")?,
            offset: number(object, "offset")?,
            data: payload(object, "data"),
            positioned: flag(object, "positioned")?,
            recoverable: flag(object, "recoverable")?,
            join_leave: flag(object, "join_leave")?,
            delta: text(object, "delta")?,
            tags_filter: object.value("tf").map(|source| TagsFilter {
                protocol: Protocol::Json,
                source,
            }),
            flag: number(object, "flag")?,
            kind: number(object, "type")?,
        })
    }
}

impl<'a> PublishRequest<'a> {
    fn from_object(object: &Object<'a>) -> Result<Self, Error> {
        Ok(Self {
            channel: text(object, "channel")?,
            data: payload(object, "data"),
            kind: number(object, "type")?,
        })
    }
}

impl<'a> HistoryRequest<'a> {
    fn from_object(object: &Object<'a>) -> Result<Self, Error> {
        let since = match object.object("since", &["offset", "epoch"])? {
            None => None,
            Some(since) => Some(StreamPosition {
                offset: number(&since, "offset")?,
                epoch: text(&since, "epoch")?,
            }),
        };
        Ok(Self {
            channel: text(object, "channel")?,
            limit: number(object, "limit")?,
            since,
            reverse: flag(object, "reverse")?,
        })
    }
}

impl<'a> SubRefreshRequest<'a> {
    fn from_object(object: &Object<'a>) -> Result<Self, Error> {
        Ok(Self {
            channel: text(object, "channel")?,
            token: text(object, "token")?,
            kind: number(object, "type")?,
        })
    }
}

fn named<'a>(object: &Object<'a>, key: &str) -> Result<Option<Named<'a>>, Error> {
    let Some(request) = object.object(key, &["channel"])? else {
        return Ok(None);
    };
    let channel = text(&request, "channel")?;
    Ok(Some(Named { channel }))
}

/// A payload: any value, `null` included, as its text.
fn payload<'a>(object: &Object<'a>, key: &str) -> &'a [u8] {
    object.payload(key).unwrap_or_default()
}

fn flag(object: &Object<'_>, key: &str) -> Result<bool, Error> {
    object.flag(key).map(Option::unwrap_or_default)
}

fn number<T: FromStr + Default>(object: &Object<'_>, key: &str) -> Result<T, Error> {
    object.number(key).map(Option::unwrap_or_default)
}

/// A string of those under a key, where `null` is an empty one.
fn text_of<'a>(value: &'a [u8], key: &'static str) -> Result<Cow<'a, str>, Error> {
    if value == b"null" {
        return Ok(Cow::Borrowed(""));
    }
    let wanted = Wanted::Texts;
    string(value).ok_or(Error::Type { key, wanted })
}

/// What a command may hold.
const REQUESTS: &[&str] = &[
    "id",
    "connect",
    "subscribe",
    "unsubscribe",
    "publish",
    "presence",
    "presence_stats",
    "history",
    "rpc",
    "send",
    "refresh",
    "sub_refresh",
];
