//! What the peer may say and what it may not, in the order of the case families of the Autobahn
//! test suite: 1 framing, 2 ping and pong, 3 reserved bits, 4 opcodes, 5 fragmentation, 6 UTF-8,
//! 7 closing, 9 limits, 10 pieces. (There is no family 8.)
//!
//! Every case is read by both roles: whole, byte by byte and cut at every position.

use lmserver_proto::ws::frame::{self, Opcode};
use lmserver_proto::ws::{Connection, Error, Event, Limits, Role};

const CONTINUATION: u8 = 0x00;
const TEXT: u8 = 0x01;
const BINARY: u8 = 0x02;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
const FIN: u8 = 0x80;

/// First byte and payload of each frame.
type Frames<'a> = &'a [(u8, &'a [u8])];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Saw {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    Refused(Error),
}

fn text(text: &str) -> Saw {
    Saw::Text(text.to_owned())
}

fn binary(data: &[u8]) -> Saw {
    Saw::Binary(data.to_vec())
}

fn ping(data: &[u8]) -> Saw {
    Saw::Ping(data.to_vec())
}

fn pong(data: &[u8]) -> Saw {
    Saw::Pong(data.to_vec())
}

fn close(code: u16, reason: &str) -> Saw {
    Saw::Close(Some(code), reason.to_owned())
}

/// Writes frames without the checks of the product's own writer; masked if a server shall read.
fn wire(frames: Frames<'_>, reader: Role) -> Vec<u8> {
    let mut out = Vec::new();
    for (first, payload) in frames {
        let mask = (reader == Role::Server).then_some([0x37, 0xfa, 0x21, 0x3d]);
        let start = out.len();
        frame::write_frame(&mut out, Opcode::Binary, true, payload, mask);
        out[start] = *first;
    }
    out
}

fn drain(connection: &mut Connection, limits: &Limits, saw: &mut Vec<Saw>) {
    loop {
        saw.push(match connection.next_event(limits) {
            Ok(None) => return,
            Ok(Some(Event::Text(text))) => Saw::Text(text.into_owned()),
            Ok(Some(Event::Binary(data))) => Saw::Binary(data.into_owned()),
            Ok(Some(Event::Ping(data))) => Saw::Ping(data.to_vec()),
            Ok(Some(Event::Pong(data))) => Saw::Pong(data.to_vec()),
            Ok(Some(Event::Close { code, reason })) => Saw::Close(code, reason.to_owned()),
            Err(error) => Saw::Refused(error),
        });
    }
}

fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, role: Role, limits: &Limits) -> Vec<Saw> {
    let mut connection = Connection::new(role);
    let mut saw = Vec::new();
    for piece in pieces {
        connection.feed(piece);
        drain(&mut connection, limits, &mut saw);
    }
    saw
}

/// Reads `bytes` in every way that they can come.
fn check_bytes(name: &str, bytes: &[u8], role: Role, limits: &Limits, want: &[Saw]) {
    assert_eq!(read([bytes], role, limits), want, "{name}: whole, {role:?}");
    assert_eq!(
        read(bytes.chunks(1), role, limits),
        want,
        "{name}: byte by byte, {role:?}"
    );
    for cut in 0..=bytes.len() {
        let (first, second) = bytes.split_at(cut);
        assert_eq!(
            read([first, second], role, limits),
            want,
            "{name}: cut at {cut}, {role:?}"
        );
    }
}

fn check(name: &str, frames: Frames<'_>, want: &[Saw]) {
    for role in [Role::Server, Role::Client] {
        check_bytes(name, &wire(frames, role), role, &Limits::default(), want);
    }
}

#[test]
fn family_1_framing_of_text_and_binary() {
    for len in [0, 1, 125, 126, 127, 128, 300] {
        let payload = vec![b'*'; len];
        let string = "*".repeat(len);
        check(
            &format!("1.1 {len}"),
            &[(FIN | TEXT, &payload)],
            &[text(&string)],
        );
        check(
            &format!("1.2 {len}"),
            &[(FIN | BINARY, &payload)],
            &[binary(&payload)],
        );
    }
    for len in [65_535, 65_536] {
        let payload = vec![b'*'; len];
        let string = "*".repeat(len);
        for (first, want) in [
            (FIN | TEXT, text(&string)),
            (FIN | BINARY, binary(&payload)),
        ] {
            for role in [Role::Server, Role::Client] {
                let bytes = wire(&[(first, &payload)], role);
                for piece in [1, 997, bytes.len()] {
                    let saw = read(bytes.chunks(piece), role, &Limits::default());
                    assert!(saw == [want.clone()], "1.x {len} in pieces of {piece}");
                }
            }
        }
    }
}

