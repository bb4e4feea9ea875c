//! Contiguous bytes with an index of where each event ends.
//!
//! ```text
//!   trimmed        bytes                                   end()
//!   ···············[ event first │ event first+1 │ … ]
//!                  ^base                 ^ends[0]
//! ```
//!
//! Byte positions count from the first byte ever pushed, so a cursor stays valid while the front
//! is trimmed. Trimming moves memory only when half of it is dead: each byte is moved at most
//! about once.

/// One log. Bounded by whoever pushes.
#[derive(Debug)]
pub(crate) struct Log {
    bytes: Vec<u8>,
    /// The end of each event, relative to `bytes`; `dead_events` of them are trimmed.
    ends: Vec<u32>,
    /// The position of `bytes[0]`.
    base: u64,
    /// The offset of the first event that is not trimmed.
    first: u64,
    dead_bytes: usize,
    dead_events: usize,
    /// Bytes of the newest event.
    newest: usize,
}

impl Default for Log {
    fn default() -> Self {
        Self::starting_at(1)
    }
}

impl Log {
    /// An empty log whose first event will have this offset.
    pub(crate) fn starting_at(first: u64) -> Self {
        Self {
            bytes: Vec::new(),
            ends: Vec::new(),
            base: 0,
            first: first.max(1),
            dead_bytes: 0,
            dead_events: 0,
            newest: 0,
        }
    }

