//! Ways to a provider: addresses, names, connections used again, the next target.

use std::net::SocketAddr;
use std::time::Duration;

use lmserver::runtime::sys::sim::{Host, Name, Weather};
use lmserver::runtime::time::Moment;

use crate::client::{Fetch, Question};
use crate::scene::{Scene, scene, watched, whole};
use crate::script::{Act, Framing, response};
use crate::upstream::Upstream;
use crate::watcher::{Leg, Via, Watcher};
use crate::world::Setup;

fn two_addresses(first: Host) -> Scene {
    let mut scene = watched(vec![Act::Send(whole(&["Hello"]))]);
    let dead: SocketAddr = "192.0.2.77:80".parse().unwrap();
    scene.world.sys().host(dead, first);
    let addrs = Ok(vec![dead.ip(), "192.0.2.1".parse().unwrap()]);
    scene.world.sys().name(
        "up.example",
        Name {
            addrs,
            takes: Some(Duration::ZERO),
        },
    );
    scene.world.run(Duration::from_secs(60));
    scene
}

#[test]
fn the_next_address_is_tried() {
    for (host, by) in [
        (Host::Unreachable, 10),
        (Host::Refuses(500), 510),
        // A silent one costs its share of the time to connect.
        (Host::Silent, 5010),
    ] {
        let mut scene = two_addresses(host);
        let last = scene.last();
        assert_eq!(last.json["finish_reason"], "stop", "{host:?}");
        assert!(last.at.0 <= by, "{host:?}: {} ms", last.at.0);
        scene.world.expect_nothing_left();
    }
}

#[test]
fn no_address_left_and_no_such_name_are_unreachable_with_their_reason() {
    let mut scene = watched(vec![]);
    scene
        .world
        .sys()
        .host("192.0.2.1:80".parse().unwrap(), Host::Refuses(3));
    scene.world.run(Duration::from_secs(60));
    let json = scene.last().json;
    assert_eq!(json["code"], "provider_unreachable");
    assert!(
        json["message"].as_str().unwrap().contains("up.example"),
        "{json}"
    );

    let mut scene = watched(vec![]);
    let addrs = Err(std::io::ErrorKind::NotFound);
    scene.world.sys().name(
        "up.example",
        Name {
            addrs,
            takes: Some(Duration::ZERO),
        },
    );
    scene.world.run(Duration::from_secs(60));
    let json = scene.last().json;
    assert_eq!(json["code"], "provider_unreachable");
    assert!(
        json["message"].as_str().unwrap().contains("up.example"),
        "{json}"
    );
}

/// Two questions, the second some time after the first.
fn ask_twice(acts: Vec<Act>, weather: Weather, second_at: u64) -> Scene {
    let mut scene = scene(
        |_| {},
        acts,
        |ask| Question::new(ask, vec![Watcher::new(vec![Leg::new(Via::Sse11)])]),
    );
    let upstream = scene.upstream;
    scene.world.host(
        "up.example",
        "192.0.2.1:80".parse().unwrap(),
        upstream,
        weather,
    );
    let ask = Fetch::post_chat("default", "again", Weather::default());
    let watchers = vec![Watcher::new(vec![Leg::new(Via::Sse11)])];
    let again = scene
        .world
        .add(Question::new(ask, watchers).at(Moment(second_at)));
    scene.world.run(Duration::from_secs(60));
    for id in [scene.question, again] {
        let question: &Question = scene.world.peer(id);
        assert_eq!(question.watchers[0].text(), "Hello");
        assert_eq!(
            question.watchers[0].terminal().unwrap()["finish_reason"],
            "stop"
        );
    }
    scene
}

#[test]
fn a_kept_connection_is_used_again() {
    let mut scene = ask_twice(vec![Act::Send(whole(&["Hello"]))], Weather::default(), 2000);
    assert_eq!(
        (scene.upstream().opened, scene.upstream().asked.len()),
        (1, 2)
    );
    assert_eq!(scene.world.reactor.metrics().upstream_reuses, 1);
    scene.world.expect_nothing_left();
}

#[test]
fn a_kept_connection_that_died_unnoticed_costs_one_retry() {
    // The provider closes while the second request is on its way to it.
    let acts = vec![Act::Send(whole(&["Hello"])), Act::Wait(1000), Act::Close];
    for death in [Act::Close, Act::Reset] {
        let mut acts = acts.clone();
        *acts.last_mut().unwrap() = death;
        let weather = Weather {
            latency: (50, 50),
            ..Weather::default()
        };
        let mut scene = ask_twice(acts, weather, 1060);
        let reuses = scene.world.reactor.metrics().upstream_reuses;
        assert_eq!((scene.upstream().opened, reuses), (2, 1));
        scene.world.expect_nothing_left();
    }
}

#[test]
fn targets_are_tried_in_order_and_the_failed_ones_are_named() {
    let refusal = |status: &str| {
        let body = br#"{"error":{"message":"no","type":"server_error"}}"#;
        vec![Act::Send(response(
            status,
            "application/json",
            Framing::Length,
            body,
        ))]
    };
    let mut setup = Setup::new(1);
    setup.openai("up", "up.example");
    setup.openai("gone", "gone.example");
    let targets = ["up/busy", "gone/m", "up/m"].map(String::from);
    setup.model("default", &targets);
    let mut world = setup.build();
    let upstream = Upstream::new()
        .plays("busy", refusal("503 Service Unavailable"))
        .plays("m", vec![Act::Send(whole(&["Hello"]))]);
    let upstream = world.add(upstream);
    world.host(
        "up.example",
        "192.0.2.1:80".parse().unwrap(),
        upstream,
        Weather::default(),
    );
    let ask = Fetch::post_chat("default", "hi", Weather::default());
    let watchers = vec![Watcher::new(vec![Leg::new(Via::Sse11)])];
    let question = world.add(Question::new(ask, watchers));
    world.run(Duration::from_secs(60));
    let watcher = &world.peer::<Question>(question).watchers[0];
    watcher.expect_a_whole_stream();
    assert_eq!(
        watcher.seen.len(),
        3,
        "fallback publishes nothing of its own"
    );
    let end = watcher.terminal().unwrap();
    assert_eq!(
        (&end["provider"], &end["model"]),
        (&"up".into(), &"m".into())
    );
    let attempts: Vec<_> = end["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["code"].clone())
        .collect();
    assert_eq!(attempts, ["provider_overloaded", "provider_unreachable"]);
}
