//! Random worlds: many clients, every transport, every fault, and what must hold all the same.

use std::net::SocketAddr;
use std::time::Duration;

use lmserver::runtime::routing::ProviderTimers;
use lmserver::runtime::sys::sim::{Faults, Host, Name, PeerId, Random, Weather};
use lmserver::runtime::time::Moment;

use crate::client::{Fetch, Question};
use crate::script::{self, Ending, Script};
use crate::upstream::Upstream;
use crate::watcher::{Death, Leg, Via, Watcher};
use crate::world::{Setup, World};

/// How long the random worlds of an ordinary test run may take.
const PATIENCE: Duration = Duration::from_secs(40);

/// What is known of a question before it is asked.
pub(crate) struct Expectation {
    question: PeerId,
    scripts: Vec<Script>,
    cancelled: bool,
}

fn weather(random: &mut Random) -> Weather {
    Weather {
        latency: random.pick(&[(0, 0), (1, 5), (0, 80)]),
        window_to_server: random.pick(&[40, 700, 65_536]),
        window_to_peer: random.pick(&[1, 13, 200, 65_536]),
    }
}

fn leg(random: &mut Random) -> Leg {
    let slow = random.once_in(4);
    Leg {
        via: random.pick(&[Via::Sse11, Via::Sse11, Via::Sse10, Via::WebSocket]),
        after: random.pick(&[0, 1, 50, 700, 3000]),
        cut: None,
        death: random.pick(&[Death::Close, Death::Reset]),
        most: if slow { random.part(60) } else { usize::MAX },
        every: if slow { random.part(40) as u64 } else { 0 },
        weather: weather(random),
    }
}

fn watcher(random: &mut Random) -> Watcher {
    let cuts = random.pick(&[0, 0, 1, 2, 5]);
    let mut legs: Vec<Leg> = (0..cuts)
        .map(|_| {
            let cut = random.index(900);
            leg(random).cut(cut)
        })
        .collect();
    legs.push(leg(random));
    let watcher = Watcher::new(legs);
    if random.once_in(3) {
        watcher.persistent()
    } else {
        watcher
    }
}

/// A world drawn from a seed.
pub(crate) fn build(seed: u64) -> (World, Vec<Expectation>, PeerId) {
    let mut dice = Random::new(seed ^ 0x5eed);
    let mut setup = Setup::new(seed);
    if dice.once_in(2) {
        setup.faults = Faults::unkind();
    }
    setup.timers = ProviderTimers {
        connect: Duration::from_secs(2),
        first_event: Duration::from_secs(5),
        between_events: Duration::from_secs(3),
        total: Duration::from_secs(60),
    };
    setup.openai("up", "up.example");
    setup.openai("broken", "broken.example");
    setup.echo(Duration::from_millis(20));
    let mut upstream = Upstream::new();
    let questions = 1 + dice.index(4);
    let mut plots: Vec<Vec<Script>> = Vec::new();
    for question in 0..questions {
        let attempts = 1 + dice.index(3);
        let scripts: Vec<Script> = (0..attempts)
            .map(|n| script::random(&mut dice, n + 1 == attempts))
            .collect();
        let mut targets = Vec::new();
        for (n, script) in scripts.iter().enumerate() {
            if dice.once_in(5) {
                targets.push("broken/m".to_owned());
            }
            targets.push(format!("up/q{question}-{n}"));
            upstream = upstream.plays(&format!("q{question}-{n}"), script.acts.clone());
        }
        setup.model(&format!("q{question}"), &targets);
        plots.push(scripts);
    }
    let mut world = setup.build();
    let upstream = world.add(upstream);
    let addr: SocketAddr = "192.0.2.1:80".parse().unwrap();
    let weather_up = Weather {
        window_to_server: 65_536,
        window_to_peer: dice.pick(&[200, 65_536]),
        ..weather(&mut dice)
    };
    world.host("up.example", addr, upstream, weather_up);
    break_host(&mut world, &mut dice);
    let expectations = plots
        .into_iter()
        .enumerate()
        .map(|(n, scripts)| {
            let watchers = (0..1 + dice.index(4)).map(|_| watcher(&mut dice)).collect();
            let ask = Fetch::post_chat(&format!("q{n}"), "hi", weather(&mut dice));
            let mut question = Question::new(ask, watchers).at(Moment(dice.below(3000)));
            let cancelled = dice.once_in(5);
            if cancelled {
                question = question.cancelled_after(dice.below(2000));
            }
            let question = world.add(question);
            Expectation {
                question,
                scripts,
                cancelled,
            }
        })
        .collect();
    (world, expectations, upstream)
}