#[test]
fn family_2_pings_and_pongs() {
    let octets = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff";
    let longest = [0xfe; 125];
    check("2.1", &[(PING, b"")], &[ping(b"")]);
    check(
        "2.2",
        &[(PING, b"Hello, world!")],
        &[ping(b"Hello, world!")],
    );
    check("2.3", &[(PING, octets)], &[ping(octets)]);
    check("2.4", &[(PING, &longest)], &[ping(&longest)]);
    let too_long = [0xfe; 126];
    check(
        "2.5",
        &[(PING, &too_long)],
        &[Saw::Refused(Error::ControlTooLong)],
    );
    check("2.7", &[(PONG, b"")], &[pong(b"")]);
    check("2.8", &[(PONG, b"unsolicited")], &[pong(b"unsolicited")]);
    check(
        "2.9",
        &[(PONG, b"u"), (PING, b"p")],
        &[pong(b"u"), ping(b"p")],
    );
    let frames: Vec<(u8, Vec<u8>)> = (0..10).map(|i| (PING, vec![b'a' + i])).collect();
    let frames: Vec<(u8, &[u8])> = frames.iter().map(|(f, p)| (*f, p.as_slice())).collect();
    let want: Vec<Saw> = (0..10).map(|i| ping(&[b'a' + i])).collect();
    check("2.10", &frames, &want);
}

#[test]
fn family_3_reserved_bits_end_the_connection_wherever_they_stand() {
    for rsv in 1..=7_u8 {
        for opcode in [TEXT, BINARY, CLOSE, PING, PONG] {
            let first = FIN | (rsv << 4) | opcode;
            let refused = Saw::Refused(Error::ReservedBits(first));
            check("3 alone", &[(first, b"x")], std::slice::from_ref(&refused));
            check(
                "3 after a message, before a ping",
                &[(FIN | TEXT, b"Hello"), (first, b"x"), (PING, b"")],
                &[text("Hello"), refused],
            );
        }
    }
}

#[test]
fn family_4_reserved_opcodes() {
    for opcode in (3..=7).chain(11..=15) {
        let refused = Saw::Refused(Error::ReservedOpcode(opcode));
        for payload in [&b""[..], b"reserved opcode payload"] {
            let first = FIN | opcode;
            check(
                "4 alone",
                &[(first, payload)],
                std::slice::from_ref(&refused),
            );
            check(
                "4 after a message, before a ping",
                &[(FIN | TEXT, b"Hello"), (first, payload), (PING, b"")],
                &[text("Hello"), refused.clone()],
            );
        }
    }
}

#[test]
fn family_5_fragments_with_control_frames_between_them() {
    let end = FIN | CONTINUATION;
    let both = "fragment1fragment2";
    for (name, frames, want) in [
        (
            "5.1",
            &[(0x09, &b"fra"[..]), (end, b"gment")][..],
            vec![Saw::Refused(Error::ControlFragmented)],
        ),
        (
            "5.2",
            &[(0x0a, b"fra"), (end, b"gment")],
            vec![Saw::Refused(Error::ControlFragmented)],
        ),
        (
            "5.3",
            &[(TEXT, b"fragment1"), (end, b"fragment2")],
            vec![text(both)],
        ),
        (
            "5.6",
            &[(TEXT, b"fragment1"), (PING, b"ping"), (end, b"fragment2")],
            vec![ping(b"ping"), text(both)],
        ),
        (
            "5.9",
            &[(CONTINUATION, b"non"), (FIN | TEXT, b"Hi")],
            vec![Saw::Refused(Error::NothingToContinue)],
        ),
        (
            "5.10",
            &[(end, b"non"), (FIN | TEXT, b"Hi")],
            vec![Saw::Refused(Error::NothingToContinue)],
        ),
        (
            "5.15",
            &[
                (TEXT, b"1"),
                (end, b"2"),
                (CONTINUATION, b"3"),
                (FIN | TEXT, b"4"),
            ],
            vec![text("12"), Saw::Refused(Error::NothingToContinue)],
        ),
        (
            "5.18",
            &[(TEXT, b"fragment1"), (FIN | TEXT, b"fragment2")],
            vec![Saw::Refused(Error::MessageUnfinished)],
        ),
        (
            "5.18 binary",
            &[(BINARY, b"fragment1"), (BINARY, b"fragment2")],
            vec![Saw::Refused(Error::MessageUnfinished)],
        ),
        (
            "5.19",
            &[
                (TEXT, b"f1"),
                (CONTINUATION, b"f2"),
                (PING, b"p1"),
                (CONTINUATION, b"f3"),
                (CONTINUATION, b"f4"),
                (PING, b"p2"),
                (end, b"f5"),
            ],
            vec![ping(b"p1"), ping(b"p2"), text("f1f2f3f4f5")],
        ),
        (
            "empty fragments",
            &[(BINARY, b""), (CONTINUATION, b""), (PONG, b"x"), (end, b"")],
            vec![pong(b"x"), binary(b"")],
        ),
        (
            "close between fragments",
            &[(TEXT, b"f1"), (CLOSE, b"\x03\xe8"), (end, b"f2")],
            vec![close(1000, "")],
        ),
        (
            "two messages in fragments",
            &[(TEXT, b"a"), (end, b"b"), (BINARY, b"c"), (end, b"d")],
            vec![text("ab"), binary(b"cd")],
        ),
    ] {
        check(name, frames, &want);
    }
}

