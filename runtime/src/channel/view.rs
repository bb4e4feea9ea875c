//! One encoding of a channel, and those who read it.

use super::log::Log;
use crate::encoding::{Encoder, Encoding, Entry};
use crate::ids::{ChannelId, ConnId};
use crate::sys::SockId;
use crate::time::Moment;

/// Bytes that an answer's only reader may have had before they are forgotten; few in tests, whose
/// answers are short.
const RELEASE_BYTES: usize = if cfg!(test) { 64 } else { 256 };

/// One encoding of a channel and those who read it.
pub(crate) struct View {
    /// Whose encoding it is.
    pub(crate) channel: ChannelId,
    pub(crate) encoding: &'static dyn Encoding,
    /// For an encoding with a memory: it has had all events of the log.
    encoder: Option<Box<dyn Encoder>>,
    pub(crate) log: Log,
    pub(crate) subscribers: Vec<Subscriber>,
    /// Up to where those who keep up have had everything: the end, but for this turn's events.
    pub(crate) delivered: u64,
    /// When they were last written to.
    pub(crate) delivered_at: Moment,
    /// Since when nobody reads it.
    pub(super) unread_since: Option<Moment>,
    /// Events that its reader had had were forgotten, and somebody wanted them again.
    was_restored: bool,
}

impl View {
    /// A view without events, whose first will have this offset.
    pub(super) fn new(channel: ChannelId, encoding: &'static dyn Encoding, first: u64) -> Self {
        Self {
            channel,
            encoding,
            encoder: encoding.encoder(),
            log: Log::starting_at(first),
            subscribers: Vec::new(),
            delivered: 0,
            delivered_at: Moment(0),
            unread_since: None,
            was_restored: false,
        }
    }

    /// Encodes the next event.
    pub(super) fn push(&mut self, entry: &Entry<'_>) {
        let Self {
            encoding, encoder, ..
        } = self;
        self.log.push(|out| match encoder {
            Some(encoder) => encoder.encode(entry, out),
            None => encoding.encode(entry, out),
        });
    }

    /// Forgets what its only reader has had, of a log whose events are kept elsewhere and can be
    /// encoded again: an answer that goes to one client costs no second copy of it. Not twice, so
    /// that nobody makes work by coming and going. False: there was nothing to forget.
    pub(super) fn release(&mut self) -> bool {
        let [reader] = self.subscribers.as_slice() else {
            return false;
        };
        let has_all = reader.keeps_up && self.delivered == self.log.end();
        let is_due = has_all && !self.was_restored && self.log.bytes() > RELEASE_BYTES;
        if is_due {
            self.log.trim_before(self.log.last_offset() + 1);
        }
        is_due
    }

    /// Takes the place of a view of the same encoding that has forgotten its first events. Equal
    /// events are equal bytes, so that cursors keep their meaning.
    pub(super) fn restore(&mut self, whole: Self) {
        debug_assert_eq!(whole.log.end(), self.log.end(), "{}", self.encoding.name());
        self.log = whole.log;
        self.encoder = whole.encoder;
        self.was_restored = true;
    }

    /// Bytes that it holds.
    pub(super) fn bytes(&self) -> usize {
        self.log.bytes() + self.encoder.as_ref().map_or(0, |it| it.bytes())
    }
}

