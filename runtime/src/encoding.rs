//! How a transport puts events on the wire. Channels keep the bytes, so this stands below them.

use crate::event::{Details, Epoch, Json, Kind, Position};

/// One way to put events on the wire. It runs once per event, however many subscribers there are,
/// and its bytes serve them all. It has no state of its own, but may have an [`Encoder`] that has.
pub trait Encoding: Send + Sync {
    /// A name that is unique among encodings: `sse/chunked`, `ws/text`.
    fn name(&self) -> &'static str;

    /// Appends one event, framed completely: any run of events is a valid stretch of wire.
    fn encode(&self, entry: &Entry<'_>, out: &mut Vec<u8>);

    /// What encodes the events of one channel, for encodings in which an event depends on those
    /// before it; [`encode`](Self::encode) is not called then. Each view has one of its own, made
    /// with the view and given every event from the first, so that the bytes are the same however
    /// late that is. None: [`encode`](Self::encode) does.
    fn encoder(&self) -> Option<Box<dyn Encoder>> {
        None
    }

    /// What is put around a run of events of `length` bytes, never 0, when it is sent, for transports that
    /// frame messages of several events. It must be the same for the same length each time.
    fn envelope(&self, _length: usize) -> Option<Envelope> {
        None
    }
}

/// An encoding with a memory: it encodes the events of one channel, one after the other, for all
/// who read them. What it writes may depend on nothing but them.
pub trait Encoder {
    /// Appends one event, framed completely; or nothing, where there is nothing to say yet.
    fn encode(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>);

    /// Bytes that it holds beside its own size; they count to the channel's.
    fn bytes(&self) -> usize {
        0
    }
}

/// What is put around a run of encoded events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    head: [u8; Self::HEAD_MAX],
    head_length: u8,
    drops_last: bool,
    tail: &'static [u8],
}

impl Envelope {
    /// The longest head: that of a WebSocket frame, and those of chunks.
    pub const HEAD_MAX: usize = 18;

    /// An envelope that begins with `head`, of which [`HEAD_MAX`](Self::HEAD_MAX) bytes count.
    #[must_use]
    pub fn new(head: &[u8]) -> Self {
        let mut envelope = Self {
            head: [0; Self::HEAD_MAX],
            head_length: 0,
            drops_last: false,
            tail: b"",
        };
        for (to, from) in envelope.head.iter_mut().zip(head) {
            *to = *from;
            envelope.head_length += 1;
        }
        envelope
    }

    /// The last byte of the run is not sent: it separates events, and nothing follows it.
    #[must_use]
    pub fn dropping_last(mut self) -> Self {
        self.drops_last = true;
        self
    }

    /// What follows the run.
    #[must_use]
    pub fn with_tail(mut self, tail: &'static [u8]) -> Self {
        self.tail = tail;
        self
    }

    /// The parts of a run in its envelope.
    fn parts<'a>(&'a self, run: &'a [u8]) -> [&'a [u8]; 3] {
        let head = self.head.get(..usize::from(self.head_length));
        let kept = run.len() - usize::from(self.drops_last && !run.is_empty());
        [
            head.unwrap_or(&[]),
            run.get(..kept).unwrap_or(run),
            self.tail,
        ]
    }

    /// How long a run is in its envelope.
    pub(crate) fn length(&self, run: &[u8]) -> usize {
        self.parts(run).iter().map(|part| part.len()).sum()
    }

    /// Appends the run in its envelope, without the first `skip` bytes, `most` bytes at most.
    pub(crate) fn wrap(&self, run: &[u8], mut skip: usize, mut most: usize, out: &mut Vec<u8>) {
        for part in self.parts(run) {
            let skipped = skip.min(part.len());
            skip -= skipped;
            let part = part.get(skipped..).unwrap_or(&[]);
            let part = part.get(..most.min(part.len())).unwrap_or(part);
            most -= part.len();
            out.extend_from_slice(part);
        }
    }
}

/// An event in its place.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The channel's name.
    pub channel: &'a str,
    /// The channel's incarnation.
    pub epoch: Epoch,
    /// The event's number, from 1.
    pub offset: u64,
    /// What it is.
    pub kind: Kind,
    /// Its JSON.
    pub json: Json<'a>,
    /// What belongs to a publication beside its data.
    pub details: Option<&'a Details>,
    /// The JSON of the publication before it, if the channel still holds that and this one may be
    /// sent as the difference from it.
    pub previous: Option<Json<'a>>,
    /// Does the channel keep a history? If not, its positions mean nothing to clients.
    pub is_kept: bool,
    /// The channel's number, which no other channel of this process has; from 1.
    pub number: u32,
    /// When the chat began: seconds since 1970. 0 in open channels.
    pub created: u64,
    /// What the application keeps with the chat, [`Submission::note`]; empty in open channels.
    ///
    /// [`Submission::note`]: crate::plugin::service::Submission::note
    pub note: &'a [u8],
}

impl<'a> Entry<'a> {
    /// The entry's position.
    #[must_use]
    pub fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            offset: self.offset,
        }
    }

    /// The text of a chunk, of reasoning or of a refusal as its JSON has it: a string with its
    /// quotes, to be copied into other JSON as it is.
    #[must_use]
    pub fn text(&self) -> Option<&'a [u8]> {
        self.json.text(self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_written_whole_from_any_byte_on() {
        for (envelope, whole) in [
            (Envelope::new(b"<7>"), &b"<7>one two;"[..]),
            (Envelope::new(b"").with_tail(b"\r\n"), b"one two;\r\n"),
            (
                Envelope::new(b"a\r\n").dropping_last().with_tail(b"\r\n"),
                b"a\r\none two\r\n",
            ),
        ] {
            let run = b"one two;";
            assert_eq!(envelope.length(run), whole.len());
            for skip in 0..=whole.len() {
                for most in 0..=whole.len() {
                    let mut out = Vec::new();
                    envelope.wrap(run, skip, most, &mut out);
                    let want = &whole[skip..whole.len().min(skip + most)];
                    assert_eq!(out, want, "{skip} {most}");
                }
            }
        }
    }
}
