//! Which bytes go next: the rest of a half-written event, then the connection's own, then the logs.
//!
//! What is own and what is log leave in one write where they are small. The log's bytes go to the
//! socket from where they lie, unless they travel in an envelope. Cursors take turns at the
//! boundaries of events.

use std::io;

use super::{Conn, Flags};
use crate::channel::registry::Registry;
use crate::channel::{Channel, Cursor, GateState, Pending};
use crate::encoding::Envelope;
use crate::ids::ChannelId;
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
    /// All of this channel is written, and it has ended.
    Ended(ChannelId),
    /// The cursor's place in this channel is no longer held.
    Lagged(ChannelId),
    /// The session is to be asked about the next event of this channel.
    Gated(ChannelId),
    /// The event that a leaving cursor stood in is written.
    Left,
    /// The connection has failed.
    Failed(io::Error),
}

/// What a flush works with beside the connection.
pub(crate) struct Pen<'a, S> {
    pub(crate) channels: &'a Registry,
    pub(crate) sys: &'a mut S,
    pub(crate) scratch: &'a mut Vec<u8>,
    pub(crate) metrics: &'a mut Metrics,
    pub(crate) now: Moment,
}

enum Step {
    Wrote,
    Stop(Flushed),
}

/// The bytes of a log that go next.
struct Piece<'a> {
    channel: &'a Channel,
    index: usize,
    bytes: &'a [u8],
    envelope: Option<Envelope>,
}

impl<S: Sys> Pen<'_, S> {
    /// Writes what is unsent until the socket takes no more.
    pub(crate) fn flush(&mut self, conn: &mut Conn) -> Flushed {
        loop {
            if !conn.flags.has(Flags::WRITABLE) {
                return Flushed::Blocked;
            }
            match self.step(conn) {
                Ok(Step::Wrote) => {}
                Ok(Step::Stop(outcome)) => return outcome,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    note_blocked(conn, self.now);
                    return Flushed::Blocked;
                }
                Err(error) => return Flushed::Failed(error),
            }
        }
    }

    fn step(&mut self, conn: &mut Conn) -> io::Result<Step> {
        let piece = match next_piece(conn, self.channels) {
            Ok(piece) => piece,
            Err(outcome) => return Ok(Step::Stop(outcome)),
        };
        let own_first = !conn.outbox.is_empty() && !conn.flags.has(Flags::MID_EVENT);
        match piece {
            None if own_first => self.write_own(conn),
            None => self.finish(conn),
            Some(piece) if own_first && conn.outbox.len() + piece.bytes.len() > JOIN_BYTES => {
                self.write_own(conn)
            }
            Some(piece) => {
                let own = if own_first { conn.outbox.len() } else { 0 };
                match piece.envelope {
                    Some(envelope) => self.write_enveloped(conn, &piece, own, envelope),
                    None => self.write_piece(conn, &piece, own),
                }
            }
        }
    }

    /// Nothing is unsent here; TLS may hold some still.
    fn finish(&mut self, conn: &mut Conn) -> io::Result<Step> {
        if !conn.link.flush(self.sys, conn.sock)? {
            note_blocked(conn, self.now);
            return Ok(Step::Stop(Flushed::Blocked));
        }
        let mut cursors = conn.cursors.iter();
        let ended = cursors.find(|cursor| {
            let channel = self.channels.get(cursor.channel);
            channel.is_some_and(|channel| channel.pending(cursor) == Pending::Ended)
        });
        if let Some(cursor) = ended.filter(|_| !conn.flags.has(Flags::CLOSING)) {
            return Ok(Step::Stop(Flushed::Ended(cursor.channel)));
        }
        conn.blocked_since = None;
        Ok(Step::Stop(Flushed::All))
    }

    fn write_own(&mut self, conn: &mut Conn) -> io::Result<Step> {
        let written = conn.link.write(self.sys, conn.sock, conn.outbox.unsent())?;
        note_written(conn, written, 0, self.now);
        Ok(Step::Wrote)
    }

    /// Writes log bytes as they lie, behind the connection's own where there are some.
    fn write_piece(&mut self, conn: &mut Conn, piece: &Piece<'_>, own: usize) -> io::Result<Step> {
        let total = own + piece.bytes.len();
        let written = if own == 0 {
            conn.link.write(self.sys, conn.sock, piece.bytes)?
        } else {
            self.scratch.clear();
            self.scratch.extend_from_slice(conn.outbox.unsent());
            self.scratch.extend_from_slice(piece.bytes);
            conn.link.write(self.sys, conn.sock, self.scratch)?
        };
        let from_log = written.saturating_sub(own);
        self.note_log(conn, written, from_log);
        let was_inside = conn.flags.has(Flags::MID_EVENT);
        if from_log == 0 {
            return Ok(Step::Wrote);
        }
        conn.cursors.set_turn(piece.index);
        let Some(cursor) = conn.cursors.current_mut() else {
            return Ok(Step::Wrote);
        };
        cursor.at += from_log as u64;
        let whole = written == total && !was_inside;
        if !whole && piece.channel.event_end(cursor) != cursor.at {
            conn.flags.set(Flags::MID_EVENT);
            return Ok(Step::Wrote);
        }
        conn.flags.clear(Flags::MID_EVENT);
        Ok(turn_over(conn))
    }

    /// Writes a message of one or more events, or the rest of one.
    fn write_enveloped(
        &mut self,
        conn: &mut Conn,
        piece: &Piece<'_>,
        own: usize,
        envelope: Envelope,
    ) -> io::Result<Step> {
        conn.cursors.set_turn(piece.index);
        let sent = conn.cursors.current().map_or(0, |cursor| cursor.sent);
        let rest = envelope.length(piece.bytes).saturating_sub(sent as usize);
        self.scratch.clear();
        if own > 0 {
            self.scratch.extend_from_slice(conn.outbox.unsent());
        }
        envelope.wrap(piece.bytes, sent as usize, PART_BYTES, self.scratch);
        let written = conn.link.write(self.sys, conn.sock, self.scratch)?;
        let from_log = written.saturating_sub(own);
        self.note_log(conn, written, from_log);
        let Some(cursor) = conn.cursors.current_mut() else {
            return Ok(Step::Wrote);
        };
        if from_log < rest {
            if from_log > 0 {
                cursor.end = cursor.at + piece.bytes.len() as u64;
                cursor.sent += u32::try_from(from_log).unwrap_or(u32::MAX);
                conn.flags.set(Flags::MID_EVENT);
            }
            return Ok(Step::Wrote);
        }
        cursor.at += piece.bytes.len() as u64;
        cursor.sent = 0;
        conn.flags.clear(Flags::MID_EVENT);
        Ok(turn_over(conn))
    }

    fn note_log(&mut self, conn: &mut Conn, written: usize, from_log: usize) {
        note_written(conn, written - from_log, from_log, self.now);
        if from_log > 0 {
            self.metrics.log_bytes_written += from_log as u64;
            self.metrics.log_writes += 1;
        }
    }
}

