//! AWS event streams: published messages, damaged ones, and whatever the encoder can write, whole
//! and cut everywhere.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lmserver_proto::aws_event_stream::{
    Decoder, Error, HEADERS_MAX, Malformed, Message, Value, write_message,
};
use proptest::prelude::*;

const LIMIT: usize = 1 << 16;

/// A message of its own.
#[derive(Clone, Debug, PartialEq)]
struct Said {
    headers: Vec<(String, Kind)>,
    payload: Vec<u8>,
}

/// A value of its own.
#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Bool(bool),
    Byte(i8),
    Short(i16),
    Integer(i32),
    Long(i64),
    Bytes(Vec<u8>),
    String(String),
    Timestamp(i64),
    Uuid([u8; 16]),
}

impl Kind {
    fn of(value: Value<'_>) -> Self {
        match value {
            Value::Bool(truth) => Self::Bool(truth),
            Value::Byte(number) => Self::Byte(number),
            Value::Short(number) => Self::Short(number),
            Value::Integer(number) => Self::Integer(number),
            Value::Long(number) => Self::Long(number),
            Value::Bytes(bytes) => Self::Bytes(bytes.into()),
            Value::String(text) => Self::String(text.into()),
            Value::Timestamp(number) => Self::Timestamp(number),
            Value::Uuid(bytes) => Self::Uuid(bytes),
        }
    }

    fn value(&self) -> Value<'_> {
        match self {
            Self::Bool(truth) => Value::Bool(*truth),
            Self::Byte(number) => Value::Byte(*number),
            Self::Short(number) => Value::Short(*number),
            Self::Integer(number) => Value::Integer(*number),
            Self::Long(number) => Value::Long(*number),
            Self::Bytes(bytes) => Value::Bytes(bytes),
            Self::String(text) => Value::String(text),
            Self::Timestamp(number) => Value::Timestamp(*number),
            Self::Uuid(bytes) => Value::Uuid(*bytes),
        }
    }
}

impl Said {
    fn of(message: Message<'_>) -> Self {
        let headers = message.headers();
        Self {
            headers: headers
                .map(|(name, value)| (name.into(), Kind::of(value)))
                .collect(),
            payload: message.payload.into(),
        }
    }

    fn new(headers: &[(&str, Kind)], payload: &[u8]) -> Self {
        Self {
            headers: headers
                .iter()
                .map(|(name, kind)| ((*name).into(), kind.clone()))
                .collect(),
            payload: payload.into(),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let headers = self.headers.iter();
        let headers: Vec<_> = headers
            .map(|(name, kind)| (name.as_str(), kind.value()))
            .collect();
        write_message(out, &headers, &self.payload).unwrap();
    }
}

type Outcome = (Vec<Said>, Result<(), Error>);

fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut decoder = Decoder::new(LIMIT);
    let mut seen = Vec::new();
    for mut piece in pieces {
        loop {
            match decoder.next_message(&mut piece) {
                Ok(Some(message)) => seen.push(Said::of(message)),
                Ok(None) => {
                    assert!(piece.is_empty(), "all is taken");
                    break;
                }
                Err(error) => {
                    assert_eq!(decoder.next_message(&mut &b"more"[..]).err(), Some(error));
                    assert_eq!(decoder.finish(), Err(error));
                    return (seen, Err(error));
                }
            }
        }
    }
    (seen, decoder.finish())
}

/// Whole, byte by byte, and cut in two at every place.
fn read_all_ways(stream: &[u8]) -> Outcome {
    let whole = read([stream]);
    assert_eq!(read(stream.chunks(1)), whole, "byte by byte");
    for cut in 0..=stream.len() {
        let (one, two) = stream.split_at(cut);
        assert_eq!(read([one, two]), whole, "cut at {cut}");
    }
    whole
}

fn text(text: &str) -> Kind {
    Kind::String(text.into())
}

