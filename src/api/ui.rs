//! `/api/ui/chat`: what `useChat` of Vercel's AI SDK asks for, and takes up again.
//!
//! A page knows its conversation by an id of its own. Which channels the latest answers in it have
//! is remembered here, for so many conversations as [`MOST`] says; a page that comes back to one
//! that is forgotten, or whose answers have ended, is told that nothing goes on. The id is no
//! secret: who reads or ends an answer must be allowed to as in its channel.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use lmserver_llm_api::Teller;
use lmserver_llm_api::ui::{self, UiMessages};
use lmserver_proto::http1::{Request, Response};
use lmserver_proto::percent;
use lmserver_runtime::channel::Status;
use lmserver_runtime::plugin::service::{Answer, Query, Reply, ServiceCx};

use super::auth::{Caller, Digest, sha256};
use super::llm::{self, Asking};
use super::refusal::Refusal;
use super::{Outcome, ask, chat};

type Fields = Vec<(Cow<'static, str>, String)>;

/// Conversations that are remembered.
const MOST: usize = 10_000;

/// Answers that are remembered of a conversation: the latest, those that a page has left, and
/// such as were refused.
const ANSWERS: usize = 4;

/// The channels of the latest answers in each conversation.
#[derive(Default)]
pub(super) struct Conversations {
    known: HashMap<Digest, Conversation>,
    /// Oldest first; one stands here once for each of its answers.
    order: VecDeque<Digest>,
}

#[derive(Default)]
struct Conversation {
    /// Oldest first.
    channels: Vec<Box<str>>,
    /// How often it stands in the order.
    places: usize,
}

impl Conversations {
    fn remember(&mut self, conversation: Digest, channel: Box<str>) {
        let known = self.known.entry(conversation).or_default();
        if known.channels.len() == ANSWERS {
            known.channels.remove(0);
        }
        known.channels.push(channel);
        known.places += 1;
        self.order.push_back(conversation);
        while self.order.len() > MOST {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            if let Entry::Occupied(mut entry) = self.known.entry(oldest) {
                entry.get_mut().places -= 1;
                if entry.get().places == 0 {
                    entry.remove();
                }
            }
        }
    }
}

/// `POST /api/ui/chat`.
#[inline(never)]
pub(super) fn post(
    conversations: &mut Conversations,
    asking: &Asking<'_>,
    body: &[u8],
    cx: &mut ServiceCx<'_>,
) -> Outcome {
    let caller = asking.auth.caller(asking.request)?;
    let channel = chat::new_channel(cx);
    let reply = llm::ask_in(channel.clone(), &UiMessages, asking, body, cx)?;
    if let Some(id) = ui::conversation(body) {
        conversations.remember(key(&caller, &id), channel);
    }
    Ok(reply)
}

/// `GET /api/ui/chat/{id}/stream`: the answer that goes on, from its beginning; 204 if none does.
#[inline(never)]
pub(super) fn resume(
    conversations: &Conversations,
    asking: &Asking<'_>,
    id: &str,
    now: Duration,
) -> Outcome {
    let caller = asking.auth.caller(asking.request)?;
    let channels = allowed(find(conversations, &caller, id), |channel| {
        asking.auth.may_read(asking.request, channel, now)
    })?;
    let (request, fields) = (asking.request.clone(), asking.origin.fields());
    Ok(take_up(channels, request, fields))
}

/// Takes up the last of the answers that goes on.
fn take_up(mut channels: Vec<Box<str>>, request: Request, fields: Fields) -> Reply {
    let Some(channel) = channels.pop() else {
        return nothing();
    };
    let query = Query::Snapshot(channel.clone());
    ask(query, move |answer, cx| match answer {
        Answer::Snapshot(snapshot, _) if snapshot.status == Status::Streaming => {
            let teller = Teller {
                telling: ui::telling(),
                model: snapshot.model.clone(),
                channels: vec![channel],
                is_stream: true,
                after: None,
            };
            Ok(llm::open(&teller, &request, fields, cx))
        }
        _ => Ok(take_up(channels, request, fields)),
    })
}

/// `DELETE /api/ui/chat/{id}/stream`: ends the answers that go on, if any do.
#[inline(never)]
pub(super) fn cancel(
    conversations: &Conversations,
    asking: &Asking<'_>,
    id: &str,
    now: Duration,
) -> Outcome {
    let caller = asking.auth.caller(asking.request)?;
    let channels = allowed(find(conversations, &caller, id), |channel| {
        asking.auth.may_cancel(asking.request, channel, now)
    })?;
    Ok(end_all(channels))
}

fn end_all(mut channels: Vec<Box<str>>) -> Reply {
    match channels.pop() {
        Some(channel) => ask(Query::Cancel(channel), |_, _| Ok(end_all(channels))),
        None => nothing(),
    }
}

/// Those of the channels that the client may use; where there are none but others, why not.
fn allowed(
    mut channels: Vec<Box<str>>,
    may_use: impl Fn(&str) -> Result<(), Refusal>,
) -> Result<Vec<Box<str>>, Refusal> {
    let mut refused = None;
    channels.retain(|channel| match may_use(channel) {
        Ok(()) => true,
        Err(refusal) => {
            refused = Some(refusal);
            false
        }
    });
    match refused {
        Some(refusal) if channels.is_empty() => Err(refusal),
        _ => Ok(channels),
    }
}

/// The channels of a conversation, oldest first.
fn find(conversations: &Conversations, caller: &Caller, id: &str) -> Vec<Box<str>> {
    let id = percent::decode(id).unwrap_or_default();
    let known = conversations.known.get(&key(caller, &id));
    known.map_or_else(Vec::new, |it| it.channels.clone())
}

/// One client's ids mean nothing to another.
fn key(caller: &Caller, id: &str) -> Digest {
    sha256(&[&caller.digest, id.as_bytes()])
}

fn nothing() -> Reply {
    Reply::Response(Response::empty(204).with_field("Cache-Control", "no-store"))
}
