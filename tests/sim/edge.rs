//! Corners: what comes behind a request, half-closed clients, errors in the middle of an event,
//! too many connections, answers that are too large.

use std::time::Duration;

use lmserver::proto::http1::Method;
use lmserver::runtime::sys::sim::{LineId, Net, Peer, Received, Weather};
use lmserver::runtime::time::Moment;

use crate::client::{Caller, Fetch, Question};
use crate::scene::{Scene, begun, delta, ending, scene, second, watched, whole};
use crate::script::Act;
use crate::watcher::{Leg, Via, Watcher};
use crate::world::SERVER;

/// Says bytes at moments, keeps what comes back, and stays until the server closes.
struct Raw {
    says: Vec<(Moment, Vec<u8>)>,
    weather: Weather,
    /// It ends its side when all is said.
    half_closes: bool,
    /// It reads nothing before this.
    reads_from: Moment,
    line: Option<LineId>,
    heard: Vec<u8>,
    ended: Option<(Received, Moment)>,
}

impl Raw {
    fn new(says: Vec<(Moment, Vec<u8>)>) -> Self {
        Self {
            says,
            weather: Weather::default(),
            half_closes: false,
            reads_from: Moment(0),
            line: None,
            heard: Vec::new(),
            ended: None,
        }
    }

    /// Ends its side behind its requests, and reads through a window of so many bytes.
    fn half_closing(requests: &str, window_to_peer: usize) -> Self {
        Self {
            weather: Weather {
                window_to_peer,
                latency: (1, 9),
                ..Weather::default()
            },
            half_closes: true,
            ..Self::new(vec![(Moment(0), requests.to_owned().into_bytes())])
        }
    }
}

impl Peer for Raw {
    fn step(&mut self, now: Moment, net: &mut Net<'_>) {
        let line = *self
            .line
            .get_or_insert_with(|| net.connect(SERVER, self.weather).unwrap());
        while let Some((at, bytes)) = self.says.first_mut() {
            if now < *at {
                net.wake(*at);
                break;
            }
            let sent = net.write(line, bytes);
            bytes.drain(..sent);
            if !bytes.is_empty() {
                break;
            }
            self.says.remove(0);
        }
        if self.half_closes && self.says.is_empty() {
            self.half_closes = false;
            net.shutdown(line);
        }
        if now < self.reads_from {
            return net.wake(self.reads_from);
        }
        loop {
            match net.read(line, &mut self.heard, usize::MAX) {
                Received::Bytes(_) => {}
                Received::Nothing => return,
                end => {
                    self.ended.get_or_insert((end, now));
                    net.close(line);
                    return net.done();
                }
            }
        }
    }

    fn describe(&self) -> String {
        format!(
            "raw client, heard {:?}",
            String::from_utf8_lossy(&self.heard)
        )
    }
}

fn heard(scene: &Scene, raw: lmserver::runtime::sys::sim::PeerId) -> String {
    let raw: &Raw = scene.world.peer(raw);
    String::from_utf8_lossy(&raw.heard).into_owned()
}

/// A channel whose answer has begun and waits.
fn running(acts: Vec<Act>) -> (Scene, String) {
    let mut scene = watched(acts);
    scene.world.pass(Duration::from_secs(1));
    let channel = scene.channel();
    (scene, channel)
}

#[test]
fn a_half_closed_client_still_gets_its_answer() {
    let mut scene = watched(vec![Act::Send(whole(&["Hello"]))]);
    let body = r#"{"message":"hi"}"#;
    let request = format!(
        "POST /api/chat HTTP/1.1\r\nHost: sim\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    for window_to_peer in [10, 65_536] {
        let raw = scene.world.add(Raw::half_closing(&request, window_to_peer));
        scene.world.run(Duration::from_secs(60));
        let heard = heard(&scene, raw);
        assert!(heard.starts_with("HTTP/1.1 200"), "{heard}");
        assert!(heard.ends_with('}'), "{heard}");
    }
}

