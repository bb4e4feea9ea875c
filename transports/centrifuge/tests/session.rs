//! A session alone: placements that the engine gives rarely, and what it holds in between.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail the test"
)]

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use lmserver_centrifuge::Centrifuge;
use lmserver_proto::http1::server::{Connection, Event};
use lmserver_proto::http1::{Limits, Request};
use lmserver_proto::ws::frame::{self, Opcode};
use lmserver_proto::ws::{self, Role};
use lmserver_runtime::channel::{Backlog, Placement, ResetReason};
use lmserver_runtime::event::{After, Epoch, Position};
use lmserver_runtime::plugin::access::{
    Access, ActAsk, ActGrant, ClientSettings, ConnectAsk, ConnectGrant, Denial, Expiry, Feature,
    RefreshGrant, SubscribeAsk, SubscribeGrant,
};
use lmserver_runtime::plugin::stage::{Stage, Wish};
use lmserver_runtime::plugin::transport::{Admission, Disconnect, Opening, Session};
use proptest::prelude::*;

const CHANNEL: &str = "chat:1";
const ID: &str = "00000000-0000-4000-8000-000000000000";

/// Everybody may read the chat, and whoever has a token is subscribed to it by the server.
#[derive(Default)]
struct Everybody {
    settings: ClientSettings,
    /// Tokens of subscriptions that were looked at.
    refreshes: Rc<Cell<usize>>,
}

fn grant() -> SubscribeGrant {
    SubscribeGrant {
        create: None,
        from_beginning: true,
        recovery: Feature::Forced,
        is_cache: false,
        positioning: Feature::Forced,
        presence: false,
        join_leave: false,
        push_join_leave: Feature::Off,
        delta: false,
        tags_filter: false,
        compaction: true,
        info: None,
        data: None,
        expiry: Expiry(None),
        by_token: false,
    }
}

impl Access for Everybody {
    fn settings(&self) -> &ClientSettings {
        &self.settings
    }

    fn connect(&mut self, ask: &ConnectAsk<'_>) -> Result<ConnectGrant, Denial> {
        let mut connect = ConnectGrant::default();
        if !ask.token.is_empty() {
            connect.subscriptions.push((CHANNEL.into(), grant()));
        }
        Ok(connect)
    }

    fn refresh(&mut self, _: &str, _: &str, _: Duration) -> Result<Expiry, Denial> {
        Err(Denial::Error(108))
    }

    fn subscribe(&mut self, ask: &SubscribeAsk<'_>) -> Result<SubscribeGrant, Denial> {
        Ok(SubscribeGrant {
            by_token: !ask.token.is_empty(),
            ..grant()
        })
    }

    fn refresh_subscription(&mut self, ask: &SubscribeAsk<'_>) -> Result<RefreshGrant, Denial> {
        self.refreshes.set(self.refreshes.get() + 1);
        Ok(RefreshGrant {
            channel: ask.token.into(),
            expiry: Expiry(None),
        })
    }

    fn act(&mut self, _: &ActAsk<'_>) -> Result<ActGrant, Denial> {
        Err(Denial::Error(108))
    }
}

fn request(head: &str) -> Request {
    let mut connection = Connection::new();
    connection.feed(head.as_bytes());
    match connection.next_event(&Limits::default()) {
        Ok(Some(Event::Request { head, .. })) => head,
        other => panic!("no request: {other:?}"),
    }
}

/// A session of a transport that was opened by this request.
fn open(stage: &mut Stage, name: &str, head: &str, body: &[u8]) -> Box<dyn Session> {
    stage.set_access(Box::new(Everybody::default()));
    let request = request(head);
    let opening = Opening {
        request: &request,
        body,
        channel: "",
        after: After::Beginning,
        admission: Admission::Granted,
        may_cancel: false,
        create: None,
        fields: Vec::new(),
    };
    let transports = Centrifuge::new([1; 16]).transports();
    let (_, transport) = transports.iter().find(|(it, _)| *it == name).unwrap();
    match transport.open(opening, &mut stage.cx()) {
        Ok(session) => session,
        Err(response) => panic!("{}", response.status),
    }
}

/// A session on a WebSocket that has sent this.
fn websocket(stage: &mut Stage, message: &str) -> Box<dyn Session> {
    let head = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let mut session = open(stage, "websocket", head, b"");
    stage.take_out();
    assert_eq!(send(stage, &mut *session, message), Ok(()));
    session
}

