//! `presence`, `presence_stats`, `history`, `history_remove` and `channels`: what there is.

use std::collections::{BTreeMap, BTreeSet};

use lmserver_runtime::event::{ClientInfo, Position};
use lmserver_runtime::plugin::query::Range;
use lmserver_runtime::plugin::service::{Answer, Query};
use lmserver_runtime::plugin::transport::Entry;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::glob::Pattern;
use super::mistake::{Code, Mistake};
use super::task::Task;
use super::{Desk, POSITION, parse, position, refused, separate, text, write_member};
use crate::access::{ChannelOptions, is_chat, retention};

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
    let request = parse(body, &["channel", "limit", "since", "reverse"])?;
    let channel = text(&request, "channel")?;
    let limit: i64 = request.number("limit")?.unwrap_or_default();
    let reverse = request.flag("reverse")?.unwrap_or(false);
    let since = request.object("since", POSITION)?;
    let since = since.map(|since| position(&since)).transpose()?;
    let options = kept(&channel, desk)?;
    if reverse && matches!(since, Some((0, _))) {
        return Err(Mistake::bad("nothing lies before the offset 0"));
    }
    let create = (!is_chat(&channel)).then(|| retention(options));
    let (since, epoch) = match since {
        Some((offset, epoch)) => (Some(offset), epoch),
        None => (None, Box::default()),
    };
    let range = Range {
        channel: channel.into(),
        since,
        epoch: (!epoch.is_empty()).then_some(epoch),
        // A negative limit is none.
        limit: usize::try_from(limit).unwrap_or(usize::MAX),
        reverse,
        create,
    };
    Ok(Task::ask(Query::History(range), |answer| match answer {
        Answer::History(history) => Ok(write_history(history.entries(), history.position())),
        other => Err(refused(other)),
    }))
}

/// `history_remove`.
pub(super) fn history_remove(body: &[u8], desk: &Desk<'_>) -> Result<Task, Mistake> {
    let channel = named(body)?;
    desk.own_channel(&channel)?;
    kept(&channel, desk)?;
    let query = Query::RemoveHistory(channel);
    Ok(Task::ask(query, |answer| match answer {
        // What is not there is removed.
        Answer::Done | Answer::Unknown | Answer::Expired => Ok(b"{}".to_vec()),
        other => Err(refused(other)),
    }))
}

/// `channels`.
pub(super) fn channels(body: &[u8]) -> Result<Task, Mistake> {
    let request = parse(body, &["pattern"])?;
    let pattern = text(&request, "pattern")?;
    let pattern = if pattern.is_empty() {
        None
    } else {
        let pattern = Pattern::read(&pattern);
        Some(pattern.ok_or_else(|| Mistake::bad("`pattern` is none, or too long"))?)
    };
    Ok(Task::ask(Query::Channels, move |answer| match answer {
        Answer::Channels(channels) => {
            let is_meant = |name: &str| pattern.as_ref().is_none_or(|it| it.matches(name));
            let mut found = BTreeMap::new();
            for (name, readers) in channels.iter().filter(|(name, _)| is_meant(name)) {
                let num_clients = *readers;
                found.insert(&**name, Readers { num_clients });
            }
            Ok(object("channels", &found))
        }
        other => Err(refused(other)),
    }))
}

#[derive(Serialize)]
struct Readers {
    num_clients: u32,
}

/// The channel of a command that has nothing else.
fn named(body: &[u8]) -> Result<Box<str>, Mistake> {
    Ok(text(&parse(body, &["channel"])?, "channel")?.into())
}

/// A channel whose members are listed.
fn watched(body: &[u8], desk: &Desk<'_>) -> Result<Box<str>, Mistake> {
    let channel = named(body)?;
    if desk.channel(&channel)?.presence {
        Ok(channel)
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
    Mistake::new(Code::NotAvailable, &message)
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
    #[serde(skip_serializing_if = "Tags::is_empty")]
    tags: Tags<'a>,
}

/// Tags as an object.
struct Tags<'a>(&'a [(Box<str>, Box<str>)]);

impl Tags<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Tags<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'a> Publication<'a> {
    fn of(entry: &Entry<'a>, json: &'a [u8]) -> Self {
        let publisher = entry.details.and_then(|details| details.publisher.as_ref());
        let tags = entry.details.map(|details| details.tags.as_slice());
        Self {
            data: raw(Some(json)),
            offset: entry.offset,
            info: publisher.map(Client::of),
            tags: Tags(tags.unwrap_or_default()),
        }
    }
}

fn write_members<'a>(members: impl Iterator<Item = &'a ClientInfo>) -> Vec<u8> {
    let mut listed = BTreeMap::new();
    for info in members {
        listed.insert(&*info.client, Client::of(info));
    }
    object("presence", &listed)
}

fn count_members<'a>(members: impl Iterator<Item = &'a ClientInfo>) -> Vec<u8> {
    let mut clients = 0;
    let mut users: BTreeSet<&str> = BTreeSet::new();
    for info in members {
        clients += 1;
        users.insert(&info.user);
    }
    let users = users.len();
    format!(r#"{{"num_clients":{clients},"num_users":{users}}}"#).into_bytes()
}

fn write_history<'a>(entries: impl Iterator<Item = Entry<'a>>, newest: Position) -> Vec<u8> {
    let mut out = br#"{"publications":["#.to_vec();
    for entry in entries {
        separate(&mut out);
        // A serialisable value into a Vec: it cannot fail.
        let _ = serde_json::to_writer(&mut out, &Publication::of(&entry, &entry.json.whole()));
    }
    let (offset, epoch) = (newest.offset, newest.epoch);
    out.extend_from_slice(format!(r#"],"offset":{offset},"epoch":"{epoch}"}}"#).as_bytes());
    out
}

/// An object with one member.
fn object(key: &str, value: &impl Serialize) -> Vec<u8> {
    // A serialisable value into a Vec: it cannot fail.
    let value = serde_json::to_vec(value).unwrap_or_default();
    let mut out = Vec::new();
    write_member(key, &value, &mut out);
    out
}

/// JSON that the engine keeps, as it is written again.
fn raw(json: Option<&[u8]>) -> Option<&RawValue> {
    serde_json::from_slice(json?).ok()
}

#[cfg(test)]
mod tests {
    use lmserver_runtime::event::{Details, Epoch, Json, Kind};

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
            json: Json::new(json),
            details,
            previous: None,
            is_kept: true,
            number: 1,
            created: 0,
            note: b"",
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
