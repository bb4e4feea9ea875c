//! Where the blocks of a source are.
//!
//! The source is cut into blocks of [`BLOCK`] bytes, which hang in chains by their hash. Every place
//! of the target is looked up, and what is found is extended to both sides: so is found what the two
//! have in common in a row, if it is at least twice the block less one byte long.

use super::Match;

/// Bytes of a block.
const BLOCK: usize = 16;
/// How many blocks of a chain are looked at: bounds the time for a source that repeats itself.
const CANDIDATES: usize = 16;
/// No block.
const NONE: u32 = u32::MAX;

pub(super) struct Index<'s> {
    source: &'s [u8],
    /// The first block of each chain, by the upper bits of the hash.
    first: Vec<u32>,
    /// The block behind each block in its chain.
    next: Vec<u32>,
    shift: u32,
}

impl<'s> Index<'s> {
    pub(super) fn of(source: &'s [u8]) -> Self {
        let blocks = u32::try_from(source.len() / BLOCK).unwrap_or(NONE);
        let bits = (u32::BITS - blocks.leading_zeros()).max(1);
        let mut index = Self {
            source,
            first: vec![NONE; 1 << bits.min(u32::BITS - 2)],
            next: vec![NONE; source.len() / BLOCK],
            shift: u64::BITS - bits.min(u32::BITS - 2),
        };
        // From the last to the first, so that a chain begins with its first block.
        for (number, block) in (0..blocks).zip(source.as_chunks().0).rev() {
            let slot = index.slot(block);
            if let (Some(first), Some(next)) = (
                index.first.get_mut(slot),
                index.next.get_mut(number as usize),
            ) {
                *next = std::mem::replace(first, number);
            }
        }
        index
    }

    /// The longest piece of the source that stands in `target` at the first place from `at` on that
    /// has any. It may begin before that place, but not before `literal`.
    pub(super) fn longest(&self, target: &[u8], literal: usize, at: usize) -> Option<Match> {
        if self.next.is_empty() {
            return None;
        }
        let windows = target.get(at..)?.windows(BLOCK);
        (at..).zip(windows).find_map(|(place, window)| {
            let window = window.first_chunk()?;
            self.candidates(window)
                .filter_map(|from| self.extended(target, literal, place, from))
                .max_by_key(|found| found.end - found.begin)
        })
    }

    /// Where blocks that may be equal to `window` are in the source.
    fn candidates(&self, window: &[u8; BLOCK]) -> impl Iterator<Item = usize> {
        let first = self.first.get(self.slot(window)).copied();
        std::iter::successors(first, |&block| self.next.get(block as usize).copied())
            .take_while(|&block| block != NONE)
            .take(CANDIDATES)
            .map(|block| block as usize * BLOCK)
    }

    /// A match of `target[place..]` with `source[from..]`, as long as it gets.
    fn extended(&self, target: &[u8], literal: usize, place: usize, from: usize) -> Option<Match> {
        let common = |(left, right): &(&u8, &u8)| left == right;
        let behind = target.get(place..)?.iter().zip(self.source.get(from..)?);
        let forward = behind.take_while(common).count();
        if forward < BLOCK {
            return None;
        }
        let before = target.get(literal..place)?.iter().rev();
        let before = before.zip(self.source.get(..from)?.iter().rev());
        let backward = before.take_while(common).count();
        Some(Match {
            from: from - backward,
            begin: place - backward,
            end: place + forward,
        })
    }

    /// Which chain a block is in.
    fn slot(&self, block: &[u8; BLOCK]) -> usize {
        let bytes = u128::from_le_bytes(*block);
        #[expect(clippy::cast_possible_truncation, reason = "one half, then the other")]
        let (low, high) = (bytes as u64, (bytes >> 64) as u64);
        let hash = (low.wrapping_mul(FACTOR) ^ high)
            .rotate_left(29)
            .wrapping_mul(FACTOR);
        usize::try_from(hash >> self.shift).unwrap_or_default()
    }
}

/// Odd, with its bits well spread: 2⁶⁴ divided by the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
