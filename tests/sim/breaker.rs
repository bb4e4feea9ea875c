//! A target that keeps failing is left alone, until one who tries it has an answer.

use std::sync::Arc;
use std::time::Duration;

use lmserver::runtime::routing::{ProviderTimers, Resilience, Routing};
use lmserver::runtime::sys::Signal;
use lmserver::runtime::sys::sim::Weather;

use crate::scene::{UPSTREAM, begun, ending, second};
use crate::script::Act;
use crate::town::{Town, breaks_off, busy, refuses, says, says_for};
use crate::upstream::Upstream;
use crate::world::Setup;

/// `default` is `up/a` alone, tried once; `both` is `up/a` and then `up/b`. Five failures open a
/// breaker for half a minute.
fn setup() -> Setup {
    let mut setup = Setup::new(1);
    setup.openai("up", "up.example");
    setup.model("default", &["up/a".into()]);
    setup.model("both", &["up/a".into(), "up/b".into()]);
    setup
}

/// An upstream where `a` fails so often, and then answers.
fn fails(times: usize) -> Upstream {
    let failing = (0..times).fold(Upstream::new(), |it, _| it.plays("a", busy()));
    failing.plays("a", says("a")).plays("b", says("b"))
}

#[test]
fn after_five_failures_in_a_row_nobody_is_asked_until_a_probe_answers() {
    let asks = [0, 100, 200, 300, 400, 500, 30_300, 30_500, 30_600].map(|at| (at, "default"));
    let mut town = Town::new(setup(), fails(5), &asks);
    town.world.pass(Duration::from_secs(1));
    let metrics = town.metrics();
    assert_eq!((metrics.breaker_openings, metrics.open_breakers), (1, 1));
    town.run();
    let endings: Vec<_> = (0..9).map(|n| town.ending(n).0).collect();
    assert!(
        endings[..7].iter().all(|it| it == "provider_overloaded"),
        "{endings:?}"
    );
    assert_eq!(endings[7..], ["stop", "stop"]);
    // The sixth and the seventh were not asked at all.
    let asked: Vec<_> = town.asked_at().iter().map(|at| at / 100).collect();
    assert_eq!(asked, [0, 1, 2, 3, 4, 305, 306]);
    for (n, left) in [(5, "30 s"), (6, "1 s")] {
        let json = town.last(n).json;
        let message = json["message"].as_str().unwrap();
        assert!(
            message.contains("up/a") && message.contains(left),
            "{message}"
        );
        assert_eq!(json["retryable"], true);
        assert_eq!(json.get("provider"), None, "nobody was asked");
        assert_eq!(town.ending(n).2, asks[n].0);
    }
    assert_eq!(town.metrics().open_breakers, 0);
    town.world.expect_nothing_left();
}

#[test]
fn one_that_is_left_alone_does_not_stand_in_the_way_of_the_next() {
    let asks: Vec<_> = (0..8).map(|n| (n * 100, "both")).collect();
    let mut town = Town::new(setup(), fails(5), &asks);
    town.run();
    for n in 0..8 {
        let (ending, attempts, _) = town.ending(n);
        assert_eq!(
            (ending.as_str(), town.watcher(n).text()),
            ("stop", "b".into())
        );
        assert_eq!(attempts.len(), usize::from(n < 5), "question {n}");
    }
    assert_eq!(town.metrics().fallbacks, 5);
}

#[test]
fn a_success_in_between_begins_the_count_anew() {
    let upstream = (0..4).fold(Upstream::new(), |it, _| it.plays("a", busy()));
    let upstream = upstream.plays("a", says("a")).plays("a", busy());
    let asks: Vec<_> = (0..9).map(|n| (n * 100, "default")).collect();
    let mut town = Town::new(setup(), upstream, &asks);
    town.run();
    assert_eq!(
        (town.upstream().asked.len(), town.metrics().breaker_openings),
        (9, 0)
    );
}

#[test]
fn while_one_probes_all_others_go_elsewhere() {
    let upstream = (0..5).fold(Upstream::new(), |it, _| it.plays("a", busy()));
    let slow = vec![
        Act::Wait(2000),
        Act::Send(begun(&["a"])),
        Act::Wait(2000),
        Act::Send(ending()),
    ];
    let upstream = upstream.plays("a", slow).plays("b", says("b"));
    let mut asks: Vec<_> = (0..5).map(|n| (n * 100, "default")).collect();
    let probing = [
        (31_000, "both"),
        (31_500, "both"),
        (32_000, "default"),
        (33_500, "both"),
    ];
    asks.extend(probing);
    let mut town = Town::new(setup(), upstream, &asks);
    town.run();
    let texts: Vec<_> = (5..9).map(|n| town.watcher(n).text()).collect();
    // The last comes after the probe has begun to answer, and before it has ended.
    assert_eq!(texts, ["a", "b", "", "a"]);
    let (ending, _, at) = town.ending(7);
    assert_eq!((ending.as_str(), at), ("provider_overloaded", 32_000));
}