/// Valid texts of the families 6.2, 6.5 to 6.7, 6.9, 6.11, 6.13, 6.17 to 6.19, 6.22, 6.23.
const VALID: &[&str] = &[
    "",
    "Hello-µ@ßöäüàá-UTF-8!!",
    "\u{3ba}\u{1f79}\u{3c3}\u{3bc}\u{3b5}",
    "\0",
    "\u{7f}",
    "\u{80}",
    "\u{7ff}",
    "\u{800}",
    "\u{d7ff}",
    "\u{e000}",
    "\u{fffd}",
    "\u{fffe}",
    "\u{ffff}",
    "\u{10000}",
    "\u{1fffe}\u{2ffff}\u{10fffe}",
    "\u{10ffff}",
];

/// Invalid texts of family 6, and where in them hope ends.
const INVALID: &[(&[u8], usize)] = &[
    (
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
        12,
    ),
    (b"\x80", 0),
    (b"\xbf\x80\xbf", 0),
    (b"\xc0 \xc1 ", 0),
    (b"\xe0 \xe1 ", 1),
    (b"\xf0 \xf1 ", 1),
    (b"\xf8\x88\x80\x80\x80", 0),
    (b"\xfc\x84\x80\x80\x80\x80", 0),
    (b"\xf7\xbf\xbf\xbf", 0),
    (b"\xf4\x8f\xbf\xbf\xf4\x90\x80\x80", 5),
    (b"\xfe\xfe\xff\xff", 0),
    (b"\xc0\xaf", 0),
    (b"\xe0\x80\xaf", 1),
    (b"\xf0\x80\x80\xaf", 1),
    (b"\xc1\xbf", 0),
    (b"\xe0\x9f\xbf", 1),
    (b"\xf0\x8f\xbf\xbf", 1),
    (b"\xc0\x80", 0),
    (b"\xed\xa0\x80", 1),
    (b"\xed\xad\xbf\xed\xb0\x80", 1),
    (b"\xed\xaf\xbf\xed\xbf\xbf", 1),
    (b"\xe2\x82\xe2\x82\xac", 2),
];

#[test]
fn family_6_valid_text_in_one_frame_and_in_fragments() {
    for want in VALID {
        let bytes = want.as_bytes();
        check(want, &[(FIN | TEXT, bytes)], &[text(want)]);
        for cut in 0..=bytes.len() {
            let (first, second) = bytes.split_at(cut);
            let frames: Frames<'_> = &[
                (TEXT, first),
                (PING, b""),
                (CONTINUATION, b""),
                (FIN, second),
            ];
            check(want, frames, &[ping(b""), text(want)]);
        }
    }
}

#[test]
fn family_6_invalid_text_in_one_frame_and_in_fragments() {
    let refused = [Saw::Refused(Error::InvalidUtf8)];
    for (bytes, _) in INVALID {
        check("6", &[(FIN | TEXT, bytes), (PING, b"")], &refused);
        for cut in 0..=bytes.len() {
            let (first, second) = bytes.split_at(cut);
            check("6", &[(TEXT, first), (FIN, second), (PING, b"")], &refused);
        }
        check("6 as binary", &[(FIN | BINARY, bytes)], &[binary(bytes)]);
    }
    for cut_short in [&b"\xce"[..], b"\xe1\xbd", b"\xf0\x9f\x98"] {
        check("6.6", &[(FIN | TEXT, cut_short)], &refused);
        check("6.6", &[(TEXT, cut_short), (FIN, b"")], &refused);
        check("6.6", &[(TEXT, b""), (FIN, cut_short)], &refused);
    }
}

