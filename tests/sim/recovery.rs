//! Clients of Centrifugo's protocol that come late: a long answer in few messages and little memory.

use std::time::Duration;

use lmserver::runtime::sys::Signal;
use lmserver::runtime::sys::sim::Weather;

use crate::client::Question;
use crate::scene::{Scene, begun, chunk, ending, scene, second};
use crate::script::{Act, blocks};
use crate::watcher::{Ended, Leg, Via, Watcher};

const TOKENS: usize = 10_000;

/// An answer of very many tokens.
fn long_answer(watchers: Vec<Watcher>) -> Scene {
    let words: Vec<String> = (0..TOKENS).map(|n| format!("w{n} ")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut acts = vec![Act::Send(begun(&[]))];
    for some in words.chunks(100) {
        acts.push(Act::Send(chunk(&blocks(some, false, false)[1..].concat())));
    }
    acts.push(Act::Send(ending()));
    let mut scene = scene(|_| {}, acts, |ask| Question::new(ask, watchers));
    scene.world.checks = false;
    scene
}

#[test]
fn a_late_client_gets_ten_thousand_tokens_in_few_messages() {
    let watchers = Via::SDK.map(|via| Watcher::new(vec![Leg::new(via).after(20_000)]));
    let mut scene = long_answer(watchers.into());
    scene.world.run(Duration::from_secs(120));
    for (watcher, via) in scene.question().watchers.iter().zip(Via::SDK) {
        watcher.expect_a_whole_stream();
        assert_eq!(watcher.seen.len(), TOKENS + 2, "{via:?}");
        if matches!(via, Via::SdkJson | Via::SdkProtobuf) {
            // Each holds sixteen kilobytes, or nearly.
            let most = 2 + watcher.raw.len() / (14 * 1024);
            assert!(watcher.messages <= most, "{via:?}: {}", watcher.messages);
        }
    }
}

#[test]
fn a_recovering_client_that_never_reads_costs_little_memory() {
    for via in Via::SDK {
        let never = Leg {
            // The answer to its handshake, no more.
            most: 500,
            every: 10_000_000,
            weather: Weather {
                window_to_peer: 1000,
                ..Weather::default()
            },
            ..Leg::new(via).after(20_000)
        };
        let reader = Watcher::new(vec![Leg::new(Via::Sse11)]);
        let mut scene = long_answer(vec![reader, Watcher::new(vec![never])]);
        scene.world.pass(Duration::from_secs(19));
        let mut most = 0;
        while scene.world.now() < second(40) {
            scene.world.turn();
            most = most.max(scene.world.reactor.largest_outbox());
        }
        // The reply carries the first of what it missed; all else stays in the log.
        let least = if via == Via::SdkJson { 0 } else { 1000 };
        assert!((least..=32 * 1024).contains(&most), "{via:?}: {most} bytes");
        scene.world.pass(Duration::from_secs(40));
        assert_eq!(scene.world.reactor.metrics().connections, 0, "{via:?}");
    }
}

#[test]
fn a_stop_tells_clients_the_end_of_the_answer_and_then_to_come_back() {
    let watchers = Via::SDK.map(|via| {
        let mut watcher = Watcher::new(vec![Leg::new(via)]);
        watcher.stays = true;
        watcher
    });
    let acts = vec![Act::Send(begun(&["Hel"])), Act::Stall];
    let mut scene = scene(
        |setup| setup.limits.drain = Duration::from_secs(3),
        acts,
        |ask| Question::new(ask, watchers.into()),
    );
    scene.world.sys().signal(second(5), Signal::Stop);
    scene.world.run_to_stop(Duration::from_secs(60));
    for watcher in &scene.question().watchers {
        watcher.expect_a_whole_stream();
        assert_eq!(watcher.terminal().unwrap()["code"], "shutdown");
        assert_eq!(watcher.ends, [Ended::Whole(3001)]);
    }
}
