//! Requests: what is accepted, what is refused and with which status, wherever bytes are cut.

use lmserver_proto::http1::server::{Connection, Event};
use lmserver_proto::http1::{Error, LAST_CHUNK, Limits, Response, write_chunk};
use proptest::prelude::*;

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// What came of some bytes: a line for each event, with an empty answer to each request.
fn log<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    log_within(&Limits::default(), pieces)
}

fn log_within<'a>(limits: &Limits, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let mut connection = Connection::new();
    let mut out = Vec::new();
    let mut lines = Vec::new();
    for piece in pieces {
        connection.feed(piece);
        loop {
            match connection.next_event(limits) {
                Ok(None) => break,
                // Whether it comes depends on the cut; it says nothing about the request.
                Ok(Some(Event::Continue)) => connection.write_continue(&mut out),
                Ok(Some(Event::Request { head, body })) => {
                    let rest = (head.query(), head.fields.iter().collect::<Vec<_>>());
                    lines.push(format!("{head:?} {rest:?} {}", body.escape_ascii()));
                    if !connection.respond(&Response::empty(204), DATE, &mut out) {
                        lines.push("closed".into());
                    }
                }
                Err(error) => {
                    lines.push(format!("{error:?}"));
                    connection.reject(&error.response(), DATE, &mut out);
                    assert!(connection.is_closed());
                }
            }
        }
    }
    lines
}

/// The same whole, byte by byte and in two pieces cut anywhere.
fn log_cut_everywhere(input: &[u8]) -> Vec<String> {
    let whole = log([input]);
    assert_eq!(
        log(input.chunks(1)),
        whole,
        "byte by byte: {}",
        input.escape_ascii()
    );
    for at in 1..input.len() {
        let (a, b) = input.split_at(at);
        assert_eq!(log([a, b]), whole, "cut at {at}: {}", input.escape_ascii());
    }
    whole
}

fn refusal(input: &[u8]) -> Option<Error> {
    let mut connection = Connection::new();
    connection.feed(input);
    loop {
        match connection.next_event(&Limits::default()) {
            Ok(None) => return None,
            Ok(Some(Event::Continue)) => {}
            Ok(Some(Event::Request { .. })) => {
                connection.respond(&Response::empty(204), DATE, &mut Vec::new());
            }
            Err(error) => return Some(error),
        }
    }
}

#[test]
fn accepted_requests_are_the_same_wherever_they_are_cut() {
    for (input, requests) in [
        (&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], 1),
        (b"GET / HTTP/1.0\r\n\r\n", 1),
        (b"GET / HTTP/1.7\r\nHost: a\r\n\r\n", 1),
        (b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 1),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 1),
        (b"GET http://b:1/c?d HTTP/1.1\r\nHost: a\r\n\r\n", 1),
        (
            b"CONNECT b:443 HTTP/1.1\r\nHost: b\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            1,
        ),
        (
            b"GET / HTTP/1.1\r\nhOST:\ta \r\nEmpty:\r\nLatin: \xe9 \t\r\n\r\n",
            1,
        ),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            1,
        ),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            1,
        ),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n\r\n",
            1,
        ),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
              5;a=\"b\"\r\nhello\r\n1\r\n!\r\n0\r\nX: y\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            2,
        ),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\nx\r\n\
              GET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n",
            3,
        ),
        (
            b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\nGET / HTTP/1.0",
            2,
        ),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\nnothing of this is read",
            1,
        ),
    ] {
        let lines = log_cut_everywhere(input);
        let count = lines
            .iter()
            .filter(|line| line.starts_with("Request {"))
            .count();
        assert_eq!(count, requests, "{}: {lines:#?}", input.escape_ascii());
        let refused = lines
            .iter()
            .any(|line| !line.starts_with("Request {") && line != "closed");
        assert!(!refused, "{lines:#?}");
    }
}