#[test]
fn family_6_4_bad_text_fails_at_the_first_bad_byte_in_mid_frame() {
    for (bad, hopeful) in INVALID {
        // The frame goes on for a while after the bad bytes, so it cannot be whole.
        let payload = [b"some text ", *bad, &[b'.'; 40]].concat();
        let bytes = wire(&[(FIN | TEXT, &payload)], Role::Server);
        let bad_byte = 6 + "some text ".len() + hopeful;
        let mut connection = Connection::new(Role::Server);
        connection.feed(&bytes[..bad_byte]);
        assert_eq!(
            connection.next_event(&Limits::default()),
            Ok(None),
            "{bad:x?}"
        );
        connection.feed(&bytes[bad_byte..=bad_byte]);
        assert_eq!(
            connection.next_event(&Limits::default()),
            Err(Error::InvalidUtf8),
            "{bad:x?}"
        );
    }
}

#[test]
fn family_7_closing() {
    check(
        "7.1.1",
        &[(FIN | TEXT, b"Hi"), (CLOSE, b"\x03\xe8")],
        &[text("Hi"), close(1000, "")],
    );
    check(
        "7.1.2",
        &[(CLOSE, b""), (CLOSE, b"")],
        &[Saw::Close(None, String::new())],
    );
    check(
        "7.1.3",
        &[(CLOSE, b""), (PING, b"late")],
        &[Saw::Close(None, String::new())],
    );
    check(
        "7.1.4",
        &[(CLOSE, b""), (FIN | TEXT, b"late")],
        &[Saw::Close(None, String::new())],
    );
    check(
        "7.3.2",
        &[(CLOSE, b"a")],
        &[Saw::Refused(Error::CloseTruncated)],
    );
    check(
        "7.3.4",
        &[(CLOSE, b"\x03\xe8Hello World!")],
        &[close(1000, "Hello World!")],
    );
    let longest = [b"\x03\xe8", &[b'*'; 123][..]].concat();
    check(
        "7.3.5",
        &[(CLOSE, &longest)],
        &[close(1000, &"*".repeat(123))],
    );
    let too_long = [b"\x03\xe8", &[b'*'; 124][..]].concat();
    check(
        "7.3.6",
        &[(CLOSE, &too_long)],
        &[Saw::Refused(Error::ControlTooLong)],
    );
    let bad = b"\x03\xe8\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited";
    check(
        "7.5.1",
        &[(CLOSE, bad)],
        &[Saw::Refused(Error::InvalidUtf8)],
    );
    let good = [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000,
        4999,
    ];
    for code in good {
        check(
            "7.7",
            &[(CLOSE, &u16::to_be_bytes(code))],
            &[close(code, "")],
        );
    }
    for code in [
        0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535,
    ] {
        let refused = [Saw::Refused(Error::CloseCode(code))];
        check("7.9, 7.13", &[(CLOSE, &code.to_be_bytes())], &refused);
        check(
            "7.9 with a reason",
            &[(CLOSE, &[&code.to_be_bytes()[..], b"x"].concat())],
            &refused,
        );
    }
}

#[test]
fn every_error_names_the_code_to_close_with() {
    for (error, code) in [
        (Error::ReservedBits(0xf1), 1002),
        (Error::ReservedOpcode(3), 1002),
        (Error::NotMasked, 1002),
        (Error::Masked, 1002),
        (Error::LengthNotMinimal(3), 1002),
        (Error::LengthTopBit, 1002),
        (Error::ControlTooLong, 1002),
        (Error::ControlFragmented, 1002),
        (Error::NothingToContinue, 1002),
        (Error::MessageUnfinished, 1002),
        (Error::CloseTruncated, 1002),
        (Error::CloseCode(999), 1002),
        (Error::InvalidUtf8, 1007),
        (Error::MessageTooLong { limit: 1 }, 1009),
        (Error::TooManyFragments { limit: 1 }, 1009),
    ] {
        assert_eq!(error.close_code(), code, "{error}");
    }
}

