//! Recorded answers decode to what is expected of them: whole, byte by byte, at random splits.
//!
//! Each case is a response (`.http`, or `.sse`, the body of a 200) with an `.expected.json` beside
//! it. The recordings are looked for outside the repository; vectors of its own, for what is
//! documented but was never recorded, are in `tests/data/openai`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lmserver_runtime::event::Usage;
use lmserver_runtime::plugin::provider::{
    BaseUrl, ChatRequest, Generation, Output, PluginSection, ProviderError, ProviderSettings,
    Secret, StartCx,
};
use serde_json::{Value, json};

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

fn generation() -> Box<dyn Generation> {
    let settings = ProviderSettings {
        name: "test".into(),
        base_url: Some(BaseUrl::parse("http://api.example/v1").unwrap()),
        api_key: Some(Secret::new("key-of-nobody-1234".into())),
        headers: std::collections::BTreeMap::new(),
    };
    let provider = lmserver_openai::open(settings, &mut Bare).unwrap();
    provider
        .start(&ChatRequest::default(), "m", StartCx::default())
        .unwrap()
        .generation
}

#[derive(Debug, Default, PartialEq)]
struct Outcome {
    text: String,
    reasoning: String,
    refusal: String,
    /// Id (none if made up), name, arguments.
    calls: Vec<(Option<String>, String, String)>,
    finish_reason: Option<&'static str>,
    usage: Option<Usage>,
    error: Option<ProviderError>,
}

impl Outcome {
    fn add(&mut self, output: Output) {
        assert!(self.finish_reason.is_none(), "{output:?} after the end");
        match output {
            Output::Alive => {}
            Output::Chunk(text) => add_text(&mut self.text, &text),
            Output::Reasoning(text) => add_text(&mut self.reasoning, &text),
            Output::Refusal(text) => add_text(&mut self.refusal, &text),
            Output::ToolCall(call) => {
                let index = call.index as usize;
                assert_eq!(call.id.is_some(), index == self.calls.len(), "{call:?}");
                if let Some(id) = call.id {
                    let name = call.name.unwrap_or_default().into();
                    self.calls.push((Some(id.into()), name, String::new()));
                }
                self.calls[index].2.push_str(&call.arguments);
            }
            Output::End {
                finish_reason,
                usage,
            } => {
                self.finish_reason = Some(finish_reason.as_str());
                self.usage = usage;
            }
        }
    }
}

fn add_text(all: &mut String, text: &str) {
    assert!(!text.is_empty());
    all.push_str(text);
}

/// Replays a response the way the engine does.
fn replay<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let mut generation = generation();
    let mut outcome = Outcome::default();
    let mut out = Vec::new();
    for piece in pieces {
        let result = generation.receive(piece, &mut out);
        out.drain(..).for_each(|output| outcome.add(output));
        if let Err(error) = result {
            assert!(outcome.finish_reason.is_none(), "{error} after the end");
            outcome.error = Some(error);
            return outcome;
        }
    }
    if outcome.finish_reason.is_none() {
        let result = generation.closed(&mut out);
        out.drain(..).for_each(|output| outcome.add(output));
        outcome.error = result.err();
        assert!(
            outcome.error.is_some() || outcome.finish_reason.is_some(),
            "no end at all"
        );
    }
    outcome
}

