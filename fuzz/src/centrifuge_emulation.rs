//! What clients post beside a stream: commands for its session.
//!
//! - A request is refused, or read the same when it is written again.
//! - What [`centrifuge`] asserts of every frame holds for the one within.
//!
//! Bit 0 of the mode: few commands to a frame. Bit 1: Protobuf.

use lmserver_proto::centrifuge::{EmulationRequest, Protocol};

use crate::{centrifuge, mode};

/// Checks one input.
pub fn check(data: &[u8]) {
    let (bits, input) = mode(data);
    let limit = if bits & 1 == 0 { 64 } else { 2 };
    let protocol = match bits & 2 {
        0 => Protocol::Json,
        _ => Protocol::Protobuf,
    };
    let Ok(request) = EmulationRequest::decode(protocol, input) else {
        return;
    };
    let body = written(protocol, &request);
    let again = EmulationRequest::decode(protocol, &body).expect("what was read");
    assert_eq!(again, request);
    centrifuge::check(protocol, &request.data, limit);
}

fn written(protocol: Protocol, request: &EmulationRequest<'_>) -> Vec<u8> {
    match protocol {
        Protocol::Json => {
            let frame = str::from_utf8(&request.data).expect("a string");
            let body = serde_json::json!({
                "node": request.node, "session": request.session, "data": frame,
            });
            body.to_string().into_bytes()
        }
        Protocol::Protobuf => {
            let mut out = Vec::new();
            for (number, value) in [
                (1, request.node.as_bytes()),
                (2, request.session.as_bytes()),
                (3, &request.data),
            ] {
                out.push(number << 3 | 2);
                centrifuge::varint(value.len() as u64, &mut out);
                out.extend_from_slice(value);
            }
            out
        }
    }
}