/// The messages that Amazon's own readers are tested with.
fn published() -> Vec<(&'static [u8], Said)> {
    vec![
        (
            b"\x00\x00\x00\x10\x00\x00\x00\x00\x05\xc2\x48\xeb\x7d\x98\xc8\xff",
            Said::new(&[], b""),
        ),
        (
            b"\x00\x00\x00\x17\x00\x00\x00\x07\x29\x86\x01\x58\x04byte\x02\xff\xc2\xf8\x69\xdc",
            Said::new(&[("byte", Kind::Byte(-1))], b""),
        ),
        (
            b"\x00\x00\x00\x19\x00\x00\x00\x09\x71\x0e\x92\x3e\x05short\x03\xff\xff\
              \xb2\x7c\xb6\xcc",
            Said::new(&[("short", Kind::Short(-1))], b""),
        ),
        (
            b"\x00\x00\x00\x1d\x00\x00\x00\x0d\x83\xe3\xf0\xe7\x07integer\x04\xff\xff\xff\xff\
              \x8b\x8e\x12\xeb",
            Said::new(&[("integer", Kind::Integer(-1))], b""),
        ),
        (
            b"\x00\x00\x00\x1e\x00\x00\x00\x0e\x5d\x4a\xdb\x8d\x04long\x05\xff\xff\xff\xff\xff\
              \xff\xff\xff\x4b\xc2\x32\xda",
            Said::new(&[("long", Kind::Long(-1))], b""),
        ),
        (
            b"\x00\x00\x00\x1d\x00\x00\x00\x00\xfd\x52\x8c\x5a{'foo':'bar'}\xc3\x65\x39\x36",
            Said::new(&[], b"{'foo':'bar'}"),
        ),
        (
            b"\x00\x00\x00\x3d\x00\x00\x00\x20\x07\xfd\x83\x96\x0ccontent-type\x07\x00\x10\
              application/json{'foo':'bar'}\x8d\x9c\x08\xb1",
            Said::new(
                &[("content-type", text("application/json"))],
                b"{'foo':'bar'}",
            ),
        ),
        (
            b"\x00\x00\x00\x2b\x00\x00\x00\x0e\x34\x8b\xec\x7b\x08event-id\x04\x00\x00\xa0\x0c\
              {'foo':'bar'}\xd3\x89\x02\x85",
            Said::new(&[("event-id", Kind::Integer(0xa00c))], b"{'foo':'bar'}"),
        ),
        (
            b"\x00\x00\x00\x62\x00\x00\x00\x52\x03\xb5\xcb\x9c\
              \x010\x00\x011\x01\x012\x02\x02\x013\x03\x00\x03\x014\x04\x00\x00\x00\x04\
              \x015\x05\x00\x00\x00\x00\x00\x00\x00\x05\x016\x06\x00\x05bytes\
              \x017\x07\x00\x04utf8\x018\x08\x00\x00\x00\x00\x00\x00\x00\x08\
              \x019\x090123456789abcdef\x63\x35\x36\x71",
            Said::new(
                &[
                    ("0", Kind::Bool(true)),
                    ("1", Kind::Bool(false)),
                    ("2", Kind::Byte(2)),
                    ("3", Kind::Short(3)),
                    ("4", Kind::Integer(4)),
                    ("5", Kind::Long(5)),
                    ("6", Kind::Bytes(b"bytes".into())),
                    ("7", text("utf8")),
                    ("8", Kind::Timestamp(8)),
                    ("9", Kind::Uuid(*b"0123456789abcdef")),
                ],
                b"",
            ),
        ),
        (
            b"\x00\x00\x00\x52\x00\x00\x00\x42\xbf\x23\x63\x7e\x0d:message-type\x07\x00\x05error\
              \x0b:error-code\x07\x00\x04code\x0e:error-message\x07\x00\x07message\
              \x6b\x6c\xea\x3d",
            Said::new(
                &[
                    (":message-type", text("error")),
                    (":error-code", text("code")),
                    (":error-message", text("message")),
                ],
                b"",
            ),
        ),
    ]
}

#[test]
fn published_messages_are_read_and_written() {
    let mut all = Vec::new();
    for (wire, want) in published() {
        assert_eq!(read_all_ways(wire), (vec![want.clone()], Ok(())));
        let mut out = Vec::new();
        want.write(&mut out);
        assert_eq!(out, wire, "{want:?}");
        all.extend_from_slice(wire);
    }
    let (seen, end) = read_all_ways(&all);
    assert_eq!(end, Ok(()));
    assert!(
        seen.into_iter()
            .eq(published().into_iter().map(|(_, said)| said))
    );
}

#[test]
fn a_header_is_found_by_its_name() {
    let mut stream = Vec::new();
    let headers = [
        ("a", Value::Byte(1)),
        (":event-type", Value::String("first")),
        (":event-type", Value::String("second")),
    ];
    write_message(&mut stream, &headers, b"x").unwrap();
    let mut decoder = Decoder::new(LIMIT);
    let mut input = stream.as_slice();
    let message = decoder.next_message(&mut input).unwrap().unwrap();
    assert_eq!(message.text(":event-type"), Some("first"));
    assert_eq!(message.header("a"), Some(Value::Byte(1)));
    assert_eq!((message.text("a"), message.header("b")), (None, None));
    assert_eq!(message.payload, b"x");
}

/// The published damages, and one flipped bit anywhere.
#[test]
fn a_damaged_message_is_never_believed() {
    for wire in [
        // Lengths of headers and message that are not those of the checksum.
        &b"\x00\x00\x00=\xff\x00\x01\x02\x07\xfd\x83\x96"[..],
        b"\x01\x00\x00\x1d\x00\x00\x00\x00\xfd\x52\x8c\x5a",
    ] {
        let (seen, end) = read_all_ways(wire);
        assert!(matches!(end, Err(Error::PreludeChecksum { .. })), "{end:?}");
        assert!(seen.is_empty());
    }
    let (before, _) = &published()[5];
    let (wire, want) = &published()[6];
    for bit in 0..wire.len() * 8 {
        let mut damaged = [*before, wire].concat();
        damaged[before.len() + bit / 8] ^= 1 << (bit % 8);
        let (seen, end) = read([damaged.as_slice()]);
        assert_eq!(seen.len(), 1, "what came before it counts");
        let in_prelude = bit / 8 < 12;
        match end {
            Err(Error::PreludeChecksum { .. }) => assert!(in_prelude, "bit {bit}"),
            Err(Error::MessageChecksum { .. }) => assert!(!in_prelude, "bit {bit}"),
            other => panic!("bit {bit}: {other:?} of {want:?}"),
        }
    }
}

