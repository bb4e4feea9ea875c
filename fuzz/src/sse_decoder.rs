//! Event streams, as a client reads them.
//!
//! - The same items and the same error wherever the bytes are cut.
//! - What the standard's own algorithm makes of the whole text, line by line, is what came.
//! - An item is within its limit; behind an error there is only the same error.
//! - An event that is written again is read as the same event.

use std::time::Duration;

use lmserver_proto::sse::{Decoder, Error, Item, encode};

use crate::{cut, mode};

/// The byte order mark.
const MARK: &[u8] = b"\xEF\xBB\xBF";

/// What one stream said.
#[derive(Debug, PartialEq)]
struct Log {
    items: Vec<Said>,
    error: Option<Error>,
    last_event_id: String,
    retry: Option<Duration>,
}

/// An [`Item`] of its own.
#[derive(Clone, Debug, PartialEq)]
enum Said {
    Event {
        event_type: String,
        data: Vec<u8>,
        id: String,
    },
    Comment(Vec<u8>),
    Field(Vec<u8>, Vec<u8>),
}

/// Checks one input.
pub fn check(data: &[u8]) {
    let (bits, input) = mode(data);
    let limit = if bits & 1 == 0 { 1 << 20 } else { 20 };
    let log = cut::same(input, |pieces| read(limit, pieces));
    if log.error.is_none() {
        assert_eq!(
            log,
            Standard::default().read(input),
            "as the standard has it"
        );
    }
    reads_back(&log.items);
}

fn read(limit: usize, pieces: &[&[u8]]) -> Log {
    let mut decoder = Decoder::new(limit);
    let mut items = Vec::new();
    let mut error = None;
    for mut piece in pieces.iter().copied() {
        while error.is_none() {
            match decoder.next_item(&mut piece) {
                Ok(Some(item)) => items.push(said(item, limit)),
                Ok(None) => {
                    assert!(piece.is_empty(), "all is taken");
                    break;
                }
                Err(fault) => error = Some(fault),
            }
        }
    }
    if let Some(fault) = error {
        assert_eq!(decoder.next_item(&mut &b"data: x\n\n"[..]), Err(fault));
        assert_eq!(decoder.finish(), None);
    }
    while let Some(item) = decoder.finish() {
        items.push(said(item, limit));
    }
    // The end of an unfinished event may be what is too much.
    let error = decoder.next_item(&mut &b""[..]).err();
    Log {
        items,
        error,
        last_event_id: decoder.last_event_id().to_owned(),
        retry: decoder.retry(),
    }
}

fn said(item: Item<'_>, limit: usize) -> Said {
    match item {
        Item::Event {
            event_type,
            data,
            last_event_id,
        } => {
            assert!(data.len() <= limit && !event_type.is_empty());
            Said::Event {
                event_type: event_type.to_owned(),
                data: data.to_vec(),
                id: last_event_id.to_owned(),
            }
        }
        Item::Comment(text) => {
            assert!(text.len() <= limit);
            Said::Comment(text.to_vec())
        }
        Item::Field { name, value } => {
            assert!(name.len() + value.len() <= limit && !name.is_empty());
            Said::Field(name.to_vec(), value.to_vec())
        }
    }
}

/// The algorithm of the HTML standard, §9.2.6, on the whole text.
#[derive(Default)]
struct Standard {
    items: Vec<Said>,
    data: Option<Vec<u8>>,
    event_type: String,
    id: String,
    last_event_id: String,
    retry: Option<Duration>,
}

impl Standard {
    fn read(mut self, input: &[u8]) -> Log {
        let mut rest = input.strip_prefix(MARK).unwrap_or(input);
        // Half a mark is taken for one that was cut off, and not for a line.
        if MARK.starts_with(input) {
            rest = b"";
        }
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
            let (line, behind) = rest.split_at(end);
            self.line(line);
            rest = behind.strip_prefix(b"\r\n").unwrap_or(&behind[1..]);
        }
        // This decoder also tells what stands behind the last blank line.
        if !rest.is_empty() {
            self.line(rest);
        }
        if self.data.is_some() {
            self.line(b"");
        }
        Log {
            items: self.items,
            error: None,
            last_event_id: self.last_event_id,
            retry: self.retry,
        }
    }

    fn line(&mut self, line: &[u8]) {
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = match colon {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &b""[..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            _ if line.is_empty() => self.blank(),
            b"" => self.items.push(Said::Comment(value.to_vec())),
            b"data" => match &mut self.data {
                Some(data) => data.extend([b"\n", value].concat()),
                None => self.data = Some(value.to_vec()),
            },
            b"event" => self.event_type = text(value),
            b"id" if !value.contains(&0) => self.id = text(value),
            b"id" => {}
            b"retry" => {
                if !value.is_empty() && value.iter().all(u8::is_ascii_digit) {
                    let millis = text(value).parse().unwrap_or(u64::MAX);
                    self.retry = Some(Duration::from_millis(millis));
                }
            }
            name => self.items.push(Said::Field(name.to_vec(), value.to_vec())),
        }
    }

    fn blank(&mut self) {
        self.last_event_id.clone_from(&self.id);
        let event_type = std::mem::take(&mut self.event_type);
        if let Some(data) = self.data.take() {
            self.items.push(Said::Event {
                event_type: if event_type.is_empty() {
                    "message".into()
                } else {
                    event_type
                },
                data,
                id: self.last_event_id.clone(),
            });
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Writes the events again and reads them.
fn reads_back(items: &[Said]) {
    let mut wire = Vec::new();
    let mut want = Vec::new();
    for item in items {
        let Said::Event { data, id, .. } = item else {
            continue;
        };
        let Ok(data) = std::str::from_utf8(data) else {
            continue;
        };
        encode::event(Some(id), data, &mut wire);
        want.push(Said::Event {
            event_type: "message".into(),
            data: data.into(),
            id: id.clone(),
        });
    }
    assert_eq!(read(1 << 20, &[&wire]).items, want);
}
