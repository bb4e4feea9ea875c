//! Answers as a client reads them: heads, bodies by every framing, compressed content, tunnels.
//!
//! - The same head, content and end wherever the bytes are cut, and the same decoded content.
//! - One head, no empty piece of content, nothing behind the end or an error.
//! - Bytes behind an upgrade or a tunnel's head are handed on whole.
//! - What was compressed is unpacked to what it was, and never more at once than the bound.

use std::io::Read;

use flate2::Compression;
use flate2::bufread::{DeflateEncoder, GzEncoder, ZlibEncoder};
use lmserver_proto::http1::client::{Exchange, ResponseEvent, ResponseHead};
use lmserver_proto::http1::content_coding::{self, Decoder, OUTPUT_BYTES_MAX};
use lmserver_proto::http1::{Error, Limits, Method};

use crate::cut::{self, Dice};
use crate::mode;

const LIMITS: Limits = Limits {
    head_bytes: 600,
    header_count: 8,
    body_bytes: 0,
};

/// Checks one input.
pub fn check(data: &[u8]) {
    let (bits, input) = mode(data);
    match bits & 7 {
        0 => answer(&Method::Get, false, bits, input),
        1 => answer(&Method::Head, false, bits, input),
        2 => answer(&Method::Connect, false, bits, input),
        3 => answer(&Method::Get, true, bits, input),
        4 => raw_content("gzip", input),
        5 => raw_content("deflate", input),
        6 => packed_content(input),
        _ => answer(&Method::Post, false, bits, input),
    }
}

/// What came of an answer.
#[derive(Debug, Default, PartialEq)]
struct Got {
    head: Option<(u16, String)>,
    body: Vec<u8>,
    content: Vec<u8>,
    content_fault: Option<content_coding::Error>,
    /// Whether the connection is reusable, or the fault.
    end: Option<Result<bool, Error>>,
    leftover: Vec<u8>,
}

fn answer(method: &Method, upgrade: bool, bits: u8, input: &[u8]) {
    let then_closed = bits & 8 != 0;
    let got = cut::same(input, |pieces| read(method, upgrade, pieces, then_closed));
    if !got.leftover.is_empty() {
        assert!(
            input.ends_with(&got.leftover),
            "leftover bytes are the last ones"
        );
        let before = &input[..input.len() - got.leftover.len()];
        let alone = read(method, upgrade, &[before], then_closed);
        assert_eq!((alone.head, alone.leftover), (got.head, Vec::new()));
    }
    assert!(
        !then_closed || got.end.is_some(),
        "a closed connection has an outcome"
    );
}

fn read(method: &Method, upgrade: bool, pieces: &[&[u8]], then_closed: bool) -> Got {
    let mut exchange = Exchange::new(method);
    if upgrade {
        exchange = exchange.with_upgrade();
    }
    let mut reader = Reader::default();
    for (index, piece) in pieces.iter().enumerate() {
        exchange.feed(piece);
        reader.is_last = pieces.iter().skip(index + 1).all(|piece| piece.is_empty());
        reader.drain(&mut exchange);
    }
    if then_closed && reader.got.end.is_none() {
        match exchange.closed() {
            Ok(Some(event)) => reader.event(event),
            Ok(None) => panic!("the end was not told"),
            Err(error) => reader.got.end = Some(Err(error)),
        }
    }
    let is_tunnel = upgrade || matches!(method, Method::Connect);
    if is_tunnel && exchange.is_done() {
        reader.got.leftover = exchange.take_leftover();
    }
    assert_eq!(
        exchange.next_event(&LIMITS),
        Ok(None),
        "it says no more by itself"
    );
    reader.got
}

#[derive(Default)]
struct Reader {
    got: Got,
    decoder: Option<Decoder>,
    /// No byte of the input is left.
    is_last: bool,
}

impl Reader {
    fn drain(&mut self, exchange: &mut Exchange) {
        loop {
            match exchange.next_event(&LIMITS) {
                Ok(None) => return,
                Ok(Some(event)) => self.event(event),
                Err(error) => {
                    assert_eq!(self.got.end, None, "one end");
                    self.got.end = Some(Err(error));
                }
            }
        }
    }

