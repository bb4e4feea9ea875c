//! What HTTP calls deflate: the zlib format (RFC 1950), or, from servers that took the name by
//! its word, bare deflate data (RFC 1951). RFC 9110 §8.4.1.2 warns of them.

use super::inflate::Inflate;
use super::{Error, Progress};

#[derive(Debug)]
pub(super) struct Deflate {
    state: State,
}

#[derive(Debug)]
enum State {
    Start,
    /// Two bytes tell the formats apart; this is the first.
    First(u8),
    Data(Inflate),
    End,
}

impl Deflate {
    pub(super) const fn new() -> Self {
        Self {
            state: State::Start,
        }
    }

    pub(super) fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Progress, Error> {
        let mut rest = input;
        loop {
            match &mut self.state {
                State::Data(inflate) => {
                    let inflated = inflate.step(rest, out)?;
                    rest = rest.get(inflated.consumed..).unwrap_or_default();
                    if !inflated.ended {
                        let consumed = input.len() - rest.len();
                        return Ok(Progress {
                            consumed,
                            more: inflated.more,
                        });
                    }
                    self.state = State::End;
                }
                State::End if rest.is_empty() => break,
                State::End => return Err(Error::Trailing),
                State::Start | State::First(_) => {
                    let Some((&byte, behind)) = rest.split_first() else {
                        break;
                    };
                    rest = behind;
                    self.state = match self.state {
                        State::First(first) => begin(first, byte, out)?,
                        _ => State::First(byte),
                    };
                }
            }
        }
        Ok(Progress {
            consumed: input.len(),
            more: false,
        })
    }

    pub(super) fn is_whole(&self) -> bool {
        matches!(self.state, State::Start | State::End)
    }
}

/// RFC 1950 §2.2: method 8, and both bytes together a multiple of 31.
fn begin(first: u8, second: u8, out: &mut Vec<u8>) -> Result<State, Error> {
    let is_zlib = first & 0x0f == 8 && u16::from_be_bytes([first, second]).is_multiple_of(31);
    let mut inflate = if is_zlib {
        Inflate::zlib()
    } else {
        Inflate::bare()
    };
    let inflated = inflate.step(&[first, second], out)?;
    if !inflated.ended {
        return Ok(State::Data(inflate));
    }
    // The shortest stream there is, an empty one, ends with its second byte.
    if inflated.consumed == 2 {
        Ok(State::End)
    } else {
        Err(Error::Trailing)
    }
}
