//! What a channel is, said in the simplest way.

use std::time::Duration;

use crate::channel::{Placement, ResetReason};
use crate::encoding::{Encoder, Encoding, Entry};
use crate::event::{After, Epoch, Event, FinishReason, Json, Kind, Position};
use crate::ids::ChannelId;
use crate::limits::ChannelLimits;
use crate::sys::sim::Random;
use crate::time::Moment;

/// A frame with its length and position before the JSON.
pub(super) struct Framed;
/// A line of text.
pub(super) struct Lines;
/// An encoding that has nothing to say about some events.
pub(super) struct Sparse;

impl Encoding for Framed {
    fn name(&self) -> &'static str {
        "framed"
    }

    fn encode(&self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        out.extend((entry.json.len() as u64).to_be_bytes());
        out.extend(entry.offset.to_be_bytes());
        out.extend(entry.epoch.as_str().as_bytes());
        entry.json.write(out);
    }
}

impl Encoding for Lines {
    fn name(&self) -> &'static str {
        "lines"
    }

    fn encode(&self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        out.push(b'0' + u8::try_from(entry.offset % 10).unwrap());
        out.push(entry.kind as u8);
        entry.json.write(out);
        out.push(b'\n');
    }
}

impl Encoding for Sparse {
    fn name(&self) -> &'static str {
        "sparse"
    }

    fn encode(&self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        if entry.kind != Kind::Reasoning {
            entry.json.write(out);
        }
    }
}

/// An encoding with a memory: it numbers the chunks of an answer.
pub(super) struct Counting;

impl Encoding for Counting {
    fn name(&self) -> &'static str {
        "counting"
    }

    fn encode(&self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        write_counted(0, &entry.json.whole(), out);
    }

    fn encoder(&self) -> Option<Box<dyn Encoder>> {
        Some(Box::new(Counter { chunks: 0 }))
    }
}

struct Counter {
    chunks: usize,
}

impl Encoder for Counter {
    fn encode(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        self.chunks += usize::from(entry.kind == Kind::Chunk);
        write_counted(self.chunks, &entry.json.whole(), out);
    }

    fn bytes(&self) -> usize {
        self.chunks
    }
}

fn write_counted(chunks: usize, json: &[u8], out: &mut Vec<u8>) {
    out.extend(chunks.to_string().into_bytes());
    out.extend(json);
}

pub(super) const ENCODINGS: [&dyn Encoding; 4] = [&Framed, &Lines, &Sparse, &Counting];

/// One channel: all its events, for ever.
pub(super) struct Reference {
    pub(super) id: ChannelId,
    pub(super) epoch: Epoch,
    pub(super) open: bool,
    pub(super) events: Vec<(Kind, Vec<u8>)>,
    /// How many of an open channel's oldest events may be gone.
    pub(super) trimmed: u64,
    pub(super) finished: Option<Moment>,
    /// The rank of its end among all ends.
    pub(super) finish_rank: u64,
    /// The idempotency key and the body that came with it.
    pub(super) key: Option<(u8, u8)>,
    /// When it is forgotten or abandoned because nobody reads it.
    pub(super) unread_until: Option<Moment>,
    /// When the newest publication came.
    pub(super) published_at: Moment,
}

/// What is known of a name.
pub(super) enum Known {
    Held(Reference),
    Forgotten { since: Moment },
    Never,
}

impl Reference {
    pub(super) fn new(id: ChannelId, epoch: Epoch, open: bool, key: Option<(u8, u8)>) -> Self {
        Self {
            id,
            epoch,
            open,
            events: Vec::new(),
            trimmed: 0,
            finished: None,
            finish_rank: 0,
            key,
            unread_until: None,
            published_at: Moment(0),
        }
    }

    pub(super) fn newest(&self) -> u64 {
        self.events.len() as u64
    }

    pub(super) fn push(&mut self, event: &Event) {
        let mut json = Vec::new();
        event.write_json(&mut json);
        self.events.push((event.kind(), json));
    }

