//! Deltas in Fossil's format: a payload as pieces of the one before it and what is new.
//!
//! ```text
//! delta    = length LF *( copy / literal ) checksum ";"
//! copy     = count "@" offset ","          count bytes of the source, from offset on
//! literal  = count ":" count·byte
//! ```
//!
//! Numbers have 64 digits, `0-9 A-Z _ a-z ~`, the most significant first. `length` is that of the
//! target; `checksum` is the sum of the target's big-endian 32-bit words, the last one filled with
//! zeros, modulo 2³².
//!
//! ```
//! use lmserver_proto::centrifuge::delta::{self, Cut};
//!
//! let source = br#"{"text":"The quick brown fox jumps over the lazy"}"#;
//! let target = br#"{"text":"The quick brown fox jumps over the lazy dog"}"#;
//! let mut delta = Vec::new();
//! assert!(delta::create(source, target, Cut::Characters, &mut delta));
//! assert!(delta.len() < target.len());
//! assert_eq!(delta::apply(source, &delta, 1024)?, target);
//! # Ok::<(), lmserver_proto::centrifuge::delta::Error>(())
//! ```

mod apply;
mod index;
mod number;

pub use self::apply::{Error, apply};
use self::index::Index;

/// Where a literal may begin and end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Between any two bytes.
    Anywhere,
    /// Between two characters: what comes out is UTF-8 if the target is, as JSON needs it.
    Characters,
}

/// Appends the delta from `source` to `target`, if it is shorter than the target.
///
/// Returns whether it is; if not, `out` is as before. Beyond what it appends this takes memory for
/// an index, three quarters of the length of the source at most.
#[must_use]
pub fn create(source: &[u8], target: &[u8], cut: Cut, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    number::write(target.len() as u64, out);
    out.push(b'\n');
    let index = Index::of(source);
    let (mut literal, mut at) = (0, 0);
    while let Some(found) = index.longest(target, literal, at) {
        let Match { from, begin, end } = found.aligned(target, cut);
        if out.len() - start >= target.len() {
            break;
        }
        if end - begin < WORTHWHILE {
            at = found.end.max(at + 1);
            continue;
        }
        write_literal(target.get(literal..begin).unwrap_or_default(), out);
        write_copy(end - begin, from, out);
        (literal, at) = (end, end);
    }
    write_literal(target.get(literal..).unwrap_or_default(), out);
    number::write(checksum(target).into(), out);
    out.push(b';');
    let shorter = out.len() - start < target.len();
    if !shorter {
        out.truncate(start);
    }
    shorter
}

/// What source and target have in common: `target[begin..end]` is in the source from `from` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Match {
    from: usize,
    begin: usize,
    end: usize,
}

impl Match {
    /// The part of it that begins and ends where the target may be cut.
    fn aligned(self, target: &[u8], cut: Cut) -> Self {
        if cut == Cut::Anywhere {
            return self;
        }
        let inside = |at: usize| target.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
        let (mut begin, mut end) = (self.begin, self.end);
        while begin < end && inside(begin) {
            begin += 1;
        }
        while begin < end && inside(end) {
            end -= 1;
        }
        Self {
            from: self.from + (begin - self.begin),
            begin,
            end,
        }
    }
}

fn write_literal(bytes: &[u8], out: &mut Vec<u8>) {
    if !bytes.is_empty() {
        number::write(bytes.len() as u64, out);
        out.push(b':');
        out.extend_from_slice(bytes);
    }
}

fn write_copy(count: usize, offset: usize, out: &mut Vec<u8>) {
    number::write(count as u64, out);
    out.push(b'@');
    number::write(offset as u64, out);
    out.push(b',');
}

fn checksum(bytes: &[u8]) -> u32 {
    bytes.chunks(4).fold(0, |sum: u32, chunk| {
        let mut word = [0; 4];
        for (to, from) in word.iter_mut().zip(chunk) {
            *to = *from;
        }
        sum.wrapping_add(u32::from_be_bytes(word))
    })
}

/// A shorter piece costs about as much as its bytes.
const WORTHWHILE: usize = 10;

#[cfg(test)]
mod tests;
