//! A connection that dies after any byte costs nothing.

use std::net::SocketAddr;
use std::time::Duration;

use lmserver::runtime::sys::sim::{PeerId, Weather};

use crate::client::{Fetch, Question};
use crate::script::{Act, Framing, blocks, response};
use crate::upstream::Upstream;
use crate::watcher::{Death, Ended, Leg, Via, Watcher};
use crate::world::{Setup, World};

pub(crate) const UPSTREAM: &str = "192.0.2.1:80";
const WORDS: [&str; 5] = ["Hel", "lo ", "\u{1f600}", "\n\"wor\"", "ld"];

/// A world whose provider gives a short answer, a word every `pause` milliseconds.
pub(crate) fn world(seed: u64, pause: u64, watchers: Vec<Watcher>) -> (World, PeerId) {
    let body = blocks(&WORDS, true, true).concat();
    let bytes = response("200 OK", "text/event-stream", Framing::Chunked, &body);
    let mut acts = Vec::new();
    for piece in bytes.chunks(200) {
        acts.push(Act::Send(piece.to_vec()));
        acts.push(Act::Wait(pause));
    }
    let mut setup = Setup::new(seed);
    setup.openai("up", "up.example");
    setup.model("default", &["up/m".into()]);
    let mut world = setup.build();
    let upstream = world.add(Upstream::new().plays("m", acts));
    let addr: SocketAddr = UPSTREAM.parse().unwrap();
    world.host("up.example", addr, upstream, Weather::default());
    let ask = Fetch::post_chat("default", "hi", Weather::default());
    let question = world.add(Question::new(ask, watchers));
    (world, question)
}

fn check(world: &mut World, question: PeerId) {
    world.run(Duration::from_secs(60));
    let question = world.peer::<Question>(question);
    let first = &question.watchers[0];
    for watcher in &question.watchers {
        watcher.expect_a_whole_stream();
        assert_eq!(watcher.text(), WORDS.concat());
        assert!(watcher.resets.is_empty(), "{:?}", watcher.resets);
        // Killed between the terminal event and the end of the response, it is told to stop.
        assert!(
            matches!(watcher.statuses[..], [] | [204]),
            "{:?}",
            watcher.statuses
        );
        let same = watcher
            .seen
            .iter()
            .zip(&first.seen)
            .all(|(a, b)| (&a.id, &a.json) == (&b.id, &b.json));
        assert!(same, "all see the same");
    }
}

/// How many bytes an undisturbed watcher gets.
fn whole_length(via: Via) -> usize {
    let (mut world, question) = world(1, 3, vec![Watcher::new(vec![Leg::new(via)])]);
    check(&mut world, question);
    let question = world.peer::<Question>(question);
    assert_eq!(
        question.watchers[0].ends,
        [Ended::Whole(if via == Via::WebSocket { 1000 } else { 200 })]
    );
    question.watchers[0].raw.len()
}

#[test]
fn a_kill_after_every_byte_loses_and_doubles_nothing() {
    for via in Via::ALL {
        let length = whole_length(via);
        for first in (0..=length).step_by(12) {
            let mut watchers = Vec::new();
            for cut in first..(first + 12).min(length + 1) {
                for death in [Death::Close, Death::Reset] {
                    let leg = Leg {
                        death,
                        ..Leg::new(via).cut(cut)
                    };
                    let next = Via::ALL[cut % Via::ALL.len()];
                    watchers.push(Watcher::new(vec![leg, Leg::new(via)]));
                    // The transport changes in the middle of the answer.
                    watchers.push(Watcher::new(vec![leg, Leg::new(next).after(1)]));
                }
            }
            let (mut world, question) = world(first as u64, 3, watchers);
            world.checks = first % 5 == 0;
            check(&mut world, question);
        }
    }
}

#[test]
fn two_kills_and_a_kill_while_catching_up_lose_nothing() {
    for via in [Via::Sse11, Via::WebSocket, Via::SdkJson, Via::SdkProtobuf] {
        let length = whole_length(via);
        for first in (0..length).step_by(7) {
            let watchers = (0..length)
                .step_by(41)
                .flat_map(|second| {
                    // The second connection begins at once, or when all is there to catch up with.
                    [0, 500].map(|after| {
                        let legs = vec![
                            Leg::new(via).cut(first),
                            Leg::new(via).after(after).cut(second),
                        ];
                        Watcher::new(legs)
                    })
                })
                .collect();
            let (mut world, question) = world(first as u64, 3, watchers);
            world.checks = false;
            check(&mut world, question);
        }
    }
}

#[test]
fn who_comes_back_after_the_end_is_told_to_stop() {
    let watchers = vec![
        Watcher::new(vec![Leg::new(Via::Sse11)]).persistent(),
        Watcher::new(vec![Leg::new(Via::Sse10)]).persistent(),
    ];
    let (mut world, question) = world(1, 3, watchers);
    check_statuses(&mut world, question);
    world.expect_nothing_left();
}

fn check_statuses(world: &mut World, question: PeerId) {
    world.run(Duration::from_secs(60));
    for watcher in &world.peer::<Question>(question).watchers {
        watcher.expect_a_whole_stream();
        assert_eq!(
            (watcher.statuses.as_slice(), watcher.ends.len()),
            (&[204][..], 2)
        );
    }
}
