//! Compressed data (RFC 1951, RFC 1950) in bounded steps.
//!
//! This stands on the core of `miniz_oxide` and not on `flate2`, whose decoder keeps what found no
//! room and gives it up once it comes upon damaged data: what had been sent before the damage
//! would be lost, or not, by where the bytes were cut.

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_COMPUTE_ADLER32, TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_PARSE_ZLIB_HEADER,
};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

use super::{Error, OUTPUT_BYTES_MAX};

/// How far back data may refer (RFC 1951 §2).
const WINDOW_BYTES: usize = 32 * 1024;

/// What one step did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inflated {
    pub(super) consumed: usize,
    /// The data has ended.
    pub(super) ended: bool,
    /// The bound was reached: there may be more.
    pub(super) more: bool,
}

/// One stream of compressed data.
pub(super) struct Inflate {
    machine: Box<DecompressorOxide>,
    /// What came out last, as a ring: [`WINDOW_BYTES`].
    window: Box<[u8]>,
    /// Where in the window the next byte goes.
    at: usize,
    flags: u32,
}

impl std::fmt::Debug for Inflate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflate").finish_non_exhaustive()
    }
}

impl Inflate {
    /// Reads bare deflate data (RFC 1951).
    pub(super) fn bare() -> Self {
        Self::new(TINFL_FLAG_HAS_MORE_INPUT)
    }

    /// Reads the zlib format (RFC 1950) with its checksum.
    pub(super) fn zlib() -> Self {
        let zlib = TINFL_FLAG_PARSE_ZLIB_HEADER | TINFL_FLAG_COMPUTE_ADLER32;
        Self::new(TINFL_FLAG_HAS_MORE_INPUT | zlib)
    }

    fn new(flags: u32) -> Self {
        Self {
            machine: Box::default(),
            window: vec![0; WINDOW_BYTES].into_boxed_slice(),
            at: 0,
            flags,
        }
    }

    /// Is ready for another stream of the same format.
    pub(super) fn reset(&mut self) {
        self.machine.init();
        self.at = 0;
    }

    /// Appends what the input yields, up to the bound; all that it yields before it is wrong.
    pub(super) fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Inflated, Error> {
        let most = out.len().saturating_add(OUTPUT_BYTES_MAX);
        let mut rest = input;
        loop {
            let (ended, more) = if most - out.len() < WINDOW_BYTES - self.at {
                (false, true)
            } else {
                let at = self.at;
                let (status, consumed, produced) =
                    decompress(&mut self.machine, rest, &mut self.window, at, self.flags);
                let fresh = self.window.get(at..at.saturating_add(produced));
                out.extend_from_slice(fresh.unwrap_or_default());
                self.at = (at + produced) % WINDOW_BYTES;
                rest = rest.get(consumed..).unwrap_or_default();
                match status {
                    TINFLStatus::HasMoreOutput => continue,
                    TINFLStatus::NeedsMoreInput => (false, false),
                    TINFLStatus::Done => (true, false),
                    _ => return Err(Error::Corrupt),
                }
            };
            return Ok(Inflated {
                consumed: input.len() - rest.len(),
                ended,
                more,
            });
        }
    }
}