    fn event(&mut self, event: ResponseEvent<'_>) {
        assert_eq!(self.got.end, None, "nothing comes behind the end");
        match event {
            ResponseEvent::Head(head) => self.head(&head),
            ResponseEvent::Body(data) => {
                assert!(self.got.head.is_some() && !data.is_empty());
                self.got.body.extend_from_slice(data);
                self.decode(data);
            }
            // A connection with unread bytes on it is not reusable, whenever they come.
            ResponseEvent::End { reusable } => {
                assert!(self.got.head.is_some());
                let fault = self
                    .decoder
                    .as_ref()
                    .and_then(|decoder| decoder.finish().err());
                self.got.content_fault = self.got.content_fault.take().or(fault);
                self.got.end = Some(Ok(reusable && self.is_last));
            }
        }
    }

    fn head(&mut self, head: &ResponseHead) {
        assert_eq!(self.got.head, None, "one head");
        assert!((200..1000).contains(&head.status) || head.status == 101);
        assert!(head.fields.len() <= LIMITS.header_count);
        let fields: Vec<_> = head.fields.iter().collect();
        self.got.head = Some((head.status, format!("{:?} {fields:?}", head.version)));
        match Decoder::new(head.fields.get("content-encoding")) {
            Ok(decoder) => self.decoder = Some(decoder),
            Err(error) => self.got.content_fault = Some(error),
        }
    }

    fn decode(&mut self, data: &[u8]) {
        let Some(decoder) = &mut self.decoder else {
            return;
        };
        if let Err(error) = decode(decoder, data, &mut self.got.content) {
            self.decoder = None;
            self.got.content_fault = Some(error);
        }
    }
}

/// Decodes a piece, within the bound of each call.
fn decode(
    decoder: &mut Decoder,
    data: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), content_coding::Error> {
    let mut rest = data;
    loop {
        let before = out.len();
        let progress = decoder.decode(rest, out);
        assert!(
            out.len() - before <= OUTPUT_BYTES_MAX,
            "{} bytes at once",
            out.len() - before
        );
        let progress = progress?;
        assert!(progress.consumed <= rest.len());
        let has_moved = progress.consumed > 0 || out.len() > before;
        assert!(
            has_moved || !progress.more,
            "more is promised and does not come"
        );
        rest = &rest[progress.consumed..];
        if !progress.more {
            assert!(rest.is_empty(), "all is taken");
            return Ok(());
        }
    }
}

fn unpack(coding: &str, pieces: &[&[u8]]) -> (Vec<u8>, Result<(), content_coding::Error>) {
    let mut out = Vec::new();
    let result = Decoder::new(Some(coding)).and_then(|mut decoder| {
        for piece in pieces {
            decode(&mut decoder, piece, &mut out)?;
        }
        decoder.finish()
    });
    (out, result)
}

fn raw_content(coding: &str, input: &[u8]) {
    let _ = cut::same(input, |pieces| unpack(coding, pieces));
}

/// Compresses the input, takes it apart again, and damages one byte of it.
fn packed_content(input: &[u8]) {
    let level = Compression::fast();
    for (coding, packed) in [
        ("gzip", drained(GzEncoder::new(input, level))),
        ("deflate", drained(ZlibEncoder::new(input, level))),
        ("deflate", drained(DeflateEncoder::new(input, level))),
    ] {
        let (text, result) = cut::same(&packed, |pieces| unpack(coding, pieces));
        assert_eq!((text.as_slice(), result), (input, Ok(())), "{coding}");
        let mut damaged = packed;
        let mut dice = Dice::of(input);
        let at = dice.below(damaged.len());
        damaged[at] ^= 1 << dice.below(8);
        let _ = cut::same(&damaged, |pieces| unpack(coding, pieces));
    }
}

fn drained(mut encoder: impl Read) -> Vec<u8> {
    let mut out = Vec::new();
    assert!(
        encoder.read_to_end(&mut out).is_ok(),
        "memory gives everything"
    );
    out
}
