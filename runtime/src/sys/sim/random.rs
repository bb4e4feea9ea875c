//! Random numbers from a seed, the same on every machine.

/// SplitMix64: small, fast, and good enough to draw a world from.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Numbers that depend on `seed` alone.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        (self.number() >> 11).checked_rem(bound).unwrap_or(0)
    }

    /// A number from `least` to `most`, both included.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most.saturating_sub(least).saturating_add(1))
    }

    /// An index into something of this length.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// A length from 1 to `most`; 0 if that is 0.
    pub fn part(&mut self, most: usize) -> usize {
        if most == 0 { 0 } else { 1 + self.index(most) }
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// True so many times in a thousand.
    pub fn permille(&mut self, chance: u16) -> bool {
        self.below(1000) < u64::from(chance)
    }

    /// One of these. The list is not empty.
    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        let index = self.index(from.len());
        from[index].clone()
    }

    /// Random bytes.
    pub fn fill(&mut self, out: &mut [u8]) {
        for byte in out {
            *byte = self.number().to_be_bytes()[0];
        }
    }
}