#[test]
fn refused_requests_have_one_reason_wherever_they_are_cut() {
    use Error as E;
    let cases: &[(&[u8], Error, u16)] = &[
        (b"\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n", E::EmptyLines, 400),
        (b"\nGET / HTTP/1.1\r\n", E::BareLf, 400),
        (b"\rGET / HTTP/1.1\r\n", E::BareCr, 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", E::BareLf, 400),
        (b"GET / HTTP/1.1\rHost: a\r\r", E::BareCr, 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\nY: b\r\n\r\n", E::BareLf, 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rY: b\r\n\r\n", E::BareCr, 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\rX: b\r\n\r\n", E::BareCr, 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\n", E::BareLf, 400),
        (b" GET / HTTP/1.1\r\n", E::RequestLine, 400),
        (b"\x16\x03\x01\x02\x00", E::RequestLine, 400),
        (b"\x00", E::RequestLine, 400),
        (b"GET /\r\n", E::RequestLine, 400),
        (b"GET\r\n", E::RequestLine, 400),
        (b"GET  / HTTP/1.1\r\n", E::RequestLine, 400),
        (b"GET / HTTP/1.1 \r\n", E::RequestLine, 400),
        (b"GET /a b HTTP/1.1\r\n", E::RequestLine, 400),
        (b"GET\t/\tHTTP/1.1\r\n", E::RequestLine, 400),
        (b"GET\x0b/ HTTP/1.1\r\n", E::RequestLine, 400),
        (b"G@T / HTTP/1.1\r\n", E::MethodInvalid, 400),
        (b"G\xc9T / HTTP/1.1\r\n", E::MethodInvalid, 400),
        (b"GET / HTTP/1.1.1\r\n", E::VersionInvalid, 400),
        (b"GET / HTTP/1.32\r\n", E::VersionInvalid, 400),
        (b"GET / HTTP/1\r\n", E::VersionInvalid, 400),
        (b"GET / http/1.1\r\n", E::VersionInvalid, 400),
        (b"GET / HTTP/1,1\r\n", E::VersionInvalid, 400),
        (b"GET / RTSP/1.0\r\n", E::VersionInvalid, 400),
        (b"GET / HTTP/\xd9\xa1.1\r\n", E::VersionInvalid, 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", E::VersionUnsupported { major: 2, minor: 0 }, 505),
        (b"GET / HTTP/0.9\r\n", E::VersionUnsupported { major: 0, minor: 9 }, 505),
        (b"GET /a#b HTTP/1.1\r\n", E::TargetByte { byte: b'#' }, 400),
        (b"GET /\x00 HTTP/1.1\r\n", E::TargetByte { byte: 0 }, 400),
        (b"GET /\xe9 HTTP/1.1\r\n", E::TargetByte { byte: 0xe9 }, 400),
        (b"GET * HTTP/1.1\r\n", E::TargetInvalid, 400),
        (b"CONNECT / HTTP/1.1\r\n", E::TargetInvalid, 400),
        (b"GET ftp://a/ HTTP/1.1\r\n", E::TargetInvalid, 400),
        (b"GET / HTTP/1.1\r\n Host: a\r\n", E::ObsoleteFold { line: 1 }, 400),
        (b"GET / HTTP/1.1\r\n \r\nHost: a\r\n\r\n", E::ObsoleteFold { line: 1 }, 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n", E::ObsoleteFold { line: 3 }, 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", E::FieldInvalid { line: 1 }, 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", E::FieldInvalid { line: 2 }, 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", E::FieldInvalid { line: 2 }, 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX[]: b\r\n\r\n", E::FieldInvalid { line: 2 }, 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX\xe9: b\r\n\r\n", E::FieldInvalid { line: 2 }, 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", E::FieldInvalid { line: 2 }, 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", E::FieldInvalid { line: 2 }, 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x0c\r\n\r\n", E::FieldInvalid { line: 2 }, 400),
        (b"GET / HTTP/1.1\r\n\r\n", E::HostMissing, 400),
        (b"GET http://a/ HTTP/1.1\r\n\r\n", E::HostMissing, 400),
        (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", E::HostInvalid, 400),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", E::HostInvalid, 400),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", E::HostInvalid, 400),
        (b"GET / HTTP/1.1\r\nHost: \xe9\r\n\r\n", E::HostInvalid, 400),
        (b"GET / HTTP/1.0\r\nHost: u@a\r\n\r\n", E::HostInvalid, 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", E::HostRepeated, 400),
        (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", E::HostRepeated, 400),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            E::LengthAndTransferEncoding,
            400,
        ),
        (
            b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            E::TransferEncodingInHttp10,
            400,
        ),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            E::TransferEncodingUnknown,
            501,
        ),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n",
            E::ContentLengthRepeated,
            400,
        ),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n",
            E::BodyTooLarge { limit: 1_048_576 },
            413,
        ),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\n",
            E::ChunkSizeInvalid,
            400,
        ),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
            E::ChunkDataUnterminated,
            400,
        ),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, x\r\n\r\n",
            E::ExpectationUnknown,
            417,
        ),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            E::HostRepeated,
            400,
        ),
    ];
    for (input, error, status) in cases {
        assert_eq!(refusal(input), Some(*error), "{}", input.escape_ascii());
        assert_eq!(error.status(), *status, "{error}");
        let lines = log_cut_everywhere(input);
        assert_eq!(
            lines.last(),
            Some(&format!("{error:?}")),
            "{}",
            input.escape_ascii()
        );
    }
}

