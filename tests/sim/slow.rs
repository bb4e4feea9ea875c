//! Those who read slowly, and those who never do.

use std::time::Duration;

use lmserver::proto::http1::Method;

use crate::client::{Caller, Fetch, Question};
use crate::scene::{Scene, begun, delta, ending, scene};
use crate::script::Act;
use crate::watcher::{Leg, Via, Watcher};
use lmserver::runtime::sys::sim::Weather;

/// 200 KiB in 40 pieces, one every 500 ms.
fn long() -> Vec<Act> {
    let piece = "x".repeat(5120);
    let mut acts = vec![Act::Send(begun(&[]))];
    for _ in 0..40 {
        acts.extend([Act::Send(delta(&piece)), Act::Wait(500)]);
    }
    acts.push(Act::Send(ending()));
    acts
}

/// Reads its head and never again.
fn never_reads(via: Via) -> Watcher {
    let weather = Weather {
        window_to_peer: 8192,
        ..Weather::default()
    };
    let leg = Leg {
        most: 1,
        every: 10_000_000,
        weather,
        ..Leg::new(via)
    };
    let mut watcher = Watcher::new(vec![leg]);
    // The world need not wait for it.
    watcher.done = false;
    watcher
}

fn crowd(size: usize, with: Option<Via>) -> Scene {
    let mut scene = scene(
        |_| {},
        long(),
        |ask| {
            let watchers = (0..size)
                .map(|n| Watcher::new(vec![Leg::new(Via::ALL[n % Via::ALL.len()])]))
                .chain(with.map(never_reads))
                .collect();
            Question::new(ask, watchers)
        },
    );
    scene.world.checks = false;
    scene
}

#[test]
fn one_who_never_reads_changes_nothing_for_a_thousand_who_do() {
    let delays = |with| {
        let mut scene = crowd(1000, with);
        scene.world.pass(Duration::from_secs(40));
        let peak = scene.world.reactor.metrics().channel_bytes;
        let question = scene.question();
        let mut moments = Vec::new();
        for watcher in &question.watchers[..1000] {
            watcher.expect_a_whole_stream();
            moments.push(
                watcher
                    .seen
                    .iter()
                    .map(|seen| seen.at.0)
                    .collect::<Vec<_>>(),
            );
        }
        (moments, peak)
    };
    let (alone, memory_alone) = delays(None);
    let (beside, memory_beside) = delays(Some(Via::Sse11));
    assert!(alone == beside, "their delays do not change");
    assert_eq!(memory_alone, memory_beside, "memory does not grow");
}

#[test]
fn who_takes_nothing_for_the_write_timeout_is_disconnected() {
    for via in [Via::Sse11, Via::Sse10, Via::WebSocket] {
        let mut scene = crowd(1, Some(via));
        // The window is full within a second; the answer takes 20 s, the patience 30 s.
        scene.world.pass(Duration::from_secs(30));
        assert_eq!(scene.world.reactor.metrics().slow_disconnects, 0, "{via:?}");
        scene.world.pass(Duration::from_secs(3));
        assert_eq!(scene.world.reactor.metrics().slow_disconnects, 1, "{via:?}");
        assert_eq!(scene.world.reactor.metrics().connections, 0);
        scene.question().watchers[0].expect_a_whole_stream();
    }
}

#[test]
fn a_trickling_reader_gets_all_and_is_not_cut() {
    let mut scene = scene(
        |_| {},
        long(),
        |ask| {
            let weather = Weather {
                window_to_peer: 3000,
                ..Weather::default()
            };
            let leg = Leg {
                most: 700,
                every: 1000,
                weather,
                ..Leg::new(Via::Sse11)
            };
            let websocket = Leg {
                via: Via::WebSocket,
                ..leg
            };
            Question::new(
                ask,
                vec![Watcher::new(vec![leg]), Watcher::new(vec![websocket])],
            )
        },
    );
    scene.world.run(Duration::from_secs(1000));
    for watcher in &scene.question().watchers {
        watcher.expect_a_whole_stream();
        assert_eq!((watcher.text().len(), watcher.ends.len()), (204_800, 1));
    }
    scene.world.expect_nothing_left();
}

#[test]
fn a_large_response_reaches_a_client_with_a_tiny_window() {
    let mut scene = crowd(1, None);
    scene.world.run(Duration::from_secs(60));
    let weather = Weather {
        window_to_peer: 1000,
        latency: (1, 4),
        ..Weather::default()
    };
    let target = format!("/api/chat/{}", scene.channel());
    let state = Fetch::new(Method::Get, &target, b"", weather);
    let caller = scene.world.add(Caller::new(state));
    scene.world.run(Duration::from_secs(60));
    let fetch = &scene.world.peer::<Caller>(caller).fetch;
    assert!(
        fetch.whole && fetch.body.len() > 204_800,
        "{}",
        fetch.describe()
    );
    scene.world.expect_nothing_left();
}
