//! Silence: comments of event streams, pings of WebSockets, and clients that do not answer.

use std::time::Duration;

use crate::client::Question;
use crate::scene::{begun, delta, ending, scene, second, watched};
use crate::script::Act;
use crate::watcher::{Ended, Leg, Via, Watcher};

#[test]
fn a_heartbeat_comes_after_fifteen_seconds_of_silence_and_not_before_the_first_event() {
    let acts = vec![
        Act::Wait(40_000),
        Act::Send(begun(&["Hel"])),
        Act::Wait(20_000),
        Act::Send(delta("lo")),
        Act::Send(ending()),
    ];
    let mut scene = watched(acts);
    scene.world.run(Duration::from_secs(100));
    let watcher = &scene.question().watchers[0];
    let beats: Vec<u64> = watcher.beats.iter().map(|at| at.0 / 1000).collect();
    assert_eq!(beats, [15, 30, 55], "{:?}", watcher.beats);
    assert_eq!(watcher.text(), "Hello");
    let raw = String::from_utf8(watcher.raw.clone()).unwrap();
    let retry = raw.find("retry: 1000\n").unwrap();
    assert_eq!(raw.matches("retry:").count(), 1);
    // Between `retry:` and the first event stands nothing but the framing of the chunks.
    assert!(
        !raw[retry..].split("id: ").next().unwrap().contains(':') || {
            let between = raw[retry + "retry: 1000\n".len()..]
                .split("id: ")
                .next()
                .unwrap();
            !between.contains(':') && !between.contains("\n\n")
        }
    );
}

#[test]
fn a_websocket_is_pinged_and_closed_if_it_does_not_answer() {
    let acts = vec![
        Act::Send(begun(&["Hel"])),
        Act::Wait(59_000),
        Act::Send(delta("lo")),
        Act::Stall,
    ];
    let mut scene = scene(
        |_| {},
        acts,
        |ask| {
            let mut mute = Watcher::new(vec![
                Leg::new(Via::WebSocket),
                Leg::new(Via::Sse11).after(200_000),
            ]);
            mute.pongs = false;
            Question::new(
                ask,
                vec![Watcher::new(vec![Leg::new(Via::WebSocket)]), mute],
            )
        },
    );
    scene.world.run(Duration::from_secs(400));
    let [live, mute] = &scene.question().watchers[..] else {
        panic!("two watchers")
    };
    let beats: Vec<u64> = live.beats.iter().map(|at| at.0 / 1000).collect();
    assert_eq!(beats[..4], [25, 50, 75, 100], "{:?}", live.beats);
    assert_eq!(live.text(), "Hello");
    assert_eq!(live.ends, [Ended::Whole(1000)]);
    assert_eq!(
        mute.ends[0],
        Ended::Whole(1008),
        "{:?} {:?}",
        mute.ends,
        mute.beats
    );
    assert!(live.seen.last().unwrap().at >= second(119));
}