#[test]
fn an_unfinished_request_waits_without_a_verdict() {
    let whole = b"POST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    for len in 0..whole.len() {
        assert_eq!(refusal(&whole[..len]), None, "{len} bytes");
        assert_eq!(log([&whole[..len]]), Vec::<String>::new(), "{len} bytes");
    }
}

#[test]
fn a_head_is_bounded_in_bytes_and_in_fields() {
    let limits = Limits {
        head_bytes: 200,
        header_count: 3,
        body_bytes: 10,
    };
    let head_of = |len: usize| {
        let fixed = b"GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
        let value = "x".repeat(len - fixed);
        format!("GET / HTTP/1.1\r\nHost: a\r\nX: {value}\r\n\r\n").into_bytes()
    };
    let with = |head: &str| head.as_bytes().to_vec();
    let many = |count: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "A: b\r\n".repeat(count)
        )
    };
    for (name, input, want) in [
        ("largest head", head_of(200), None),
        (
            "a byte more",
            head_of(201),
            Some(Error::HeadTooLarge { limit: 200 }),
        ),
        (
            "far more",
            head_of(5000),
            Some(Error::HeadTooLarge { limit: 200 }),
        ),
        ("most fields", with(&many(2)), None),
        (
            "a field more",
            with(&many(3)),
            Some(Error::TooManyFields { limit: 3 }),
        ),
        (
            "long target",
            with(&format!("GET /{} HTTP/1.1\r\n", "a".repeat(300))),
            Some(Error::TargetTooLong { limit: 200 }),
        ),
        (
            "no request line at all",
            with(&"A".repeat(300)),
            Some(Error::RequestLine),
        ),
        (
            "long method",
            with(&format!("{} / HTTP/1.1\r\n", "A".repeat(65))),
            Some(Error::MethodTooLong { len: 65 }),
        ),
        (
            "long field name",
            with(&format!(
                "GET / HTTP/1.1\r\nHost: a\r\n{}: b\r\n\r\n",
                "A".repeat(300)
            )),
            Some(Error::HeadTooLarge { limit: 200 }),
        ),
    ] {
        let want: Vec<String> = want.iter().map(|error| format!("{error:?}")).collect();
        for (cut, lines) in [
            ("whole", log_within(&limits, [&input[..]])),
            ("bytes", log_within(&limits, input.chunks(1))),
            ("sevens", log_within(&limits, input.chunks(7))),
        ] {
            let refusals: Vec<_> = lines
                .into_iter()
                .filter(|line| !line.starts_with("Request {"))
                .collect();
            assert_eq!(refusals, want, "{name}, {cut}");
        }
    }
    assert_eq!(Error::TargetTooLong { limit: 1 }.status(), 414);
    assert_eq!(Error::MethodTooLong { len: 65 }.status(), 501);
    assert_eq!(Error::HeadTooLarge { limit: 1 }.status(), 431);
    assert_eq!(Error::TooManyFields { limit: 1 }.status(), 431);
}

