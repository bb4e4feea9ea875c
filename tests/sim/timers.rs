//! Each deadline of a provider ends the answer at its moment with an error that names it.

use std::time::Duration;

use lmserver::runtime::sys::sim::{Host, Name, Net, Peer, Weather};
use lmserver::runtime::time::Moment;

use crate::client::{Fetch, Question};
use crate::scene::{Scene, UPSTREAM, begun, chunk, delta, scene, second, watched, whole};
use crate::script::Act;
use crate::watcher::{Leg, Via, Watcher};

fn expect_timeout(scene: &mut Scene, at: u64, timer: &str, text: &str) {
    scene.world.run(Duration::from_secs(1000));
    let last = scene.last();
    assert_eq!(last.json["code"], "provider_timeout", "{}", last.json);
    let message = last.json["message"].as_str().unwrap();
    assert!(
        message.contains(timer) && message.contains("up.example"),
        "{message}"
    );
    let late = last.at.0.checked_sub(second(at).0).unwrap();
    assert!(late <= 2, "{} ms, wanted {at} s", last.at.0);
    assert_eq!(scene.question().watchers[0].text(), text);
    scene.question().watchers[0].expect_a_whole_stream();
    scene.world.expect_nothing_left();
}

#[test]
fn a_name_that_is_never_answered_is_a_connect_timeout() {
    let mut scene = watched(vec![]);
    let addrs = Ok(vec!["192.0.2.1".parse().unwrap()]);
    scene
        .world
        .sys()
        .name("up.example", Name { addrs, takes: None });
    expect_timeout(&mut scene, 10, "connect_timeout", "");
}

#[test]
fn a_silent_host_is_a_connect_timeout() {
    let mut scene = watched(vec![]);
    scene
        .world
        .sys()
        .host(UPSTREAM.parse().unwrap(), Host::Silent);
    expect_timeout(&mut scene, 10, "connect_timeout", "");
}

#[test]
fn silence_after_the_request_is_a_first_event_timeout() {
    expect_timeout(
        &mut watched(vec![Act::Stall]),
        120,
        "first_event_timeout",
        "",
    );
}

#[test]
fn signs_of_life_are_no_first_event() {
    let mut acts = vec![Act::Send(begun(&[]))];
    for _ in 0..40 {
        acts.extend([Act::Wait(5000), Act::Send(chunk(b": ping\n\n"))]);
    }
    expect_timeout(&mut watched(acts), 120, "first_event_timeout", "");
}

#[test]
fn silence_after_an_event_is_a_between_events_timeout() {
    let acts = vec![
        Act::Send(begun(&[])),
        Act::Wait(30_000),
        Act::Send(delta("Hel")),
        Act::Wait(50_000),
        Act::Send(delta("lo")),
        Act::Stall,
    ];
    expect_timeout(&mut watched(acts), 140, "between_events_timeout", "Hello");
}

#[test]
fn signs_of_life_keep_an_answer_going_until_its_total() {
    let mut acts = vec![Act::Send(begun(&["Hel"]))];
    for _ in 0..100 {
        acts.extend([Act::Wait(10_000), Act::Send(chunk(b": ping\n\n"))]);
    }
    expect_timeout(&mut watched(acts), 600, "total_timeout", "Hel");
}

/// Accepts, takes what comes, and says something that is no TLS, or nothing.
struct Stranger {
    says: &'static [u8],
}

impl Peer for Stranger {
    fn step(&mut self, _: Moment, net: &mut Net<'_>) {
        net.done();
        while let Some(line) = net.accept() {
            net.write(line, self.says);
        }
    }
}

#[test]
fn tls_that_never_comes_about_is_a_connect_timeout_and_nonsense_is_unreachable() {
    for says in [&b""[..], b"HTTP/1.1 400 Bad Request\r\n\r\n"] {
        let mut scene = scene(
            |setup| setup.tls = true,
            vec![],
            |ask| Question::new(ask, vec![Watcher::new(vec![Leg::new(Via::Sse11)])]),
        );
        let stranger = scene.world.add(Stranger { says });
        let addr = "192.0.2.1:443".parse().unwrap();
        scene
            .world
            .host("up.example", addr, stranger, Weather::default());
        if says.is_empty() {
            expect_timeout(&mut scene, 10, "connect_timeout", "");
            continue;
        }
        scene.world.run(Duration::from_secs(60));
        let last = scene.last();
        assert_eq!(last.json["code"], "provider_unreachable", "{}", last.json);
        assert!(last.at < Moment(100));
        scene.world.expect_nothing_left();
    }
}

#[test]
fn answers_that_are_over_wake_nobody() {
    let answer = vec![Act::Send(whole(&["Hello"]))];
    let mut scene = watched(answer);
    scene.world.run(Duration::from_secs(10));
    for _ in 1..100 {
        let ask = Fetch::post_chat("default", "hi", Weather::default());
        let watcher = Watcher::new(vec![Leg::new(Via::Sse11)]);
        scene.world.add(Question::new(ask, vec![watcher]));
        scene.world.run(Duration::from_secs(10));
        // They are not over at the same moment.
        scene.world.pass(Duration::from_millis(17));
    }
    let before = scene.world.reactor.metrics().turns;
    scene.world.pass(Duration::from_secs(1200));
    let turns = scene.world.reactor.metrics().turns - before;
    // What is kept of them is forgotten in a few strokes.
    assert!(turns < 100, "{turns} turns for nothing");
    scene.world.expect_nothing_left();
}