    /// Appends one event, written by `write`.
    pub(crate) fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.make_room();
        write(&mut self.bytes);
        self.newest = self.bytes.len() - start;
        if self.base == 0 && self.ends.is_empty() {
            // Behind the beginning of an answer comes its first word, which waits for no memory.
            self.make_room();
        }
        // A channel is bounded far below 4 GiB; see `registry`.
        self.ends
            .push(u32::try_from(self.bytes.len()).unwrap_or(u32::MAX));
    }

    /// Makes room for an event like the newest.
    fn make_room(&mut self) {
        make_room(&mut self.bytes, self.newest + self.newest / 2, LEAST_ROOM);
        make_room(&mut self.ends, 1, LEAST_ENDS);
    }

    /// Forgets the events before `offset`.
    pub(crate) fn trim_before(&mut self, offset: u64) {
        let count = offset.saturating_sub(self.first).min(self.count());
        if count == 0 {
            return;
        }
        self.first += count;
        self.dead_events += usize::try_from(count).unwrap_or(usize::MAX);
        self.dead_bytes = self.end_of_index(self.dead_events);
        if self.dead_bytes == self.bytes.len() {
            return self.forget_all();
        }
        if self.dead_bytes < self.bytes.len() / 2 {
            return;
        }
        self.bytes.drain(..self.dead_bytes);
        self.ends.drain(..self.dead_events);
        let moved = u32::try_from(self.dead_bytes).unwrap_or(u32::MAX);
        for end in &mut self.ends {
            *end -= moved;
        }
        self.base += self.dead_bytes as u64;
        self.dead_bytes = 0;
        self.dead_events = 0;
    }

    /// Forgets what is dead, which is all, and gives back memory where that is much more than as
    /// much again would need. Room for one event more than there was stays, or every event would
    /// take it anew.
    fn forget_all(&mut self) {
        let wanted = self.bytes.len() + self.newest / 2;
        self.base += self.bytes.len() as u64;
        self.bytes.clear();
        give_back(&mut self.bytes, wanted.max(LEAST_KEPT));
        let wanted = self.ends.len().max(LEAST_ENDS);
        self.ends.clear();
        give_back(&mut self.ends, wanted);
        self.dead_bytes = 0;
        self.dead_events = 0;
    }

    /// Gives back room that is for events to come.
    pub(crate) fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    /// The bytes of one event.
    pub(crate) fn event(&self, offset: u64) -> Option<&[u8]> {
        let index = self.index_of(offset)?;
        self.bytes
            .get(self.end_of_index(index)..self.end_of_index(index + 1))
    }

    /// Everything from a position on; nothing if that is trimmed.
    pub(crate) fn from(&self, position: u64) -> Option<&[u8]> {
        let start = usize::try_from(position.checked_sub(self.base)?).ok()?;
        if start < self.dead_bytes {
            None
        } else {
            self.bytes.get(start..)
        }
    }

    /// The position at which an event begins, or would begin if it is the next.
    pub(crate) fn start_of(&self, offset: u64) -> Option<u64> {
        if offset == self.last_offset() + 1 {
            return Some(self.end());
        }
        Some(self.base + self.end_of_index(self.index_of(offset)?) as u64)
    }

    /// The first event boundary at or after a position.
    pub(crate) fn boundary_from(&self, position: u64) -> u64 {
        let relative = position.saturating_sub(self.base);
        if relative == 0 {
            return position;
        }
        let index = self.ends.partition_point(|end| u64::from(*end) < relative);
        self.ends
            .get(index)
            .map_or_else(|| self.end(), |end| self.base + u64::from(*end))
    }

    /// The last event boundary at or before a position.
    pub(crate) fn boundary_up_to(&self, position: u64) -> u64 {
        let relative = position.saturating_sub(self.base);
        let count = self.ends.partition_point(|end| u64::from(*end) <= relative);
        self.base + self.end_of_index(count) as u64
    }

    /// The offset of the event that begins at a position.
    pub(crate) fn offset_at(&self, position: u64) -> Option<u64> {
        let relative = position.checked_sub(self.base)?;
        let index = self.ends.partition_point(|end| u64::from(*end) <= relative);
        let live = index.checked_sub(self.dead_events)?;
        (index < self.ends.len()).then_some(self.first + live as u64)
    }

    /// The offset of the first event that lies wholly within the last `bytes` bytes.
    pub(crate) fn offset_within_last(&self, bytes: usize) -> u64 {
        let start = self.bytes.len().saturating_sub(bytes);
        let index = if start == 0 {
            0
        } else {
            1 + self.ends.partition_point(|end| (*end as usize) < start)
        };
        let dead = self.dead_events as u64;
        (self.first - dead.min(self.first))
            .saturating_add(index as u64)
            .min(self.last_offset() + 1)
    }

    /// The position after the last byte.
    pub(crate) fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    /// The offset of the first event held (or of the next one, if none is).
    pub(crate) fn first_offset(&self) -> u64 {
        self.first
    }

    /// The offset of the newest event; one less than the first offset if there is none.
    pub(crate) fn last_offset(&self) -> u64 {
        self.first + self.count() - 1
    }

    /// Bytes held, index included.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len() + self.ends.len() * size_of::<u32>()
    }

    fn count(&self) -> u64 {
        (self.ends.len() - self.dead_events) as u64
    }

    fn index_of(&self, offset: u64) -> Option<usize> {
        let live = offset
            .checked_sub(self.first)
            .filter(|live| *live < self.count())?;
        Some(self.dead_events + usize::try_from(live).ok()?)
    }

    /// Where the event before `index` ends: where `index` begins.
    fn end_of_index(&self, index: usize) -> usize {
        match index.checked_sub(1) {
            Some(before) => self
                .ends
                .get(before)
                .map_or(self.bytes.len(), |end| *end as usize),
            None => 0,
        }
    }
}

/// Makes room for so many more items: a quarter where a vector would double, since there are many
/// logs and most end soon, and `least` at least.
fn make_room<T>(vector: &mut Vec<T>, wanted: usize, least: usize) {
    if vector.capacity() - vector.len() < wanted {
        vector.reserve_exact(wanted.max(vector.len() / 4).max(least));
    }
}

/// Gives back room beyond twice of what is wanted, and beyond [`MOST_KEPT`] bytes.
fn give_back<T>(vector: &mut Vec<T>, wanted: usize) {
    let most = MOST_KEPT / size_of::<T>();
    if vector.capacity() > (2 * wanted).min(most) {
        vector.shrink_to(wanted.min(most));
    }
}

/// Bytes of room that a log keeps when it forgets everything: as many as it had, within these.
const LEAST_KEPT: usize = 512;
const MOST_KEPT: usize = 8 * 1024;

/// Bytes of room that are made at least.
const LEAST_ROOM: usize = 128;

