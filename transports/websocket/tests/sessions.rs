//! The plain WebSocket mode, row by row, without a socket: a request and bytes of a client in,
//! what the client sees out.

#![expect(
    clippy::panic,
    clippy::expect_used,
    reason = "helpers of tests fail the test"
)]

use std::time::Duration;

use lmserver_proto::http1::{self, Request, Response, server};
use lmserver_proto::ws::frame::{self, Opcode};
use lmserver_proto::ws::{self, Connection, Role};
use lmserver_runtime::channel::{Backlog, Placement, ResetReason};
use lmserver_runtime::event::{After, Epoch, Json, Kind, Position};
use lmserver_runtime::plugin::stage::{Stage, Wish};
use lmserver_runtime::plugin::transport::{
    Admission, Disconnect, Encoding, Entry, Notice, Opening, Session, Transport as _,
};
use lmserver_runtime::time::Moment;
use lmserver_websocket::WebSocket;
use proptest::prelude::*;

const CHANNEL: &str = "chat:1";
const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

fn request(method: &str, fields: &str) -> Request {
    let mut connection = server::Connection::new();
    let head = format!(
        "{method} /connection/websocket?channel={CHANNEL} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"
    );
    connection.feed(head.as_bytes());
    match connection.next_event(&http1::Limits::default()) {
        Ok(Some(server::Event::Request { head, .. })) => head,
        other => panic!("no request: {other:?}"),
    }
}

fn try_open(
    stage: &mut Stage,
    request: &Request,
    admission: Admission,
    may_cancel: bool,
) -> Result<Box<dyn Session>, Response> {
    let opening = Opening {
        request,
        channel: CHANNEL,
        after: After::Beginning,
        admission,
        may_cancel,
        create: None,
        body: b"",
        fields: vec![("X-Channel-Id".into(), CHANNEL.into())],
    };
    WebSocket.open(opening, &mut stage.cx())
}

/// A session behind its 101 head, and what came after the head.
fn open(
    stage: &mut Stage,
    admission: Admission,
    may_cancel: bool,
) -> (Box<dyn Session>, Vec<String>) {
    let Ok(session) = try_open(stage, &request("GET", UPGRADE), admission, may_cancel) else {
        panic!("refused")
    };
    let out = stage.take_out();
    let end = out
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("a head")
        + 4;
    let head = String::from_utf8_lossy(&out[..end]);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(
        head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
        "{head}"
    );
    assert!(head.contains("X-Channel-Id: chat:1\r\n"), "{head}");
    (session, frames(&out[end..]))
}

/// A session whose subscription stands.
fn subscribed(stage: &mut Stage, may_cancel: bool) -> Box<dyn Session> {
    let (mut session, saw) = open(stage, Admission::Granted, may_cancel);
    assert_eq!(saw, [""; 0]);
    let wish = Wish::Subscribe {
        channel: CHANNEL.into(),
        after: After::Beginning,
        encoding: "ws/text",
        create: None,
        gated: false,
    };
    assert_eq!(stage.take_wishes(), [wish]);
    let placement = Placement::Placed {
        position: position(0),
        reset: None,
        behind: false,
    };
    assert_eq!(
        session.placed(CHANNEL, &placement, &mut Backlog::empty(), &mut stage.cx()),
        Ok(())
    );
    assert_eq!(stage.take_out(), b"");
    session
}

fn position(offset: u64) -> Position {
    Position {
        epoch: Epoch::from_random([0; 6]),
        offset,
    }
}

/// What a client makes of a server's bytes.
fn frames(bytes: &[u8]) -> Vec<String> {
    let mut connection = Connection::new(Role::Client);
    connection.feed(bytes);
    let mut saw = Vec::new();
    while let Some(event) = connection
        .next_event(&ws::Limits::default())
        .expect("proper frames")
    {
        saw.push(match event {
            ws::Event::Text(text) => text.into_owned(),
            ws::Event::Close {
                code: Some(code),
                reason,
            } => format!("close {code} {reason}"),
            ws::Event::Close { code: None, .. } => "close".to_owned(),
            ws::Event::Ping(payload) => format!("ping {}", payload.escape_ascii()),
            ws::Event::Pong(payload) => format!("pong {}", payload.escape_ascii()),
            ws::Event::Binary(_) => "binary".to_owned(),
        });
    }
    saw
}

