//! Which bytes go next: the rest of a half-written event, then the connection's own, then the log.
//!
//! What is own and what is log leave in one write where they are small. The log's bytes go to the
//! socket from where they lie.

use std::io;

use super::{Conn, Flags};
use crate::channel::Pending;
use crate::channel::registry::Registry;
use crate::metrics::Metrics;
use crate::sys::Sys;
use crate::time::Moment;

/// How a flush went.
#[derive(Debug)]
pub(crate) enum Flushed {
    /// All is written.
    All,
    /// The socket takes no more for now.
    Blocked,
    /// All is written, and the cursor's channel has ended.
    Ended,
    /// The cursor's place is no longer held.
    Lagged,
    /// The next log bytes want their preface first.
    WantsPreface,
    /// The connection has failed.
    Failed(io::Error),
}

/// Writes what is unsent until the socket takes no more.
pub(crate) fn flush<S: Sys>(
    conn: &mut Conn,
    channels: &Registry,
    sys: &mut S,
    scratch: &mut Vec<u8>,
    metrics: &mut Metrics,
    now: Moment,
) -> Flushed {
    loop {
        if !conn.flags.has(Flags::WRITABLE) {
            return Flushed::Blocked;
        }
        match step(conn, channels, sys, scratch, metrics, now) {
            Ok(Step::Wrote) => {}
            Ok(Step::Stop(outcome)) => return outcome,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                note_blocked(conn, now);
                return Flushed::Blocked;
            }
            Err(error) => return Flushed::Failed(error),
        }
    }
}

enum Step {
    Wrote,
    Stop(Flushed),
}

fn step<S: Sys>(
    conn: &mut Conn,
    channels: &Registry,
    sys: &mut S,
    scratch: &mut Vec<u8>,
    metrics: &mut Metrics,
    now: Moment,
) -> io::Result<Step> {
    let channel = conn
        .cursor
        .as_ref()
        .and_then(|cursor| channels.get(cursor.channel));
    if channel.is_none() && conn.cursor.is_some() {
        // The channel was forgotten while this subscriber was still reading it.
        return Ok(Step::Stop(Flushed::Lagged));
    }
    let (mut log, mut ended) = (&[][..], false);
    if let (Some(channel), Some(cursor)) = (channel, &conn.cursor) {
        match channel.pending(cursor) {
            // Before its own bytes, and before the end, only the rest of the event goes out.
            Pending::Bytes(bytes)
                if conn.flags.has(Flags::MID_EVENT)
                    && (!conn.outbox.is_empty() || conn.flags.has(Flags::CLOSING)) =>
            {
                let rest =
                    usize::try_from(channel.event_end(cursor) - cursor.at).unwrap_or(usize::MAX);
                log = bytes.get(..rest).unwrap_or(bytes);
            }
            _ if conn.flags.has(Flags::CLOSING) => {}
            Pending::Bytes(bytes) => log = bytes,
            Pending::Idle => {}
            Pending::Ended => ended = true,
            Pending::Lagged => return Ok(Step::Stop(Flushed::Lagged)),
        }
    }
    if conn.flags.has(Flags::PREFACE) && !log.is_empty() {
        return Ok(Step::Stop(Flushed::WantsPreface));
    }
    let own_first = !conn.outbox.is_empty() && !conn.flags.has(Flags::MID_EVENT);
    let (own, total, written) = if !own_first {
        if log.is_empty() {
            return Ok(Step::Stop(if !conn.link.flush(sys, conn.sock)? {
                note_blocked(conn, now);
                Flushed::Blocked
            } else if ended {
                Flushed::Ended
            } else {
                conn.blocked_since = None;
                Flushed::All
            }));
        }
        (0, log.len(), conn.link.write(sys, conn.sock, log)?)
    } else if !log.is_empty() && conn.outbox.len() + log.len() <= JOIN_BYTES {
        scratch.clear();
        scratch.extend_from_slice(conn.outbox.unsent());
        scratch.extend_from_slice(log);
        (
            conn.outbox.len(),
            scratch.len(),
            conn.link.write(sys, conn.sock, scratch)?,
        )
    } else {
        let own = conn.outbox.len();
        (
            own,
            own,
            conn.link.write(sys, conn.sock, conn.outbox.unsent())?,
        )
    };
    let from_log = written.saturating_sub(own);
    note_written(conn, written.min(own), from_log, now);
    if from_log > 0 {
        metrics.log_bytes_written += from_log as u64;
        metrics.log_writes += 1;
    }
    if let (Some(channel), Some(cursor)) = (channel, &conn.cursor)
        && from_log > 0
    {
        let whole = written == total && !conn.flags.has(Flags::MID_EVENT);
        if whole || channel.event_end(cursor) == cursor.at {
            conn.flags.clear(Flags::MID_EVENT);
        } else {
            conn.flags.set(Flags::MID_EVENT);
        }
    }
    Ok(Step::Wrote)
}

/// The socket takes no more. What it took of TLS's ciphertext before counts as progress.
fn note_blocked(conn: &mut Conn, now: Moment) {
    conn.flags.clear(Flags::WRITABLE);
    if conn.link.take_progress() {
        conn.blocked_since = Some(now);
    }
    conn.blocked_since.get_or_insert(now);
}

/// Takes what was written off what is unsent.
fn note_written(conn: &mut Conn, own: usize, from_log: usize, now: Moment) {
    conn.outbox.advance(own);
    if let Some(cursor) = &mut conn.cursor {
        cursor.at += from_log as u64;
    }
    if own + from_log > 0 {
        conn.last_write = now;
        conn.blocked_since = None;
    }
}

/// Own bytes and log bytes up to this many are copied together for one write.
const JOIN_BYTES: usize = 16 * 1024;