/// Ends of events for which room is made at least.
const LEAST_ENDS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(count: u8) -> Log {
        let mut log = Log::default();
        for n in 1..=count {
            log.push(|out| out.extend(std::iter::repeat_n(n, usize::from(n))));
        }
        log
    }

    #[test]
    fn events_and_positions_are_found() {
        let log = filled(4);
        assert_eq!(
            (log.first_offset(), log.last_offset(), log.end()),
            (1, 4, 10)
        );
        assert_eq!(log.event(3), Some(&[3, 3, 3][..]));
        assert_eq!((log.event(0), log.event(5)), (None, None));
        assert_eq!(log.start_of(1), Some(0));
        assert_eq!(log.start_of(4), Some(6));
        assert_eq!(log.start_of(5), Some(10));
        assert_eq!(log.start_of(6), None);
        let boundaries: Vec<u64> = (0..=10).map(|at| log.boundary_from(at)).collect();
        assert_eq!(boundaries, [0, 1, 3, 3, 6, 6, 6, 10, 10, 10, 10]);
    }

    #[test]
    fn an_empty_log_begins_where_it_is_told() {
        let log = Log::starting_at(7);
        assert_eq!(
            (log.first_offset(), log.last_offset(), log.end()),
            (7, 6, 0)
        );
        assert_eq!(log.start_of(7), Some(0));
        assert_eq!(log.from(0), Some(&[][..]));
    }

    #[test]
    fn trimming_keeps_positions_and_forgets_the_front() {
        for keep in 1..=21 {
            let mut log = filled(20);
            let whole = filled(20);
            log.trim_before(keep);
            log.push(|out| out.push(99));
            for offset in 1..=20 {
                let want = if offset < keep {
                    None
                } else {
                    whole.event(offset)
                };
                assert_eq!(log.event(offset), want, "keep {keep}, offset {offset}");
                if offset >= keep {
                    assert_eq!(log.start_of(offset), whole.start_of(offset));
                    assert_eq!(
                        log.boundary_from(whole.start_of(offset).unwrap() + 1),
                        whole.start_of(offset + 1).unwrap()
                    );
                }
            }
            assert_eq!(log.event(21), Some(&[99][..]));
            assert_eq!(log.first_offset(), keep);
            let trimmed = whole.start_of(keep).unwrap();
            assert!(log.from(trimmed).is_some());
            assert!(
                trimmed == 0 || log.from(trimmed - 1).is_none(),
                "keep {keep}"
            );
        }
    }

    #[test]
    fn room_is_given_back() {
        let mut log = filled(100);
        log.shrink();
        assert_eq!(log.bytes.capacity(), log.bytes.len());
        let end = log.end();
        log.trim_before(101);
        assert_eq!((log.end(), log.from(end)), (end, Some(&[][..])));
        assert_eq!(log.bytes.capacity(), 5050);
        log.push(|out| out.push(7));
        assert_eq!(log.event(101), Some(&[7][..]));
        assert_eq!((log.start_of(101), log.end()), (Some(end), end + 1));
        log.trim_before(102);
        assert!(log.bytes.capacity() <= LEAST_KEPT);
    }

    #[test]
    fn events_of_one_size_take_their_room_once() {
        for size in 1..4000 {
            let mut log = Log::default();
            let mut rooms = Vec::new();
            for offset in 1..=6 {
                log.push(|out| out.extend(std::iter::repeat_n(7, size)));
                rooms.push((log.bytes.capacity(), log.ends.capacity()));
                log.trim_before(offset + 1);
                rooms.push((log.bytes.capacity(), log.ends.capacity()));
            }
            let settled = &rooms[3..];
            assert!(
                settled.iter().all(|room| *room == settled[0]),
                "{size}: {rooms:?}"
            );
        }
    }

    #[test]
    fn the_last_bytes_name_their_first_whole_event() {
        let mut log = filled(4);
        for (bytes, want) in [
            (0, 5),
            (1, 5),
            (4, 4),
            (5, 4),
            (7, 3),
            (9, 2),
            (10, 1),
            (99, 1),
        ] {
            assert_eq!(log.offset_within_last(bytes), want, "{bytes}");
        }
        log.trim_before(3);
        for (bytes, want) in [(4, 4), (7, 3), (99, 3)] {
            assert_eq!(log.offset_within_last(bytes).max(3), want, "{bytes}");
        }
    }
}
