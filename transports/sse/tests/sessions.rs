//! Every answer of the transport, without a socket: a placement in, the client's bytes out.

#![expect(
    clippy::panic,
    clippy::expect_used,
    reason = "helpers of tests fail the test"
)]

use std::time::Duration;

use lmserver_proto::http1::server::{Answering, Connection, Event};
use lmserver_proto::http1::{Limits, Request, Response, Version};
use lmserver_runtime::channel::{Backlog, Placement, ResetReason};
use lmserver_runtime::event::{After, Epoch, Json, Kind, Position};
use lmserver_runtime::plugin::stage::{Stage, Wish};
use lmserver_runtime::plugin::transport::{
    Admission, Disconnect, Entry, Gate, Notice, Opening, Session, Transport as _,
};
use lmserver_runtime::time::Moment;
use lmserver_sse::Sse;

const CHANNEL: &str = "chat:1";

fn request() -> Request {
    let mut connection = Connection::new();
    connection.feed(b"GET /connection/sse?channel=chat:1 HTTP/1.1\r\nHost: a\r\n\r\n");
    match connection.next_event(&Limits::default()) {
        Ok(Some(Event::Request { head, .. })) => head,
        other => panic!("no request: {other:?}"),
    }
}

fn stage(version: Version, head_only: bool) -> Stage {
    let mut stage = Stage::default();
    stage.now = Moment(1000);
    stage.answering = Answering {
        version,
        keep_alive: version == Version::Http11,
        head_only,
    };
    stage
}

fn try_open(stage: &mut Stage, admission: Admission) -> Result<Box<dyn Session>, Response> {
    let opening = Opening {
        request: &request(),
        channel: CHANNEL,
        after: After::Beginning,
        admission,
        may_cancel: false,
        create: None,
        body: b"",
        fields: vec![("Vary".into(), "Origin".into())],
    };
    Sse.open(opening, &mut stage.cx())
}

fn open(stage: &mut Stage) -> Box<dyn Session> {
    let Ok(session) = try_open(stage, Admission::Granted) else {
        panic!("refused")
    };
    assert!(
        stage.take_out().is_empty(),
        "nothing is said before the placement"
    );
    session
}

fn position(offset: u64) -> Position {
    Position {
        epoch: Epoch::from_random([0; 6]),
        offset,
    }
}

/// The first event of the channel.
fn first() -> Entry<'static> {
    Entry {
        channel: CHANNEL,
        epoch: position(1).epoch,
        offset: 1,
        kind: Kind::Start,
        json: Json::new(b"{}"),
        details: None,
        previous: None,
        is_kept: true,
        number: 1,
        created: 0,
        note: b"",
    }
}

fn placed(reset: Option<ResetReason>) -> Placement {
    Placement::Placed {
        position: position(3),
        reset,
        behind: true,
    }
}

/// What was written: the head, and the body without its chunks.
fn split(bytes: &[u8], version: Version) -> (String, String) {
    let end = bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("a head")
        + 4;
    let (head, body) = bytes.split_at(end);
    let head = String::from_utf8_lossy(head).into_owned();
    assert!(head.contains("\r\nDate: "), "{head}");
    assert_eq!(
        head.contains("Transfer-Encoding: chunked"),
        version == Version::Http11
    );
    (head, plain(body, version))
}

fn plain(body: &[u8], version: Version) -> String {
    if version == Version::Http10 {
        return String::from_utf8_lossy(body).into_owned();
    }
    let mut text = String::new();
    let mut rest = body;
    while let Some(end) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = std::str::from_utf8(&rest[..end]).expect("digits");
        let size = usize::from_str_radix(size, 16).expect("a chunk size");
        if size == 0 {
            assert_eq!(&rest[end..], b"\r\n\r\n", "nothing follows the last chunk");
            text.push_str("<end>");
            return text;
        }
        text.push_str(&String::from_utf8_lossy(&rest[end + 2..end + 2 + size]));
        assert_eq!(&rest[end + 2 + size..end + 4 + size], b"\r\n");
        rest = &rest[end + 4 + size..];
    }
    assert!(rest.is_empty());
    text
}

#[test]
fn the_head_goes_out_at_once_and_retry_just_before_the_first_event() {
    for version in [Version::Http11, Version::Http10] {
        let mut stage = stage(version, false);
        let mut session = open(&mut stage);
        let encoding = if version == Version::Http11 {
            "sse/chunked"
        } else {
            "sse/plain"
        };
        assert_eq!(
            stage.take_wishes(),
            [Wish::Subscribe {
                channel: CHANNEL.into(),
                after: After::Beginning,
                encoding,
                create: None,
                gated: true,
            }]
        );
        assert_eq!(
            session.placed(
                CHANNEL,
                &placed(None),
                &mut Backlog::empty(),
                &mut stage.cx()
            ),
            Ok(())
        );
        let (head, body) = split(&stage.take_out(), version);
        for line in [
            "HTTP/1.1 200 OK\r\n",
            "Content-Type: text/event-stream\r\n",
            "Cache-Control: no-store, no-transform\r\n",
            "X-Accel-Buffering: no\r\n",
            "Vary: Origin\r\n",
        ] {
            assert!(head.contains(line), "{line} in {head}");
        }
        assert_eq!(body, "");
        assert_eq!(session.gate(CHANNEL, &first(), &mut stage.cx()), Gate::Open);
        assert_eq!(plain(&stage.take_out(), version), "retry: 1000\n");
        assert_eq!(session.gate(CHANNEL, &first(), &mut stage.cx()), Gate::Open);
        assert_eq!(stage.take_out(), b"", "once a response");
    }
}

