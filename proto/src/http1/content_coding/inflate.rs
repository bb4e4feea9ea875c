//! Compressed data (RFC 1951, RFC 1950) in bounded steps.

use flate2::{Decompress, FlushDecompress, Status};

use super::{Error, OUTPUT_BYTES_MAX};

/// What one step did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inflated {
    pub(super) consumed: usize,
    /// The data has ended.
    pub(super) ended: bool,
    /// The bound was reached: there may be more.
    pub(super) more: bool,
}

/// Appends what the input yields, up to the bound.
pub(super) fn inflate(
    decompress: &mut Decompress,
    input: &[u8],
    out: &mut Vec<u8>,
) -> Result<Inflated, Error> {
    /// Room that is made at a time.
    const STEP: usize = 4 * 1024;
    let most = out.len().saturating_add(OUTPUT_BYTES_MAX);
    let mut rest = input;
    loop {
        let written = out.len();
        let room = STEP.min(most.saturating_sub(written));
        if room == 0 {
            return Ok(Inflated {
                consumed: input.len() - rest.len(),
                ended: false,
                more: true,
            });
        }
        out.resize(written + room, 0);
        let (before_in, before_out) = (decompress.total_in(), decompress.total_out());
        let target = out.get_mut(written..).unwrap_or_default();
        let status = decompress.decompress(rest, target, FlushDecompress::None);
        let consumed = usize::try_from(decompress.total_in() - before_in).unwrap_or(usize::MAX);
        let produced = usize::try_from(decompress.total_out() - before_out).unwrap_or(usize::MAX);
        out.truncate(written.saturating_add(produced));
        rest = rest.get(consumed..).unwrap_or_default();
        let ended = matches!(status.map_err(|_| Error::Corrupt)?, Status::StreamEnd);
        // Room that was not filled means that nothing waits inside.
        if ended || (rest.is_empty() && produced < room) || (consumed == 0 && produced == 0) {
            return Ok(Inflated {
                consumed: input.len() - rest.len(),
                ended,
                more: false,
            });
        }
    }
}