    /// The bytes of one event on the wire.
    pub(super) fn wire(&self, name: &str, offset: u64, encoding: usize) -> Vec<u8> {
        let (kind, json) = &self.events[usize::try_from(offset).unwrap() - 1];
        let mut out = Vec::new();
        let entry = Entry {
            channel: name,
            epoch: self.epoch,
            offset,
            kind: *kind,
            json: Json::new(json),
            details: None,
            previous: None,
            is_kept: true,
            number: 1,
            created: 0,
            note: b"",
        };
        if ENCODINGS[encoding].encoder().is_some() {
            let events = self.events.iter().take(usize::try_from(offset).unwrap());
            let chunks = events.filter(|(kind, _)| *kind == Kind::Chunk).count();
            write_counted(chunks, json, &mut out);
        } else {
            ENCODINGS[encoding].encode(&entry, &mut out);
        }
        out
    }

    /// The table of the delivery rules.
    pub(super) fn place(&self, after: After) -> Placement {
        let newest = self.newest();
        let placed = |offset, reset| Placement::Placed {
            position: Position {
                epoch: self.epoch,
                offset,
            },
            reset,
            behind: offset < newest,
        };
        let all = Position {
            epoch: self.epoch,
            offset: newest,
        };
        let first = self.trimmed;
        match (self.finished.is_some(), after) {
            (_, After::Beginning) => placed(first, None),
            (true, After::Now) => Placement::Finished(all),
            (false, After::Now) => placed(newest, None),
            (_, After::Gone | After::Unreadable) => placed(first, Some(ResetReason::OtherEpoch)),
            (finished, After::Offset(offset)) => match finished {
                _ if offset > newest => placed(first, Some(ResetReason::Ahead)),
                _ if offset < first => placed(first, Some(ResetReason::Trimmed)),
                true if offset == newest => Placement::Finished(all),
                _ => placed(offset, None),
            },
            (finished, After::Position(cursor)) => {
                if cursor.epoch != self.epoch {
                    placed(first, Some(ResetReason::OtherEpoch))
                } else if cursor.offset > newest {
                    placed(first, Some(ResetReason::Ahead))
                } else if cursor.offset < first {
                    placed(first, Some(ResetReason::Trimmed))
                } else if finished && cursor.offset == newest {
                    Placement::Finished(all)
                } else {
                    placed(cursor.offset, None)
                }
            }
        }
    }
}

/// A random event of an answer, or of an open channel.
pub(super) fn event(random: &mut Random, open: bool, big: bool) -> Event {
    if open {
        let len = if big {
            1 + random.index(90_000)
        } else {
            1 + random.index(40)
        };
        let digit = b'1' + u8::try_from(random.below(9)).unwrap();
        return Event::Data(vec![digit; len].into(), None);
    }
    let text = random.pick(&[
        "Hel",
        "lo",
        "\u{1f600}\n",
        "wide \"quoted\" text of some length",
        "x",
    ]);
    match random.below(6) {
        0 => Event::Reasoning(text.into()),
        1 => Event::Refusal(text.into()),
        _ => Event::Chunk(text.into()),
    }
}

/// A terminal event.
pub(super) fn terminal(random: &mut Random) -> Event {
    use crate::event::{End, ErrorCode, Failure};
    if random.once_in(3) {
        return Event::Error(Box::new(Failure::new(ErrorCode::ProviderTruncated, "cut")));
    }
    Event::End(Box::new(End {
        finish_reason: random.pick(&[
            FinishReason::Stop,
            FinishReason::Length,
            FinishReason::Cancelled,
        ]),
        usage: None,
        model: None,
        provider: None,
        attempts: Vec::new(),
    }))
}

/// Limits that make every bound likely to be met.
pub(super) fn limits(random: &mut Random) -> ChannelLimits {
    ChannelLimits {
        history_size: random.below(8),
        history_ttl: Duration::from_secs(1 + random.below(100)),
        ttl: Duration::from_secs(1 + random.below(100)),
        tombstone_ttl: Duration::from_secs(1 + random.below(200)),
        cancel_when_abandoned: random
            .once_in(2)
            .then(|| Duration::from_secs(1 + random.below(60))),
        max_channel_bytes: if random.once_in(4) { 1500 } else { 16 << 20 },
        max_total_bytes: if random.once_in(3) {
            3000 + random.index(6000)
        } else {
            256 << 20
        },
    }
}