/// A generator of cuts that needs no seed but the name of the case.
fn random_pieces<'a>(bytes: &'a [u8], name: &str, round: u64) -> Vec<&'a [u8]> {
    let mut state = name.bytes().fold(round + 1, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut pieces = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        // Mostly short pieces, sometimes as long as a read.
        let most = [3, 40, 700, 16_384][(state >> 60) as usize % 4];
        let len = 1 + (state >> 33) as usize % most;
        let (piece, after) = rest.split_at(len.min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

fn check(name: &str, outcome: &Outcome, expected: &Value) {
    let text = |key: &str| expected[key].as_str().unwrap();
    let alternatives = expected["text_alternatives"]
        .as_array()
        .into_iter()
        .flatten();
    let mut texts = alternatives.filter_map(Value::as_str).chain([text("text")]);
    assert!(
        texts.any(|text| text == outcome.text),
        "{name}: text {:?}",
        outcome.text
    );
    assert_eq!(outcome.reasoning, text("reasoning"), "{name}: reasoning");
    assert_eq!(outcome.refusal, text("refusal"), "{name}: refusal");
    check_calls(name, outcome, expected["tool_calls"].as_array().unwrap());
    assert_eq!(
        json!(outcome.finish_reason),
        expected["finish_reason"],
        "{name}: finish reason"
    );
    match &outcome.error {
        Some(error) => check_error(name, error, &expected["error"]),
        None => {
            assert_eq!(expected["error"], Value::Null, "{name}: error");
            check_usage(name, outcome.usage, &expected["usage"]);
        }
    }
}

fn check_calls(name: &str, outcome: &Outcome, expected: &[Value]) {
    assert_eq!(
        outcome.calls.len(),
        expected.len(),
        "{name}: {:?}",
        outcome.calls
    );
    for ((id, function, arguments), expected) in outcome.calls.iter().zip(expected) {
        if !expected["id"].is_null() {
            assert_eq!(json!(id), expected["id"], "{name}: id");
        }
        assert_eq!(
            *function,
            expected["name"].as_str().unwrap(),
            "{name}: name"
        );
        let want = expected["arguments"].as_str().unwrap();
        let parsed = |text: &str| serde_json::from_str::<Value>(text).ok();
        if parsed(want).is_none() || parsed(want) != parsed(arguments) {
            assert_eq!(arguments, want, "{name}: arguments");
        }
    }
}

fn check_usage(name: &str, usage: Option<Usage>, expected: &Value) {
    let got = usage.map_or(Value::Null, |usage| {
        assert!(!usage.estimated);
        json!({
            "input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens,
            "reasoning_tokens": usage.reasoning_tokens, "cached_tokens": usage.cached_tokens,
        })
    });
    assert_eq!(got, *expected, "{name}: usage");
}

fn check_error(name: &str, error: &ProviderError, expected: &Value) {
    let alternatives = expected["code_alternatives"]
        .as_array()
        .into_iter()
        .flatten();
    let mut codes = alternatives
        .chain([&expected["code"]])
        .filter_map(Value::as_str);
    assert!(
        codes.any(|code| code == error.code.as_str()),
        "{name}: {error:?}, want {expected}"
    );
    if expected["code"] == error.code.as_str() {
        assert_eq!(
            json!(error.retryable),
            expected["retryable"],
            "{name}: retryable"
        );
    }
    let wait = error.retry_after.map(|wait| wait.as_secs_f64());
    assert_eq!(
        json!(wait),
        expected["retry_after_s"],
        "{name}: retry_after"
    );
    let message = expected["message"]
        .as_str()
        .unwrap()
        .replace("sk-fake-key", "[redacted]");
    // Pages are shown by their words, and what a gateway was told is added to what it says.
    if !message.starts_with('<') {
        assert!(
            error.message.starts_with(&message),
            "{name}: {error}, want {message}"
        );
    }
    assert!(
        !error.message.is_empty() && !error.message.contains("sk-fake-key"),
        "{name}: {error}"
    );
}

/// The response, the expectation and the name of every case under a folder.
fn cases(folder: &Path) -> Vec<(Vec<u8>, Value, String)> {
    let mut cases = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if let Some(stem) = path.to_str().unwrap().strip_suffix(".expected.json") {
                let expected: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
                if expected["api"] == "openai-chat" {
                    cases.push((response(stem), expected, stem.to_owned()));
                }
            }
        }
    }
    cases
}

fn response(stem: &str) -> Vec<u8> {
    if let Ok(response) = fs::read(format!("{stem}.http")) {
        return response;
    }
    let mut response = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n".to_vec();
    response.extend(fs::read(format!("{stem}.sse")).unwrap());
    response
}

fn replay_all(folder: &Path, at_least: usize) {
    let cases = cases(folder);
    assert!(
        cases.len() >= at_least,
        "{} cases in {}",
        cases.len(),
        folder.display()
    );
    for (response, expected, name) in &cases {
        let whole = replay([response.as_slice()].into_iter());
        check(name, &whole, expected);
        assert_eq!(replay(response.chunks(1)), whole, "{name} byte by byte");
        if response.len() <= SHORT {
            for cut in 0..=response.len() {
                let (one, two) = response.split_at(cut);
                assert_eq!(replay([one, two].into_iter()), whole, "{name} cut at {cut}");
            }
        }
        for round in 0..8 {
            let pieces = random_pieces(response, name, round);
            assert_eq!(
                replay(pieces.into_iter()),
                whole,
                "{name}, random split {round}"
            );
        }
    }
    println!("{} cases in {}", cases.len(), folder.display());
}

/// The longest response that is cut at every place.
const SHORT: usize = 2048;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn recordings_of_many_servers_decode_to_what_is_expected() {
    let folder = root().join("../shared/fixtures/providers");
    if !folder.is_dir() {
        let _ = std::io::Write::write_fmt(
            &mut std::io::stderr(),
            format_args!("SKIPPED: no recordings at {}\n", folder.display()),
        );
        return;
    }
    replay_all(&folder, 100);
}

#[test]
fn vectors_for_documented_quirks_decode_to_what_is_expected() {
    replay_all(&root().join("tests/data/openai"), 1);
}
