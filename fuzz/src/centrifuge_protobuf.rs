//! Frames of commands in Protobuf.
//!
//! - What [`centrifuge`] asserts of every frame.
//! - A frame that is cut has the first of the same commands.
//!
//! Bit 0 of the mode: few commands to a frame.

use lmserver_proto::centrifuge::{Commands, Protocol};

use crate::cut::Dice;
use crate::{centrifuge, mode};

/// Checks one input.
pub fn check(data: &[u8]) {
    let (bits, input) = mode(data);
    let limit = if bits & 1 == 0 { 64 } else { 2 };
    let commands = centrifuge::check(Protocol::Protobuf, input, limit);
    let cut = Dice::of(input).below(input.len() + 1);
    let some = Commands::of(Protocol::Protobuf, &input[..cut], limit);
    let some: Vec<_> = some.filter_map(Result::ok).collect();
    assert!(commands.starts_with(&some));
}