#[test]
fn a_half_closed_client_gets_what_was_answered_before_its_event_stream() {
    let (mut scene, channel) = running(vec![Act::Send(begun(&["Hel"])), Act::Wait(5000)]);
    let request = format!(
        "GET /nothing HTTP/1.1\r\nHost: sim\r\n\r\n\
         GET /connection/sse?channel={channel} HTTP/1.1\r\nHost: sim\r\n\r\n"
    );
    for window_to_peer in [10, 65_536] {
        let raw = scene.world.add(Raw::half_closing(&request, window_to_peer));
        scene.world.pass(Duration::from_secs(2));
        let heard = heard(&scene, raw);
        let (head, rest) = heard.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 404"), "{heard}");
        assert!(rest.contains('}'), "{heard}");
    }
}

#[test]
fn what_stands_behind_an_event_stream_is_answered_after_it() {
    let acts = vec![
        Act::Send(begun(&["Hel"])),
        Act::Wait(5000),
        Act::Send(delta("lo")),
        Act::Send(ending()),
    ];
    let (mut scene, channel) = running(acts);
    // A second chat, which the request behind the first one's stream cancels.
    let ask = Fetch::post_chat("default", "again", Weather::default());
    let watchers = vec![Watcher::new(vec![Leg::new(Via::WebSocket)])];
    let other = scene.world.add(Question::new(ask, watchers).at(second(3)));
    scene.world.pass(Duration::from_secs(3));
    let other_channel = scene.world.peer::<Question>(other).channel.clone().unwrap();
    let request = format!(
        "GET /connection/sse?channel={channel} HTTP/1.1\r\nHost: sim\r\n\r\n\
         DELETE /api/chat/{other_channel} HTTP/1.1\r\nHost: sim\r\nConnection: close\r\n\r\n"
    );
    let raw = scene
        .world
        .add(Raw::new(vec![(Moment(0), request.into_bytes())]));
    scene.world.run(Duration::from_secs(60));
    let heard = heard(&scene, raw);
    let (stream, behind) = heard.split_once("\r\n0\r\n\r\n").unwrap();
    assert!(stream.contains(r#""type":"end""#), "{heard}");
    assert!(behind.starts_with("HTTP/1.1 200"), "{heard}");
    let question: &Question = scene.world.peer(other);
    let last = question.watchers[0].seen.last().unwrap();
    assert_eq!(last.json["finish_reason"], "cancelled");
    // At once, not with the next thing that happens.
    assert!(last.at <= Moment(5010), "{:?}", last.at);
    scene.world.expect_nothing_left();
}

#[test]
fn nothing_follows_a_close_frame_though_an_event_was_half_written() {
    let piece = "x".repeat(500);
    let mut acts = vec![Act::Send(begun(&[]))];
    for _ in 0..20 {
        acts.extend([Act::Send(delta(&piece)), Act::Wait(500)]);
    }
    acts.push(Act::Send(ending()));
    for window_to_peer in [150, 200, 333, 700, 1001, 1500] {
        let (mut scene, channel) = running(acts.clone());
        let mut hello = Vec::new();
        let target = format!("/connection/websocket?channel={channel}");
        lmserver::proto::ws::handshake::write_request(&mut hello, "sim", &target, [1; 16], &[]);
        // Not masked: the server must close with 1002.
        let wrong = vec![0x81, 0x01, b'x'];
        let mut raw = Raw::new(vec![(Moment(0), hello), (second(4), wrong)]);
        raw.weather = Weather {
            window_to_peer,
            ..Weather::default()
        };
        // It begins to read when the server is stuck inside an event.
        raw.reads_from = second(6);
        let raw = scene.world.add(raw);
        scene.world.run(Duration::from_secs(60));
        let raw: &Raw = scene.world.peer(raw);
        let start = raw
            .heard
            .windows(4)
            .position(|it| it == b"\r\n\r\n")
            .unwrap()
            + 4;
        let mut rest = &raw.heard[start..];
        let mut opcodes = Vec::new();
        while !rest.is_empty() {
            let len = match rest[1] {
                126 => 4 + usize::from(u16::from_be_bytes([rest[2], rest[3]])),
                len => 2 + usize::from(len),
            };
            opcodes.push(rest[0] & 15);
            assert!(len <= rest.len(), "a frame is cut");
            rest = &rest[len..];
        }
        assert_eq!(opcodes.last(), Some(&8), "{opcodes:?}");
        assert_eq!(
            opcodes.iter().filter(|it| **it == 8).count(),
            1,
            "{opcodes:?}"
        );
        scene.world.expect_nothing_left();
    }
}

#[test]
fn an_answer_that_is_too_large_ends_and_keeps_what_there_is() {
    let piece = "x".repeat(3000);
    let mut acts = vec![Act::Send(begun(&[]))];
    acts.extend((0..50).map(|_| Act::Send(delta(&piece))));
    let mut scene = scene(
        |setup| setup.channels.max_channel_bytes = 64 * 1024,
        acts,
        |ask| {
            let watchers =
                [Via::Sse11, Via::WebSocket].map(|via| Watcher::new(vec![Leg::new(via)]));
            Question::new(ask, watchers.into())
        },
    );
    scene.world.run(Duration::from_secs(60));
    for watcher in &scene.question().watchers {
        watcher.expect_a_whole_stream();
        let last = watcher.terminal().unwrap();
        assert_eq!(
            (&last["code"], &last["retryable"]),
            (&"too_large".into(), &false.into())
        );
        assert!(watcher.text().len() >= 3000);
    }
    assert!(scene.world.reactor.metrics().channel_bytes < 100 * 1024);
    scene.world.expect_nothing_left();
}

#[test]
fn over_the_connection_limit_a_listener_is_told_to_come_back() {
    let mut scene = scene(
        |setup| setup.limits.connections = 4,
        vec![
            Act::Send(begun(&["Hel"])),
            Act::Wait(20_000),
            Act::Send(delta("lo")),
            Act::Send(ending()),
        ],
        |ask| {
            let watchers = (0..8)
                .map(|n| Watcher::new(vec![Leg::new([Via::Sse11, Via::WebSocket][n % 2])]))
                .collect();
            Question::new(ask, watchers)
        },
    );
    scene.world.checks = true;
    scene.world.pass(Duration::from_secs(2));
    let retries = |scene: &Scene| {
        let watchers = &scene.question().watchers;
        watchers.iter().filter(|it| it.seen.is_empty()).count()
    };
    assert!((3..=4).contains(&retries(&scene)), "{}", retries(&scene));
    // As the others leave, they find their place.
    scene.world.run(Duration::from_secs(100));
    for watcher in &scene.question().watchers {
        watcher.expect_a_whole_stream();
    }
}

#[test]
fn a_full_server_forgets_the_oldest_finished_chat_first_and_then_refuses() {
    let piece = "x".repeat(3000);
    let mut scene = scene(
        |setup| {
            setup.channels.max_total_bytes = 100 * 1024;
            setup.channels.max_channel_bytes = 64 * 1024;
        },
        vec![Act::Send(whole(&[&piece, &piece, &piece, &piece]))],
        |ask| Question::new(ask, vec![Watcher::new(vec![Leg::new(Via::Sse11)])]),
    );
    let mut asked = Vec::new();
    for n in 1..12 {
        let ask = Fetch::post_chat("default", "again", Weather::default());
        let watchers = vec![Watcher::new(vec![Leg::new(Via::Sse11)])];
        asked.push(scene.world.add(Question::new(ask, watchers).at(second(n))));
    }
    scene.world.run(Duration::from_secs(60));
    for id in &asked {
        assert_eq!(scene.world.peer::<Question>(*id).ask.status, Some(200));
    }
    assert!(scene.world.reactor.metrics().channel_bytes <= 130 * 1024);
    let state = |scene: &mut Scene, channel: &str| {
        let fetch = Fetch::new(
            Method::Get,
            &format!("/api/chat/{channel}"),
            b"",
            Weather::default(),
        );
        let caller = scene.world.add(Caller::new(fetch));
        scene.world.run(Duration::from_secs(10));
        scene.world.peer::<Caller>(caller).fetch.status.unwrap()
    };
    let first = scene.channel();
    assert_eq!(state(&mut scene, &first), 410);
    let last = scene
        .world
        .peer::<Question>(*asked.last().unwrap())
        .channel
        .clone()
        .unwrap();
    assert_eq!(state(&mut scene, &last), 200);
}
