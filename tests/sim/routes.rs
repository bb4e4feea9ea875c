//! Random worlds of routing: providers that fail in every way, groups, caps, breakers, queues,
//! cancels, reloads, stops.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lmserver::runtime::routing::{ProviderTimers, Resilience, Routing};
use lmserver::runtime::sys::Signal;
use lmserver::runtime::sys::sim::{Faults, Random};
use lmserver::runtime::time::Moment;

use crate::client::Question;
use crate::random::{Stopwatch, number};
use crate::scene::{begun, ending};
use crate::script::Act;
use crate::town::{Town, attempts, breaks_off, busy, refuses, says, says_for};
use crate::upstream::Upstream;
use crate::world::Setup;

/// How long these worlds may take in an ordinary test run.
const PATIENCE: Duration = Duration::from_secs(5);

/// The models of the one host; each is served by two providers.
const MODELS: [&str; 4] = ["a", "b", "c", "d"];

/// The names that clients use.
const NAMES: [&str; 3] = ["default", "one", "two"];

/// The targets of each name with their groups.
type Plans = BTreeMap<&'static str, Vec<Vec<(String, u32)>>>;

struct Drawn {
    town: Town,
    plans: Plans,
    /// The most requests that a target may have at a time, before and after a reload.
    cap: Option<u32>,
    retries: u32,
    stops: bool,
    asks: Vec<(u64, &'static str)>,
}

fn rules(dice: &mut Random) -> Resilience {
    Resilience {
        retries: dice.pick(&[0, 1, 2]),
        retry_backoff: Duration::from_millis(dice.pick(&[1, 100, 1000])),
        breaker_failures: dice.pick(&[0, 1, 2, 5]),
        breaker_cooldown: Duration::from_millis(dice.pick(&[50, 1000, 5000])),
        max_concurrent: dice.pick(&[None, Some(1), Some(2)]),
        max_queued: dice.pick(&[0, 1, 3, 100]),
        queue_timeout: Duration::from_millis(dice.pick(&[50, 1000, 10_000])),
    }
}

/// One answer of a model; all text that it ever says is its name.
fn script(dice: &mut Random, model: &str) -> Vec<Act> {
    match dice.below(12) {
        0..=2 => says(model),
        3 => says_for(model, dice.below(3000)),
        4 => busy(),
        5 => refuses(
            "429 Too Many Requests",
            &format!("Retry-After: {}", dice.pick(&[1, 3, 90])),
        ),
        6 => refuses(dice.pick(&["400 Bad Request", "401 Unauthorized"]), ""),
        7 => breaks_off(model),
        8 => vec![Act::Stall],
        9 => vec![dice.pick(&[Act::Close, Act::Reset])],
        10 => vec![Act::Send(begun(&[model])), Act::Stall],
        _ => {
            let mut acts = vec![Act::Wait(dice.below(2500))];
            acts.extend(match dice.below(3) {
                0 => busy(),
                1 => vec![Act::Close],
                _ => vec![
                    Act::Send(begun(&[model])),
                    Act::Wait(dice.below(500)),
                    Act::Send(ending()),
                ],
            });
            acts
        }
    }
}

fn plans(dice: &mut Random) -> Plans {
    let mut plans = Plans::new();
    for name in NAMES {
        let mut left: Vec<String> = ["p", "q"]
            .iter()
            .flat_map(|provider| MODELS.map(|model| format!("{provider}/{model}")))
            .collect();
        let groups = 1 + dice.index(3);
        let group = |dice: &mut Random| {
            let count = dice.pick(&[1, 1, 2, 3]);
            (0..count)
                .filter_map(|_| {
                    let target = (!left.is_empty()).then(|| left.remove(dice.index(left.len())));
                    Some((target?, dice.pick(&[1, 3])))
                })
                .collect()
        };
        let groups = std::iter::repeat_with(|| ()).take(groups);
        let mut group = group;
        let groups: Vec<Vec<_>> = groups.map(|()| group(dice)).collect();
        plans.insert(
            name,
            groups.into_iter().filter(|it| !it.is_empty()).collect(),
        );
    }
    plans
}

fn setup(seed: u64, rules: &Resilience, plans: &Plans) -> Setup {
    let mut setup = Setup::new(seed);
    setup.timers = ProviderTimers {
        connect: Duration::from_secs(1),
        first_event: Duration::from_secs(2),
        between_events: Duration::from_secs(2),
        total: Duration::from_secs(20),
    };
    setup.resilience = rules.clone();
    setup.openai("p", "up.example");
    setup.openai("q", "up.example");
    for (name, groups) in plans {
        let groups: Vec<Vec<(&str, u32)>> = groups
            .iter()
            .map(|group| group.iter().map(|(it, weight)| (&**it, *weight)).collect())
            .collect();
        let groups: Vec<&[(&str, u32)]> = groups.iter().map(Vec::as_slice).collect();
        setup.balanced(name, &groups);
    }
    setup
}

fn draw(seed: u64) -> Drawn {
    let mut dice = Random::new(seed ^ 0x0a57);
    let (first, second) = (rules(&mut dice), rules(&mut dice));
    let plans = plans(&mut dice);
    let mut setup_now = setup(seed, &first, &plans);
    if dice.once_in(3) {
        setup_now.faults = Faults::unkind();
    }
    let stops = dice.once_in(6);
    setup_now.limits.drain = Duration::from_secs(dice.below(10));
    let after: Arc<Routing> = setup(seed, &second, &plans).routing();
    setup_now.reloads = Some(after);
    let mut upstream = Upstream::new();
    for model in MODELS {
        for _ in 0..1 + dice.below(5) {
            upstream = upstream.plays(model, script(&mut dice, model));
        }
    }
    let mut town = Town::empty(setup_now, upstream);
    let reloads = dice.once_in(2);
    if reloads {
        town.world
            .sys()
            .signal(Moment(dice.below(10_000)), Signal::Reload);
    }
    if stops {
        town.world
            .sys()
            .signal(Moment(dice.below(10_000)), Signal::Stop);
    }
    let mut asks = Vec::new();
    for _ in 0..1 + dice.below(25) {
        let (at, name) = (dice.below(8000), dice.pick(&NAMES));
        let cancel = dice.once_in(5).then(|| dice.below(3000));
        town.ask(at, name, |question| match cancel {
            Some(after) => question.cancelled_after(after),
            None => question,
        });
        asks.push((at, name));
    }
    let cap = match (first.max_concurrent, second.max_concurrent) {
        (Some(first), Some(second)) if reloads => Some(first.max(second)),
        (first, _) if !reloads => first,
        _ => None,
    };
    Drawn {
        town,
        plans,
        cap,
        retries: first.retries.max(second.retries),
        stops,
        asks,
    }
}

fn run(seed: u64) {
    let mut drawn = draw(seed);
    if drawn.stops {
        drawn.town.run_to_stop();
    } else {
        drawn.town.run();
    }
    let Drawn {
        town,
        plans,
        cap,
        retries,
        stops,
        asks,
    } = &mut drawn;
    let mut tries = 0;
    for (n, (at, name)) in asks.iter().enumerate() {
        let question: &Question = town.world.peer(town.questions[n]);
        if *stops && question.watchers[0].terminal().is_none() {
            // It came too late, or had no time left to see its end.
            continue;
        }
        let json = town.last(n).json;
        let mut asked = attempts(&json);
        tries += asked.len() + 1;
        let text = town.watcher(n).text();
        // Nobody else is asked once there was content.
        if !text.is_empty() {
            assert_eq!(json["model"], text, "question {n}: {json}");
        }
        let ended = town.last(n).at.0;
        assert!(ended - at < 150_000, "question {n} took {} ms", ended - at);
        if let (Some(provider), Some(model)) = (json["provider"].as_str(), json["model"].as_str()) {
            asked.push(format!("{provider}/{model} last"));
        }
        judge(&plans[name], &asked, *retries, &json);
    }
    if !*stops {
        // What was asked on a kept connection that was just closed is asked once more.
        let resent = usize::try_from(town.metrics().upstream_reuses).unwrap();
        assert!(
            town.upstream().asked.len() <= tries + resent,
            "more was asked than is told"
        );
    }
    if let Some(cap) = cap {
        // Both providers of a model may be asked at once.
        let most = town.upstream().most.values().max().copied().unwrap_or(0);
        assert!(most <= 2 * *cap as usize, "{most} at a time, {cap} allowed");
    }
    if !*stops {
        town.world.expect_nothing_left();
        assert_eq!(town.metrics().queued, 0);
    }
}

/// Attempts go through the groups in order; a target is tried again only at once, and so often.
fn judge(plan: &[Vec<(String, u32)>], asked: &[String], retries: u32, json: &serde_json::Value) {
    let names: Vec<&str> = asked
        .iter()
        .map(|it| it.split(' ').next().unwrap())
        .collect();
    let groups: Vec<usize> = names
        .iter()
        .map(|name| {
            let holds = |group: &&Vec<(String, u32)>| group.iter().any(|(it, _)| it == name);
            plan.iter()
                .position(|group| holds(&group))
                .unwrap_or_else(|| panic!("{name}: {json}"))
        })
        .collect();
    let mut seen = BTreeSet::new();
    for tries in names.chunk_by(|a, b| a == b) {
        assert!(
            seen.insert(tries[0]),
            "{} was left and asked again: {json}",
            tries[0]
        );
        assert!(tries.len() <= retries as usize + 1, "{}: {json}", tries[0]);
    }
    // A breaker may have let somebody of an earlier group through meanwhile.
    let orderly = groups.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert!(orderly <= plan.len(), "{groups:?}: {json}");
}

#[test]
fn random_routes_keep_every_promise() {
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
    eprintln!("{seed} random worlds of routing in {:?}", clock.elapsed());
}

#[test]
fn the_same_seed_asks_the_same_targets_at_the_same_times() {
    let asked = |seed| {
        let mut drawn = draw(seed);
        let end = drawn.town.world.now() + Duration::from_secs(60);
        while drawn.town.world.now() < end && !drawn.town.world.sys().all_done() {
            if !drawn.town.world.turn() {
                break;
            }
        }
        let fingerprint = drawn.town.world.sys().fingerprint();
        (
            fingerprint,
            drawn.town.upstream().asked.clone(),
            drawn.town.asked_at(),
        )
    };
    for seed in 0..20 {
        assert_eq!(asked(seed), asked(seed), "seed {seed}");
    }
}