fn send(stage: &mut Stage, session: &mut dyn Session, message: &str) -> Result<(), Disconnect> {
    let mut bytes = Vec::new();
    frame::write_frame(
        &mut bytes,
        Opcode::Text,
        true,
        message.as_bytes(),
        Some([5, 6, 7, 8]),
    );
    session.receive(&bytes, &mut stage.cx())
}

/// The messages that were written since the last call.
fn said(stage: &mut Stage) -> Vec<String> {
    let mut connection = ws::Connection::new(Role::Client);
    connection.feed(&stage.take_out());
    let mut said = Vec::new();
    while let Some(event) = connection.next_event(&ws::Limits::default()).unwrap() {
        said.push(match event {
            ws::Event::Text(text) => text.into(),
            ws::Event::Close { code, reason } => format!("{} {reason}", code.unwrap_or_default()),
            other => panic!("{other:?}"),
        });
    }
    said
}

fn position(offset: u64) -> Position {
    Position {
        epoch: Epoch::from_random([0; 6]),
        offset,
    }
}

fn placed(offset: u64, reset: Option<ResetReason>) -> Placement {
    Placement::Placed {
        position: position(offset),
        reset,
        behind: false,
    }
}

fn place(stage: &mut Stage, session: &mut dyn Session, placement: &Placement) {
    let outcome = session.placed(CHANNEL, placement, &mut Backlog::empty(), &mut stage.cx());
    assert_eq!(outcome, Ok(()));
}