#[test]
fn headers_that_no_honest_peer_writes_are_refused() {
    let key = [0x80 | 5, 1, 2, 3, 4];
    let limits = Limits::default();
    for (name, bytes, role, want) in [
        (
            "unmasked to a server",
            &b"\x81\x05Hello"[..],
            Role::Server,
            Error::NotMasked,
        ),
        (
            "unmasked ping to a server",
            b"\x89\x00",
            Role::Server,
            Error::NotMasked,
        ),
        (
            "masked to a client",
            &[&[0x81][..], &key, b"Hello"].concat(),
            Role::Client,
            Error::Masked,
        ),
        (
            "125 in 16 bits",
            b"\x82\x7e\x00\x7d",
            Role::Client,
            Error::LengthNotMinimal(125),
        ),
        (
            "1 in 64 bits",
            b"\x82\x7f\0\0\0\0\0\0\0\x01",
            Role::Client,
            Error::LengthNotMinimal(1),
        ),
        (
            "65535 in 64 bits",
            b"\x82\x7f\0\0\0\0\0\0\xff\xff",
            Role::Client,
            Error::LengthNotMinimal(65_535),
        ),
        (
            "a 64-bit length with the top bit",
            b"\x82\xff\x80\0\0\0\0\0\0\0",
            Role::Server,
            Error::LengthTopBit,
        ),
    ] {
        check_bytes(name, bytes, role, &limits, &[Saw::Refused(want)]);
    }
}

#[test]
fn family_9_limits_are_checked_by_announced_and_by_summed_length() {
    let limits = Limits {
        message_len: 10,
        fragments: 3,
    };
    let too_long = Saw::Refused(Error::MessageTooLong { limit: 10 });
    let too_many = Saw::Refused(Error::TooManyFragments { limit: 3 });
    for (name, frames, want) in [
        (
            "as long as may be",
            &[(FIN | TEXT, &b"0123456789"[..])][..],
            text("0123456789"),
        ),
        (
            "one byte more",
            &[(FIN | TEXT, b"0123456789a")],
            too_long.clone(),
        ),
        (
            "fragments as long as may be",
            &[(BINARY, b"01234"), (FIN, b"56789")],
            binary(b"0123456789"),
        ),
        (
            "fragments, one byte more",
            &[(BINARY, b"01234"), (FIN, b"56789a")],
            too_long.clone(),
        ),
        (
            "as many as may be",
            &[(TEXT, b""), (0, b""), (FIN, b"x")],
            text("x"),
        ),
        (
            "one fragment more",
            &[(TEXT, b""), (0, b""), (0, b""), (FIN, b"")],
            too_many,
        ),
    ] {
        for role in [Role::Server, Role::Client] {
            check_bytes(
                name,
                &wire(frames, role),
                role,
                &limits,
                std::slice::from_ref(&want),
            );
        }
    }
    // The header alone is enough to refuse.
    let announced = b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff";
    check_bytes("2^63 - 1", announced, Role::Client, &limits, &[too_long]);
}

#[test]
fn family_9_sixteen_mebibytes_whole_and_in_65536_fragments() {
    let limits = Limits::default();
    let payload = vec![b'x'; 16 << 20];
    let whole = wire(&[(FIN | BINARY, &payload)], Role::Server);
    let fragments: Vec<(u8, &[u8])> = payload
        .chunks(256)
        .enumerate()
        .map(|(index, part)| {
            let first = if index == 0 { TEXT } else { CONTINUATION };
            (if index == 65_535 { FIN | first } else { first }, part)
        })
        .collect();
    assert_eq!(fragments.len(), 65_536);
    let fragmented = wire(&fragments, Role::Server);
    for piece in [1000, 16_384, usize::MAX] {
        let saw = read(whole.chunks(piece), Role::Server, &limits);
        assert!(
            matches!(&saw[..], [Saw::Binary(data)] if *data == payload),
            "pieces of {piece}"
        );
        let saw = read(fragmented.chunks(piece), Role::Server, &limits);
        assert!(
            matches!(&saw[..], [Saw::Text(text)] if text.as_bytes() == payload),
            "fragments in pieces of {piece}"
        );
    }
}

#[test]
fn a_connection_that_failed_or_closed_stays_deaf() {
    for first in [&b"\x88\x00"[..], b"\xff", b"\x81\x01\xff", b"\x88\x01x"] {
        let mut connection = Connection::new(Role::Client);
        connection.feed(first);
        let _ = connection.next_event(&Limits::default());
        assert!(connection.is_deaf());
        connection.feed(b"\x81\x02Hi");
        assert_eq!(connection.next_event(&Limits::default()), Ok(None));
        assert!(connection.is_between_messages());
    }
}
