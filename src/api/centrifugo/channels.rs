//! `presence`, `presence_stats`, `history`, `history_remove` and `channels`: what there is.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use lmserver_runtime::event::{ClientInfo, Position};
use lmserver_runtime::plugin::query::Range;
use lmserver_runtime::plugin::service::{Answer, Query};
use lmserver_runtime::plugin::transport::Entry;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::glob::Pattern;
use super::mistake::{Code, Mistake};
use super::task::Task;
use super::{Desk, StreamPosition, parse, refused, separate};
use crate::access::{ChannelOptions, is_chat, retention};

#[derive(Deserialize)]
struct OfChannel<'a> {
    #[serde(borrow, default)]
    channel: Cow<'a, str>,
}

#[derive(Deserialize)]
struct OfHistory<'a> {
    #[serde(borrow, default)]
    channel: Cow<'a, str>,
    #[serde(default)]
    limit: i64,
    since: Option<StreamPosition>,
    #[serde(default)]
    reverse: bool,
}

#[derive(Deserialize)]
struct OfChannels<'a> {
    #[serde(borrow, default)]
    pattern: Cow<'a, str>,
}

/// `presence`.
pub(super) fn presence(body: &[u8], desk: &Desk<'_>) -> Result<Task, Mistake> {
    let channel = watched(body, desk)?;
    Ok(Task::ask(Query::Presence(channel), |answer| match answer {
        Answer::Presence(members) => Ok(write_members(members.listed())),
        other => Err(refused(other)),
    }))
}

/// `presence_stats`.
pub(super) fn presence_stats(body: &[u8], desk: &Desk<'_>) -> Result<Task, Mistake> {
    let channel = watched(body, desk)?;
    Ok(Task::ask(Query::Presence(channel), |answer| match answer {
        Answer::Presence(members) => Ok(count_members(members.listed())),
        other => Err(refused(other)),
    }))
}

/// `history`.
pub(super) fn history(body: &[u8], desk: &Desk<'_>) -> Result<Task, Mistake> {
    let request: OfHistory<'_> = parse(body)?;
    let options = kept(&request.channel, desk)?;
    if request.reverse
        && request
            .since
            .as_ref()
            .is_some_and(|since| since.offset == 0)
    {
        return Err(Mistake::bad("nothing lies before the offset 0"));
    }
    let create = (!is_chat(&request.channel)).then(|| retention(options));
    let (since, epoch) = match request.since {
        Some(since) => (Some(since.offset), since.epoch),
        None => (None, Box::default()),
    };
    let range = Range {
        channel: request.channel.into(),
        since,
        epoch: (!epoch.is_empty()).then_some(epoch),
        // A negative limit is none.
        limit: usize::try_from(request.limit).unwrap_or(usize::MAX),
        reverse: request.reverse,
        create,
    };
    Ok(Task::ask(Query::History(range), |answer| match answer {
        Answer::History(history) => Ok(write_history(history.entries(), history.position())),
        other => Err(refused(other)),
    }))
}

/// `history_remove`.
pub(super) fn history_remove(body: &[u8], desk: &Desk<'_>) -> Result<Task, Mistake> {
    let request: OfChannel<'_> = parse(body)?;
    desk.own_channel(&request.channel)?;
    kept(&request.channel, desk)?;
    let query = Query::RemoveHistory(request.channel.into());
    Ok(Task::ask(query, |answer| match answer {
        // What is not there is removed.
        Answer::Done | Answer::Unknown | Answer::Expired => Ok(b"{}".to_vec()),
        other => Err(refused(other)),
    }))
}

/// `channels`.
pub(super) fn channels(body: &[u8]) -> Result<Task, Mistake> {
    let request: OfChannels<'_> = parse(body)?;
    let pattern = if request.pattern.is_empty() {
        None
    } else {
        let pattern = Pattern::read(&request.pattern);
        Some(pattern.ok_or_else(|| Mistake::bad("`pattern` is none, or too long"))?)
    };
    Ok(Task::ask(Query::Channels, move |answer| match answer {
        Answer::Channels(channels) => {
            let is_meant = |name: &str| pattern.as_ref().is_none_or(|it| it.matches(name));
            let found: BTreeMap<_, _> = channels
                .iter()
                .filter(|(name, _)| is_meant(name))
                .map(|(name, readers)| {
                    (
                        &**name,
                        Readers {
                            num_clients: *readers,
                        },
                    )
                })
                .collect();
            Ok(object("channels", &found))
        }
        other => Err(refused(other)),
    }))
}

#[derive(Serialize)]
struct Readers {
    num_clients: u32,
}

/// A channel whose members are listed.
fn watched(body: &[u8], desk: &Desk<'_>) -> Result<Box<str>, Mistake> {
    let request: OfChannel<'_> = parse(body)?;
    if desk.channel(&request.channel)?.presence {
        Ok(request.channel.into())
    } else {
        Err(off("presence"))
    }
}

/// The options of a channel that has a history.
fn kept<'a>(channel: &str, desk: &Desk<'a>) -> Result<&'a ChannelOptions, Mistake> {
    let options = desk.channel(channel)?;
    if is_chat(channel) || options.history.is_some() {
        Ok(options)
    } else {
        Err(off("history_size and history_ttl"))
    }
}