fn client(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::write_frame(&mut out, opcode, true, payload, Some([1, 2, 3, 4]));
    out
}

fn client_close(code: u16) -> Vec<u8> {
    let mut out = Vec::new();
    frame::write_close(&mut out, Some(code), "", Some([1, 2, 3, 4]));
    out
}

fn pass(stage: &mut Stage, time: Duration) {
    stage.now = stage.now + time;
}

const INTERVAL: Duration = Duration::from_secs(25);

#[test]
fn a_request_that_is_no_handshake_is_refused_by_http() {
    let no_key = UPGRADE.replace("Key", "Other");
    let old = UPGRADE.replace("Version: 13", "Version: 8");
    for (method, fields, status, code) in [
        ("GET", "", 426, "invalid_request"),
        ("GET", no_key.as_str(), 400, "invalid_request"),
        ("GET", old.as_str(), 426, "invalid_request"),
        ("POST", UPGRADE, 405, "method_not_allowed"),
    ] {
        let mut stage = Stage::default();
        let Err(response) = try_open(
            &mut stage,
            &request(method, fields),
            Admission::Granted,
            true,
        ) else {
            panic!("opened: {fields}")
        };
        assert_eq!(response.status, status, "{fields}");
        let body = String::from_utf8_lossy(&response.body);
        assert!(
            body.starts_with(&format!(r#"{{"error":{{"code":"{code}","message":""#)),
            "{body}"
        );
        let version = response
            .fields
            .iter()
            .find(|field| field.0 == "Sec-WebSocket-Version");
        assert_eq!(version.is_some(), status != 405);
        assert_eq!(stage.take_out(), b"");
    }
}

#[test]
fn who_may_not_listen_learns_it_after_the_handshake() {
    for (admission, want) in [
        (
            Admission::Unauthorized("no token".into()),
            "close 4401 no token",
        ),
        (
            Admission::Forbidden("another channel".into()),
            "close 4403 another channel",
        ),
    ] {
        let mut stage = Stage::default();
        let (mut session, saw) = open(&mut stage, admission, false);
        assert_eq!(saw, [want]);
        assert_eq!(stage.take_wishes(), []);
        let answer = session.receive(&client_close(4401), &mut stage.cx());
        assert_eq!(answer, Err(Disconnect::Done));
        assert_eq!(stage.take_out(), b"");
    }
}

#[test]
fn every_placement_has_its_answer() {
    let reset = |reason| Placement::Placed {
        position: position(0),
        reset: Some(reason),
        behind: true,
    };
    let gone = r#"{"id":"gone-0","type":"error","message":"the answer is no longer kept; ask again","code":"gone","retryable":false}"#;
    for (placement, want) in [
        (
            Placement::Placed {
                position: position(3),
                reset: None,
                behind: true,
            },
            &[][..],
        ),
        (
            reset(ResetReason::OtherEpoch),
            &[
                r#"{"id":"aaaaaa-0","type":"reset","message":"","reason":"the position belongs to another incarnation of the channel"}"#,
            ],
        ),
        (
            reset(ResetReason::Ahead),
            &[
                r#"{"id":"aaaaaa-0","type":"reset","message":"","reason":"the position is ahead of the channel"}"#,
            ],
        ),
        (
            Placement::Finished(position(7)),
            &["close 1000 the answer is complete"],
        ),
        (
            Placement::Unknown,
            &[
                r#"{"type":"error","message":"there is no such channel","code":"not_found","retryable":false}"#,
                "close 4404 no such channel",
            ],
        ),
        (Placement::Gone, &[gone, "close 4410 the channel is gone"]),
        (
            Placement::Expired,
            &[gone, "close 4410 the channel is gone"],
        ),
        (Placement::Busy, &["close 1013 come back later"]),
    ] {
        let mut stage = Stage::default();
        let (mut session, _) = open(&mut stage, Admission::Granted, true);
        assert_eq!(
            session.placed(CHANNEL, &placement, &mut Backlog::empty(), &mut stage.cx()),
            Ok(())
        );
        assert_eq!(frames(&stage.take_out()), want, "{placement:?}");
    }
}

#[test]
fn the_terminal_event_is_followed_by_a_close_handshake() {
    let mut stage = Stage::default();
    let mut session = subscribed(&mut stage, false);
    assert_eq!(session.ended(CHANNEL, &mut stage.cx()), Ok(()));
    assert_eq!(frames(&stage.take_out()), ["close 1000 "]);
    // What the client had on the way before it saw the close is of no interest any more.
    let mut late = client(Opcode::Text, br#"{"type":"cancel"}"#);
    late.extend(client(Opcode::Ping, b"late"));
    assert_eq!(session.receive(&late, &mut stage.cx()), Ok(()));
    assert_eq!(stage.take_out(), b"");
    assert_eq!(
        session.receive(&client_close(1000), &mut stage.cx()),
        Err(Disconnect::Done)
    );
    assert_eq!(stage.take_out(), b"");
}

#[test]
fn a_client_that_never_answers_the_close_is_left_after_five_seconds() {
    let mut stage = Stage::default();
    let mut session = subscribed(&mut stage, false);
    assert_eq!(session.ended(CHANNEL, &mut stage.cx()), Ok(()));
    stage.take_out();
    assert_eq!(
        session.deadline(Moment(0)),
        Some(stage.now + Duration::from_secs(5))
    );
    pass(&mut stage, Duration::from_secs(4));
    assert_eq!(session.expire(&mut stage.cx()), Ok(()));
    pass(&mut stage, Duration::from_secs(1));
    assert_eq!(session.expire(&mut stage.cx()), Err(Disconnect::Done));
    assert_eq!(stage.take_out(), b"");
}

#[test]
fn a_clients_close_is_answered_with_its_code() {
    for (sent, want) in [
        (client_close(1000), "close 1000 "),
        (client_close(1001), "close 1001 "),
        (client_close(4999), "close 4999 "),
        (client(Opcode::Close, b""), "close"),
    ] {
        let mut stage = Stage::default();
        let mut session = subscribed(&mut stage, false);
        assert_eq!(
            session.receive(&sent, &mut stage.cx()),
            Err(Disconnect::Done)
        );
        assert_eq!(frames(&stage.take_out()), [want]);
    }
}

#[test]
fn cancel_is_the_only_message_understood() {
    let cancel = [Wish::Cancel {
        channel: CHANNEL.into(),
    }];
    for (text, want) in [
        (r#"{"type":"cancel"}"#, &cancel[..]),
        (r#" { "reason" : 1, "type" : "\u0063ancel" } "#, &cancel),
        (r#"{"type":"ping"}"#, &[]),
        (r#"{"type":["cancel"]}"#, &[]),
        (r#"{"message":"cancel"}"#, &[]),
        (r#"{"type":"cancel""#, &[]),
        ("cancel", &[]),
        ("\"cancel\"", &[]),
        ("", &[]),
    ] {
        let mut stage = Stage::default();
        let mut session = subscribed(&mut stage, true);
        for byte in client(Opcode::Text, text.as_bytes()) {
            assert_eq!(session.receive(&[byte], &mut stage.cx()), Ok(()), "{text}");
        }
        assert_eq!(stage.take_wishes(), want, "{text}");
        assert_eq!(stage.take_out(), b"", "{text}");
    }
}

#[test]
fn a_cancel_without_the_right_to_closes_4403() {
    let mut stage = Stage::default();
    let mut session = subscribed(&mut stage, false);
    let bytes = client(Opcode::Text, br#"{"type":"cancel"}"#);
    assert!(session.receive(&bytes, &mut stage.cx()).is_err());
    assert_eq!(stage.take_wishes(), []);
    let want = ["close 4403 cancelling needs an API key or a token"];
    assert_eq!(frames(&stage.take_out()), want);
}

#[test]
fn what_breaks_the_protocol_closes_with_its_code() {
    for (bytes, want) in [
        (
            client(Opcode::Binary, b"x"),
            "close 1003 text messages only",
        ),
        (
            b"\x81\x00".to_vec(),
            "close 1002 a client's frame is not masked",
        ),
        (
            client(Opcode::Text, b"\xff"),
            "close 1007 text is not valid UTF-8",
        ),
        (
            client(Opcode::Text, &[b'x'; 4097]),
            "close 1009 message is longer than 4096 bytes",
        ),
        (
            client(Opcode::Close, b"x"),
            "close 1002 close payload of one byte",
        ),
    ] {
        let mut stage = Stage::default();
        let mut session = subscribed(&mut stage, true);
        let outcome = session.receive(&bytes, &mut stage.cx());
        assert!(
            matches!(outcome, Err(Disconnect::Protocol(_))),
            "{want}: {outcome:?}"
        );
        assert_eq!(frames(&stage.take_out()), [want]);
    }
}

#[test]
fn a_ping_is_answered_and_an_unasked_pong_is_not() {
    let mut stage = Stage::default();
    let mut session = subscribed(&mut stage, false);
    let mut bytes = client(Opcode::Ping, b"there?");
    bytes.extend(client(Opcode::Pong, b"here"));
    assert_eq!(session.receive(&bytes, &mut stage.cx()), Ok(()));
    assert_eq!(frames(&stage.take_out()), ["pong there?"]);
}

#[test]
fn two_intervals_without_a_pong_end_it() {
    let mut stage = Stage::default();
    let mut session = subscribed(&mut stage, false);
    for round in 0..10 {
        assert_eq!(session.deadline(Moment(0)), Some(stage.now + INTERVAL));
        pass(&mut stage, INTERVAL);
        assert_eq!(session.expire(&mut stage.cx()), Ok(()), "round {round}");
        assert_eq!(frames(&stage.take_out()), ["ping "]);
        let pong = client(Opcode::Pong, b"");
        assert_eq!(session.receive(&pong, &mut stage.cx()), Ok(()));
    }
    for want in ["ping ", "ping "] {
        pass(&mut stage, INTERVAL);
        assert_eq!(session.expire(&mut stage.cx()), Ok(()));
        assert_eq!(frames(&stage.take_out()), [want]);
    }
    pass(&mut stage, INTERVAL);
    assert_eq!(
        session.expire(&mut stage.cx()),
        Err(Disconnect::Unresponsive)
    );
    assert_eq!(frames(&stage.take_out()), ["close 1008 no pong came"]);
}

#[test]
fn a_client_with_bytes_before_it_is_not_pinged() {
    let mut stage = Stage::default();
    let mut session = subscribed(&mut stage, false);
    stage.unsent = true;
    for _ in 0..10 {
        pass(&mut stage, INTERVAL);
        assert_eq!(session.expire(&mut stage.cx()), Ok(()));
        assert_eq!(stage.take_out(), b"");
    }
}

#[test]
fn the_engines_reasons_have_their_codes_and_nothing_is_said_twice() {
    for (why, want) in [
        (Disconnect::Slow, &["close 4408 too slow"][..]),
        (Disconnect::Shutdown, &["close 1001 the server stops"]),
        (Disconnect::Internal, &["close 1011 internal error"]),
        (Disconnect::PeerClosed, &[]),
        (Disconnect::Done, &[]),
    ] {
        let mut stage = Stage::default();
        let mut session = subscribed(&mut stage, false);
        session.farewell(&why, &mut stage.cx());
        session.farewell(&why, &mut stage.cx());
        assert_eq!(frames(&stage.take_out()), want, "{why:?}");
    }
}

#[test]
fn a_client_too_slow_for_the_history_is_told_to_clear() {
    let mut stage = Stage::default();
    let mut session = subscribed(&mut stage, false);
    assert_eq!(
        session.lagged(CHANNEL, position(9), &mut stage.cx()),
        Ok(())
    );
    let saw = frames(&stage.take_out());
    assert!(
        saw[0].starts_with(r#"{"id":"aaaaaa-0","type":"reset","#),
        "{saw:?}"
    );
}

#[test]
fn a_disconnected_client_needs_no_goodbye() {
    let mut stage = Stage::default();
    let mut session = subscribed(&mut stage, false);
    assert_eq!(session.closed(&mut stage.cx()), Err(Disconnect::PeerClosed));
    assert_eq!(stage.take_out(), b"");
}

/// The encoding that a session subscribes with, caught on its way to the engine.
#[test]
fn a_publication_without_a_place_in_the_history_has_no_id() {
    let mut stage = Stage::default();
    let mut session = subscribed(&mut stage, false);
    let notice = Notice::Fleeting {
        data: (*br#"{"n":1}"#).into(),
        details: None,
    };
    assert_eq!(session.noticed(CHANNEL, &notice, &mut stage.cx()), Ok(()));
    assert_eq!(frames(&stage.take_out()), [r#"{"data":{"n":1}}"#]);
}

fn encode(kind: Kind, json: &str) -> Vec<u8> {
    let mut out = b"log so far".to_vec();
    let entry = Entry {
        channel: CHANNEL,
        epoch: Epoch::from_random([0; 6]),
        offset: 12,
        kind,
        json: Json::new(json.as_bytes()),
        details: None,
        previous: None,
        is_kept: true,
        number: 1,
        created: 0,
        note: b"",
    };
    lmserver_websocket::ENCODING.encode(&entry, &mut out);
    out.split_off(b"log so far".len())
}

#[test]
fn an_event_is_one_message_with_its_id_in_front() {
    let long = format!(r#"{{"type":"chunk","message":"{}"}}"#, "é".repeat(200));
    let long_want = format!(
        r#"{{"id":"aaaaaa-12","type":"chunk","message":"{}"}}"#,
        "é".repeat(200)
    );
    for (kind, json, want) in [
        (
            Kind::Chunk,
            r#"{"type":"chunk","message":"Hel"}"#,
            r#"{"id":"aaaaaa-12","type":"chunk","message":"Hel"}"#,
        ),
        (Kind::Chunk, &long, &long_want),
        (
            Kind::Data,
            r#"{"a":1}"#,
            r#"{"id":"aaaaaa-12","data":{"a":1}}"#,
        ),
        (Kind::Data, "[1,2]", r#"{"id":"aaaaaa-12","data":[1,2]}"#),
        (Kind::Data, "null", r#"{"id":"aaaaaa-12","data":null}"#),
    ] {
        let bytes = encode(kind, json);
        assert_eq!(bytes[0], 0x81, "one unmasked text frame");
        assert_eq!(frames(&bytes), [want]);
    }
}

/// What a session says to a client's bytes, and how it ends.
fn converse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, bool, Vec<Wish>) {
    let mut stage = Stage::default();
    let mut session = subscribed(&mut stage, true);
    let mut ended = false;
    for piece in pieces {
        if session.receive(piece, &mut stage.cx()).is_err() {
            ended = true;
            break;
        }
    }
    (stage.take_out(), ended, stage.take_wishes())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn a_client_is_answered_the_same_however_its_bytes_are_cut(
        said in prop::collection::vec(
            prop_oneof![
                Just(client(Opcode::Text, br#"{"type":"cancel"}"#)),
                prop::collection::vec(any::<u8>(), 0..100).prop_map(|data| client(Opcode::Ping, &data)),
                prop::collection::vec(any::<u8>(), 0..100).prop_map(|data| client(Opcode::Pong, &data)),
                "[a-z]{0,200}".prop_map(|text| client(Opcode::Text, text.as_bytes())),
                (0..5000_u16).prop_map(client_close),
                prop::collection::vec(any::<u8>(), 0..30),
            ],
            0..8,
        ),
        piece in 1..50_usize,
    ) {
        let bytes = said.concat();
        let whole = converse([&bytes[..]]);
        prop_assert_eq!(&whole, &converse(bytes.chunks(piece)));
        prop_assert_eq!(&whole, &converse(bytes.chunks(1)));
    }
}