#[test]
fn the_pause_doubles_with_each_probe_that_fails() {
    let asks: Vec<_> = (0..5)
        .chain((1..400).map(|n| n * 1000))
        .map(|at| (at, "default"))
        .collect();
    let mut town = Town::new(setup(), Upstream::new().plays("a", busy()), &asks);
    town.run();
    let asked: Vec<_> = town.asked_at()[5..].iter().map(|at| at / 1000).collect();
    assert_eq!(asked, [31, 91, 212]);
    assert_eq!(town.metrics().breaker_openings, 4);
}

#[test]
fn a_probe_that_is_cancelled_is_followed_by_another() {
    let upstream = (0..5).fold(Upstream::new(), |it, _| it.plays("a", busy()));
    let upstream = upstream.plays("a", vec![Act::Stall]).plays("a", says("a"));
    let asks: Vec<_> = (0..5).map(|n| (n * 100, "default")).collect();
    let mut town = Town::new(setup(), upstream, &asks);
    town.ask(31_000, "default", |question| question.cancelled_after(500));
    town.ask(31_200, "default", |question| question);
    town.ask(31_600, "default", |question| question);
    town.run();
    let endings: Vec<_> = (5..8).map(|n| town.ending(n).0).collect();
    assert_eq!(endings, ["cancelled", "provider_overloaded", "stop"]);
}

#[test]
fn what_the_request_is_to_blame_for_opens_nothing() {
    let bad = refuses("400 Bad Request", "");
    let asks: Vec<_> = (0..10).map(|n| (n * 100, "default")).collect();
    let mut town = Town::new(setup(), Upstream::new().plays("a", bad), &asks);
    town.run();
    assert_eq!(
        (town.upstream().asked.len(), town.metrics().breaker_openings),
        (10, 0)
    );
    // And a cancel tells nothing.
    let mut town = Town::empty(setup(), Upstream::new().plays("a", vec![Act::Stall]));
    for n in 0..10 {
        town.ask(n * 10, "default", |question| question.cancelled_after(500));
    }
    town.run();
    assert_eq!(
        (town.upstream().asked.len(), town.metrics().breaker_openings),
        (10, 0)
    );
}

#[test]
fn an_answer_that_breaks_off_counts_too() {
    let asks: Vec<_> = (0..6).map(|n| (n * 100, "default")).collect();
    let mut town = Town::new(
        setup(),
        Upstream::new().plays("a", breaks_off("Hel")),
        &asks,
    );
    town.run();
    let endings: Vec<_> = (0..6).map(|n| town.ending(n).0).collect();
    assert!(
        endings[..5].iter().all(|it| it == "provider_truncated"),
        "{endings:?}"
    );
    assert_eq!(endings[5], "provider_overloaded");
}

#[test]
fn models_of_one_provider_have_breakers_of_their_own() {
    let mut asks: Vec<_> = (0..6).map(|n| (n * 100, "up/a")).collect();
    asks.push((1000, "up/b"));
    let mut town = Town::new(setup(), fails(5), &asks);
    town.run();
    assert_eq!(town.watcher(6).text(), "b");
    assert_eq!(town.upstream().asked.len(), 6);
}

#[test]
fn a_retry_that_opens_the_breaker_is_the_last() {
    let mut setup = Setup::new(1);
    setup.resilience = Resilience {
        retries: 10,
        ..Resilience::default()
    };
    setup.openai("up", "up.example");
    setup.model("default", &["up/a".into()]);
    let mut town = Town::new(setup, Upstream::new().plays("a", busy()), &[(0, "default")]);
    town.run();
    let (ending, attempts, _) = town.ending(0);
    assert_eq!(
        (ending.as_str(), attempts.len()),
        ("provider_overloaded", 4)
    );
    assert_eq!(town.last(0).json["provider"], "up");
}

