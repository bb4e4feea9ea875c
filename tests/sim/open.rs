//! Open channels: a bounded history, readers that are too slow for it, publishers that do not wait.

use std::time::Duration;

use lmserver::proto::http1::Method;
use lmserver::runtime::sys::sim::{Net, Peer, PeerId, Random, Weather};
use lmserver::runtime::time::Moment;

use crate::client::{Caller, Fetch};
use crate::watcher::{Ended, Leg, Via, Watcher};
use crate::world::{Setup, World};

/// One who watches an open channel for a time.
struct Listener {
    watcher: Watcher,
    at: Moment,
    until: Moment,
}

impl Peer for Listener {
    fn step(&mut self, now: Moment, net: &mut Net<'_>) {
        if now < self.at {
            return net.wake(self.at);
        }
        if now >= self.until {
            self.watcher.leave(net);
            return net.done();
        }
        net.wake(self.until);
        self.watcher.drive(now, net, "news");
    }

    fn describe(&self) -> String {
        self.watcher.describe()
    }
}

fn publish(world: &mut World, n: u64, size: usize, at: u64) -> PeerId {
    let padding = "x".repeat(size);
    let body = format!(r#"{{"channel":"news","data":{{"n":{n},"padding":"{padding}"}}}}"#);
    let fetch = Fetch::new(
        Method::Post,
        "/api/publish",
        body.as_bytes(),
        Weather::default(),
    );
    let mut caller = Caller::new(fetch);
    caller.at = Moment(at);
    world.add(caller)
}

fn listen(world: &mut World, legs: Vec<Leg>, at: u64, until: u64) -> PeerId {
    world.add(Listener {
        watcher: Watcher::new(legs),
        at: Moment(at),
        until: Moment(until),
    })
}

/// The numbers of the publications that it saw since it last had to start anew.
fn numbers(world: &World, id: PeerId) -> Vec<u64> {
    let watcher = &world.peer::<Listener>(id).watcher;
    watcher
        .seen
        .iter()
        .map(|seen| seen.json["n"].as_u64().unwrap())
        .collect()
}

#[test]
fn a_listener_gets_the_history_and_then_what_comes_across_any_cut() {
    let mut dice = Random::new(7);
    for round in 0..40 {
        let mut setup = Setup::new(round);
        setup.channels.history_size = 50;
        let mut world = setup.build();
        for n in 1..=40 {
            publish(&mut world, n, dice.index(200), n * 100);
        }
        let listeners: Vec<PeerId> = (0..6)
            .map(|_| {
                let mut legs: Vec<Leg> = (0..dice.below(6))
                    .map(|_| {
                        let via = dice.pick(&Via::ALL);
                        let cut = dice.index(1500);
                        Leg::new(via).cut(cut).after(dice.below(300))
                    })
                    .collect();
                legs.push(Leg::new(dice.pick(&Via::ALL)));
                listen(&mut world, legs, dice.below(5000), 9000)
            })
            .collect();
        world.run(Duration::from_secs(60));
        for id in listeners {
            assert_eq!(
                numbers(&world, id),
                (1..=40).collect::<Vec<_>>(),
                "round {round}"
            );
            assert!(world.peer::<Listener>(id).watcher.resets.is_empty());
        }
    }
}

#[test]
fn who_comes_back_later_than_the_history_reaches_is_told_to_start_anew() {
    for via in Via::ALL {
        let mut setup = Setup::new(1);
        setup.channels.history_size = 10;
        let mut world = setup.build();
        for n in 1..=50 {
            publish(&mut world, n, 10, n * 100);
        }
        // It dies within the first few and comes back when all is said.
        let id = listen(
            &mut world,
            vec![Leg::new(via).cut(700), Leg::new(via).after(7000)],
            0,
            9000,
        );
        world.run(Duration::from_secs(60));
        let watcher = &world.peer::<Listener>(id).watcher;
        assert_eq!(watcher.resets.len(), 1, "{via:?}");
        // An SDK goes on from the newest: its application asks for the state elsewhere.
        let first = if via.is_sdk() { 51 } else { 41 };
        assert_eq!(
            numbers(&world, id),
            (first..51).collect::<Vec<_>>(),
            "{via:?}"
        );
    }
}

#[test]
fn a_reader_too_slow_for_the_log_starts_anew_or_is_cut_and_memory_is_bounded() {
    for via in [Via::Sse11, Via::WebSocket, Via::SdkJson, Via::SdkProtobuf] {
        let mut setup = Setup::new(1);
        setup.channels.history_size = 5;
        let mut world = setup.build();
        for n in 1..=300 {
            publish(&mut world, n, 8000, n * 20);
        }
        let weather = Weather {
            window_to_peer: 5000,
            ..Weather::default()
        };
        let slow = Leg {
            most: 3000,
            every: 250,
            weather,
            ..Leg::new(via)
        };
        let slow = listen(&mut world, vec![slow], 0, 40_000);
        let fast = listen(&mut world, vec![Leg::new(via)], 0, 40_000);
        let mut most = 0;
        while !world.sys().all_done() {
            world.turn();
            most = most.max(world.reactor.metrics().channel_bytes);
        }
        assert!(most < 1 << 20, "{most} bytes");
        assert_eq!(numbers(&world, fast), (1..=300).collect::<Vec<_>>());
        if !via.is_sdk() {
            assert_eq!(numbers(&world, slow).last(), Some(&300), "{via:?}");
        }
        let watcher = &world.peer::<Listener>(slow).watcher;
        let anew = watcher.resets.len()
            + watcher
                .ends
                .iter()
                .filter(|it| matches!(it, Ended::Lost | Ended::Whole(2500)))
                .count();
        assert!(anew > 0, "{via:?}: it fell behind");
        world.expect_nothing_left();
    }
}
