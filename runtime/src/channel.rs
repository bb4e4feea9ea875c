//! A channel: an append-only log of events, and the same log once for each encoding in use.
//!
//! ```text
//!   append(event) ─► canonical log   "Hel"      (of what is more than text, all its JSON)
//!                 ├► view sse/chunked  3a\r\nid: k3f9ab-2\ndata: {…}\n\n\r\n     ◄─ cursor, cursor, …
//!                 ├► view ws/text      \x81\x34{"id":"k3f9ab-2",…}               ◄─ cursor, …
//!                 └► standing          status, usage, tool calls: a snapshot without its texts
//! ```
//!
//! A subscriber is a cursor: a byte position in one view. What it has not had is one slice of
//! that view. There is no queue per subscriber, so none can overflow, and no seam between what
//! was missed and what is live.
//!
//! A chat channel never trims its log. An open channel keeps `history_size` events for those who
//! come later, and somewhat more bytes for those who are slow.

use std::time::Duration;

use crate::encoding::{Encoding, Entry, Envelope};
use crate::event::{Details, Epoch, Event, Kind, Position, join};
use crate::ids::{ChannelId, ConnId, RunId};
use crate::limits::Retention;
use crate::sys::SockId;
use crate::time::Moment;

mod cursor;
mod details;
mod entries;
pub(crate) mod log;
#[cfg(test)]
mod model;
mod placement;
pub(crate) mod registry;
mod snapshot;
mod tombstones;
mod view;

pub(crate) use cursor::{Cursor, GateState, Pending};
pub use entries::{Backlog, History};
pub(crate) use placement::Wanted;
pub use placement::{Idempotency, Lost, Placement, Published, ResetReason};
pub use snapshot::{Snapshot, Status, ToolCallSoFar};
pub(crate) use view::{Subscriber, View};

use details::AllDetails;
use log::Log;

/// Bytes that a view of an open channel keeps for slow subscribers beyond its history.
const LAG_BYTES: usize = 256 * 1024;

/// What a channel counts besides its logs, so that empty channels are bounded too.
const CHANNEL_OVERHEAD: usize = 512;

/// Whether a channel goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// A chat whose terminal event has not come.
    Running,
    /// A chat after its terminal event.
    Finished,
    /// A channel for anybody's publications.
    Open,
}

/// One channel.
pub(crate) struct Channel {
    name: Box<str>,
    id: ChannelId,
    epoch: Epoch,
    life: Life,
    /// No other channel of this process has it.
    number: u32,
    /// What an open channel keeps.
    retention: Retention,
    /// How long a chat goes on with nobody reading it, where its question says so.
    abandon_after: Option<Duration>,
    /// When the newest publication of an open channel came.
    published_at: Moment,
    /// When the registry looks whether its history is too old.
    history_due: Option<Moment>,
    /// All that is held: the history, and before it what gated subscribers may still come to.
    log: Log,
    /// The offset at which the history begins.
    oldest: u64,
    /// Since it was last without subscribers: did one have a gate?
    has_gates: bool,
    kinds: Vec<Kind>,
    /// What belongs to publications beside their data, by their offset.
    details: AllDetails,
    views: Vec<Option<View>>,
    /// What the events add up to, without the texts: those stand in the log.
    standing: Box<Snapshot>,
    subscribers: u32,
    /// The run that writes it.
    pub(crate) run: Option<RunId>,
    /// When it ends if nobody comes, as the registry has noted it.
    expires: Option<Moment>,
    /// Is it in the registry's list of channels that grew?
    dirty: bool,
    /// Is it in the registry's list of channels with an unread view?
    stale_queued: bool,
    idempotency: Option<[u8; 32]>,
    /// Bytes of the request that is being answered.
    request_bytes: usize,
    /// What was last reported to the registry's total.
    counted: usize,
    /// The same for what open channels without readers hold.
    idle_counted: usize,
}

impl Channel {
    fn new(name: Box<str>, id: ChannelId, epoch: Epoch, life: Life, number: u32) -> Self {
        Self {
            name,
            id,
            epoch,
            life,
            number,
            retention: Retention::NONE,
            abandon_after: None,
            published_at: Moment(0),
            history_due: None,
            log: Log::default(),
            oldest: 1,
            has_gates: false,
            kinds: Vec::new(),
            details: AllDetails::default(),
            views: Vec::new(),
            standing: Box::default(),
            subscribers: 0,
            run: None,
            expires: None,
            dirty: false,
            stale_queued: false,
            idempotency: None,
            request_bytes: 0,
            counted: 0,
            idle_counted: 0,
        }
    }

