//! The client's side: answers of all kinds, cut anywhere, and those that never become whole.

use lmserver_proto::http1::client::{Exchange, ResponseEvent, write_request};
use lmserver_proto::http1::content_coding::Decoder;
use lmserver_proto::http1::server::{Connection, Event};
use lmserver_proto::http1::{
    CHUNK_EXTENSION_BYTES_MAX, Error, LAST_CHUNK, Limits, Method, TRAILER_BYTES_MAX, Version,
    write_chunk,
};
use proptest::prelude::*;

/// What came of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Got {
    status: u16,
    version: Option<Version>,
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    /// Whether the connection is reusable, or the fault.
    end: Option<Result<bool, Error>>,
    leftover: Vec<u8>,
}

/// Feeds the pieces; then, if asked to, the connection ends.
fn exchange<'a>(
    mut exchange: Exchange,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    then_closed: bool,
) -> Got {
    let limits = Limits::default();
    let mut got = Got::default();
    for piece in pieces {
        exchange.feed(piece);
        loop {
            match exchange.next_event(&limits) {
                Ok(None) => break,
                Ok(Some(event)) => got.take(event),
                Err(error) => {
                    got.end = Some(Err(error));
                    return got;
                }
            }
        }
    }
    if then_closed {
        match exchange.closed() {
            Ok(Some(event)) => got.take(event),
            Ok(None) => {}
            Err(error) => got.end = Some(Err(error)),
        }
    }
    got.leftover = exchange.take_leftover();
    got
}

impl Got {
    fn take(&mut self, event: ResponseEvent<'_>) {
        assert_eq!(self.end, None, "nothing comes behind the end");
        match event {
            ResponseEvent::Head(head) => {
                assert_eq!(self.status, 0, "one head");
                self.status = head.status;
                self.version = Some(head.version);
                self.fields = head
                    .fields
                    .iter()
                    .map(|(n, v)| (n.to_owned(), v.to_vec()))
                    .collect();
            }
            ResponseEvent::Body(data) => {
                assert!(!data.is_empty(), "a piece of content has bytes");
                self.body.extend_from_slice(data);
            }
            ResponseEvent::End { reusable } => self.end = Some(Ok(reusable)),
        }
    }
}

fn cut_everywhere(method: &Method, input: &[u8], then_closed: bool) -> Got {
    let new = || Exchange::new(method);
    let whole = exchange(new(), [input], then_closed);
    let bytes = exchange(new(), input.chunks(1), then_closed);
    assert_eq!(bytes, whole, "byte by byte: {}", input.escape_ascii());
    for at in 1..input.len() {
        let (a, b) = input.split_at(at);
        let got = exchange(new(), [a, b], then_closed);
        assert_eq!(got, whole, "cut at {at}: {}", input.escape_ascii());
    }
    whole
}

