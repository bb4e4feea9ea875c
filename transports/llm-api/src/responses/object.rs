//! The JSON of a response.

use lmserver_runtime::channel::{Snapshot, Status};
use lmserver_runtime::event::{ErrorCode, FinishReason, Usage};

use super::item::{self, Item};
use super::{ID, note};
use crate::{json, names, openai};

/// How a response stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Standing<'a> {
    InProgress,
    Completed,
    Incomplete { reason: &'static str },
    Cancelled,
    Failed { code: ErrorCode, message: &'a str },
}

impl Standing<'_> {
    /// How a response stands that ended so.
    pub(super) fn of(reason: FinishReason) -> Self {
        match reason {
            FinishReason::Stop | FinishReason::ToolCalls => Self::Completed,
            FinishReason::Length => Self::Incomplete {
                reason: "max_output_tokens",
            },
            FinishReason::ContentFilter => Self::Incomplete {
                reason: "content_filter",
            },
            FinishReason::Cancelled => Self::Cancelled,
        }
    }

    /// Do its items stand as they should?
    pub(super) fn is_whole(self) -> bool {
        matches!(self, Self::InProgress | Self::Completed)
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete { .. } => "incomplete",
            Self::Cancelled => "cancelled",
            Self::Failed { .. } => "failed",
        }
    }
}

/// A response as the snapshot of its channel has it.
pub(super) fn of_snapshot(channel: &str, snapshot: &Snapshot) -> Vec<u8> {
    let standing = match (&snapshot.error, snapshot.finish_reason) {
        (Some(failure), _) => Standing::Failed {
            code: failure.code,
            message: &failure.message,
        },
        (None, Some(reason)) => Standing::of(reason),
        (None, None) => Standing::InProgress,
    };
    debug_assert_eq!(
        snapshot.status == Status::Streaming,
        matches!(standing, Standing::InProgress)
    );
    let items = item::of_snapshot(channel, snapshot);
    let mut out = Vec::new();
    let usage = snapshot.usage;
    write(
        channel,
        snapshot.created,
        &snapshot.note,
        standing,
        &items,
        usage,
        &mut out,
    );
    out
}

/// Appends a response.
pub(super) fn write(
    channel: &str,
    created: u64,
    note: &[u8],
    standing: Standing<'_>,
    items: &[Item],
    usage: Option<Usage>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(br#"{"id":"#);
    json::text(&names::id(ID, channel), out);
    out.extend_from_slice(br#","object":"response","created_at":"#);
    json::number(created, out);
    out.extend_from_slice(br#","status":"#);
    json::text(standing.as_str(), out);
    out.extend_from_slice(br#","error":"#);
    match standing {
        Standing::Failed { code, message } => {
            out.extend_from_slice(br#"{"code":"#);
            json::text(openai::word(code), out);
            out.extend_from_slice(br#","message":"#);
            json::text(message, out);
            out.push(b'}');
        }
        _ => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(br#","incomplete_details":"#);
    match standing {
        Standing::Incomplete { reason } => {
            out.extend_from_slice(br#"{"reason":"#);
            json::text(reason, out);
            out.push(b'}');
        }
        _ => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(br#","output":["#);
    json::list(items, out, |item, out| item.write(standing.is_whole(), out));
    out.extend_from_slice(br#"],"usage":"#);
    write_usage(usage, out);
    let echo = note::echo(note);
    if !echo.is_empty() {
        out.push(b',');
        out.extend_from_slice(echo);
    }
    out.push(b'}');
}

fn write_usage(usage: Option<Usage>, out: &mut Vec<u8>) {
    let Some(usage) = usage else {
        return out.extend_from_slice(b"null");
    };
    let total = usage.input_tokens.saturating_add(usage.output_tokens);
    for (key, number) in [
        (&br#"{"input_tokens":"#[..], usage.input_tokens),
        (
            br#","input_tokens_details":{"cached_tokens":"#,
            usage.cached_tokens.unwrap_or(0),
        ),
        (br#"},"output_tokens":"#, usage.output_tokens),
        (
            br#","output_tokens_details":{"reasoning_tokens":"#,
            usage.reasoning_tokens.unwrap_or(0),
        ),
        (br#"},"total_tokens":"#, total),
    ] {
        out.extend_from_slice(key);
        json::number(number, out);
    }
    if usage.estimated {
        out.extend_from_slice(br#","estimated":true"#);
    }
    out.push(b'}');
}
