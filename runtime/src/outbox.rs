//! A connection's own unsent bytes: heads, whole answers, pongs, heartbeats.

/// Bytes on their way out. Bounded by `Limits::outbox_bytes` plus one answer: a connection above
/// that is not read, so it asks for nothing more.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    /// How many of them are written; always fewer than there are, or none.
    written: usize,
}

impl Outbox {
    /// Where to append.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// What is still to be written.
    pub(crate) fn unsent(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Memory that it holds.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.len() == self.written
    }

    /// Takes `count` bytes off the front. An empty outbox owns no memory.
    pub(crate) fn advance(&mut self, count: usize) {
        self.written += count;
        if self.is_empty() {
            *self = Self::default();
        } else if self.written > self.bytes.len() / 2 {
            // Each byte is moved at most about once, however small the writes are.
            self.bytes.drain(..self.written);
            self.written = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_in_small_pieces_comes_out_whole() {
        let mut outbox = Outbox::default();
        let mut out = Vec::new();
        for n in 0..100u8 {
            outbox.bytes().extend_from_slice(&[n; 7]);
            let count = usize::from(n % 9).min(outbox.len());
            out.extend_from_slice(&outbox.unsent()[..count]);
            outbox.advance(count);
        }
        out.extend_from_slice(outbox.unsent());
        outbox.advance(outbox.len());
        assert!(outbox.is_empty() && outbox.bytes().capacity() == 0);
        let want: Vec<u8> = (0..100u8).flat_map(|n| [n; 7]).collect();
        assert_eq!(out, want);
    }
}
