//! Compressed content: cut anywhere, flushed in between, broken, and far larger unpacked.

#![expect(clippy::unwrap_used, reason = "encoding to memory does not fail")]

use std::io::Write;

use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use flate2::{Compression, GzBuilder};
use lmserver_proto::http1::content_coding::{Decoder, Error, OUTPUT_BYTES_MAX};
use proptest::prelude::*;

const TEXT: &[u8] =
    b"data: {\"delta\":\"Hello\"}\n\ndata: {\"delta\":\" world\"}\n\ndata: [DONE]\n\n";

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zlib(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn raw(text: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn decode<'a>(coding: &str, pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, Error> {
    let mut decoder = Decoder::new(Some(coding))?;
    let mut out = Vec::new();
    for piece in pieces {
        decoder.decode_all(piece, &mut out)?;
    }
    decoder.finish()?;
    Ok(out)
}

#[test]
fn every_coding_is_decoded_wherever_it_is_cut() {
    let full_header = GzBuilder::new()
        .filename("name")
        .comment("comment")
        .extra(vec![1, 2, 3])
        .write(Vec::new(), Compression::best());
    let mut full_header = full_header;
    full_header.write_all(TEXT).unwrap();
    let full_header = full_header.finish().unwrap();
    for (name, coding, data) in [
        ("identity", "identity", TEXT.to_vec()),
        ("gzip", "gzip", gzip(TEXT)),
        ("old name", "X-GZip", gzip(TEXT)),
        ("gzip with all header parts", "gzip", full_header),
        (
            "gzip, two members",
            "gzip",
            [gzip(&TEXT[..20]), gzip(&TEXT[20..])].concat(),
        ),
        (
            "gzip, an empty member",
            "gzip",
            [gzip(b""), gzip(TEXT)].concat(),
        ),
        ("gzip, padded", "gzip", [gzip(TEXT), vec![0; 3]].concat()),
        ("zlib", "deflate", zlib(TEXT)),
        ("raw deflate", "deflate", raw(TEXT)),
        ("with identity", "identity, gzip,", gzip(TEXT)),
    ] {
        assert_eq!(
            decode(coding, [&data[..]]).as_deref(),
            Ok(TEXT),
            "{name}, whole"
        );
        assert_eq!(
            decode(coding, data.chunks(1)).as_deref(),
            Ok(TEXT),
            "{name}, byte by byte"
        );
        for at in 0..=data.len() {
            let (a, b) = data.split_at(at);
            assert_eq!(
                decode(coding, [a, b]).as_deref(),
                Ok(TEXT),
                "{name}, cut at {at}"
            );
        }
    }
}

#[test]
fn a_header_with_a_checksum_is_read_past() {
    let mut data = gzip(TEXT);
    data[3] |= 2;
    data.splice(10..10, [0xab, 0xcd]);
    assert_eq!(decode("gzip", data.chunks(1)).as_deref(), Ok(TEXT));
}

#[test]
fn what_was_flushed_comes_out_at_once() {
    for coding in ["gzip", "deflate"] {
        let mut decoder = Decoder::new(Some(coding)).unwrap();
        let mut out = Vec::new();
        let mut gz = GzEncoder::new(Vec::new(), Compression::default());
        let mut zl = ZlibEncoder::new(Vec::new(), Compression::default());
        let mut sent = 0;
        for (number, event) in TEXT.split_inclusive(|&byte| byte == b'\n').enumerate() {
            let encoder: &mut dyn Write = if coding == "gzip" { &mut gz } else { &mut zl };
            encoder.write_all(event).unwrap();
            encoder.flush().unwrap();
            let wire = if coding == "gzip" {
                gz.get_ref()
            } else {
                zl.get_ref()
            };
            let before = out.len();
            decoder.decode_all(&wire[sent..], &mut out).unwrap();
            sent = wire.len();
            assert_eq!(&out[before..], event, "{coding}, line {number}");
        }
        assert_eq!(decoder.finish(), Err(Error::Truncated));
    }
}

#[test]
fn a_prefix_is_truncated_and_never_whole() {
    for (coding, data) in [
        ("gzip", gzip(TEXT)),
        ("deflate", zlib(TEXT)),
        ("deflate", raw(TEXT)),
    ] {
        assert_eq!(
            decode(coding, []),
            Ok(Vec::new()),
            "{coding}: no content is no error"
        );
        for len in 1..data.len() {
            assert_eq!(
                decode(coding, [&data[..len]]),
                Err(Error::Truncated),
                "{coding} {len}"
            );
        }
    }
}

#[test]
fn broken_data_is_refused() {
    let good = gzip(TEXT);
    let changed = |at: usize, byte: u8| {
        let mut data = good.clone();
        data[at] ^= byte;
        data
    };
    let end = good.len();
    for (name, coding, data, want) in [
        ("no gzip", "gzip", b"<html>".to_vec(), Error::GzipHeader),
        ("second byte", "gzip", changed(1, 1), Error::GzipHeader),
        ("method", "gzip", changed(2, 1), Error::GzipHeader),
        ("reserved flag", "gzip", changed(3, 0x80), Error::GzipHeader),
        ("block type", "gzip", changed(10, 0x04), Error::Corrupt),
        ("checksum", "gzip", changed(end - 8, 1), Error::Checksum),
        ("length", "gzip", changed(end - 1, 1), Error::Checksum),
        (
            "garbage",
            "gzip",
            [good.clone(), b"x".to_vec()].concat(),
            Error::Trailing,
        ),
        (
            "zlib behind",
            "deflate",
            [zlib(TEXT), b"x".to_vec()].concat(),
            Error::Trailing,
        ),
        (
            "no deflate",
            "deflate",
            b"\xff\xff\xff".to_vec(),
            Error::Corrupt,
        ),
    ] {
        assert_eq!(
            decode(coding, [&data[..]]),
            Err(want.clone()),
            "{name}, whole"
        );
        assert_eq!(
            decode(coding, data.chunks(1)),
            Err(want),
            "{name}, byte by byte"
        );
    }
    let mut zlib_checksum = zlib(TEXT);
    *zlib_checksum.last_mut().unwrap() ^= 1;
    assert_eq!(decode("deflate", [&zlib_checksum[..]]), Err(Error::Corrupt));
}

#[test]
fn an_endless_header_is_refused() {
    let header = [&[0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 0][..], &[b'a'; 200_000]].concat();
    assert_eq!(decode("gzip", [&header[..]]), Err(Error::GzipHeader));
}

#[test]
fn an_unknown_coding_is_named() {
    for coding in [
        "br",
        "zstd",
        "compress",
        "gzip, gzip",
        "deflate, gzip",
        "gzipped",
    ] {
        match Decoder::new(Some(coding)) {
            Err(Error::Unknown { coding: named }) => assert_eq!(&*named, coding),
            other => panic!("{coding}: {other:?}"),
        }
    }
    assert!(Decoder::new(Some("")).is_ok());
}

#[test]
fn a_call_gives_out_no_more_than_its_bound() {
    let zeros = vec![0; 10 * OUTPUT_BYTES_MAX];
    for (coding, data) in [
        ("gzip", gzip(&zeros)),
        ("gzip", [gzip(&zeros), gzip(&zeros)].concat()),
        ("deflate", zlib(&zeros)),
        ("identity", zeros.clone()),
    ] {
        let mut decoder = Decoder::new(Some(coding)).unwrap();
        let (mut rest, mut total) = (&data[..], 0);
        loop {
            let mut out = Vec::new();
            let progress = decoder.decode(rest, &mut out).unwrap();
            assert!(out.len() <= OUTPUT_BYTES_MAX, "{coding}: {}", out.len());
            total += out.len();
            rest = &rest[progress.consumed..];
            if !progress.more {
                break;
            }
        }
        assert_eq!(total % zeros.len(), 0, "{coding}");
        assert!(total > 0 && rest.is_empty());
        decoder.finish().unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn decoding_undoes_encoding_under_any_cuts(
        text in proptest::collection::vec(any::<u8>(), 0..5000),
        cut in 1_usize..700,
    ) {
        let (gzip, zlib, raw) = (gzip(&text), zlib(&text), raw(&text));
        prop_assert_eq!(decode("gzip", gzip.chunks(cut)), Ok(text.clone()));
        prop_assert_eq!(decode("deflate", zlib.chunks(cut)), Ok(text.clone()));
        prop_assert_eq!(decode("deflate", raw.chunks(cut)), Ok(text));
    }

    #[test]
    fn noise_never_loops_or_panics(noise in proptest::collection::vec(any::<u8>(), 0..300)) {
        for coding in ["gzip", "deflate"] {
            let whole = decode(coding, [&noise[..]]);
            prop_assert_eq!(decode(coding, noise.chunks(1)), whole);
        }
        let data = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0][..], &noise].concat();
        let whole = decode("gzip", [&data[..]]);
        prop_assert_eq!(decode("gzip", data.chunks(1)), whole);
    }
}

#[test]
fn all_before_the_damage_comes_out_wherever_it_is_cut() {
    let text = vec![b'a'; 6000];
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(&text).unwrap();
    gzip.flush().unwrap();
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    zlib.write_all(&text).unwrap();
    zlib.flush().unwrap();
    for (coding, flushed) in [("gzip", gzip.get_ref()), ("deflate", zlib.get_ref())] {
        // There is no block of type 3.
        let data = [flushed, &[0xff][..]].concat();
        for size in 1..=data.len() {
            let mut decoder = Decoder::new(Some(coding)).unwrap();
            let mut out = Vec::new();
            let fault = data
                .chunks(size)
                .find_map(|piece| decoder.decode_all(piece, &mut out).err());
            assert_eq!(fault, Some(Error::Corrupt), "{coding} in pieces of {size}");
            assert_eq!(out.len(), text.len(), "{coding} in pieces of {size}");
        }
    }
}