    /// Appends an event to the log and to every view. Only then does it exist.
    fn append(&mut self, event: &Event) -> Position {
        let kind = event.kind();
        self.log.push(|out| event.write_held(out));
        let offset = self.log.last_offset();
        if self.life != Life::Open {
            self.kinds.push(kind);
            self.standing.apply(event);
        }
        if let Event::Data(_, Some(details)) = event {
            self.keep_details(offset, details);
        }
        let mut views = std::mem::take(&mut self.views);
        if let Some(entry) = self.entry(offset) {
            for view in views.iter_mut().flatten() {
                view.push(&entry);
            }
        }
        self.views = views;
        if kind.is_terminal() {
            self.life = Life::Finished;
            self.request_bytes = 0;
            self.log.shrink();
            self.kinds.shrink_to_fit();
        }
        Position {
            epoch: self.epoch,
            offset,
        }
    }

    #[inline(never)]
    fn keep_details(&mut self, offset: u64, details: &Details) {
        self.details.push(offset, Box::new(details.clone()));
    }

    /// Forgets events of an open channel beyond its history or its bytes, and of each view what
    /// even slow subscribers are not given any more. The bound
    /// in bytes leaves the newest event.
    #[inline(never)]
    fn trim(&mut self, max_bytes: usize) {
        let newest = self.log.last_offset();
        let logs = 1 + self.views.iter().flatten().count();
        let bounded = self.log.offset_within_last(max_bytes / 2 / logs);
        let keep = (newest.saturating_sub(self.retention.size) + 1).max(bounded.min(newest));
        self.oldest = self.oldest.max(keep);
        let lag_bytes = LAG_BYTES.min(max_bytes / 2 / logs);
        for view in self.views.iter_mut().flatten() {
            let lag = view.log.offset_within_last(lag_bytes);
            view.log.trim_before(keep.min(lag));
        }
        self.trim_log(lag_bytes);
    }

    /// Forgets what is before the history, but for gated subscribers who are slow.
    fn trim_log(&mut self, lag_bytes: usize) {
        let lag = if self.has_gates {
            self.log.offset_within_last(lag_bytes)
        } else {
            self.oldest
        };
        self.log.trim_before(self.oldest.min(lag));
        self.details.trim_before(self.log.first_offset());
    }

    /// Forgets all publications of an open channel; slow subscribers still get theirs.
    fn remove_history(&mut self, max_bytes: usize) {
        if self.life == Life::Open {
            self.oldest = self.log.last_offset() + 1;
            self.trim_log(LAG_BYTES.min(max_bytes / 2 / 2));
        }
    }

    /// The view of an encoding from the event at `first` on, built from the log if it is not there.
    fn view_of(&mut self, encoding: &'static dyn Encoding, first: u64) -> u8 {
        let found = self.views.iter().position(|view| {
            view.as_ref()
                .is_some_and(|view| view.encoding.name() == encoding.name())
        });
        if let Some(index) = found {
            self.restore(index, first);
            return u8::try_from(index).unwrap_or(u8::MAX);
        }
        let mut view = self.encoded(encoding);
        view.delivered = view.log.end();
        let index = match self.views.iter().position(Option::is_none) {
            Some(free) => free,
            None => {
                // Most channels have one view, and there are many channels.
                self.views.reserve_exact(1);
                self.views.push(None);
                self.views.len() - 1
            }
        };
        self.views[index] = Some(view);
        u8::try_from(index).unwrap_or(u8::MAX)
    }

    /// All that is held, in this encoding.
    fn encoded(&self, encoding: &'static dyn Encoding) -> View {
        let mut view = View::new(self.id, encoding, self.oldest);
        for offset in self.oldest..=self.log.last_offset() {
            if let Some(entry) = self.entry(offset) {
                view.push(&entry);
            }
        }
        view
    }

    /// Encodes again what the view of a chat has [released](View::release), if that is wanted.
    fn restore(&mut self, index: usize, first: u64) {
        let Some(Some(view)) = self.views.get(index) else {
            return;
        };
        if self.life == Life::Open || view.log.first_offset() <= first {
            return;
        }
        let whole = self.encoded(view.encoding);
        if let Some(Some(view)) = self.views.get_mut(index) {
            view.restore(whole);
        }
    }

    /// Forgets bytes of a chat that can be made again. False: there were none.
    fn release(&mut self) -> bool {
        let views = self.views.iter_mut().flatten();
        views.fold(false, |released, view| view.release() | released)
    }

