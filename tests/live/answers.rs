//! Answers of providers in every framing and coding that HTTP allows.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::client::{answer, failure};
use crate::program::Server;
use crate::provider::{Provider, ending, in_chunk, piece, section};

/// An answer as an event stream.
fn events(text: &str) -> String {
    piece(text) + &ending()
}

fn gzip(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes.as_ref()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn framings_that_end_by_themselves_keep_the_connection() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    let body = events("grüße");
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let bytes = in_chunk(&body);
    let cases: [(&str, Vec<u8>); 6] = [
        (
            "a length",
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .into(),
        ),
        (
            "chunks and trailers",
            [
                chunked.as_bytes(),
                &bytes,
                b"0\r\nX-Late: 1\r\nX-Later: 2\r\n\r\n",
            ]
            .concat(),
        ),
        (
            "chunks with extensions, of one byte each",
            body.bytes()
                .fold(chunked.into(), |mut out: Vec<u8>, byte| {
                    out.extend_from_slice(b"001;ext=\"\\\"\";a\r\n");
                    out.push(byte);
                    out.extend_from_slice(b"\r\n");
                    out
                })
                .into_iter()
                .chain(*b"0\r\n\r\n")
                .collect(),
        ),
        (
            "interim responses",
            [
                b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
                chunked.as_bytes(),
                &bytes,
                b"0\r\n\r\n",
            ]
            .concat(),
        ),
        (
            "no reason phrase, obscure spelling",
            [
                b"HTTP/1.1 200 \r\ntransfer-ENCODING:Chunked\r\nX-A:\r\n\r\n".as_slice(),
                &bytes,
                b"0\r\n\r\n",
            ]
            .concat(),
        ),
        (
            "the last one",
            [chunked.as_bytes(), &bytes, b"0\r\n\r\n"].concat(),
        ),
    ];
    let mut asked = server.ask("hi");
    let mut kept = provider.accept();
    for (name, response) in cases {
        kept.question();
        kept.say(response);
        assert_eq!(answer(&mut asked), "grüße", "{name}");
        if name != "the last one" {
            asked = asked.into_wire().ask("again");
        }
    }
    assert!(provider.has_nobody());
}

#[test]
fn answers_that_end_with_their_connection_are_whole() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    for head in [
        "HTTP/1.0 200 OK\r\n\r\n",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
    ] {
        let mut asked = server.ask("hi");
        let mut connection = provider.accept();
        connection.question();
        connection.say(head.to_owned() + &events("until the end"));
        drop(connection);
        assert_eq!(answer(&mut asked), "until the end", "{head:?}");
    }
    assert!(provider.has_nobody());
}

#[test]
fn a_compressed_answer_is_read_however_it_is_cut() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    let body = gzip(events("zusammengedrückt"));
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    for at in 0..body.len() {
        let (before, after) = body.split_at(at);
        let mut asked = server.ask("hi");
        let mut connection = provider.accept();
        connection.question();
        connection.say([head.as_bytes(), before].concat());
        connection.say(after);
        // Its end may be told before the last bytes are read: the next one is asked anew.
        drop(connection);
        assert_eq!(answer(&mut asked), "zusammengedrückt", "cut at {at}");
    }
    let mut asked = server.ask("hi");
    let mut connection = provider.accept();
    connection.question();
    connection
        .say("HTTP/1.1 200 OK\r\nContent-Encoding: x-gzip\r\nTransfer-Encoding: chunked\r\n\r\n");
    body.chunks(1)
        .for_each(|byte| connection.say(in_chunk(byte)));
    connection.say("0\r\n\r\n");
    assert_eq!(answer(&mut asked), "zusammengedrückt");
    assert!(provider.has_nobody());
}

#[test]
fn each_piece_of_a_compressed_answer_comes_when_it_was_flushed() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    let mut asked = server.ask("hi");
    let mut connection = provider.accept();
    connection.question();
    connection
        .say("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    for text in ["one ", "two ", "three"] {
        encoder.write_all(piece(text).as_bytes()).unwrap();
        encoder.flush().unwrap();
        connection.say(in_chunk(std::mem::take(encoder.get_mut())));
        assert_eq!(asked.until("chunk").data["message"], text);
    }
    encoder.write_all(ending().as_bytes()).unwrap();
    connection.say(in_chunk(encoder.finish().unwrap()));
    connection.say("0\r\n\r\n");
    assert_eq!(answer(&mut asked), "");
}

#[test]
fn a_compressed_error_is_read_too() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    let body = gzip(r#"{"error":{"message":"Incorrect key","code":"invalid_api_key"}}"#);
    let mut asked = server.ask("hi");
    let mut connection = provider.accept();
    connection.question();
    let head = format!(
        "HTTP/1.1 401 Unauthorized\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    connection.say([head.as_bytes(), &body].concat());
    let (code, message) = failure(&mut asked);
    assert_eq!((&*code, &*message), ("provider_auth", "Incorrect key"));
}

#[test]
fn a_redirect_is_refused_and_says_where_to() {
    let provider = Provider::new();
    let url = format!("http://{}/v1", provider.address);
    let server = Server::start(&section("p", &url, "api_key = \"secret-key\""));
    for status in ["301 Moved Permanently", "307 Temporary Redirect"] {
        let mut asked = server.ask("hi");
        let mut connection = provider.accept();
        connection.question();
        connection.say(format!(
            "HTTP/1.1 {status}\r\nLocation: https://elsewhere.example/v2\r\n\
             Content-Length: 0\r\n\r\n"
        ));
        let (code, message) = failure(&mut asked);
        assert_eq!(code, "provider_error");
        let wanted = format!(
            "{} answered {status}: redirects are not followed, set base_url to where it points: \
             https://elsewhere.example/v2",
            provider.address
        );
        assert_eq!(message, wanted);
    }
    assert!(provider.has_nobody());
}

#[test]
fn what_is_no_answer_in_http_is_told_as_such() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    for nonsense in [
        "SSH-2.0-OpenSSH_9.9\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "HTTP/2 200\r\n\r\n",
    ] {
        let mut asked = server.ask("hi");
        let mut connection = provider.accept();
        connection.question();
        connection.say(nonsense);
        let (code, message) = failure(&mut asked);
        assert_eq!(code, "provider_error", "{nonsense:?}: {message}");
        assert!(message.contains("127.0.0.1"), "{message}");
        connection.read_to_end();
    }
}
