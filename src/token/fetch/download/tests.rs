use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use lmserver_proto::http1::server::{Connection, Event};

use super::*;

/// What a download came to: the document, or the class and text of the error.
type Came = Result<Option<Vec<u8>>, (ErrorCode, String)>;

fn download(found: &Found) -> Download {
    let endpoint = Endpoint {
        tls: true,
        host: "issuer.example".into(),
        port: 8443,
    };
    let host = "issuer.example:8443";
    Download::new(endpoint, host, "/keys/?v=1", Arc::clone(found))
}

/// Feeds an answer in these pieces, then its end if that is told.
fn feed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, is_closed: bool) -> Came {
    let found = Found::default();
    let start = download(&found).start(&ChatRequest::default(), "m", StartCx::default());
    let mut generation = start.unwrap().generation;
    let mut out = Vec::new();
    let mut outcome = pieces
        .into_iter()
        .try_for_each(|piece| generation.receive(piece, &mut out));
    if is_closed && outcome.is_ok() && out.is_empty() {
        outcome = generation.closed(&mut out);
    }
    assert!(!generation.is_reusable() && !generation.wants_more());
    let has_ended = matches!(out[..], [Output::End { .. }]);
    assert_eq!(has_ended, found.get().is_some());
    assert!(has_ended || out.is_empty(), "no event but the end: {out:?}");
    outcome.map_err(|error| (error.code, error.message.into()))?;
    Ok(found.get().map(|json| json.to_vec()))
}

/// Whole, byte by byte, and in two pieces at every place.
fn every_way(answer: &[u8], is_closed: bool) -> Came {
    let whole = feed([answer], is_closed);
    assert_eq!(feed(answer.chunks(1), is_closed), whole);
    for at in 0..answer.len() {
        let (one, other) = answer.split_at(at);
        assert_eq!(feed([one, other], is_closed), whole, "at {at}");
    }
    whole
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    let head = head.replace('\n', "\r\n");
    let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

#[test]
fn the_request_asks_for_the_document_and_nothing_else() {
    let start = download(&Found::default());
    assert_eq!(&*start.endpoint().unwrap().host, "issuer.example");
    let start = start
        .start(&ChatRequest::default(), "m", StartCx::default())
        .unwrap();
    let upstream = start.upstream.unwrap();
    assert!(upstream.endpoint.tls);
    let mut server = Connection::new();
    server.feed(&upstream.request);
    let Some(Event::Request { head, body }) = server.next_event(&Limits::default()).unwrap() else {
        panic!("a whole request");
    };
    assert_eq!((head.method, body.len()), (Method::Get, 0));
    assert!(upstream.request.starts_with(b"GET /keys/?v=1 HTTP/1.1\r\n"));
    for (name, want) in [
        ("host", "issuer.example:8443"),
        ("accept-encoding", "identity"),
        ("connection", "close"),
    ] {
        assert_eq!(head.fields.get(name), Some(want));
    }
    assert_eq!(head.fields.get("authorization"), None);
}

#[test]
fn a_document_is_found_however_it_is_framed_and_cut() {
    let keys = br#"{"keys":[]}"#;
    let zipped = gzip(keys);
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                    4\r\n{\"ke\r\n7\r\nys\":[]}\r\n0\r\n\r\n";
    let to_the_end = [&b"HTTP/1.0 200 OK\r\n\r\n"[..], keys].concat();
    for (what, answer, is_closed) in [
        ("by length", answer("200 OK", keys), false),
        ("in chunks", chunked.to_vec(), false),
        ("to the end", to_the_end, true),
        (
            "compressed",
            answer("200 OK\nContent-Encoding: gzip", &zipped),
            false,
        ),
        (
            "after an interim answer",
            [
                &b"HTTP/1.1 103 Early Hints\r\n\r\n"[..],
                &answer("200 OK", keys),
            ]
            .concat(),
            false,
        ),
    ] {
        assert_eq!(
            every_way(&answer, is_closed),
            Ok(Some(keys.to_vec())),
            "{what}"
        );
    }
    // It is not read: that is the key set's part.
    let garbage = every_way(&answer("200 OK", b"<html>"), false);
    assert_eq!(garbage, Ok(Some(b"<html>".to_vec())));
    assert_eq!(every_way(&answer("200 OK", b""), false), Ok(Some(vec![])));
}

#[test]
fn every_other_answer_is_an_error_that_names_the_host() {
    use ErrorCode::{ProviderError as Error, ProviderTruncated as Truncated};
    for (answer, code, want) in [
        (
            answer("302 Found\nLocation: https://elsewhere.example/", b""),
            Error,
            "answered 302 Found: redirects are not followed",
        ),
        (
            answer("404 Not Found", b"no"),
            Error,
            "answered 404 Not Found",
        ),
        (
            answer("204 No Content", b""),
            Error,
            "answered 204 No Content",
        ),
        (
            answer("200 OK\nContent-Encoding: br", b"x"),
            Error,
            "unknown content coding",
        ),
        (
            answer("200 OK\nContent-Encoding: gzip", b"plain text"),
            Error,
            "sent malformed gzip header",
        ),
        (b"SSH-2.0-x\r\n\r\n".to_vec(), Error, "said no HTTP: "),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".to_vec(),
            Truncated,
            "before the end",
        ),
        (
            b"HTTP/1.1 200 OK\r\nConte".to_vec(),
            Truncated,
            "before the end",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n".to_vec(),
            Truncated,
            "before the end",
        ),
        (
            answer("200 OK\nContent-Encoding: gzip", &gzip(b"{}")[..15]),
            Truncated,
            "before the end",
        ),
        (Vec::new(), ErrorCode::ProviderUnreachable, "gave no answer"),
    ] {
        let (found, message) = every_way(&answer, true).unwrap_err();
        assert_eq!(found, code, "{message}");
        assert!(message.starts_with("issuer.example "), "{message}");
        assert!(message.contains(want), "{message}");
        assert!(!message.contains("elsewhere"), "{message}");
    }
}

#[test]
fn a_document_has_a_bound_packed_or_not() {
    for (size, is_taken) in [
        (LARGEST_KEY_SET, true),
        (LARGEST_KEY_SET + 1, false),
        (64 << 20, false),
    ] {
        let body = vec![b' '; size];
        let packed = gzip(&body);
        for answer in [
            answer("200 OK", &body),
            answer("200 OK\nContent-Encoding: gzip", &packed),
        ] {
            let came = feed(answer.chunks(16 * 1024), true);
            match came {
                Ok(found) => assert_eq!((found.unwrap().len(), true), (size, is_taken)),
                Err((code, message)) => {
                    assert_eq!((code, is_taken), (ErrorCode::TooLarge, false));
                    assert!(message.contains("262144 bytes"), "{message}");
                }
            }
        }
    }
}
