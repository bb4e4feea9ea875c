//! The event stream cases of web-platform-tests and others: whole, byte by byte, at every split.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use base64::Engine as _;
use lmserver_proto::sse::{Decoder, Item};
use serde_json::Value;

#[derive(Debug, PartialEq)]
struct Outcome {
    events: Vec<[String; 3]>,
    last_event_id: String,
    retry: Option<u64>,
}

fn outcome(pieces: &[&[u8]]) -> Outcome {
    let mut decoder = Decoder::new(1 << 20);
    let mut events = Vec::new();
    for piece in pieces {
        let mut piece = *piece;
        while let Some(item) = decoder.next_item(&mut piece).unwrap() {
            if let Item::Event {
                event_type,
                data,
                last_event_id,
            } = item
            {
                let data = String::from_utf8_lossy(data).into_owned();
                events.push([event_type.to_owned(), data, last_event_id.to_owned()]);
            }
        }
    }
    let retry = decoder
        .retry()
        .map(|time| u64::try_from(time.as_millis()).unwrap());
    Outcome {
        events,
        last_event_id: decoder.last_event_id().to_owned(),
        retry,
    }
}

fn stream(case: &Value) -> Vec<u8> {
    match case["stream"].as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => base64::engine::general_purpose::STANDARD
            .decode(case["stream_base64"].as_str().unwrap())
            .unwrap(),
    }
}

fn expected(case: &Value) -> Outcome {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    Outcome {
        events: case["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| ["type", "data", "lastEventId"].map(|key| text(&event[key])))
            .collect(),
        last_event_id: text(&case["last_event_id"]),
        retry: case["retry"].as_u64(),
    }
}

#[test]
fn every_case_is_read_as_the_standard_says_however_it_is_cut() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures/eventsource/cases.json");
    let Ok(text) = fs::read_to_string(&path) else {
        let _ = std::io::Write::write_fmt(
            &mut std::io::stderr(),
            format_args!("SKIPPED: no event stream cases at {}\n", path.display()),
        );
        return;
    };
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(cases.len() >= 53, "{} cases", cases.len());
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let (stream, want) = (stream(case), expected(case));
        assert_eq!(outcome(&[&stream]), want, "{name} whole");
        let bytes: Vec<_> = stream.chunks(1).collect();
        assert_eq!(outcome(&bytes), want, "{name} byte by byte");
        for cut in 0..=stream.len() {
            let (one, two) = stream.split_at(cut);
            assert_eq!(outcome(&[one, two]), want, "{name} cut at {cut}");
        }
    }
}
