//! `/api/ui/chat`: what `useChat` of Vercel's AI SDK asks for, and takes up again.
//!
//! A page knows its conversation by an id of its own. Which channel the latest answer in it has is
//! remembered here, for so many conversations as [`MOST`] says; a page that comes back to one that
//! is forgotten, or whose answer has ended, is told that nothing goes on.

use std::collections::{HashMap, VecDeque};

use lmserver_llm_api::Teller;
use lmserver_llm_api::ui::{self, UiMessages};
use lmserver_proto::http1::Response;
use lmserver_proto::percent;
use lmserver_runtime::channel::Status;
use lmserver_runtime::plugin::service::{Answer, Query, Reply, ServiceCx};

use super::auth::{Caller, Digest, sha256};
use super::llm::{self, Asking};
use super::{Outcome, ask, chat};

/// Conversations that are remembered.
const MOST: usize = 10_000;

/// The channel of the latest answer in each conversation.
#[derive(Default)]
pub(super) struct Conversations {
    channels: HashMap<Digest, Box<str>>,
    /// Oldest first; one stands here once for each of its answers.
    order: VecDeque<Digest>,
}

impl Conversations {
    fn remember(&mut self, conversation: Digest, channel: Box<str>) {
        self.channels.insert(conversation, channel);
        self.order.push_back(conversation);
        while self.order.len() > MOST {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            if !self.order.contains(&oldest) {
                self.channels.remove(&oldest);
            }
        }
    }
}

/// `POST /api/ui/chat`.
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
pub(super) fn resume(conversations: &Conversations, asking: &Asking<'_>, id: &str) -> Outcome {
    let caller = asking.auth.caller(asking.request)?;
    let Some(channel) = find(conversations, &caller, id) else {
        return Ok(nothing());
    };
    let (request, fields) = (asking.request.clone(), asking.origin.fields());
    let query = Query::Snapshot(channel.clone());
    Ok(ask(query, move |answer, cx| match answer {
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
        _ => Ok(nothing()),
    }))
}

/// `DELETE /api/ui/chat/{id}/stream`: ends the answer that goes on, if one does.
pub(super) fn cancel(conversations: &Conversations, asking: &Asking<'_>, id: &str) -> Outcome {
    let caller = asking.auth.caller(asking.request)?;
    match find(conversations, &caller, id) {
        Some(channel) => Ok(ask(Query::Cancel(channel), |_, _| Ok(nothing()))),
        None => Ok(nothing()),
    }
}

fn find(conversations: &Conversations, caller: &Caller, id: &str) -> Option<Box<str>> {
    let id = percent::decode(id)?;
    conversations.channels.get(&key(caller, &id)).cloned()
}

/// One client's ids mean nothing to another.
fn key(caller: &Caller, id: &str) -> Digest {
    sha256(&[&caller.digest, id.as_bytes()])
}

fn nothing() -> Reply {
    Reply::Response(Response::empty(204).with_field("Cache-Control", "no-store"))
}
