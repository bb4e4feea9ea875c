//! `publish` and `broadcast`: a document becomes one event of a channel, or of each of many.
//!
//! The body is read in place; the only copy is that of the data.

use std::borrow::Cow;
use std::collections::BTreeMap;

use lmserver_proto::json::{Object, string};
use lmserver_runtime::event::{Details, one_line, payload};
use lmserver_runtime::limits::Retention;
use lmserver_runtime::plugin::query::Publish;
use lmserver_runtime::plugin::service::{Answer, Query};

use super::idempotency::Outcome;
use super::mistake::Mistake;
use super::task::{Said, Series, Task};
use super::{Desk, MANY, from_base64, parse, refused, separate, write_response};
use crate::access::{is_acceptable, retention};

/// What is known of a publication.
const KEYS: &[&str] = &[
    "channel",
    "channels",
    "data",
    "b64data",
    "skip_history",
    "tags",
    "idempotency_key",
    "delta",
];

/// A name and what it stands for.
type Tag = (Box<str>, Box<str>);

/// What is published, wherever.
#[derive(Clone)]
struct Content {
    data: Box<[u8]>,
    /// What it is where it is no JSON.
    binary: Option<Box<[u8]>>,
    tags: Vec<Tag>,
    is_fleeting: bool,
    delta: bool,
}

/// `publish`.
pub(super) fn publish(body: &[u8], desk: &mut Desk<'_>) -> Result<Task, Mistake> {
    let publication = parse(body, KEYS)?;
    let Some(channel) = publication.text("channel")? else {
        return Err(Mistake::bad("`channel` is missing"));
    };
    let content = Content::of(&publication)?;
    let key = key(&publication)?;
    let place = Place::find(channel.into(), key.as_deref(), &content, desk)?;
    Ok(place.publish(content))
}

/// `broadcast`.
pub(super) fn broadcast(body: &[u8], desk: &mut Desk<'_>) -> Result<Task, Mistake> {
    let publication = parse(body, KEYS)?;
    let channels = publication.texts("channels", MANY)?;
    if channels.is_empty() {
        return Err(Mistake::bad("`channels` is missing, or empty"));
    }
    let content = Content::of(&publication)?;
    let key = key(&publication)?;
    let places: Vec<_> = channels
        .into_iter()
        .map(|channel| Place::find(channel.into(), key.as_deref(), &content, desk))
        .collect();
    Ok(Task::series(Broadcast {
        places: places.into_iter(),
        content,
        said: br#"{"responses":["#.to_vec(),
    }))
}

impl Content {
    fn of(publication: &Object<'_>) -> Result<Self, Mistake> {
        let binary = publication.text("b64data")?;
        let binary = binary.filter(|text| !text.is_empty());
        let (data, binary) = match (publication.payload("data"), binary) {
            (_, Some(text)) => payload(&from_base64("b64data", &text)?),
            (Some(data), None) => (one_line(data), None),
            (None, None) => return Err(Mistake::bad("`data` is missing")),
        };
        Ok(Self {
            data,
            binary,
            tags: tags(publication)?,
            is_fleeting: publication.flag("skip_history")?.unwrap_or(false),
            delta: publication.flag("delta")?.unwrap_or(false),
        })
    }
}

/// The tags by name; of one that stands there twice the last.
fn tags(publication: &Object<'_>) -> Result<Vec<Tag>, Mistake> {
    let mut tags: BTreeMap<Box<str>, Box<str>> = BTreeMap::new();
    for (name, value) in publication.entries("tags", MANY)? {
        let value = string(value).ok_or_else(|| Mistake::bad("`tags` are not strings"))?;
        tags.insert(name.into(), value.into());
    }
    Ok(tags.into_iter().collect())
}

fn key<'a>(publication: &Object<'a>) -> Result<Option<Cow<'a, str>>, Mistake> {
    let key = publication.text("idempotency_key")?;
    Ok(key.filter(|key| !key.is_empty()))
}

/// Where something is published, and how.
struct Place {
    channel: Box<str>,
    retention: Retention,
    is_fleeting: bool,
    as_delta: bool,
    /// Of the publication with the same key, if it has one.
    outcome: Option<Outcome>,
}

impl Place {
    fn find(
        channel: Box<str>,
        key: Option<&str>,
        content: &Content,
        desk: &mut Desk<'_>,
    ) -> Result<Self, Mistake> {
        let options = desk.own_channel(&channel)?;
        let data = content.binary.as_deref().unwrap_or(&content.data);
        if !is_acceptable(options.publication_data_format, data) {
            let message = "the data is not of the channel's publication_data_format";
            return Err(Mistake::bad(message));
        }
        Ok(Self {
            retention: retention(options),
            is_fleeting: content.is_fleeting,
            as_delta: content.delta || options.delta_publish,
            outcome: key.map(|key| desk.remembered.outcome(&channel, key, desk.now)),
            channel,
        })
    }

    fn publish(self, content: Content) -> Task {
        if let Some(made) = self.outcome.as_ref().and_then(|outcome| outcome.get()) {
            return Task::Said(Ok(made.clone()));
        }
        let Content {
            data, binary, tags, ..
        } = content;
        let has_details = self.as_delta || !tags.is_empty() || binary.is_some();
        let details = Details {
            publisher: None,
            tags,
            as_delta: self.as_delta,
            binary,
        };
        let query = Query::Publish(Publish {
            channel: self.channel,
            data,
            details: has_details.then(|| Box::new(details)),
            retention: self.retention,
            is_fleeting: self.is_fleeting,
        });
        let (outcome, is_fleeting) = (self.outcome, self.is_fleeting);
        Task::ask(query, move |answer| {
            let said = published(answer, is_fleeting)?;
            if let Some(outcome) = outcome {
                // It may have been set by a request that came between: both were made then.
                let _ = outcome.set(said.clone());
            }
            Ok(said)
        })
    }
}

/// One document for many channels. It is copied for each when its turn comes.
struct Broadcast {
    places: std::vec::IntoIter<Result<Place, Mistake>>,
    content: Content,
    /// The beginning of the result.
    said: Vec<u8>,
}

impl Series for Broadcast {
    fn next(&mut self) -> Option<Task> {
        let place = self.places.next()?;
        Some(
            place
                .map(|place| place.publish(self.content.clone()))
                .into(),
        )
    }

    fn take(&mut self, said: Said) {
        separate(&mut self.said);
        write_response(&said, &mut self.said);
    }

    fn finish(self: Box<Self>) -> Said {
        let mut said = self.said;
        said.extend_from_slice(b"]}");
        Ok(said)
    }
}

/// What is said of a publication. Where nothing is kept there is no position to be told.
fn published(answer: &Answer<'_>, is_fleeting: bool) -> Said {
    match answer {
        Answer::Published(published) if published.is_kept && !is_fleeting => {
            let position = published.position;
            let (offset, epoch) = (position.offset, position.epoch);
            Ok(format!(r#"{{"offset":{offset},"epoch":"{epoch}"}}"#).into_bytes())
        }
        Answer::Published(_) | Answer::Done => Ok(b"{}".to_vec()),
        Answer::TooLarge { limit } => Err(Mistake::bad(format_args!(
            "the data is larger than a channel, {limit} bytes"
        ))),
        other => Err(refused(other)),
    }
}
