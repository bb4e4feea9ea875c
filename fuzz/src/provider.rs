//! The whole answer of a provider, whichever its kind.
//!
//! - The same outputs wherever the bytes are cut, and exactly one end or error, behind which
//!   nothing comes.
//! - No text is empty; a message is bounded and does not hold the key.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use lmserver_runtime::plugin::provider::{
    ChatRequest, Generation, OpenProvider, Output, Provider, StartCx,
};

use crate::{cut, mode};
use drive::drive;
use section::{Keys, settings};

#[path = "../../tests/common/drive.rs"]
mod drive;
#[path = "../../tests/common/section.rs"]
mod section;

const KEY: &str = "sk-secret-of-the-fuzzer-0123456789";

/// Bytes of an error's message: what the server said, and where it came from.
const MESSAGE_MAX: usize = 4096;

/// Checks one input for a kind of provider.
pub fn check(data: &[u8], open: OpenProvider) {
    let (bits, input) = mode(data);
    let stream = "Content-Type: text/event-stream\r\n\r\n";
    let response = match bits & 7 {
        0 | 1 => [format!("HTTP/1.1 200 OK\r\n{stream}").as_bytes(), input].concat(),
        2 => [
            b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\n\r\n",
            input,
        ]
        .concat(),
        3 => [
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n",
            &*packed(input),
        ]
        .concat(),
        4 => chunked(stream, input),
        5 => [
            b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n\r\n",
            input,
        ]
        .concat(),
        _ => input.to_vec(),
    };
    let seen = cut::same(&response, |pieces| outcome(pieces, open));
    assert!(!seen.is_empty(), "an answer has an outcome");
}

fn outcome(pieces: &[&[u8]], open: OpenProvider) -> Vec<String> {
    let mut seen = Vec::new();
    let error = drive(pieces.iter().copied(), generation(open), &mut |output| {
        match &output {
            Output::Alive | Output::Unread => return,
            Output::Chunk(text) | Output::Reasoning(text) | Output::Refusal(text) => {
                assert!(!text.is_empty(), "{output:?}");
            }
            Output::ToolCall(_) | Output::End { .. } => {}
        }
        seen.push(format!("{output:?}"));
    });
    if let Some(error) = error {
        let message = &error.message;
        assert!(message.len() <= MESSAGE_MAX, "{} bytes", message.len());
        assert!(!message.contains(KEY), "{error}");
        seen.push(format!("error {error:?}"));
    }
    seen
}

fn packed(input: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    assert!(encoder.write_all(input).is_ok(), "memory takes everything");
    encoder.finish().unwrap_or_default()
}

fn chunked(fields: &str, input: &[u8]) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{fields}").into_bytes();
    for piece in cut::uneven(input)
        .into_iter()
        .filter(|piece| !piece.is_empty())
    {
        lmserver_proto::http1::write_chunk(&mut out, piece);
    }
    out.extend_from_slice(lmserver_proto::http1::LAST_CHUNK);
    out
}

/// A provider of its own for each answer: the ids that it makes up for calls count on.
fn generation(open: OpenProvider) -> Box<dyn Generation> {
    let provider = opened(open);
    let start = provider.and_then(|provider| {
        provider
            .start(&ChatRequest::default(), "m", StartCx::default())
            .ok()
    });
    let Some(start) = start else {
        panic!("a provider of nothing but defaults")
    };
    start.generation
}

fn opened(open: OpenProvider) -> Option<Box<dyn Provider>> {
    let mut section = Keys::default();
    let provider = open(
        settings(Some("http://api.example"), Some(KEY)),
        &mut section,
    );
    assert!(section.mistakes.is_empty(), "{:?}", section.mistakes);
    provider
}
