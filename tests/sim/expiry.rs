//! What is kept, for how long, and what is said after that.

use std::time::Duration;

use crate::scene::{Scene, watched, whole};
use crate::script::Act;
use crate::watcher::{Leg, Via, Watcher};
use lmserver::runtime::sys::sim::{Net, Peer};
use lmserver::runtime::time::Moment;

/// A watcher of a channel that is known.
struct Listener {
    channel: String,
    watcher: Watcher,
}

impl Peer for Listener {
    fn step(&mut self, now: Moment, net: &mut Net<'_>) {
        if self.watcher.drive(now, net, &self.channel) {
            net.done();
        }
    }

    fn describe(&self) -> String {
        self.watcher.describe()
    }
}

/// The statuses and the events that a client gets that comes with this cursor.
fn listen(
    scene: &mut Scene,
    channel: &str,
    via: Via,
    cursor: Option<&str>,
) -> (Vec<u16>, Vec<String>, String) {
    let mut watcher = Watcher::new(vec![Leg::new(via)]);
    if let Some(cursor) = cursor {
        watcher = watcher.from(cursor);
    }
    let id = scene.world.add(Listener {
        channel: channel.into(),
        watcher,
    });
    scene.world.run(Duration::from_secs(20));
    let watcher = &scene.world.peer::<Listener>(id).watcher;
    let kinds = watcher
        .resets
        .iter()
        .chain(watcher.seen.iter().map(|seen| &seen.json));
    let kinds = kinds
        .map(|json| json["type"].as_str().unwrap().to_owned())
        .collect();
    let mut statuses = watcher.statuses.clone();
    if via == Via::WebSocket
        && let [crate::watcher::Ended::Whole(code)] = watcher.ends[..]
    {
        statuses.push(code);
    }
    (statuses, kinds, watcher.last_id.clone().unwrap_or_default())
}

#[test]
fn every_row_of_the_table_is_answered_as_it_says() {
    let mut scene = watched(vec![Act::Send(whole(&["Hello"]))]);
    scene.world.run(Duration::from_secs(20));
    let channel = scene.channel();
    let last = scene.question().watchers[0].last_id.clone().unwrap();
    let epoch = last.split_once('-').unwrap().0.to_owned();
    let all = ["start", "chunk", "end"];
    let with_reset = ["reset", "start", "chunk", "end"];
    let ahead = format!("{epoch}-9");
    let second = format!("{epoch}-2");
    let other = "zzzzzz-2";

    // Finished.
    let rows: [(Option<&str>, u16, &[&str]); 9] = [
        (None, 0, &all),
        (Some("earliest"), 0, &all),
        (Some("0"), 0, &all),
        (Some(&second), 0, &["end"]),
        (Some(&last), 204, &[]),
        (Some("now"), 204, &[]),
        (Some(&ahead), 0, &with_reset),
        (Some(other), 0, &with_reset),
        (Some("what?"), 0, &with_reset),
    ];
    for (cursor, status, events) in rows {
        for via in [Via::Sse11, Via::Sse10, Via::WebSocket] {
            let (statuses, kinds, _) = listen(&mut scene, &channel, via, cursor);
            let want: &[u16] = match (via, status) {
                (Via::WebSocket, _) => &[1000],
                (_, 0) => &[],
                (_, _) => &[204],
            };
            assert_eq!(
                (statuses.as_slice(), kinds.as_slice()),
                (
                    want,
                    events
                        .iter()
                        .map(|it| it.to_string())
                        .collect::<Vec<_>>()
                        .as_slice()
                ),
                "{via:?} {cursor:?}"
            );
        }
    }

    // Forgotten, but remembered; then never heard of.
    for (wait, without) in [(620, [410, 4410]), (3700, [404, 4404])] {
        scene.world.pass(Duration::from_secs(wait));
        for cursor in [&*last, other, "what?"] {
            let (statuses, kinds, id) = listen(&mut scene, &channel, Via::Sse11, Some(cursor));
            assert_eq!(
                (statuses.as_slice(), kinds.as_slice(), &*id),
                (&[][..], &["error".to_owned()][..], "gone-0")
            );
        }
        assert_eq!(
            listen(&mut scene, &channel, Via::Sse11, Some("gone-0")).0,
            [204]
        );
        assert_eq!(
            listen(&mut scene, &channel, Via::Sse10, None).0,
            [without[0]]
        );
        assert_eq!(
            listen(&mut scene, &channel, Via::WebSocket, None).0,
            [without[1]]
        );
        assert_eq!(
            listen(&mut scene, &channel, Via::WebSocket, Some(&last)).0,
            [4410]
        );
    }
}

#[test]
fn a_chat_is_kept_for_its_time_and_no_longer() {
    let mut scene = watched(vec![Act::Send(whole(&["Hello"]))]);
    scene.world.run(Duration::from_secs(20));
    let channel = scene.channel();
    scene.world.pass(Duration::from_secs(599));
    assert_eq!(listen(&mut scene, &channel, Via::Sse11, None).1.len(), 3);
    assert_eq!(scene.world.reactor.metrics().channels, 1);
    scene.world.pass(Duration::from_secs(2));
    assert_eq!(scene.world.reactor.metrics().channels, 0);
    scene.world.expect_nothing_left();
}
