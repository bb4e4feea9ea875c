//! The whole answer of a provider, whichever its kind.
//!
//! - The same outputs wherever the bytes are cut, and exactly one end or error, behind which
//!   nothing comes.
//! - No text is empty; a message is bounded and does not hold the key.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use lmserver_runtime::plugin::provider::{
    BaseUrl, ChatRequest, Generation, OpenProvider, Output, PluginSection, Provider, ProviderError,
    ProviderSettings, Secret, StartCx,
};

use crate::{cut, mode};

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
    let mut generation = generation(open);
    let mut seen = Seen::default();
    let mut out = Vec::new();
    for piece in pieces {
        let result = generation.receive(piece, &mut out);
        seen.take(&mut out, result);
        if seen.is_over
            && seen
                .lines
                .last()
                .is_some_and(|line| line.starts_with("error"))
        {
            return seen.lines;
        }
    }
    if !seen.is_over {
        let result = generation.closed(&mut out);
        seen.take(&mut out, result);
    }
    assert!(seen.is_over, "an answer has one end");
    seen.lines
}

#[derive(Default)]
struct Seen {
    lines: Vec<String>,
    is_over: bool,
}

impl Seen {
    fn take(&mut self, out: &mut Vec<Output>, result: Result<(), ProviderError>) {
        for output in out.drain(..).filter(|output| *output != Output::Alive) {
            assert!(!self.is_over, "{output:?} behind the end");
            match &output {
                Output::Chunk(text) | Output::Reasoning(text) | Output::Refusal(text) => {
                    assert!(!text.is_empty(), "{output:?}");
                }
                Output::Alive | Output::ToolCall(_) => {}
                Output::End { .. } => self.is_over = true,
            }
            self.lines.push(format!("{output:?}"));
        }
        if let Err(error) = result {
            assert!(!self.is_over, "{error} behind the end");
            assert!(
                error.message.len() <= MESSAGE_MAX,
                "{} bytes",
                error.message.len()
            );
            assert!(!error.message.contains(KEY), "{error}");
            self.is_over = true;
            self.lines.push(format!("error {error:?}"));
        }
    }
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
    let settings = ProviderSettings {
        name: "test".into(),
        base_url: BaseUrl::parse("http://api.example").ok(),
        api_key: Some(Secret::new(KEY.to_owned())),
        headers: BTreeMap::new(),
    };
    open(settings, &mut Bare)
}

/// A section without keys.
struct Bare;

impl PluginSection for Bare {
    fn take_string(&mut self, _: &str) -> Option<String> {
        None
    }
    fn take_bool(&mut self, _: &str) -> Option<bool> {
        None
    }
    fn take_integer(&mut self, _: &str) -> Option<i64> {
        None
    }
    fn take_duration(&mut self, _: &str) -> Option<Duration> {
        None
    }
    fn reject(&mut self, key: &str, mistake: &str) {
        panic!("{key}: {mistake}");
    }
}
