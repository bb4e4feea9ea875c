//! Recorded answers decode to what is expected of them: whole, byte by byte, at random splits.
//!
//! Each case is a response (`.http`; `.sse` and `.ndjson` are the body of a 200) with an
//! `.expected.json` beside it, which also names the wire format. Every crate of a provider replays
//! those of its own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use lmserver_runtime::event::Usage;
use lmserver_runtime::plugin::provider::{
    ChatRequest, Generation, OpenProvider, Output, ProviderError, StartCx,
};
use serde_json::{Value, json};

use drive::drive;
use section::{Keys, settings};

#[path = "drive.rs"]
mod drive;
#[path = "section.rs"]
mod section;

/// Replays every case of a wire format under a folder, named from the root of the repository. One
/// outside of it may be missing.
pub(crate) fn folder(
    name: &str,
    api: &str,
    at_least: usize,
    generation: &dyn Fn() -> Box<dyn Generation>,
) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(name);
    if name.starts_with("..") && !folder.is_dir() {
        let _ = std::io::Write::write_fmt(
            &mut std::io::stderr(),
            format_args!("SKIPPED: no recordings at {}\n", folder.display()),
        );
        return;
    }
    let cases = cases(&folder, api);
    assert!(cases.len() >= at_least, "{} cases in {name}", cases.len());
    for (response, expected, name) in &cases {
        replay_all_cuts(response, expected, name, generation);
    }
    println!("{} cases in {name}", cases.len());
}

/// A generation of a provider with a key, and these strings in its section.
pub(crate) fn generation(
    open: OpenProvider,
    base_url: &str,
    strings: &[(&'static str, &'static str)],
) -> Box<dyn Generation> {
    let settings = settings(Some(base_url), Some("key-of-nobody-1234"));
    let mut section: Keys = strings.iter().copied().collect();
    let provider = open(settings, &mut section).unwrap();
    assert!(section.mistakes.is_empty(), "{:?}", section.mistakes);
    let start = provider.start(&ChatRequest::default(), "m", StartCx::default());
    start.unwrap().generation
}

fn replay_all_cuts(
    response: &[u8],
    expected: &Value,
    name: &str,
    generation: &dyn Fn() -> Box<dyn Generation>,
) {
    let whole = replay([response].into_iter(), generation());
    check(name, &whole, expected);
    let got = replay(response.chunks(1), generation());
    assert_eq!(got, whole, "{name} byte by byte");
    if response.len() <= SHORT {
        for cut in 0..=response.len() {
            let (one, two) = response.split_at(cut);
            let got = replay([one, two].into_iter(), generation());
            assert_eq!(got, whole, "{name} cut at {cut}");
        }
    }
    for round in 0..8 {
        let pieces = random_pieces(response, name, round);
        let got = replay(pieces.into_iter(), generation());
        assert_eq!(got, whole, "{name}, random split {round}");
    }
}

/// What an answer says, put together.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) text: String,
    pub(crate) reasoning: String,
    pub(crate) refusal: String,
    /// Id (none if made up), name, arguments.
    pub(crate) calls: Vec<(Option<String>, String, String)>,
    pub(crate) finish_reason: Option<&'static str>,
    pub(crate) usage: Option<Usage>,
    pub(crate) error: Option<ProviderError>,
}

impl Outcome {
    fn add(&mut self, output: Output) {
        match output {
            Output::Alive | Output::Unread => {}
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

/// What a response is read as.
pub(crate) fn replay<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    generation: Box<dyn Generation>,
) -> Outcome {
    let mut outcome = Outcome::default();
    outcome.error = drive(pieces, generation, &mut |output| outcome.add(output));
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
    let mut expected = expected.clone();
    // A count that was not reported beside one that was is none.
    for key in ["input_tokens", "output_tokens"] {
        if expected.get(key) == Some(&Value::Null) {
            expected[key] = json!(0);
        }
    }
    assert_eq!(got, expected, "{name}: usage");
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
    let message = redacted(expected["message"].as_str().unwrap());
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

/// A message with its keys, whole or masked, replaced.
fn redacted(message: &str) -> String {
    let words = message.split(' ').map(|word| {
        let is_key = word.starts_with("sk-");
        let stop = if word.ends_with('.') { "." } else { "" };
        if is_key {
            format!("[redacted]{stop}")
        } else {
            word.to_owned()
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The response, the expectation and the name of every case of a wire format under a folder.
fn cases(folder: &Path, api: &str) -> Vec<(Vec<u8>, Value, String)> {
    let mut cases = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if let Some(stem) = path.to_str().unwrap().strip_suffix(".expected.json") {
                let expected: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
                if expected["api"] == api {
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
    let (media_type, body) = match fs::read(format!("{stem}.ndjson")) {
        Ok(body) => ("application/x-ndjson", body),
        Err(_) => (
            "text/event-stream",
            fs::read(format!("{stem}.sse")).unwrap(),
        ),
    };
    let mut response =
        format!("HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\n\r\n").into_bytes();
    response.extend(body);
    response
}

/// The longest response that is cut at every place.
const SHORT: usize = 2048;