fn off(what: &str) -> Mistake {
    let message = format!("not available: the channel's namespace has {what} off");
    Mistake::new(Code::NotAvailable, message)
}

/// A client as others see it.
#[derive(Serialize)]
struct Client<'a> {
    user: &'a str,
    client: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    conn_info: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chan_info: Option<&'a RawValue>,
}

impl<'a> Client<'a> {
    fn of(info: &'a ClientInfo) -> Self {
        Self {
            user: &info.user,
            client: &info.client,
            conn_info: raw(info.connection_info.as_deref()),
            chan_info: raw(info.channel_info.as_deref()),
        }
    }
}

/// A publication as a history shows it.
#[derive(Serialize)]
struct Publication<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    offset: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<Client<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<&'a str, &'a str>,
}

impl<'a> Publication<'a> {
    fn of(entry: &Entry<'a>) -> Self {
        let publisher = entry.details.and_then(|details| details.publisher.as_ref());
        let tags = entry.details.map(|details| details.tags.as_slice());
        Self {
            data: raw(Some(entry.json)),
            offset: entry.offset,
            info: publisher.map(Client::of),
            tags: tags
                .unwrap_or_default()
                .iter()
                .map(|(key, value)| (&**key, &**value))
                .collect(),
        }
    }
}

fn write_members<'a>(members: impl Iterator<Item = &'a ClientInfo>) -> Vec<u8> {
    let listed: BTreeMap<_, _> = members
        .map(|info| (&*info.client, Client::of(info)))
        .collect();
    object("presence", &listed)
}

fn count_members<'a>(members: impl Iterator<Item = &'a ClientInfo>) -> Vec<u8> {
    let mut clients = 0;
    let users: BTreeSet<_> = members
        .inspect(|_| clients += 1)
        .map(|info| &*info.user)
        .collect();
    let users = users.len();
    format!(r#"{{"num_clients":{clients},"num_users":{users}}}"#).into_bytes()
}

fn write_history<'a>(entries: impl Iterator<Item = Entry<'a>>, newest: Position) -> Vec<u8> {
    let mut out = br#"{"publications":["#.to_vec();
    for entry in entries {
        separate(&mut out);
        // A serialisable value into a Vec: it cannot fail.
        let _ = serde_json::to_writer(&mut out, &Publication::of(&entry));
    }
    let (offset, epoch) = (newest.offset, newest.epoch);
    out.extend_from_slice(format!(r#"],"offset":{offset},"epoch":"{epoch}"}}"#).as_bytes());
    out
}

/// An object with one member.
fn object(key: &str, value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(&BTreeMap::from([(key, value)])).unwrap_or_default()
}

/// JSON that the engine keeps, as it is written again.
fn raw(json: Option<&[u8]>) -> Option<&RawValue> {
    serde_json::from_slice(json?).ok()
}

#[cfg(test)]
mod tests {
    use lmserver_runtime::event::{Details, Epoch, Kind};

    use super::*;

    fn client(user: &str, client: &str, info: Option<&str>) -> ClientInfo {
        ClientInfo {
            user: user.into(),
            client: client.into(),
            connection_info: info.map(|json| json.as_bytes().into()),
            channel_info: None,
        }
    }

    #[test]
    fn members_are_told_by_their_clients() {
        let members = [
            client("42", "b", Some(r#"{"a": 1}"#)),
            client("42", "a", None),
            client("", "c", Some("no JSON")),
        ];
        assert_eq!(
            String::from_utf8(write_members(members.iter())).unwrap(),
            concat!(
                r#"{"presence":{"a":{"user":"42","client":"a"},"#,
                r#""b":{"user":"42","client":"b","conn_info":{"a": 1}},"#,
                r#""c":{"user":"","client":"c"}}}"#
            )
        );
        let counted = count_members(members.iter());
        assert_eq!(counted, br#"{"num_clients":3,"num_users":2}"#);
    }

    #[test]
    fn a_history_has_what_belongs_to_its_publications() {
        let epoch = Epoch::from_random([0; 6]);
        let details = Details {
            publisher: Some(client("42", "a", None)),
            tags: vec![("k".into(), "v".into())],
            ..Details::default()
        };
        let entry = |offset, json, details| Entry {
            channel: "news:a",
            epoch,
            offset,
            kind: Kind::Data,
            json,
            details,
            previous: None,
            is_kept: true,
            number: 1,
        };
        let entries = [
            entry(2, &br#"{"a": 1}"#[..], None),
            entry(3, b"null", Some(&details)),
        ];
        let newest = Position { epoch, offset: 3 };
        assert_eq!(
            String::from_utf8(write_history(entries.into_iter(), newest)).unwrap(),
            concat!(
                r#"{"publications":[{"data":{"a": 1},"offset":2},{"data":null,"offset":3,"#,
                r#""info":{"user":"42","client":"a"},"tags":{"k":"v"}}],"#,
                r#""offset":3,"epoch":"aaaaaa"}"#
            )
        );
        let nothing = write_history(std::iter::empty(), newest);
        assert_eq!(
            nothing,
            br#"{"publications":[],"offset":3,"epoch":"aaaaaa"}"#
        );
    }
}