/// The log bytes that go next, if any may.
fn next_piece<'a>(conn: &Conn, channels: &'a Registry) -> Result<Option<Piece<'a>>, Flushed> {
    if conn.flags.has(Flags::MID_EVENT) {
        let alone =
            conn.outbox.is_empty() && !conn.flags.has(Flags::CLOSING) && conn.cursors.len() == 1;
        return match conn.cursors.current() {
            Some(cursor) => piece_of(cursor, conn, channels, alone),
            None => Ok(None),
        };
    }
    if conn.flags.has(Flags::CLOSING) {
        return Ok(None);
    }
    for index in conn.cursors.order() {
        let Some(cursor) = conn.cursors.as_slice().get(index) else {
            continue;
        };
        if let Some(piece) = piece_of(cursor, conn, channels, true)? {
            return Ok(Some(Piece { index, ..piece }));
        }
    }
    Ok(None)
}

/// What a cursor has to give. `onward`: more than the rest of a half-written event is allowed.
fn piece_of<'a>(
    cursor: &Cursor,
    conn: &Conn,
    channels: &'a Registry,
    onward: bool,
) -> Result<Option<Piece<'a>>, Flushed> {
    // The channel may have been forgotten while this subscriber was still reading it.
    let channel = channels
        .get(cursor.channel)
        .ok_or(Flushed::Lagged(cursor.channel))?;
    let bytes = match channel.pending(cursor) {
        Pending::Bytes(bytes) => bytes,
        Pending::Idle | Pending::Ended => return Ok(None),
        Pending::Lagged => return Err(Flushed::Lagged(cursor.channel)),
    };
    let inside = conn.flags.has(Flags::MID_EVENT);
    if cursor.gate == GateState::Ask && !inside {
        return Err(Flushed::Gated(cursor.channel));
    }
    let is_enveloped = channel.is_enveloped(cursor);
    let end = if cursor.end > 0 {
        cursor.end
    } else if is_enveloped {
        channel.batch_end(cursor, BATCH_BYTES)
    } else if inside && (!onward || cursor.gate != GateState::Open) {
        channel.event_end(cursor)
    } else {
        cursor.at + bytes.len() as u64
    };
    let length = usize::try_from(end - cursor.at).unwrap_or(usize::MAX);
    let bytes = bytes.get(..length).unwrap_or(bytes);
    Ok(Some(Piece {
        channel,
        index: conn.cursors.turn(),
        bytes,
        envelope: channel.envelope(cursor, bytes.len()),
    }))
}

/// The current cursor stands between events again: the next has its turn.
fn turn_over(conn: &mut Conn) -> Step {
    let Some(cursor) = conn.cursors.current_mut() else {
        return Step::Wrote;
    };
    if cursor.at >= cursor.end {
        cursor.end = 0;
        if cursor.gate == GateState::Passing {
            cursor.gate = GateState::Ask;
        }
    }
    let leaves = cursor.is_leaving();
    if leaves {
        return Step::Stop(Flushed::Left);
    }
    conn.cursors.pass_turn();
    Step::Wrote
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
    if own + from_log > 0 {
        conn.last_write = now;
        conn.blocked_since = None;
    }
}

/// Own bytes and log bytes up to this many are copied together for one write.
const JOIN_BYTES: usize = 16 * 1024;

/// A longer message is copied and written in parts of this size.
const PART_BYTES: usize = 128 * 1024;

/// Events up to this many bytes, and at least one, travel in one envelope.
pub(crate) const BATCH_BYTES: u64 = 16 * 1024;