#[test]
fn who_waits_for_a_target_whose_breaker_opens_goes_on_at_once() {
    let mut setup = Setup::new(1);
    setup.resilience = Resilience {
        retries: 0,
        breaker_failures: 1,
        max_concurrent: Some(1),
        ..Resilience::default()
    };
    setup.openai("up", "up.example");
    setup.model("default", &["up/a".into()]);
    setup.model("both", &["up/a".into(), "up/b".into()]);
    let mut slow = vec![Act::Wait(1000)];
    slow.extend(busy());
    let upstream = Upstream::new()
        .plays("a", slow)
        .plays("b", says_for("b", 10));
    let asks = [(0, "default"), (10, "default"), (20, "both"), (30, "both")];
    let mut town = Town::new(setup, upstream, &asks);
    town.run();
    let ends: Vec<_> = (0..4).map(|n| town.ending(n)).collect();
    assert!(
        ends[..2].iter().all(|(it, ..)| it == "provider_overloaded"),
        "{ends:?}"
    );
    assert!(ends[2..].iter().all(|(it, ..)| it == "stop"), "{ends:?}");
    assert!(
        ends.iter()
            .all(|(_, attempts, at)| attempts.is_empty() && *at < 1100),
        "{ends:?}"
    );
    assert_eq!(town.upstream().asked, ["a", "b", "b"]);
    town.world.expect_nothing_left();
}

/// The same providers and models, with other rules.
fn other(resilience: Resilience) -> Arc<Routing> {
    let mut setup = Setup::new(1);
    setup.resilience = resilience;
    setup.openai("up", "up.example");
    setup.model("default", &["up/a".into()]);
    setup.routing()
}

#[test]
fn a_reload_keeps_what_is_known_and_takes_the_new_rules() {
    let once = Resilience {
        retries: 0,
        ..Resilience::default()
    };
    let never = Resilience {
        breaker_failures: 0,
        ..once
    };
    for (rules, asked, opened) in [(once, 5, 1), (never, 10, 0)] {
        let mut setup = setup();
        setup.reloads = Some(other(rules));
        let asks: Vec<_> = (0..10).map(|n| (n * 1000, "default")).collect();
        let mut town = Town::new(setup, Upstream::new().plays("a", busy()), &asks);
        town.world.sys().signal(second(3), Signal::Reload);
        town.run();
        assert_eq!(town.upstream().asked.len(), asked);
        assert_eq!(town.metrics().breaker_openings, opened);
    }
}

#[test]
fn a_reload_with_another_key_or_place_forgets_the_failures_of_the_former() {
    for (key, host, asked) in [
        ("sk-sim", "up.example", 5),
        ("sk-new", "up.example", 7),
        ("sk-sim", "other.example", 7),
    ] {
        let mut new = Setup::new(1);
        new.key = key;
        new.openai("up", host);
        new.model("default", &["up/a".into()]);
        let mut setup = setup();
        setup.reloads = Some(new.routing());
        let wrong = refuses("401 Unauthorized", "");
        let upstream = (0..5).fold(Upstream::new(), |it, _| it.plays("a", wrong.clone()));
        let mut asks: Vec<_> = (0..6).map(|n| (n * 100, "default")).collect();
        asks.extend([(2000, "default"), (2100, "default")]);
        let mut town = Town::new(setup, upstream.plays("a", says("a")), &asks);
        let addr = UPSTREAM.parse().unwrap();
        let up = town.upstream;
        town.world
            .host("other.example", addr, up, Weather::default());
        town.world.sys().signal(second(1), Signal::Reload);
        town.run();
        assert_eq!(town.upstream().asked.len(), asked, "{key} {host}");
        assert_eq!(town.metrics().breaker_openings, 1);
    }
}

#[test]
fn an_answer_longer_than_its_time_does_not_count_and_one_that_never_begins_does() {
    for (acts, opened) in [
        (vec![Act::Send(begun(&["Hel"])), Act::Stall], 0),
        (vec![Act::Stall], 1),
    ] {
        let mut setup = Setup::new(1);
        setup.timers = ProviderTimers {
            total: Duration::from_secs(5),
            ..ProviderTimers::default()
        };
        setup.openai("up", "up.example");
        setup.model("default", &["up/a".into()]);
        let asks: Vec<_> = (0..5).map(|n| (n * 100, "default")).collect();
        let mut town = Town::new(setup, Upstream::new().plays("a", acts), &asks);
        town.run();
        for n in 0..5 {
            assert_eq!(town.ending(n).0, "provider_timeout");
        }
        assert_eq!(town.metrics().breaker_openings, opened);
    }
}