    /// Does it keep a history, so that positions mean something to clients?
    pub(crate) fn is_kept(&self) -> bool {
        self.life != Life::Open || self.retention.size > 0
    }

    fn details(&self, offset: u64) -> Option<&Details> {
        self.details.get(offset)
    }

    fn kind(&self, offset: u64) -> Kind {
        if self.life == Life::Open {
            return Kind::Data;
        }
        let index = usize::try_from(offset.saturating_sub(1)).unwrap_or(usize::MAX);
        self.kinds.get(index).copied().unwrap_or(Kind::Data)
    }

    /// Adds a subscriber whose next event is the one after `offset`.
    fn subscribe(&mut self, conn: ConnId, wish: &Wanted, offset: u64) -> (u8, u32, u64) {
        let index = self.view_of(wish.encoding, offset + 1);
        self.has_gates |= wish.gated;
        let Some(view) = self
            .views
            .get_mut(usize::from(index))
            .and_then(Option::as_mut)
        else {
            debug_assert!(false, "view_of names a view");
            return (index, 0, 0);
        };
        let at = view
            .log
            .start_of(offset + 1)
            .unwrap_or_else(|| view.log.end());
        let slot = u32::try_from(view.subscribers.len()).unwrap_or(u32::MAX);
        view.subscribers.push(Subscriber {
            conn,
            sock: SockId(u32::MAX),
            keeps_up: false,
        });
        view.unread_since = None;
        self.subscribers += 1;
        (index, slot, at)
    }

    /// Removes a subscriber; names the one that took its slot, if any, and where that was.
    fn unsubscribe(&mut self, view: u8, slot: u32, now: Moment) -> Option<(ConnId, u32)> {
        let view = self
            .views
            .get_mut(usize::from(view))
            .and_then(Option::as_mut)?;
        let slot = usize::try_from(slot).ok()?;
        if slot >= view.subscribers.len() {
            debug_assert!(false, "a cursor's slot is in its view");
            return None;
        }
        view.subscribers.swap_remove(slot);
        self.subscribers -= 1;
        self.has_gates &= self.subscribers > 0;
        if view.subscribers.is_empty() {
            view.subscribers = Vec::new();
            view.unread_since = Some(now);
        }
        let former = u32::try_from(view.subscribers.len()).unwrap_or(u32::MAX);
        view.subscribers.get(slot).map(|moved| (moved.conn, former))
    }

    /// Drops views that nobody has read for `ttl`. Says since when the longest unread of the
    /// others has been so.
    fn drop_unread_views(&mut self, now: Moment, ttl: Duration) -> Option<Moment> {
        let mut oldest = None;
        for slot in &mut self.views {
            let Some(since) = slot.as_ref().and_then(|view| view.unread_since) else {
                continue;
            };
            if since + ttl <= now {
                *slot = None;
            } else {
                oldest = Some(oldest.map_or(since, |oldest: Moment| oldest.min(since)));
            }
        }
        oldest
    }

    fn has_unread_view(&self) -> bool {
        self.views
            .iter()
            .flatten()
            .any(|view| view.unread_since.is_some())
    }