#[test]
fn a_reset_is_the_first_event_and_carries_the_retry() {
    for reason in [
        ResetReason::OtherEpoch,
        ResetReason::Ahead,
        ResetReason::Trimmed,
    ] {
        let mut stage = stage(Version::Http11, false);
        let mut session = open(&mut stage);
        let placement = placed(Some(reason));
        assert_eq!(
            session.placed(CHANNEL, &placement, &mut Backlog::empty(), &mut stage.cx()),
            Ok(())
        );
        let (_, body) = split(&stage.take_out(), Version::Http11);
        let id = position(0);
        let want = format!(
            "retry: 1000\nid: {id}\ndata: {{\"type\":\"reset\",\"message\":\"\",\"reason\":\"{reason}\"}}\n\n"
        );
        assert_eq!(body, want);
        assert_eq!(session.gate(CHANNEL, &first(), &mut stage.cx()), Gate::Open);
        assert_eq!(stage.take_out(), b"");
    }
}

#[test]
fn what_cannot_be_streamed_is_answered_as_a_whole() {
    for (placement, status, code) in [
        (Placement::Finished(position(9)), 204, None),
        (Placement::Unknown, 404, Some("not_found")),
        (Placement::Expired, 410, Some("gone")),
    ] {
        let mut stage = stage(Version::Http11, false);
        let mut session = open(&mut stage);
        stage.take_wishes();
        assert_eq!(
            session.placed(CHANNEL, &placement, &mut Backlog::empty(), &mut stage.cx()),
            Ok(())
        );
        assert_eq!(stage.take_out(), b"");
        let [
            Wish::HandBack {
                response: Some(response),
                ..
            },
        ] = &stage.take_wishes()[..]
        else {
            panic!("{placement:?} is a whole response")
        };
        assert_eq!(response.status, status);
        assert!(
            response
                .fields
                .iter()
                .any(|(name, value)| name == "Vary" && value == "Origin")
        );
        let body = String::from_utf8_lossy(&response.body);
        match code {
            Some(code) => assert!(body.contains(&format!("\"code\":\"{code}\"")), "{body}"),
            None => assert_eq!(body, ""),
        }
    }
}