#[test]
fn every_placement_has_its_answer() {
    let error = |code: u32, message: &str| {
        format!(r#"{{"id":2,"error":{{"code":{code},"message":"{message}"}}}}"#)
    };
    let unknown = error(102, "unknown channel");
    let busy =
        r#"{"id":2,"error":{"code":100,"message":"internal server error","temporary":true}}"#;
    let finished = r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"aaaaaa","#;
    for (recover, after, placement, want) in [
        ("", After::Beginning, Placement::Unknown, unknown.clone()),
        ("", After::Beginning, Placement::Expired, unknown.clone()),
        (
            r#","recover":true,"offset":7"#,
            After::Offset(7),
            Placement::Gone,
            unknown,
        ),
        ("", After::Beginning, Placement::Busy, busy.into()),
        (
            r#","recover":true,"offset":7,"epoch":"aaaaaa""#,
            After::Position(position(7)),
            Placement::Finished(position(7)),
            format!(
                r#"{finished}"recovered":true,"offset":7,"positioned":true,"was_recovering":true}}}}"#
            ),
        ),
        (
            "",
            After::Beginning,
            Placement::Finished(position(7)),
            format!(r#"{finished}"offset":7,"positioned":true}}}}"#),
        ),
        (
            r#","recover":true,"offset":7,"epoch":"x","flag":2"#,
            After::Unreadable,
            placed(0, Some(ResetReason::OtherEpoch)),
            error(112, "unrecoverable position"),
        ),
    ] {
        let mut stage = Stage::default();
        let message = format!(
            "{{\"id\":1,\"connect\":{{}}}}\n{{\"id\":2,\"subscribe\":{{\"channel\":\"{CHANNEL}\"{recover}}}}}\n{{\"id\":3,\"rpc\":{{}}}}"
        );
        let mut session = websocket(&mut stage, &message);
        assert_eq!(
            said(&mut stage).len(),
            1,
            "the rest waits for the placement"
        );
        let wishes = stage.take_wishes();
        let wish = wishes.iter().find_map(|wish| match wish {
            Wish::Subscribe {
                after, encoding, ..
            } => Some((*after, *encoding)),
            _ => None,
        });
        assert_eq!(wish, Some((after, "centrifuge/ws/json")));
        place(&mut stage, &mut *session, &placement);
        let not_available = r#"{"id":3,"error":{"code":108,"message":"not available"}}"#;
        assert_eq!(said(&mut stage), [&*want, not_available]);
        let left = stage.take_wishes().contains(&Wish::Unsubscribe {
            channel: CHANNEL.into(),
        });
        assert_eq!(left, want.contains("error"));
    }
}

#[test]
fn connecting_waits_for_its_subscriptions() {
    let connect = r#"{"id":1,"connect":{"token":"x"}}"#;
    let head = format!(
        r#"{{"id":1,"connect":{{"client":"{ID}","version":"lmserver {}","#,
        env!("CARGO_PKG_VERSION")
    );
    for (placement, want) in [
        (
            Placement::Finished(position(3)),
            format!(
                r#"{head}"subs":{{"{CHANNEL}":{{"recoverable":true,"epoch":"aaaaaa","offset":3,"positioned":true}}}},"ping":25,"pong":true}}}}"#
            ),
        ),
        // What is not there is left out.
        (
            Placement::Unknown,
            format!(r#"{head}"ping":25,"pong":true}}}}"#),
        ),
        (
            Placement::Busy,
            r#"{"id":1,"error":{"code":100,"message":"internal server error","temporary":true}}"#
                .into(),
        ),
    ] {
        let mut stage = Stage::default();
        let mut session = websocket(&mut stage, connect);
        assert_eq!(
            send(&mut stage, &mut *session, r#"{"id":2,"rpc":{}}"#),
            Ok(())
        );
        assert_eq!(said(&mut stage), [""; 0]);
        place(&mut stage, &mut *session, &placement);
        let said = said(&mut stage);
        assert_eq!(said[0], want);
        // Behind an error the rest is ignored.
        assert_eq!(said.len(), if placement == Placement::Busy { 1 } else { 2 });
    }
}

#[test]
fn a_stream_whose_subscriptions_get_no_place_is_refused_by_status() {
    let mut stage = Stage::default();
    let head = "POST / HTTP/1.1\r\nHost: a\r\n\r\n";
    let body = br#"{"id":1,"connect":{"token":"x"}}"#;
    let mut session = open(&mut stage, "http_stream", head, body);
    assert_eq!(stage.take_out(), b"");
    stage.take_wishes();
    place(&mut stage, &mut *session, &Placement::Busy);
    assert_eq!(stage.take_out(), b"");
    let wishes = stage.take_wishes();
    let status = wishes.iter().find_map(|wish| match wish {
        Wish::HandBack { response, .. } => response.as_ref().map(|response| response.status),
        _ => None,
    });
    assert_eq!(status, Some(503), "{wishes:?}");
}

#[test]
fn a_place_that_comes_too_late_is_given_back() {
    let mut stage = Stage::default();
    let mut session = websocket(&mut stage, r#"{"id":1,"connect":{}}"#);
    stage.take_wishes();
    said(&mut stage);
    place(&mut stage, &mut *session, &placed(0, None));
    assert_eq!(said(&mut stage), [""; 0]);
    assert_eq!(
        stage.take_wishes(),
        [Wish::Unsubscribe {
            channel: CHANNEL.into()
        }]
    );
}

#[test]
fn a_lost_place_is_said() {
    let mut stage = Stage::default();
    let message = "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"chat:1\"}}";
    let mut session = websocket(&mut stage, message);
    place(&mut stage, &mut *session, &placed(0, None));
    said(&mut stage);
    assert_eq!(
        session.lagged(CHANNEL, position(3), &mut stage.cx()),
        Ok(())
    );
    assert_eq!(
        said(&mut stage),
        [
            r#"{"push":{"channel":"chat:1","unsubscribe":{"code":2500,"reason":"insufficient state"}}}"#
        ]
    );
    assert_eq!(
        session.lagged(CHANNEL, position(3), &mut stage.cx()),
        Ok(())
    );
    assert_eq!(said(&mut stage), [""; 0]);

    let mut session = websocket(&mut stage, r#"{"id":1,"connect":{"token":"x"}}"#);
    place(&mut stage, &mut *session, &placed(0, None));
    said(&mut stage);
    assert_eq!(
        session.lagged(CHANNEL, position(3), &mut stage.cx()),
        Ok(())
    );
    assert_eq!(said(&mut stage), ["3010 insufficient state"]);
}

#[test]
fn the_engines_reasons_have_their_codes() {
    for (why, want) in [
        (Disconnect::Slow, &["3008 slow"][..]),
        (Disconnect::Shutdown, &["3001 shutdown"]),
        (Disconnect::Internal, &["3004 internal server error"]),
        (Disconnect::PeerClosed, &[]),
        (Disconnect::Done, &[]),
    ] {
        let mut stage = Stage::default();
        let mut session = websocket(&mut stage, r#"{"id":1,"connect":{}}"#);
        said(&mut stage);
        session.farewell(&why, &mut stage.cx());
        assert_eq!(said(&mut stage), want);
    }
}

#[test]
fn who_takes_nothing_is_told_no_more() {
    for (blocked, least, most) in [(true, 262_144, 263_000), (false, 1_048_576, 1_050_000)] {
        let mut stage = Stage::default();
        let mut session = websocket(&mut stage, r#"{"id":1,"connect":{}}"#);
        stage.blocked = blocked;
        let commands = [r#"{"id":3,"rpc":{}}"#; 100].join("\n");
        let mut outcome = Ok(());
        for _ in 0..1000 {
            stage.now.0 += 1000;
            outcome = send(&mut stage, &mut *session, &commands);
            if outcome.is_err() {
                break;
            }
        }
        assert_eq!(outcome, Err(Disconnect::Slow));
        let bytes = stage.take_out().len();
        assert!((least..most).contains(&bytes), "{bytes}");
    }
}

#[test]
fn a_token_that_names_its_channel_itself_is_looked_at_once() {
    let mut stage = Stage::default();
    let mut session = websocket(&mut stage, r#"{"id":1,"connect":{}}"#);
    let refreshes = Rc::new(Cell::new(0));
    stage.set_access(Box::new(Everybody {
        refreshes: refreshes.clone(),
        ..Everybody::default()
    }));
    for channel in ["a", "b", "c", "d"] {
        // The last one rests on none.
        let token = if channel == "d" { "" } else { "x" };
        let subscribe =
            format!(r#"{{"id":2,"subscribe":{{"channel":"{channel}","token":"{token}"}}}}"#);
        assert_eq!(send(&mut stage, &mut *session, &subscribe), Ok(()));
        let placement = placed(0, None);
        let mut backlog = Backlog::empty();
        let outcome = session.placed(channel, &placement, &mut backlog, &mut stage.cx());
        assert_eq!(outcome, Ok(()));
    }
    said(&mut stage);
    let denied = r#"{"id":3,"error":{"code":103,"message":"permission denied"}}"#;
    for (count, (channel, want)) in [
        ("c", r#"{"id":3,"sub_refresh":{}}"#),
        ("a", r#"{"id":3,"sub_refresh":{}}"#),
        ("d", denied),
        ("e", denied),
    ]
    .into_iter()
    .enumerate()
    {
        let refresh = format!(r#"{{"id":3,"sub_refresh":{{"token":"{channel}"}}}}"#);
        assert_eq!(send(&mut stage, &mut *session, &refresh), Ok(()));
        assert_eq!(said(&mut stage), [want]);
        assert_eq!(refreshes.get(), count + 1);
    }
}

/// A line that may be a command.
fn line() -> impl Strategy<Value = String> {
    let request = prop_oneof![
        Just(r#""connect":{}"#),
        Just(r#""connect":{"token":"x","subs":{"chat:1":{"recover":true,"epoch":"-"}}}"#),
        Just(r#""subscribe":{"channel":"chat:1"}"#),
        Just(
            r#""subscribe":{"channel":"chat:2","recover":true,"offset":18446744073709551615,"flag":3}"#
        ),
        Just(r#""unsubscribe":{"channel":"chat:1"}"#),
        Just(r#""publish":{"channel":"chat:1","data":{}}"#),
        Just(r#""history":{"channel":"chat:1","limit":-2147483648}"#),
        Just(r#""presence":{"channel":"chat:1"}"#),
        Just(r#""refresh":{"token":""}"#),
        Just(r#""sub_refresh":{}"#),
        Just(r#""rpc":{}"#),
    ];
    prop_oneof![
        20 => (any::<u32>(), request).prop_map(|(id, request)| format!(r#"{{"id":{id},{request}}}"#)),
        1 => Just("{}".to_owned()),
        1 => ".{0,20}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever a client sends: what it gets is well-formed, and the first reply is to connect.
    #[test]
    fn no_message_breaks_a_session(
        messages in prop::collection::vec(prop::collection::vec(line(), 1..6), 1..6),
        offset in 0u64..4,
    ) {
        let mut stage = Stage::default();
        let mut session = websocket(&mut stage, r#"{"id":1,"connect":{}}"#);
        let mut closed = false;
        for message in messages {
            let outcome = send(&mut stage, &mut *session, &message.join("\n"));
            prop_assert!(outcome.is_ok() || closed);
            loop {
                let wishes = stage.take_wishes();
                if wishes.is_empty() {
                    break;
                }
                for wish in wishes {
                    let Wish::Subscribe { channel, .. } = wish else {
                        continue;
                    };
                    let placement = match offset {
                        0 => Placement::Unknown,
                        1 => Placement::Busy,
                        _ => placed(offset, None),
                    };
                    let mut backlog = Backlog::empty();
                    let outcome =
                        session.placed(&channel, &placement, &mut backlog, &mut stage.cx());
                    prop_assert_eq!(outcome, Ok(()));
                }
            }
            for said in said(&mut stage) {
                prop_assert!(!closed, "{said}");
                let code = said.split(' ').next().and_then(|code| code.parse::<u16>().ok());
                closed = code.is_some_and(|code| (3000..4000).contains(&code) || code == 1007);
                prop_assert!(closed || serde_json::from_str::<serde_json::Value>(&said).is_ok());
            }
        }
    }
}