#[test]
fn a_request_line_of_8000_bytes_is_read() {
    let input = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(8000));
    assert_eq!(log([input.as_bytes()]).len(), 1);
}

#[test]
fn content_is_bounded_whatever_its_coding() {
    let limits = Limits {
        body_bytes: 10,
        ..Limits::default()
    };
    let chunked = |sizes: &[usize]| {
        let mut input =
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for size in sizes {
            write_chunk(&mut input, &vec![b'x'; *size]);
        }
        input.extend_from_slice(LAST_CHUNK);
        input
    };
    let length = |len: usize| {
        let body = "x".repeat(len);
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n{body}").into_bytes()
    };
    for (input, fits) in [
        (length(10), true),
        (length(11), false),
        (chunked(&[10]), true),
        (chunked(&[5, 5]), true),
        (chunked(&[11]), false),
        (chunked(&[9, 2]), false),
    ] {
        let refused = format!("{:?}", Error::BodyTooLarge { limit: 10 });
        for lines in [
            log_within(&limits, [&input[..]]),
            log_within(&limits, input.chunks(1)),
        ] {
            assert_eq!(!lines.contains(&refused), fits, "{lines:?}");
            assert_eq!(lines.len(), 1, "{lines:?}");
        }
    }
}

#[test]
fn a_head_that_drips_in_costs_no_more_than_its_length() {
    // A search that began anew with each byte would look at 10^10 bytes here.
    let limits = Limits {
        head_bytes: 200_000,
        header_count: 64,
        body_bytes: 0,
    };
    let input = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(150_000)
    );
    assert_eq!(log_within(&limits, input.as_bytes().chunks(1)).len(), 1);
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"GET / HTTP/1.1\r\n".to_vec()),
        Just(b"POST /a?b HTTP/1.1\r\n".to_vec()),
        Just(b"Host: a\r\n".to_vec()),
        Just(b"Content-Length: 3\r\n".to_vec()),
        Just(b"Transfer-Encoding: chunked\r\n".to_vec()),
        Just(b"Connection: close\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"3\r\nabc\r\n".to_vec()),
        Just(b"0\r\n\r\n".to_vec()),
        Just(b"abc".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..4),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn any_bytes_mean_the_same_under_any_cuts(
        pieces in proptest::collection::vec(piece(), 0..12),
        cut in 1_usize..40,
    ) {
        let input = pieces.concat();
        let whole = log([&input[..]]);
        prop_assert_eq!(&log(input.chunks(1)), &whole);
        prop_assert_eq!(&log(input.chunks(cut)), &whole);
    }

    #[test]
    fn chunks_are_read_as_they_were_written_under_any_cuts(
        chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..8),
        cut in 1_usize..50,
    ) {
        let mut input =
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for chunk in &chunks {
            write_chunk(&mut input, chunk);
        }
        input.extend_from_slice(LAST_CHUNK);
        let mut connection = Connection::new();
        let mut got = None;
        for piece in input.chunks(cut) {
            connection.feed(piece);
            if let Some(Event::Request { body, .. }) =
                connection.next_event(&Limits::default()).unwrap()
            {
                got = Some(body);
            }
        }
        prop_assert_eq!(got, Some(chunks.concat()));
    }
}
