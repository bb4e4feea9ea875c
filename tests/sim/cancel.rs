//! Ending an answer from outside closes the provider's connection at once, in whatever phase.

use std::time::Duration;

use lmserver::proto::http1::Method;
use lmserver::runtime::sys::sim::{Host, Name, Weather};
use lmserver::runtime::time::Moment;

use crate::client::{Caller, Fetch, Question};
use crate::scene::{Scene, UPSTREAM, begun, scene, whole};
use crate::script::Act;
use crate::watcher::{Ended, Leg, Via, Watcher};

fn cancelled(acts: Vec<Act>, millis: u64) -> Scene {
    scene(
        |_| {},
        acts,
        |ask| {
            let watchers =
                [Via::Sse11, Via::WebSocket].map(|via| Watcher::new(vec![Leg::new(via)]));
            Question::new(ask, watchers.into()).cancelled_after(millis)
        },
    )
}

fn expect_cancelled(scene: &Scene) {
    for watcher in &scene.question().watchers {
        watcher.expect_a_whole_stream();
        let last = &watcher.seen.last().unwrap();
        assert_eq!(last.json["finish_reason"], "cancelled", "{}", last.json);
        assert_eq!(last.at, Moment(500));
    }
    assert_eq!(scene.world.reactor.metrics().runs_cancelled, 1);
}

#[test]
fn a_cancel_ends_the_answer_and_the_providers_connection_in_every_phase() {
    for acts in [
        vec![Act::Stall],
        vec![Act::Send(begun(&["Hel", "lo"])), Act::Stall],
    ] {
        let mut scene = cancelled(acts, 500);
        scene.world.run(Duration::from_secs(60));
        expect_cancelled(&scene);
        assert_eq!(scene.upstream().ended_at, [Moment(500)]);
        scene.world.expect_nothing_left();
    }
    // While the name is looked up, and while the connect is not decided.
    for takes in [None, Some(Duration::ZERO)] {
        let mut scene = cancelled(vec![], 500);
        let addrs = Ok(vec!["192.0.2.1".parse().unwrap()]);
        scene.world.sys().name("up.example", Name { addrs, takes });
        scene
            .world
            .sys()
            .host(UPSTREAM.parse().unwrap(), Host::Silent);
        scene.world.run(Duration::from_secs(60));
        expect_cancelled(&scene);
        scene.world.expect_nothing_left();
    }
}

#[test]
fn a_listener_cancels_over_its_websocket() {
    let mut scene = scene(
        |_| {},
        vec![Act::Send(begun(&["Hel"])), Act::Stall],
        |ask| {
            let mut talker = Watcher::new(vec![Leg::new(Via::WebSocket).after(500)]);
            talker.says = Some(r#"{"type":"cancel"}"#.into());
            Question::new(ask, vec![talker, Watcher::new(vec![Leg::new(Via::Sse10)])])
        },
    );
    scene.world.run(Duration::from_secs(60));
    expect_cancelled(&scene);
    assert_eq!(scene.question().watchers[0].ends, [Ended::Whole(1000)]);
}

#[test]
fn a_cancel_after_the_end_changes_nothing() {
    let mut scene = scene(
        |_| {},
        vec![Act::Send(whole(&["Hello"]))],
        |ask| Question::new(ask, vec![Watcher::new(vec![Leg::new(Via::Sse11)])]),
    );
    scene.world.run(Duration::from_secs(60));
    assert_eq!(scene.last().json["finish_reason"], "stop");
    let target = format!("/api/chat/{}", scene.channel());
    for (method, want) in [
        (Method::Delete, r#""cancelled":false"#),
        (Method::Get, "completed"),
    ] {
        let fetch = Fetch::new(method, &target, b"", Weather::default());
        let caller = scene.world.add(Caller::new(fetch));
        scene.world.run(Duration::from_secs(5));
        let body = scene.world.peer::<Caller>(caller).fetch.body.clone();
        assert!(String::from_utf8(body).unwrap().contains(want));
    }
}

#[test]
fn an_abandoned_answer_is_cancelled_if_that_is_wished() {
    let abandon = |setup: &mut crate::world::Setup| {
        setup.channels.cancel_when_abandoned = Some(Duration::from_secs(20));
    };
    // The watcher leaves at about 3 s; nobody comes for 20 s.
    let mut scene = scene(
        abandon,
        vec![Act::Send(begun(&["Hel"])), Act::Stall],
        |ask| {
            let leg = Leg {
                every: 1000,
                most: 100,
                ..Leg::new(Via::Sse11).cut(300)
            };
            Question::new(
                ask,
                vec![Watcher::new(vec![leg, Leg::new(Via::Sse11).after(40_000)])],
            )
        },
    );
    scene.world.run(Duration::from_secs(60));
    let last = scene.last();
    assert_eq!(last.json["finish_reason"], "cancelled");
    let [ended] = scene.upstream().ended_at[..] else {
        panic!("one connection")
    };
    assert!((22_000..24_100).contains(&ended.0), "{ended:?}");
}
