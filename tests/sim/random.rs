//! Random worlds: many clients, every transport, every fault, and what must hold all the same.

use std::net::SocketAddr;
use std::time::Duration;

use lmserver::runtime::routing::ProviderTimers;
use lmserver::runtime::sys::Signal;
use lmserver::runtime::sys::sim::{
    EMFILE, ENFILE, Faults, Host, LineId, Name, Net, Peer, PeerId, Random, Weather,
};
use lmserver::runtime::time::Moment;

use crate::client::{Fetch, Question};
use crate::script::{self, Ending, Script};
use crate::upstream::Upstream;
use crate::watcher::{Death, Leg, Via, Watcher};
use crate::world::{SERVER, Setup, World};

/// How long the random worlds of an ordinary test run may take.
const PATIENCE: Duration = Duration::from_secs(25);

/// What is known of a question before it is asked.
struct Expectation {
    question: PeerId,
    last: Script,
    /// Somebody may end the answer before its time.
    cancelled: bool,
}

/// A world that was drawn, and what must come of it.
pub(crate) struct Drawn {
    pub(crate) world: World,
    expectations: Vec<Expectation>,
    /// It is told to stop at some time.
    stops: bool,
    /// Its bounds are so tight that answers may be cut and questions refused.
    tight: bool,
    /// Some client finds no descriptor.
    sheds: bool,
}

pub(crate) fn weather(random: &mut Random) -> Weather {
    Weather {
        latency: random.pick(&[(0, 0), (1, 5), (0, 80)]),
        window_to_server: random.pick(&[40, 700, 65_536]),
        window_to_peer: random.pick(&[1, 13, 200, 65_536]),
    }
}