/// A provider that cannot be reached, in one of many ways.
fn break_host(world: &mut World, dice: &mut Random) {
    let addr: SocketAddr = "192.0.2.9:80".parse().unwrap();
    let host = dice.pick(&[
        Host::Refuses(0),
        Host::Refuses(900),
        Host::Silent,
        Host::Unreachable,
    ]);
    world.sys().host(addr, host);
    let takes = dice
        .pick(&[Some(0), Some(700), None])
        .map(Duration::from_millis);
    let addrs = match dice.below(3) {
        0 => Err(std::io::ErrorKind::NotFound),
        1 => Ok(vec![addr.ip()]),
        _ => Ok(vec![addr.ip(), addr.ip()]),
    };
    world.sys().name("broken.example", Name { addrs, takes });
}

/// Runs one random world and checks it against what the scripts say.
fn run(seed: u64) {
    let (mut world, expectations, _) = build(seed);
    world.run(Duration::from_secs(3600));
    for expectation in &expectations {
        judge(world.peer(expectation.question), expectation);
    }
    world.expect_nothing_left();
}

fn judge(question: &Question, expectation: &Expectation) {
    assert_eq!(question.ask.status, Some(200));
    let first = &question.watchers[0];
    for watcher in &question.watchers {
        watcher.expect_a_whole_stream();
        assert!(watcher.resets.is_empty(), "{:?}", watcher.resets);
        let told: Vec<_> = watcher
            .seen
            .iter()
            .map(|seen| (&seen.id, &seen.json))
            .collect();
        let first: Vec<_> = first
            .seen
            .iter()
            .map(|seen| (&seen.id, &seen.json))
            .collect();
        assert_eq!(told, first, "all see the same");
    }
    let terminal = first.terminal().unwrap();
    let last = expectation.scripts.last().unwrap();
    if terminal["finish_reason"] == "cancelled" {
        assert!(expectation.cancelled);
        return assert!(last.text.starts_with(&first.text()), "{:?}", first.text());
    }
    match &last.ending {
        Ending::Complete => {
            assert_eq!(terminal["type"], "end", "{terminal}");
            assert_eq!(first.text(), last.text);
        }
        Ending::Fails(codes) => {
            let code = terminal["code"].as_str().unwrap_or("complete");
            assert!(codes.contains(&code), "{terminal}, wanted {codes:?}");
            assert!(last.text.starts_with(&first.text()));
        }
    }
}

#[test]
fn random_worlds_keep_every_promise() {
    if let Some(seed) = number("LMSERVER_SEED") {
        return run(seed);
    }
    let wanted = number("LMSERVER_WORLDS");
    let clock = Stopwatch::start();
    let mut seed = 0;
    while wanted.map_or_else(|| clock.elapsed() < PATIENCE, |wanted| seed < wanted) {
        run(seed);
        seed += 1;
    }
    eprintln!("{seed} random worlds in {:?}", clock.elapsed());
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// The only real clock in here: it bounds how many worlds an ordinary run visits.
struct Stopwatch(std::time::Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "bounds the test, not the world")]
    fn start() -> Self {
        Self(std::time::Instant::now())
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
