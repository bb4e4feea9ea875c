//! From a source and a delta to the target.

use super::{checksum, number};

/// Makes the target of a delta that was created from `source`, of at most `limit` bytes.
///
/// # Errors
///
/// Anything that is not a delta, or that of another source.
pub fn apply(source: &[u8], delta: &[u8], limit: usize) -> Result<Vec<u8>, Error> {
    let mut rest = delta;
    let len = number::take(&mut rest).ok_or(Error::Malformed)? as usize;
    expect(b'\n', &mut rest)?;
    if len > limit {
        return Err(Error::Length { len, limit });
    }
    let mut target = Vec::new();
    loop {
        let count = number::take(&mut rest).ok_or(Error::Malformed)?;
        let (sign, behind) = rest.split_first().ok_or(Error::Malformed)?;
        rest = behind;
        let piece = match sign {
            b'@' => {
                let offset = number::take(&mut rest).ok_or(Error::Malformed)? as usize;
                expect(b',', &mut rest)?;
                let from = source.get(offset..).ok_or(Error::Source)?;
                from.get(..count as usize).ok_or(Error::Source)?
            }
            b':' => {
                let split = rest.split_at_checked(count as usize);
                let (literal, behind) = split.ok_or(Error::Malformed)?;
                rest = behind;
                literal
            }
            b';' if rest.is_empty() && target.len() == len => {
                let sum = checksum(&target);
                return if sum == count {
                    Ok(target)
                } else {
                    Err(Error::Checksum)
                };
            }
            _ => return Err(Error::Malformed),
        };
        if piece.len() > len - target.len() {
            return Err(Error::Malformed);
        }
        target.extend_from_slice(piece);
    }
}

fn expect(sign: u8, rest: &mut &[u8]) -> Result<(), Error> {
    *rest = rest.strip_prefix(&[sign]).ok_or(Error::Malformed)?;
    Ok(())
}

/// Why a delta cannot be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not a delta, or not all of it.
    #[error("malformed delta")]
    Malformed,
    /// A target beyond the limit.
    #[error("a target of {len} bytes, {limit} allowed")]
    Length {
        /// What the delta announces.
        len: usize,
        /// What there may be.
        limit: usize,
    },
    /// A piece that the source does not have.
    #[error("a piece beyond the source")]
    Source,
    /// Pieces of another source.
    #[error("wrong checksum")]
    Checksum,
}
