//! Many subscriptions on one connection: every channel's events come once and in order, whatever
//! happens to the others, and no message is torn.

use std::time::Duration;

use lmserver::proto::http1::Method;
use lmserver::runtime::limits::Retention;
use lmserver::runtime::sys::Signal;
use lmserver::runtime::sys::sim::{Faults, PeerId, Random, Weather};
use lmserver::runtime::time::Moment;

use crate::client::{Caller, Fetch};
use crate::random::{Stopwatch, number, weather};
use crate::world::{Setup, World};

#[path = "many/client.rs"]
mod client;
#[path = "many/transport.rs"]
mod transport;

use client::{Client, Habits};
use transport::Application;

/// How long these worlds may take in an ordinary test run.
const PATIENCE: Duration = Duration::from_secs(15);

struct Drawn {
    world: World,
    clients: Vec<PeerId>,
    stops: bool,
}

/// What a world's channels keep; true: all that is ever published there.
fn retention(dice: &mut Random, setup: &mut Setup) -> (Retention, bool) {
    let size = dice.pick(&[100_000, 100_000, 20, 3, 0]);
    let keeps_all = size == 100_000 && !dice.once_in(3);
    setup.channels.max_channel_bytes = match keeps_all {
        true => 256 << 20,
        false => dice.pick(&[2_000, 20_000, 300_000]),
    };
    // Longer than any of these worlds.
    let time = Duration::from_secs(3600);
    let retention = Retention {
        size,
        ttl: time,
        position_ttl: time,
    };
    (retention, keeps_all)
}

fn habits(dice: &mut Random, channels: &[String], keeps_all: bool, is_small: bool) -> Habits {
    let slow = dice.once_in(2);
    let all = ["raw", "packed", "joined"];
    let encodings = match dice.below(4) {
        0 => vec![dice.pick(&all)],
        1 => vec!["packed"],
        _ => all.to_vec(),
    };
    let cuts = dice.pick(&[0, 0, 1, 3]);
    let reach = dice.pick(&[300, 5000]);
    let mut weather = weather(dice);
    weather.window_to_server = weather.window_to_server.max(700);
    if !is_small {
        weather.window_to_peer = weather.window_to_peer.max(200);
    }
    let sizes = [
        vec![0, 1, 30],
        vec![10, 200],
        vec![1, 30, 300, 3000],
        vec![1, 9000, 20_000],
    ];
    Habits {
        channels: channels.to_vec(),
        encodings,
        gates: dice.once_in(2),
        subscribes: dice.pick(&[3, 20, 60]),
        publishes: if is_small {
            40
        } else {
            dice.pick(&[0, 20, 100, 300])
        },
        sizes: dice.pick(if is_small { &sizes[..2] } else { &sizes }),
        says: if is_small {
            vec![1, 40]
        } else {
            vec![1, 100, 3000]
        },
        pause: dice.pick(&[3, 50, 600]),
        burst: dice.pick(&[1, 4, if is_small { 10 } else { 30 }]),
        until: Moment(dice.between(200, if is_small { 700 } else { 2500 })),
        most: if slow { dice.part(70) } else { usize::MAX },
        every: if slow { dice.part(60) as u64 } else { 0 },
        weather,
        cuts: (0..cuts).map(|_| dice.index(reach)).collect(),
        leaves: dice.once_in(3),
        keeps_all,
    }
}

fn draw(seed: u64) -> Drawn {
    let mut dice = Random::new(seed ^ 0x3a_17);
    let mut setup = Setup::new(seed);
    if dice.once_in(2) {
        setup.faults = Faults::unkind();
    }
    setup.echo(Duration::from_millis(30));
    setup.model("default", &["echo/m".into()]);
    let (retention, keeps_all) = retention(&mut dice, &mut setup);
    let stops = dice.once_in(8);
    setup.limits.drain = Duration::from_secs(dice.below(3));
    setup.limits.outbox_bytes = dice.pick(&[200, 65_536]);
    let count = dice.pick(&[1, 2, 5, 30]);
    let mut channels: Vec<String> = (0..count).map(|n| format!("c{n}")).collect();
    let chats = dice.below(3);
    channels.extend((0..chats).map(|n| format!("chat:{n}")));
    let application = Application {
        retention,
        opened: 0,
    };
    let mut world = setup.build_with(Box::new(application));
    for n in 0..chats {
        let text = "la ".repeat(dice.index(40));
        let target = format!("/chat/chat:{n}");
        let fetch = Fetch::new(Method::Post, &target, text.as_bytes(), Weather::default());
        let mut caller = Caller::new(fetch);
        caller.at = Moment(dice.below(1500));
        world.add(caller);
    }
    // Whoever takes a byte at a time lives where little happens.
    let is_small = dice.once_in(2);
    let clients = (0..1 + dice.index(5))
        .map(|n| {
            let habits = habits(&mut dice, &channels, keeps_all, is_small);
            world.add(Client::new(habits, seed ^ (n as u64 + 1) << 32))
        })
        .collect();
    if stops {
        let at = Moment(dice.below(3000));
        world.sys().signal(at, Signal::Stop);
    }
    Drawn {
        world,
        clients,
        stops,
    }
}

/// What was seen of the things that are to be proven.
#[derive(Debug, Default)]
struct Seen {
    events: u64,
    messages: u64,
    lags: u64,
    lost: u64,
}

fn run(seed: u64, seen: &mut Seen) {
    let Drawn {
        mut world,
        clients,
        stops,
    } = draw(seed);
    if stops {
        world.run_to_stop(Duration::from_secs(600));
    } else {
        world.run(Duration::from_secs(3600));
        world.expect_nothing_left();
    }
    let mut lost = 0;
    for id in &clients {
        let client: &Client = world.peer(*id);
        assert!(client.is_done || stops);
        seen.events += client.events;
        seen.messages += client.messages;
        seen.lags += client.lags;
        lost += client.lost;
    }
    let metrics = world.reactor.metrics();
    assert!(
        stops || lost <= metrics.slow_disconnects,
        "{lost} of {metrics:?}"
    );
    assert_eq!(metrics.panics, 0);
    assert!(stops || (metrics.clients, metrics.users) == (0, 0));
    seen.lost += lost;
}

#[test]
fn many_channels_on_one_connection_keep_every_promise() {
    let mut seen = Seen::default();
    if let Some(seed) = number("LMSERVER_SEED") {
        return run(seed, &mut seen);
    }
    let wanted = number("LMSERVER_WORLDS");
    let clock = Stopwatch::start();
    let mut seed = 0;
    while wanted.map_or_else(|| clock.elapsed() < PATIENCE, |wanted| seed < wanted) {
        run(seed, &mut seen);
        seed += 1;
    }
    eprintln!(
        "{seed} worlds of many channels in {:?}: {seen:?}",
        clock.elapsed()
    );
}