    /// What a cursor has before it.
    pub(crate) fn pending(&self, cursor: &Cursor) -> Pending<'_> {
        let Some(view) = self.view(cursor.view) else {
            return Pending::Ended;
        };
        match view.log.from(cursor.at) {
            None => Pending::Lagged,
            Some([]) if self.life == Life::Finished => Pending::Ended,
            Some([]) => Pending::Idle,
            Some(bytes) => Pending::Bytes(bytes),
        }
    }

    /// Where the event ends that a half-written cursor stands in; `cursor.at` itself if it stands
    /// between events.
    pub(crate) fn event_end(&self, cursor: &Cursor) -> u64 {
        self.view(cursor.view)
            .map_or(cursor.at, |view| view.log.boundary_from(cursor.at))
    }

    /// Moves a cursor behind an offset.
    pub(crate) fn advance(&self, cursor: &mut Cursor, offset: u64) {
        let start = self
            .view(cursor.view)
            .and_then(|it| it.log.start_of(offset + 1));
        if let Some(at) = start {
            cursor.at = cursor.at.max(at);
        }
    }

    /// Do events of the cursor's encoding travel in envelopes?
    pub(crate) fn is_enveloped(&self, cursor: &Cursor) -> bool {
        self.envelope(cursor, 1).is_some()
    }

    /// The envelope of a run of events of the cursor's encoding.
    pub(crate) fn envelope(&self, cursor: &Cursor, length: usize) -> Option<Envelope> {
        self.view(cursor.view)?.encoding.envelope(length)
    }

    /// Where a message ends that begins at the cursor and holds whole events of at most `bytes`,
    /// or a single longer one.
    pub(crate) fn batch_end(&self, cursor: &Cursor, bytes: u64) -> u64 {
        let Some(view) = self.view(cursor.view) else {
            return cursor.at;
        };
        match view.log.boundary_up_to(cursor.at + bytes) {
            end if end > cursor.at => end,
            _ => view.log.boundary_from(cursor.at + 1),
        }
    }

    /// The event that a cursor between events comes to next.
    pub(crate) fn next_entry(&self, cursor: &Cursor) -> Option<Entry<'_>> {
        let view = self.view(cursor.view)?;
        self.entry(view.log.offset_at(cursor.at)?)
    }

    /// The oldest event that the history holds, as the place before it, and its byte in a view.
    pub(crate) fn oldest(&self, view: u8) -> (Position, u64) {
        let before = self.oldest.saturating_sub(1);
        let at = self
            .view(view)
            .and_then(|view| view.log.start_of(before + 1))
            .unwrap_or(0);
        (
            Position {
                epoch: self.epoch,
                offset: before,
            },
            at,
        )
    }

    fn subscriber_mut(&mut self, cursor: &Cursor) -> Option<(&mut Subscriber, u64, Moment)> {
        let view = self.views.get_mut(usize::from(cursor.view))?.as_mut()?;
        let subscriber = view
            .subscribers
            .get_mut(usize::try_from(cursor.slot).ok()?)?;
        Some((subscriber, view.delivered, view.delivered_at))
    }

    /// Those who read it.
    pub(crate) fn subscribers(&self) -> impl Iterator<Item = ConnId> {
        let views = self.views.iter().flatten();
        views.flat_map(|view| view.subscribers.iter().map(|it| it.conn))
    }

    pub(crate) fn views_mut(&mut self) -> impl Iterator<Item = &mut View> {
        self.views.iter_mut().flatten()
    }

    pub(crate) fn view(&self, index: u8) -> Option<&View> {
        self.views.get(usize::from(index)).and_then(Option::as_ref)
    }

    pub(crate) fn views(&self) -> impl Iterator<Item = (u8, &View)> {
        (0u8..)
            .zip(&self.views)
            .filter_map(|(index, view)| Some((index, view.as_ref()?)))
    }

    /// The newest position.
    pub(crate) fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            offset: self.log.last_offset(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn life(&self) -> Life {
        self.life
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.life == Life::Finished
    }

    /// All that the events so far add up to.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.standing.as_ref().clone();
        snapshot.text = join(self.strings(Kind::Chunk));
        snapshot.reasoning = join(self.strings(Kind::Reasoning));
        snapshot.refusal = join(self.strings(Kind::Refusal));
        snapshot
    }

    /// The texts of a chat's events of a kind that is text and nothing else, each as a JSON string.
    pub(crate) fn strings(&self, kind: Kind) -> impl Iterator<Item = &[u8]> {
        let events = self.kinds.iter().zip(1..);
        let meant = events.filter(move |(of, _)| **of == kind);
        meant.filter_map(|(_, offset)| self.log.event(offset))
    }

    /// The tool calls of a chat.
    pub(crate) fn tool_calls(&self) -> &[ToolCallSoFar] {
        &self.standing.tool_calls
    }

    /// Did it fail before anything was said, and could another try succeed?
    fn may_be_asked_again(&self) -> bool {
        let is_silent = |kind: &Kind| *kind == Kind::Start || kind.is_terminal();
        let failure = self.standing.error.as_ref();
        failure.is_some_and(|it| it.retryable) && self.kinds.iter().all(is_silent)
    }

    /// Bytes held: the request while it is answered, what is kept of it, and the answer.
    fn bytes(&self) -> usize {
        self.request_bytes + self.standing.note.len() + self.answer_bytes()
    }

    /// Bytes of the answer: every log with its index, the snapshot, and a fixed overhead.
    fn answer_bytes(&self) -> usize {
        let views: usize = self.views.iter().flatten().map(View::bytes).sum();
        CHANNEL_OVERHEAD
            + self.name.len()
            + self.kinds.len()
            + self.details.bytes()
            + self.log.bytes()
            + views
            + self.standing.bytes()
    }
}