#[test]
fn a_publication_without_a_place_in_the_history_has_no_id() {
    for version in [Version::Http11, Version::Http10] {
        let mut stage = stage(version, false);
        let mut session = open(&mut stage);
        let notice = Notice::Fleeting {
            data: (*br#"{"n":1}"#).into(),
            details: None,
        };
        assert_eq!(
            session.placed(
                CHANNEL,
                &placed(None),
                &mut Backlog::empty(),
                &mut stage.cx()
            ),
            Ok(())
        );
        stage.take_out();
        for retry in ["retry: 1000\n", ""] {
            assert_eq!(session.noticed(CHANNEL, &notice, &mut stage.cx()), Ok(()));
            let want = format!("{retry}data: {{\"n\":1}}\n\n");
            assert_eq!(plain(&stage.take_out(), version), want);
        }
    }
}

#[test]
fn a_lost_answer_is_told_as_an_event_and_a_full_server_as_a_wait() {
    for version in [Version::Http11, Version::Http10] {
        let end = if version == Version::Http11 {
            "<end>"
        } else {
            ""
        };
        let mut gone = stage(version, false);
        let mut session = open(&mut gone);
        assert_eq!(
            session.placed(
                CHANNEL,
                &Placement::Gone,
                &mut Backlog::empty(),
                &mut gone.cx()
            ),
            Ok(())
        );
        let (head, body) = split(&gone.take_out(), version);
        assert!(head.starts_with("HTTP/1.1 200 "));
        assert!(
            body.starts_with("retry: 1000\nid: gone-0\ndata: {\"type\":\"error\","),
            "{body}"
        );
        assert!(
            body.contains("\"code\":\"gone\",\"retryable\":false}\n\n"),
            "{body}"
        );
        assert!(body.ends_with(end));

        let mut busy = stage(version, false);
        let mut session = open(&mut busy);
        assert_eq!(
            session.placed(
                CHANNEL,
                &Placement::Busy,
                &mut Backlog::empty(),
                &mut busy.cx()
            ),
            Ok(())
        );
        let (head, body) = split(&busy.take_out(), version);
        assert!(head.starts_with("HTTP/1.1 200 "));
        let wait = body
            .strip_prefix("retry: ")
            .and_then(|rest| rest.strip_suffix(end));
        let wait: u64 = wait
            .expect("only this line")
            .trim_end()
            .parse()
            .expect("millis");
        assert!((1000..=5000).contains(&wait));
        assert!(matches!(
            busy.take_wishes().last(),
            Some(Wish::HandBack { response: None, .. })
        ));
    }
}

#[test]
fn head_is_answered_by_the_head_alone() {
    for placement in [placed(None), Placement::Gone, Placement::Busy] {
        let mut stage = stage(Version::Http11, true);
        let mut session = open(&mut stage);
        assert_eq!(
            session.placed(CHANNEL, &placement, &mut Backlog::empty(), &mut stage.cx()),
            Ok(())
        );
        let (_, body) = split(&stage.take_out(), Version::Http11);
        assert_eq!(body, "", "{placement:?}");
    }
}

#[test]
fn credentials_are_judged_before_anything_else() {
    for (admission, status) in [
        (Admission::Unauthorized("send a token".into()), 401),
        (
            Admission::Forbidden("the token is for another channel".into()),
            403,
        ),
    ] {
        let mut stage = stage(Version::Http11, false);
        let Err(response) = try_open(&mut stage, admission) else {
            panic!("admitted")
        };
        assert_eq!(response.status, status);
        assert!(stage.take_wishes().is_empty());
        assert_eq!(
            response
                .fields
                .iter()
                .any(|(name, _)| name == "WWW-Authenticate"),
            status == 401
        );
    }
}

#[test]
fn a_heartbeat_comes_after_silence_and_never_to_a_reader_that_is_behind() {
    let mut stage = stage(Version::Http11, false);
    let mut session = open(&mut stage);
    assert_eq!(
        session.placed(
            CHANNEL,
            &placed(None),
            &mut Backlog::empty(),
            &mut stage.cx()
        ),
        Ok(())
    );
    stage.take_out();
    let silence = Duration::from_secs(15);
    assert_eq!(session.deadline(Moment(1000)), Some(Moment(1000) + silence));
    assert_eq!(session.deadline(Moment(9000)), Some(Moment(9000) + silence));
    stage.now = Moment(16_000);
    assert_eq!(session.expire(&mut stage.cx()), Ok(()));
    assert_eq!(plain(&stage.take_out(), Version::Http11), ": hb\n\n");
    stage.now = Moment(31_000);
    stage.unsent = true;
    assert_eq!(session.expire(&mut stage.cx()), Ok(()));
    assert_eq!(stage.take_out(), b"");
    assert_eq!(
        session.deadline(Moment(1000)),
        Some(Moment(31_000) + silence)
    );
}

#[test]
fn the_end_gives_the_connection_back_with_what_came_meanwhile() {
    let mut stage = stage(Version::Http11, false);
    let mut session = open(&mut stage);
    assert_eq!(
        session.placed(
            CHANNEL,
            &placed(None),
            &mut Backlog::empty(),
            &mut stage.cx()
        ),
        Ok(())
    );
    assert_eq!(session.gate(CHANNEL, &first(), &mut stage.cx()), Gate::Open);
    assert_eq!(session.receive(b"GET / HT", &mut stage.cx()), Ok(()));
    assert_eq!(session.receive(b"TP/1.1\r\n", &mut stage.cx()), Ok(()));
    stage.take_out();
    stage.take_wishes();
    assert_eq!(session.ended(CHANNEL, &mut stage.cx()), Ok(()));
    assert_eq!(plain(&stage.take_out(), Version::Http11), "<end>");
    assert_eq!(
        stage.take_wishes(),
        [Wish::HandBack {
            answering: stage.answering,
            response: None,
            leftover: b"GET / HTTP/1.1\r\n".to_vec(),
        }]
    );
}

#[test]
fn of_a_client_that_talks_too_much_nothing_is_kept() {
    let mut stage = stage(Version::Http11, false);
    let mut session = open(&mut stage);
    for piece in [&[b'x'; 16 * 1024][..], b"x", b"GET / HTTP/1.1\r\n"] {
        assert_eq!(session.receive(piece, &mut stage.cx()), Ok(()));
    }
    stage.take_wishes();
    assert_eq!(session.ended(CHANNEL, &mut stage.cx()), Ok(()));
    assert_eq!(
        stage.take_wishes(),
        [Wish::HandBack {
            answering: Answering {
                keep_alive: false,
                ..stage.answering
            },
            response: None,
            leftover: Vec::new(),
        }]
    );
}

#[test]
fn a_stop_ends_the_body_and_a_slow_reader_is_cut() {
    for (why, want) in [(Disconnect::Shutdown, "<end>"), (Disconnect::Slow, "")] {
        let mut stage = stage(Version::Http11, false);
        let mut session = open(&mut stage);
        assert_eq!(
            session.placed(
                CHANNEL,
                &placed(None),
                &mut Backlog::empty(),
                &mut stage.cx()
            ),
            Ok(())
        );
        stage.take_out();
        session.farewell(&why, &mut stage.cx());
        assert_eq!(plain(&stage.take_out(), Version::Http11), want);
    }
}

#[test]
fn a_session_is_small() {
    let mut stage = stage(Version::Http11, false);
    let session = open(&mut stage);
    assert!(
        size_of_val(&*session) <= 80,
        "{} bytes",
        size_of_val(&*session)
    );
}
