//! What the encoder writes, the decoder reads, however it is cut.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use lmserver_proto::sse::{Decoder, Item, encode};
use proptest::prelude::*;

#[derive(Debug, Clone, PartialEq)]
enum Said {
    Event(Option<String>, String),
    Comment(String),
    Retry(u64),
}

fn said() -> impl Strategy<Value = Said> {
    let text = "(\r\n|[\n\r :a-c\u{0}\u{e9}\u{1F600}\u{FEFF}]){0,12}";
    prop_oneof![
        (proptest::option::of("[ :a-z0-9\u{e9}-]{0,6}"), text)
            .prop_map(|(id, data)| Said::Event(id, data)),
        "[ :a-c\u{1F600}]{0,6}".prop_map(Said::Comment),
        any::<u64>().prop_map(Said::Retry),
    ]
}

fn encoded(all: &[Said]) -> Vec<u8> {
    let mut out = Vec::new();
    for said in all {
        match said {
            Said::Event(id, data) => {
                let id = id.as_ref().map(|id| id as &dyn std::fmt::Display);
                if data.contains(['\n', '\r']) {
                    encode::event(id, data, &mut out);
                } else {
                    encode::event_of_one_line(id, &[data.as_bytes()], &mut out);
                }
            }
            Said::Comment(text) => encode::comment(text, &mut out),
            Said::Retry(millis) => encode::retry(*millis, &mut out),
        }
    }
    out
}

/// Events with the id in force, and comments; `retry` is a state of the decoder.
fn decoded(stream: &[u8], cuts: &[usize]) -> (Vec<Said>, Option<u64>) {
    let mut decoder = Decoder::new(1 << 16);
    let mut seen = Vec::new();
    let mut start = 0;
    let ends = cuts.iter().copied().chain([stream.len()]);
    for end in ends {
        let mut piece = &stream[start..end];
        start = end;
        while let Some(item) = decoder.next_item(&mut piece).unwrap() {
            seen.push(match item {
                Item::Event {
                    event_type,
                    data,
                    last_event_id,
                } => {
                    assert_eq!(event_type, "message");
                    let data = String::from_utf8(data.to_vec()).unwrap();
                    Said::Event(Some(last_event_id.to_owned()), data)
                }
                Item::Comment(text) => Said::Comment(String::from_utf8(text.to_vec()).unwrap()),
                Item::Field { .. } => panic!("the encoder writes no other field"),
            });
        }
    }
    assert!(decoder.finish().is_none());
    let retry = decoder
        .retry()
        .map(|time| u64::try_from(time.as_millis()).unwrap());
    (seen, retry)
}

fn expected(all: &[Said]) -> (Vec<Said>, Option<u64>) {
    let mut last_event_id = String::new();
    let mut retry = None;
    let mut seen = Vec::new();
    for said in all {
        match said {
            Said::Event(id, data) => {
                last_event_id = id.clone().unwrap_or(last_event_id);
                let data = data.replace("\r\n", "\n").replace('\r', "\n");
                seen.push(Said::Event(Some(last_event_id.clone()), data));
            }
            Said::Comment(text) => seen.push(Said::Comment(text.clone())),
            Said::Retry(millis) => retry = Some(*millis),
        }
    }
    (seen, retry)
}

proptest! {
    #[test]
    fn a_written_stream_is_read_back(
        all in proptest::collection::vec(said(), 0..8),
        mut cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..6),
    ) {
        let stream = encoded(&all);
        let mut cuts: Vec<_> = cuts.drain(..).map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.sort_unstable();
        prop_assert_eq!(decoded(&stream, &cuts), expected(&all));
    }

    #[test]
    fn any_bytes_mean_the_same_however_they_are_cut(
        stream in proptest::collection::vec(
            prop_oneof![
                Just(b"data:".to_vec()), Just(b"\n".to_vec()), Just(b"\r".to_vec()),
                Just(b"id: 1".to_vec()), Just(b"\xEF\xBB\xBF".to_vec()), Just(b":".to_vec()),
                Just(b"event:x".to_vec()), Just(b"retry:1".to_vec()),
                any::<u8>().prop_map(|byte| vec![byte]),
            ],
            0..24,
        ),
    ) {
        let stream = stream.concat();
        let whole = shown(&stream, stream.len().max(1));
        for size in 1..=3 {
            prop_assert_eq!(&shown(&stream, size), &whole);
        }
    }
}

fn shown(stream: &[u8], size: usize) -> Vec<String> {
    let mut decoder = Decoder::new(20);
    let mut seen = Vec::new();
    for mut piece in stream.chunks(size) {
        loop {
            match decoder.next_item(&mut piece) {
                Ok(Some(item)) => seen.push(format!("{item:?}")),
                Ok(None) => break,
                Err(error) => {
                    seen.push(error.to_string());
                    return seen;
                }
            }
        }
    }
    while let Some(item) = decoder.finish() {
        seen.push(format!("{item:?}"));
    }
    seen.push(format!("{} {:?}", decoder.last_event_id(), decoder.retry()));
    seen
}