/// A subscriber as its view sees it: all that a delivery to one who keeps up has to touch, side by
/// side with the others. For such a one the connection's own state stands still, its cursor
/// included, until it is [demoted](super::registry::Registry::demote).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subscriber {
    pub(crate) conn: ConnId,
    pub(crate) sock: SockId,
    /// It has had all up to the view's `delivered`, has nothing of its own to say, and its socket
    /// takes the log's bytes as they are.
    pub(crate) keeps_up: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::registry::{Created, Registry};
    use crate::channel::{Cursor, Lost, Wanted};
    use crate::event::{After, Epoch, Event};
    use crate::ids::Id;
    use crate::limits::ChannelLimits;

    /// Counts what it has encoded.
    struct Counting;
    struct Count(u64);

    impl Encoding for Counting {
        fn name(&self) -> &'static str {
            "counting"
        }
        fn encode(&self, _entry: &Entry<'_>, _out: &mut Vec<u8>) {}
        fn encoder(&self) -> Option<Box<dyn Encoder>> {
            Some(Box::new(Count(0)))
        }
    }

    impl Encoder for Count {
        fn encode(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>) {
            self.0 += 1;
            out.extend_from_slice(format!("<{}:{}>", self.0, entry.offset).as_bytes());
        }
    }

    fn reader(registry: &mut Registry, conn: u32, after: After) -> Cursor {
        let wish = Wanted {
            after,
            encoding: &Counting,
            gated: false,
            lost: Lost::Oldest,
        };
        let conn = ConnId::new(conn, 0);
        let placed = registry.place(conn, "chat:a", &wish, None, false, Moment(0));
        placed.1.expect("a place")
    }

    /// Appends an event, which those who keep up get at once.
    fn say(registry: &mut Registry, id: ChannelId) {
        registry.append(id, &Event::Chunk("x".into()), Moment(0));
        let mut dirty = Vec::new();
        registry.take_dirty(&mut dirty);
        for view in registry.get_mut(id).expect("a channel").views_mut() {
            view.delivered = view.log.end();
        }
        registry.trim(id);
    }

    fn had_all(registry: &mut Registry, cursor: &mut Cursor) {
        let channel = registry.get(cursor.channel).expect("a channel");
        cursor.at = channel.view(cursor.view).expect("a view").log.end();
        registry.promote(cursor, SockId(1));
    }

    fn held(registry: &Registry, cursor: &Cursor) -> Vec<u8> {
        let view = registry
            .get(cursor.channel)
            .and_then(|it| it.view(cursor.view));
        view.and_then(|view| view.log.from(cursor.at))
            .expect("what is to come")
            .to_vec()
    }

    #[test]
    fn what_one_reader_has_had_is_forgotten_and_made_again_for_another() {
        let mut registry = Registry::new(ChannelLimits::default());
        let created = registry.create_chat("chat:a", Epoch::from_random([1; 6]), None, Moment(0));
        let Created::New(id) = created else {
            panic!("{created:?}")
        };
        let mut first = reader(&mut registry, 1, After::Beginning);
        had_all(&mut registry, &mut first);
        for _ in 0..100 {
            say(&mut registry, id);
        }
        let view = first.view;
        let bytes = |registry: &Registry| registry.get(id).unwrap().view(view).unwrap().bytes();
        assert!(
            bytes(&registry) <= 2 * RELEASE_BYTES,
            "{}",
            bytes(&registry)
        );
        let late = reader(&mut registry, 2, After::Offset(98));
        assert_eq!(held(&registry, &late), b"<99:99><100:100>");
        let all: String = (1..=100).map(|n| format!("<{n}:{n}>")).collect();
        let latest = reader(&mut registry, 3, After::Beginning);
        assert_eq!(held(&registry, &latest), all.as_bytes());
        // The first one's place is where it was, and what comes is encoded with what came before.
        registry.demote(&mut first);
        say(&mut registry, id);
        assert_eq!(held(&registry, &first), b"<101:101>");
        for cursor in [latest, late] {
            registry.unsubscribe(&cursor, Moment(0));
        }
        had_all(&mut registry, &mut first);
        let before = bytes(&registry);
        for _ in 0..100 {
            say(&mut registry, id);
        }
        assert!(bytes(&registry) > before, "it is not made again and again");
        registry.check().unwrap();
    }

    #[test]
    fn what_several_read_or_one_who_is_slow_is_kept() {
        for slow in [false, true] {
            let mut registry = Registry::new(ChannelLimits::default());
            let created =
                registry.create_chat("chat:a", Epoch::from_random([1; 6]), None, Moment(0));
            let Created::New(id) = created else {
                panic!("{created:?}")
            };
            let mut first = reader(&mut registry, 1, After::Beginning);
            if !slow {
                had_all(&mut registry, &mut first);
                let mut second = reader(&mut registry, 2, After::Beginning);
                had_all(&mut registry, &mut second);
            }
            for _ in 0..100 {
                say(&mut registry, id);
            }
            let view = registry.get(id).unwrap().view(first.view).unwrap();
            assert!(view.bytes() > 600, "slow: {slow}");
        }
    }
}
