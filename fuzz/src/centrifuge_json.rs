//! Frames of commands in JSON, and connect requests that stand alone.
//!
//! - What [`centrifuge`] asserts of every frame.
//! - Each line alone is the same command as in the frame.
//! - A connect request keeps its bounds.
//!
//! Bit 0 of the mode: few commands to a frame.

use lmserver_proto::centrifuge::{Commands, ConnectRequest, Protocol};

use crate::{centrifuge, mode};

/// Checks one input.
pub fn check(data: &[u8]) {
    let (bits, input) = mode(data);
    let limit = if bits & 1 == 0 { 64 } else { 2 };
    let commands = centrifuge::check(Protocol::Json, input, limit);
    for (line, command) in input.split(|byte| *byte == b'\n').zip(&commands) {
        let alone: Vec<_> = Commands::of(Protocol::Json, line, 1).collect();
        assert!(matches!(&alone[..], [Ok(alone)] if alone == command));
    }
    if let Ok(request) = ConnectRequest::from_json(input) {
        centrifuge::connect(&request);
    }
}