#[test]
fn whole_answers_are_read_wherever_they_are_cut() {
    let get = Method::Get;
    for (name, method, input, closed, status, body, reusable) in [
        ("length", &get, &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"[..], false, 200, &b"hello"[..], true),
        ("empty", &get, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, 200, b"", true),
        ("no reason", &get, b"HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n", false, 404, b"", true),
        ("empty reason", &get, b"HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n", false, 404, b"", true),
        ("odd reason", &get, b"HTTP/1.1 599 \xe9t\xe9  x\r\nContent-Length: 0\r\n\r\n", false, 599, b"", true),
        ("no fields", &get, b"HTTP/1.1 200 OK\r\n\r\nhello", true, 200, b"hello", false),
        ("until close", &get, b"HTTP/1.0 200 OK\r\n\r\nhello", true, 200, b"hello", false),
        ("until close, empty", &get, b"HTTP/1.0 200 OK\r\n\r\n", true, 200, b"", false),
        ("identity", &get, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nhello", true, 200, b"hello", false),
        (
            "chunked", &get,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;a=\"b\"\r\nllo\r\n0\r\n\r\n",
            false, 200, b"hello", true,
        ),
        (
            "trailers", &get,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\n",
            false, 200, b"hello", true,
        ),
        (
            "both lengths", &get,
            b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            false, 200, b"hello", false,
        ),
        (
            "equal lengths", &get,
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5, 5\r\n\r\nhello",
            false, 200, b"hello", true,
        ),
        (
            "chunks of HTTP/1.0", &get,
            b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            false, 200, b"hello", false,
        ),
        ("HTTP/1.0", &get, b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", false, 200, b"hi", false),
        (
            "HTTP/1.0 that persists", &get,
            b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nhi",
            false, 200, b"hi", true,
        ),
        ("close", &get, b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi", false, 200, b"hi", false),
        ("204", &get, b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", false, 204, b"", true),
        ("304", &get, b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", false, 304, b"", true),
        ("HEAD", &Method::Head, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false, 200, b"", true),
        ("refused CONNECT", &Method::Connect, b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno", false, 403, b"no", true),
        (
            "interim answers", &get,
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 7\r\n\r\n\
              HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
            false, 200, b"hi", true,
        ),
        (
            "empty trailers of an empty body", &get,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            false, 200, b"", true,
        ),
    ] {
        let got = cut_everywhere(method, input, closed);
        assert_eq!(got.status, status, "{name}");
        assert_eq!(got.body.escape_ascii().to_string(), body.escape_ascii().to_string(), "{name}");
        assert_eq!(got.end, Some(Ok(reusable)), "{name}");
        if !closed {
            // The end of the connection behind the answer's end changes nothing.
            assert_eq!(cut_everywhere(method, input, true), got, "{name}, then closed");
        }
    }
}

#[test]
fn broken_answers_are_refused_wherever_they_are_cut() {
    use Error as E;
    for (input, want) in [
        (&b"hello"[..], E::StatusLine),
        (b"<html>", E::StatusLine),
        (b"\x15\x03\x01\x00\x02\x02", E::StatusLine),
        (b"\r\nHTTP/1.1 200 OK\r\n\r\n", E::StatusLine),
        (b"HTTP/2.0 200 OK\r\n", E::StatusLine),
        (b"http/1.1 200 OK\r\n", E::StatusLine),
        (b"HTTP/1.1 20 OK\r\n", E::StatusLine),
        (b"HTTP/1.1 099 OK\r\n", E::StatusLine),
        (b"HTTP/1.1  200 OK\r\n", E::StatusLine),
        (b"HTTP/1.1 2000\r\n", E::StatusLine),
        (b"HTTP/1.1 200OK\r\n", E::StatusLine),
        (b"HTTP/1.1\r\n", E::StatusLine),
        (b"HTTP/1.1 200 O\x00K\r\n", E::StatusLine),
        (b"HTTP/1.1 200 OK\nA: b\n\n", E::BareLf),
        (b"HTTP/1.1 200 OK\rA: b\r\r", E::BareCr),
        (
            b"HTTP/1.1 200 OK\r\n A: b\r\n\r\n",
            E::ObsoleteFold { line: 1 },
        ),
        (
            b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
            E::FieldInvalid { line: 1 },
        ),
        (
            b"HTTP/1.1 200 OK\r\nA: b\r\nB\r\n\r\n",
            E::FieldInvalid { line: 2 },
        ),
        (
            b"HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n",
            E::FieldInvalid { line: 1 },
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            E::ContentLengthInvalid,
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n",
            E::ContentLengthRepeated,
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            E::TransferEncodingUnknown,
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
            E::TransferEncodingInvalid,
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello",
            E::ChunkSizeInvalid,
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab",
            E::ChunkDataUnterminated,
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n a",
            E::TrailerInvalid,
        ),
        (
            b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
            E::UnexpectedUpgrade,
        ),
    ] {
        let got = cut_everywhere(&Method::Get, input, false);
        assert_eq!(got.end, Some(Err(want)), "{}", input.escape_ascii());
    }
}

#[test]
fn an_answer_that_is_cut_off_is_no_answer() {
    for (name, input) in [
        (
            "length",
            &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"[..],
        ),
        (
            "chunked",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n",
        ),
        (
            "interim",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        ),
    ] {
        let none = exchange(Exchange::new(&Method::Get), [], true);
        assert_eq!(none.end, Some(Err(Error::NoResponse)), "{name}");
        for len in 1..input.len() {
            let got = exchange(Exchange::new(&Method::Get), [&input[..len]], true);
            assert_eq!(got.end, Some(Err(Error::Truncated)), "{name}, {len} bytes");
        }
    }
    assert_eq!(Error::Truncated.status(), 502);
}

#[test]
fn folded_fields_are_read_as_one_line() {
    let input = b"HTTP/1.1 200 OK\r\nA: b\r\n  c\r\n\td\r\nContent-Length: 0\r\n\r\n";
    let got = cut_everywhere(&Method::Get, input, false);
    let (name, value) = &got.fields[0];
    assert_eq!(name, "A");
    let words: Vec<_> = value
        .split(|b| b.is_ascii_whitespace())
        .filter(|w| !w.is_empty())
        .collect();
    assert_eq!(words, [b"b", b"c", b"d"]);
    assert_eq!(got.fields.len(), 2);
}

#[test]
fn bytes_behind_the_answer_make_the_connection_useless() {
    let input = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\n";
    let got = exchange(Exchange::new(&Method::Get), [&input[..]], false);
    assert_eq!((got.body, got.end), (b"hi".to_vec(), Some(Ok(false))));
}

#[test]
fn a_tunnel_and_an_upgrade_hand_their_bytes_over() {
    let input = b"HTTP/1.1 200 Established\r\nContent-Length: 5\r\n\r\n\x16\x03\x01";
    let got = cut_everywhere(&Method::Connect, input, false);
    assert_eq!((got.status, got.end), (200, Some(Ok(false))));
    assert_eq!(got.leftover, b"\x16\x03\x01");

    let input = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nframes";
    for cut in [1, 7, 1000] {
        let wanted = Exchange::new(&Method::Get).with_upgrade();
        let got = exchange(wanted, input.chunks(cut), false);
        assert_eq!((got.status, got.end), (101, Some(Ok(false))));
        assert_eq!(got.leftover, b"frames");
    }
}

#[test]
fn what_a_server_may_send_beside_content_is_bounded() {
    let limits = Limits::default();
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (name, input, want) in [
        (
            "head",
            format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(limits.head_bytes)),
            Error::HeadTooLarge {
                limit: limits.head_bytes,
            },
        ),
        (
            "status line",
            format!("HTTP/1.1 200 {}", "x".repeat(limits.head_bytes)),
            Error::HeadTooLarge {
                limit: limits.head_bytes,
            },
        ),
        (
            "fields",
            format!("HTTP/1.1 200 OK\r\n{}", "A: b\r\n".repeat(65)),
            Error::TooManyFields { limit: 64 },
        ),
        (
            "interim",
            "HTTP/1.1 102 \r\n\r\n".repeat(17),
            Error::TooManyInterimResponses,
        ),
        (
            "extensions",
            format!(
                "{head}1;{}",
                "x".repeat(CHUNK_EXTENSION_BYTES_MAX as usize + 1)
            ),
            Error::ChunkExtensionTooLarge,
        ),
        (
            "trailers",
            format!(
                "{head}0\r\nA: {}",
                "x".repeat(TRAILER_BYTES_MAX as usize + 1)
            ),
            Error::TrailerTooLarge,
        ),
    ] {
        for cut in [1, 1000, input.len()] {
            let got = exchange(
                Exchange::new(&Method::Get),
                input.as_bytes().chunks(cut),
                false,
            );
            assert_eq!(got.end, Some(Err(want)), "{name}, pieces of {cut}");
        }
    }
}

#[test]
fn content_comes_out_as_it_comes_in() {
    let limits = Limits::default();
    let mut exchange = Exchange::new(&Method::Post);
    exchange.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert!(matches!(
        exchange.next_event(&limits),
        Ok(Some(ResponseEvent::Head(_)))
    ));
    for text in ["data: a\n\n", "data: b\n\n"] {
        let mut wire = Vec::new();
        write_chunk(&mut wire, text.as_bytes());
        exchange.feed(&wire);
        assert_eq!(
            exchange.next_event(&limits),
            Ok(Some(ResponseEvent::Body(text.as_bytes())))
        );
        assert_eq!(exchange.next_event(&limits), Ok(None));
    }
    // Half a chunk is content too.
    exchange.feed(b"5\r\nhel");
    assert_eq!(
        exchange.next_event(&limits),
        Ok(Some(ResponseEvent::Body(b"hel")))
    );
    assert!(!exchange.is_done());
}

#[test]
fn a_gzipped_and_chunked_answer_is_read_wherever_it_is_cut() {
    use std::io::Write;
    let text = b"{\"error\":{\"message\":\"overloaded\"}}".repeat(20);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&text).unwrap();
    let packed = encoder.finish().unwrap();
    let mut wire =
        b"HTTP/1.1 529 \r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    packed
        .chunks(13)
        .for_each(|chunk| write_chunk(&mut wire, chunk));
    wire.extend_from_slice(LAST_CHUNK);
    for at in 0..=wire.len() {
        let (a, b) = wire.split_at(at);
        let (mut exchange, limits) = (Exchange::new(&Method::Get), Limits::default());
        let (mut decoder, mut got, mut ended) = (None, Vec::new(), false);
        for piece in [a, b] {
            exchange.feed(piece);
            while let Some(event) = exchange.next_event(&limits).unwrap() {
                match event {
                    ResponseEvent::Head(head) => {
                        decoder = Some(Decoder::new(head.fields.get("content-encoding")).unwrap());
                    }
                    ResponseEvent::Body(data) => {
                        decoder
                            .as_mut()
                            .unwrap()
                            .decode_all(data, &mut got)
                            .unwrap();
                    }
                    ResponseEvent::End { reusable } => ended = reusable,
                }
            }
        }
        decoder.unwrap().finish().unwrap();
        assert!(ended && got == text, "cut at {at}");
    }
}

#[test]
fn a_written_request_is_read_by_the_server_as_it_was_meant() {
    for (method, target, host, fields, body, want) in [
        (
            Method::Post,
            "/v1/chat?a=b",
            "api.example:8443",
            &[
                ("Authorization", "Bearer k"),
                ("Content-Type", "application/json"),
            ][..],
            &b"{}"[..],
            "POST /v1/chat?a=b HTTP/1.1\r\nHost: api.example:8443\r\nAuthorization: Bearer k\r\n\
             Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
        ),
        (
            Method::Get,
            "/",
            "a",
            &[],
            b"",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            Method::Post,
            "/",
            "a",
            &[],
            b"",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            Method::Connect,
            "a:443",
            "a:443",
            &[],
            b"",
            "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
        ),
        (
            Method::Get,
            "/a b\u{e9}#c\r\n%20",
            "a",
            &[("X", "1\r\nY: 2")],
            b"",
            "GET /a%20b%C3%A9%23c%0D%0A%20 HTTP/1.1\r\nHost: a\r\nX: 1  Y: 2\r\n\r\n",
        ),
    ] {
        let mut wire = Vec::new();
        write_request(
            &mut wire,
            &method,
            target,
            host,
            fields.iter().copied(),
            body,
        );
        assert_eq!(String::from_utf8(wire.clone()).unwrap(), want);
        let mut server = Connection::new();
        server.feed(&wire);
        let event = server.next_event(&Limits::default()).unwrap();
        let Some(Event::Request { head, body: got }) = event else {
            unreachable!("{want}: {event:?}")
        };
        assert_eq!(
            (head.method.clone(), head.host(), &got[..]),
            (method, Some(host), body)
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn chunks_are_read_as_they_were_written_under_any_cuts(
        chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..8),
        cut in 1_usize..50,
    ) {
        let mut wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        chunks.iter().for_each(|chunk| write_chunk(&mut wire, chunk));
        wire.extend_from_slice(LAST_CHUNK);
        let got = exchange(Exchange::new(&Method::Get), wire.chunks(cut), false);
        prop_assert_eq!(got.end, Some(Ok(true)));
        prop_assert_eq!(got.body, chunks.concat());
    }

    #[test]
    fn any_bytes_mean_the_same_under_any_cuts(
        head in proptest::sample::select(vec![
            &b""[..],
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 100 \r\n\r\nHTTP/1.0 200 OK\r\n\r\n",
        ]),
        tail in proptest::collection::vec(prop_oneof![
            Just(b"\r\n".to_vec()), Just(b"3\r\nabc\r\n".to_vec()), Just(b"0\r\n\r\n".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..4),
        ], 0..6),
        cut in 1_usize..30,
    ) {
        let input = [head, &tail.concat()].concat();
        let mut whole = exchange(Exchange::new(&Method::Get), [&input[..]], true);
        let mut pieces = exchange(Exchange::new(&Method::Get), input.chunks(cut), true);
        // Surplus that comes in a later piece cannot be known of when the end is told.
        if let (Some(Ok(_)), Some(Ok(_))) = (&whole.end, &pieces.end) {
            (whole.end, pieces.end) = (None, None);
            (whole.leftover, pieces.leftover) = (Vec::new(), Vec::new());
        }
        prop_assert_eq!(pieces, whole);
    }
}