/// A message of these lengths and contents whose checksums are right.
fn sealed(total: u32, headers: u32, content: &[u8]) -> Vec<u8> {
    let mut out = [total.to_be_bytes(), headers.to_be_bytes()].concat();
    out.extend(crc(&out).to_be_bytes());
    out.extend_from_slice(content);
    out.extend(crc(&out).to_be_bytes());
    out
}

/// CRC-32/ISO-HDLC, bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    let step = |register: u32, _| (register >> 1) ^ (0xedb8_8320 * (register & 1));
    !bytes.iter().fold(u32::MAX, |register, byte| {
        (0..8).fold(register ^ u32::from(*byte), step)
    })
}

#[test]
fn lengths_are_bounded_before_anything_is_kept() {
    let limit = u32::try_from(LIMIT).unwrap();
    let headers_max = u32::try_from(HEADERS_MAX).unwrap();
    for (name, wire, want) in [
        (
            "longer than the limit",
            sealed(limit + 1, 0, b""),
            Error::MessageTooLong {
                len: limit + 1,
                limit: LIMIT,
            },
        ),
        (
            "as long as can be",
            sealed(u32::MAX, u32::MAX, b""),
            Error::MessageTooLong {
                len: u32::MAX,
                limit: LIMIT,
            },
        ),
        (
            "too many headers",
            sealed(limit, headers_max + 1, b""),
            Error::HeadersTooLong {
                len: headers_max + 1,
            },
        ),
        (
            "shorter than its own frame",
            sealed(15, 0, b""),
            Error::Lengths {
                len: 15,
                headers: 0,
            },
        ),
        (
            "no length",
            sealed(0, 0, b""),
            Error::Lengths { len: 0, headers: 0 },
        ),
        (
            "shorter than its headers",
            sealed(18, 3, b"\x01a\x00"),
            Error::Lengths {
                len: 18,
                headers: 3,
            },
        ),
        (
            "headers of another kind",
            sealed(20, 4, b"\x01a\x0b\x00"),
            Error::Headers(Malformed::Type(11)),
        ),
        (
            "a header that reaches into the payload",
            sealed(21, 3, b"\x01a\x02\x05x"),
            Error::Headers(Malformed::CutOff),
        ),
    ] {
        assert_eq!(read_all_ways(&wire), (Vec::new(), Err(want)), "{name}");
    }
}

#[test]
fn an_end_inside_a_message_is_told_from_one_between_two() {
    let (wire, _) = &published()[6];
    for cut in 0..wire.len() {
        let want = match cut {
            0 => Ok(()),
            1..12 => Err(Error::Truncated { missing: 12 - cut }),
            cut => Err(Error::Truncated {
                missing: wire.len() - cut,
            }),
        };
        assert_eq!(read([&wire[..cut]]).1, want, "after {cut} bytes");
    }
}

fn said() -> impl Strategy<Value = Said> {
    let kind = prop_oneof![
        any::<bool>().prop_map(Kind::Bool),
        any::<i8>().prop_map(Kind::Byte),
        any::<i16>().prop_map(Kind::Short),
        any::<i32>().prop_map(Kind::Integer),
        any::<i64>().prop_map(Kind::Long),
        proptest::collection::vec(any::<u8>(), 0..20).prop_map(Kind::Bytes),
        "[ -~\u{e9}\u{1F600}]{0,10}".prop_map(Kind::String),
        any::<i64>().prop_map(Kind::Timestamp),
        any::<[u8; 16]>().prop_map(Kind::Uuid),
    ];
    let headers = proptest::collection::vec(("[:a-z\u{e9}-]{1,12}", kind), 0..5);
    let payload = proptest::collection::vec(any::<u8>(), 0..200);
    (headers, payload).prop_map(|(headers, payload)| Said { headers, payload })
}

proptest! {
    #[test]
    fn what_is_written_is_read_however_it_is_cut(
        all in proptest::collection::vec(said(), 0..6),
        len in 1..90_usize,
    ) {
        let mut stream = Vec::new();
        all.iter().for_each(|said| said.write(&mut stream));
        prop_assert_eq!(read(stream.chunks(len)), (all.clone(), Ok(())));
        prop_assert_eq!(read([stream.as_slice()]), (all, Ok(())));
    }

    #[test]
    fn any_bytes_are_read_the_same_however_they_are_cut(
        bytes in proptest::collection::vec(any::<u8>(), 0..60),
        len in 1..20_usize,
    ) {
        prop_assert_eq!(read(bytes.chunks(len)), read([bytes.as_slice()]));
    }
}