fn leg(random: &mut Random) -> Leg {
    let slow = random.once_in(4);
    Leg {
        via: random.pick(&Via::ALL),
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
    if random.once_in(20) {
        // Dozes off for longer than the write timeout, again and again.
        let weather = Weather {
            window_to_peer: 300,
            ..Weather::default()
        };
        legs.push(Leg {
            most: 400,
            every: 35_000,
            weather,
            ..leg(random)
        });
    }
    legs.push(leg(random));
    let mut watcher = Watcher::new(legs);
    watcher.persistent = random.once_in(3);
    watcher.pongs = !random.once_in(10);
    watcher.pings = random.once_in(3);
    watcher
}

fn setup(seed: u64, dice: &mut Random) -> Setup {
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
    setup.resilience.retries = dice.pick(&[0, 0, 1, 2]);
    setup.openai("up", "up.example");
    setup.openai("broken", "broken.example");
    setup.echo(Duration::from_millis(20));
    setup
}

/// A world drawn from a seed.
pub(crate) fn draw(seed: u64) -> Drawn {
    let mut dice = Random::new(seed ^ 0x5eed);
    let mut setup = setup(seed, &mut dice);
    let tight = dice.once_in(6);
    if tight {
        setup.channels.max_channel_bytes = dice.pick(&[3000, 20_000]);
        setup.channels.max_total_bytes = dice.pick(&[8000, 256 << 20]);
    }
    let stops = dice.once_in(6);
    setup.limits.drain = Duration::from_secs(dice.below(20));
    let mut upstream = Upstream::new();
    let questions = 1 + dice.index(4);
    let mut plots: Vec<(String, Script)> = Vec::new();
    for question in 0..questions {
        let attempts = 1 + dice.index(3);
        let mut scripts: Vec<Script> = (0..attempts)
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
        let mut message = "hi".to_owned();
        if dice.once_in(5) {
            // The provider that needs no connection, alone or after others have failed.
            message = script::words(&mut dice).concat() + "end";
            targets.pop();
            targets.push("echo/m".into());
            scripts.pop();
            scripts.push(Script {
                acts: Vec::new(),
                text: message.clone(),
                ending: Ending::Complete,
            });
        }
        setup.model(&format!("q{question}"), &targets);
        plots.extend(scripts.pop().map(|last| (message, last)));
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
        .map(|(n, (message, last))| ask(&mut world, &mut dice, n, &message, last))
        .collect();
    let sheds = disturb(&mut world, &mut dice);
    if stops {
        let at = Moment(dice.below(9000));
        world.sys().signal(at, Signal::Stop);
    }
    Drawn {
        world,
        expectations,
        stops,
        tight,
        sheds,
    }
}

fn ask(world: &mut World, dice: &mut Random, n: usize, message: &str, last: Script) -> Expectation {
    let mut watchers: Vec<Watcher> = (0..1 + dice.index(4)).map(|_| watcher(dice)).collect();
    let ask = Fetch::post_chat(&format!("q{n}"), message, weather(dice));
    let mut cancelled = dice.once_in(5);
    if dice.once_in(8)
        && let Some(watcher) = watchers.first_mut()
    {
        watcher.says = Some(r#"{"type":"cancel"}"#.into());
        cancelled = true;
    }
    let mut question = Question::new(ask, watchers).at(Moment(dice.below(3000)));
    if cancelled {
        question = question.cancelled_after(dice.below(2000));
    }
    let question = world.add(question);
    Expectation {
        question,
        last,
        cancelled,
    }
}

/// Clients that say nonsense, stop in the middle of a request, or leave; accepts that fail. True:
/// some client is turned away for want of a descriptor.
fn disturb(world: &mut World, dice: &mut Random) -> bool {
    for _ in 0..dice.below(4) {
        let mut bytes = match dice.below(4) {
            0 => {
                let mut bytes = vec![0; dice.index(300)];
                dice.fill(&mut bytes);
                bytes
            }
            1 => b"GET /connection/sse?channel=chat:none HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            2 => {
                b"POST /api/chat HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n{\"mess".to_vec()
            }
            _ => b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_vec(),
        };
        bytes.truncate(dice.index(bytes.len() + 1));
        let quitter = Quitter {
            bytes,
            at: Moment(dice.below(4000)),
            leaves: Moment(dice.below(8000)),
            resets: dice.once_in(2),
            weather: weather(dice),
            line: None,
        };
        world.add(quitter);
    }
    let errors: Vec<i32> = if dice.once_in(6) {
        (0..dice.below(5))
            .map(|_| dice.pick(&[ENFILE, EMFILE]))
            .collect()
    } else {
        Vec::new()
    };
    world.sys().fail_accepts(&errors);
    errors.contains(&EMFILE)
}

/// A client that says something and leaves.
struct Quitter {
    bytes: Vec<u8>,
    at: Moment,
    leaves: Moment,
    resets: bool,
    weather: Weather,
    line: Option<LineId>,
}

impl Peer for Quitter {
    fn step(&mut self, now: Moment, net: &mut Net<'_>) {
        if now < self.at {
            return net.wake(self.at);
        }
        if self.line.is_none() {
            self.line = net.connect(SERVER, self.weather);
        }
        let Some(line) = self.line else {
            return net.done();
        };
        let sent = net.write(line, &self.bytes);
        self.bytes.drain(..sent);
        net.read(line, &mut Vec::new(), usize::MAX);
        if now < self.leaves {
            return net.wake(self.leaves);
        }
        if self.resets {
            net.reset(line);
        } else {
            net.close(line);
        }
        net.done();
    }

    fn describe(&self) -> String {
        format!("quitter, unsent {}", self.bytes.len())
    }
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
    let Drawn {
        mut world,
        expectations,
        stops,
        tight,
        sheds,
    } = draw(seed);
    if stops {
        world.run_to_stop(Duration::from_secs(200));
    } else {
        world.run(Duration::from_secs(3600));
    }
    for expectation in &expectations {
        let question: &Question = world.peer(expectation.question);
        match question.ask.status {
            Some(200) => judge(question, expectation, stops, tight),
            // Too late, or too much.
            Some(503) => assert!(stops || tight),
            status => assert!(stops || sheds, "{status:?}"),
        }
    }
    if !stops {
        world.expect_nothing_left();
    }
}

fn judge(question: &Question, expectation: &Expectation, stops: bool, tight: bool) {
    let mut whole = question.watchers.iter().filter(|watcher| {
        let gone = watcher.last_id.as_deref() == Some("gone-0") || watcher.seen.is_empty();
        if stops || (tight && gone) {
            // It had no time left to see it all; or the answer was forgotten to make room.
            return watcher.terminal().is_some() && !gone;
        }
        watcher.expect_a_whole_stream();
        true
    });
    let Some(first) = whole.next() else {
        return;
    };
    for watcher in whole.chain([first]) {
        watcher.expect_a_whole_stream();
        assert!(watcher.resets.is_empty(), "{:?}", watcher.resets);
        let told = watcher.seen.iter().map(|seen| (&seen.id, &seen.json));
        let same = told.eq(first.seen.iter().map(|seen| (&seen.id, &seen.json)));
        assert!(same, "all see the same");
    }
    let terminal = first.terminal().unwrap();
    let last = &expectation.last;
    let beginning = last.text.starts_with(&first.text());
    assert!(beginning, "{:?} of {:?}", first.text(), last.text);
    let code = terminal["code"].as_str().unwrap_or("complete");
    match &last.ending {
        _ if terminal["finish_reason"] == "cancelled" => assert!(expectation.cancelled),
        _ if code == "shutdown" => assert!(stops),
        _ if code == "too_large" => assert!(tight),
        Ending::Complete => {
            assert_eq!(terminal["type"], "end", "{terminal}");
            assert_eq!(first.text(), last.text);
        }
        Ending::Fails(codes) => assert!(codes.contains(&code), "{terminal}, wanted {codes:?}"),
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

pub(crate) fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// The only real clock in here: it bounds how many worlds an ordinary run visits.
pub(crate) struct Stopwatch(std::time::Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "bounds the test, not the world")]
    pub(crate) fn start() -> Self {
        Self(std::time::Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
