//! The first signal lets running answers finish, the second does not wait.

use std::time::Duration;

use lmserver::runtime::sys::Signal;
use lmserver::runtime::sys::sim::Weather;
use lmserver::runtime::time::Moment;

use crate::client::{Caller, Fetch, Question};
use crate::scene::{Scene, begun, delta, ending, scene, second};
use crate::script::Act;
use crate::watcher::{Ended, Leg, Via, Watcher};

fn stopped_at(acts: Vec<Act>, at: &[u64], watchers: Vec<Watcher>) -> Scene {
    let mut scene = scene(|_| {}, acts, |ask| Question::new(ask, watchers));
    for at in at {
        scene.world.sys().signal(second(*at), Signal::Stop);
    }
    scene
}

fn all() -> Vec<Watcher> {
    Via::ALL.map(|via| Watcher::new(vec![Leg::new(via)])).into()
}

#[test]
fn a_running_answer_finishes_within_the_drain_time_and_can_be_resumed_meanwhile() {
    let acts = vec![
        Act::Send(begun(&["Hel"])),
        Act::Wait(20_000),
        Act::Send(delta("lo")),
        Act::Wait(1000),
        Act::Send(ending()),
    ];
    let mut watchers = all();
    watchers.push(Watcher::new(vec![
        Leg::new(Via::Sse11).cut(250),
        Leg::new(Via::WebSocket).after(15_000),
    ]));
    let mut scene = stopped_at(acts, &[5], watchers);
    let late = Fetch::post_chat("default", "too late", Weather::default());
    let late = scene.world.add(Caller {
        fetch: late,
        at: second(10),
    });
    scene.world.run_to_stop(Duration::from_secs(60));
    assert_eq!(scene.world.peer::<Caller>(late).fetch.status, Some(503));
    for watcher in &scene.question().watchers {
        watcher.expect_a_whole_stream();
        assert_eq!(
            (
                watcher.text().as_str(),
                &watcher.terminal().unwrap()["type"]
            ),
            ("Hello", &"end".into())
        );
    }
    assert!(
        (21_000..21_200).contains(&scene.world.now().0),
        "{:?}",
        scene.world.now()
    );
    assert_eq!(scene.world.sys().open_sockets(), 0);
}

#[test]
fn an_answer_that_takes_longer_is_ended_with_shutdown() {
    let mut scene = stopped_at(vec![Act::Send(begun(&["Hel"])), Act::Stall], &[5], all());
    scene.world.run_to_stop(Duration::from_secs(60));
    for watcher in &scene.question().watchers {
        watcher.expect_a_whole_stream();
        let last = watcher.seen.last().unwrap();
        assert_eq!(
            (&last.json["code"], last.at),
            (&"shutdown".into(), second(35))
        );
        assert_eq!(last.json["retryable"], true);
        assert!(
            matches!(watcher.ends[..], [Ended::Whole(200 | 1000 | 3001)]),
            "{:?}",
            watcher.ends
        );
    }
    assert_eq!(scene.upstream().ended_at, [second(35)]);
}

#[test]
fn a_second_signal_stops_at_once() {
    let mut scene = stopped_at(vec![Act::Send(begun(&["Hel"])), Act::Stall], &[5, 7], all());
    scene.world.run_to_stop(Duration::from_secs(60));
    assert_eq!(scene.world.now(), Moment(7000));
}

#[test]
fn an_idle_server_stops_at_once() {
    let mut world = crate::world::Setup::new(1).build();
    world.sys().signal(second(5), Signal::Stop);
    world.run_to_stop(Duration::from_secs(60));
    assert_eq!(world.now(), Moment(5000));
}

#[test]
fn one_who_does_not_read_delays_the_stop_by_the_closing_time_at_most() {
    let weather = Weather {
        window_to_peer: 300,
        ..Weather::default()
    };
    let stuck = Leg {
        most: 1,
        every: 1_000_000,
        weather,
        ..Leg::new(Via::Sse11)
    };
    let piece = "x".repeat(2000);
    let acts = vec![Act::Send(begun(&[&piece])), Act::Stall];
    let mut scene = stopped_at(acts, &[5], vec![Watcher::new(vec![stuck])]);
    scene.world.run_to_stop(Duration::from_secs(60));
    assert!(scene.world.now() <= second(41), "{:?}", scene.world.now());
}
