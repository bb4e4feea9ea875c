//! A target with as many requests as it may have is waited for, in order, by so many, so long.

use std::sync::Arc;
use std::time::Duration;

use lmserver::runtime::routing::{ProviderTimers, Resilience, Routing};
use lmserver::runtime::sys::Signal;

use lmserver::runtime::time::Moment;

use crate::scene::second;
use crate::script::Act;
use crate::town::{Town, breaks_off, busy, says, says_for};
use crate::upstream::Upstream;
use crate::world::Setup;

fn rules(most: u32) -> Resilience {
    Resilience {
        retries: 0,
        max_concurrent: Some(most),
        ..Resilience::default()
    }
}

/// `default` is `up/a`; `both` is `up/a` and then `free/b`, which has no cap.
fn setup(rules: Resilience) -> Setup {
    let mut setup = Setup::new(1);
    setup.timers = ProviderTimers {
        first_event: Duration::from_secs(5),
        ..ProviderTimers::default()
    };
    setup.openai("free", "up.example");
    setup.resilience = rules;
    setup.openai("up", "up.example");
    setup.model("default", &["up/a".into()]);
    setup.model("both", &["up/a".into(), "free/b".into()]);
    setup
}

fn upstream(a: Vec<Act>) -> Upstream {
    Upstream::new().plays("a", a).plays("b", says("b"))
}

#[test]
fn those_who_wait_are_answered_one_after_the_other_in_order() {
    for most in [1, 2, 3] {
        let asks: Vec<_> = (0..9).map(|n| (n * 10, "default")).collect();
        let mut town = Town::new(setup(rules(most)), upstream(says_for("a", 1000)), &asks);
        town.world.pass(Duration::from_millis(500));
        assert_eq!(town.metrics().queued, 9 - u64::from(most));
        town.run();
        let ends: Vec<_> = (0..9).map(|n| town.ending(n)).collect();
        assert!(
            ends.iter()
                .all(|(it, attempts, _)| it == "stop" && attempts.is_empty()),
            "{ends:?}"
        );
        assert!(ends.is_sorted_by_key(|(.., at)| *at), "{ends:?}");
        let last = u64::from(9_u32.div_ceil(most)) * 1000;
        assert!((last..last + 200).contains(&ends[8].2), "{ends:?}");
        assert_eq!(town.upstream().most["a"], most as usize);
        let metrics = town.metrics();
        assert_eq!((metrics.queued, metrics.queue_refusals), (0, 0));
        town.world.expect_nothing_left();
    }
}

#[test]
fn a_place_is_free_however_the_one_before_ended() {
    for (acts, code) in [
        (busy(), "provider_overloaded"),
        (breaks_off("Hel"), "provider_truncated"),
        (vec![Act::Close], "provider_unreachable"),
        (vec![Act::Stall], "provider_timeout"),
    ] {
        let upstream = Upstream::new().plays("a", acts).plays("a", says("a"));
        let asks = [(0, "default"), (10, "default")];
        let mut town = Town::new(setup(rules(1)), upstream, &asks);
        town.run();
        assert_eq!(
            (town.ending(0).0.as_str(), town.watcher(1).text()),
            (code, "a".into())
        );
        town.world.expect_nothing_left();
    }
}

#[test]
fn who_finds_the_queue_full_goes_to_the_next_target_or_is_told() {
    let rules = Resilience {
        max_queued: 1,
        retries: 2,
        ..rules(1)
    };
    let asks = [
        (0, "default"),
        (10, "default"),
        (20, "default"),
        (30, "both"),
    ];
    let mut town = Town::new(setup(rules), upstream(says_for("a", 1000)), &asks);
    town.run();
    let (ending, attempts, at) = town.ending(2);
    assert_eq!(
        (ending.as_str(), attempts.len(), at),
        ("provider_overloaded", 0, 20)
    );
    let json = town.last(2).json;
    assert!(
        json["message"].as_str().unwrap().contains("max_queued"),
        "{json}"
    );
    assert_eq!(
        (&json["retryable"], &json["provider"]),
        (&true.into(), &"up".into())
    );
    assert_eq!(town.ending(3).1, ["up/a provider_overloaded"]);
    assert_eq!(town.watcher(3).text(), "b");
    let metrics = town.metrics();
    assert_eq!((metrics.queue_refusals, metrics.breaker_openings), (2, 0));
}

#[test]
fn who_waits_too_long_goes_to_the_next_target_or_is_told() {
    let rules = Resilience {
        queue_timeout: Duration::from_secs(3),
        retries: 2,
        ..rules(1)
    };
    let asks = [(0, "default"), (10, "default"), (20, "both")];
    let mut town = Town::new(setup(rules), upstream(says_for("a", 10_000)), &asks);
    town.run();
    let (ending, attempts, at) = town.ending(1);
    assert_eq!(
        (ending.as_str(), attempts.len(), at),
        ("provider_overloaded", 0, 3010)
    );
    let json = town.last(1).json;
    assert!(
        json["message"]
            .as_str()
            .unwrap()
            .contains("queue_timeout (3 s)"),
        "{json}"
    );
    let (ending, attempts, at) = town.ending(2);
    assert_eq!((ending.as_str(), at < 3050), ("stop", true));
    assert_eq!(attempts, ["up/a provider_overloaded"]);
    assert_eq!(town.metrics().queue_refusals, 2);
}

#[test]
fn who_is_cancelled_waits_no_longer_and_who_is_answered_makes_room() {
    let mut town = Town::empty(setup(rules(1)), upstream(says_for("a", 10_000)));
    // The first is cancelled while it is answered, the second while it waits.
    town.ask(0, "default", |question| question.cancelled_after(1000));
    town.ask(10, "default", |question| question.cancelled_after(500));
    town.ask(20, "default", |question| question);
    town.run();
    let ends: Vec<_> = (0..3).map(|n| town.ending(n)).collect();
    assert_eq!((ends[0].0.as_str(), ends[0].2), ("cancelled", 1000));
    assert_eq!((ends[1].0.as_str(), ends[1].2), ("cancelled", 510));
    assert_eq!(ends[2].0, "stop");
    let asked = town.asked_at();
    assert!(asked.len() == 2 && asked[1] < 1010, "{asked:?}");
    assert_eq!(town.upstream().ended_at.first().unwrap().0, 1000);
    town.world.expect_nothing_left();
}

#[test]
fn a_stop_answers_those_who_wait_within_the_drain_time() {
    let asks: Vec<_> = (0..6).map(|n| (n * 10, "default")).collect();
    let long = Resilience {
        queue_timeout: Duration::from_secs(100),
        ..rules(1)
    };
    let mut town = Town::new(setup(long), upstream(says_for("a", 9000)), &asks);
    town.world.sys().signal(second(1), Signal::Stop);
    town.run_to_stop();
    let ends: Vec<_> = (0..6).map(|n| town.ending(n).0).collect();
    assert_eq!(ends[..3], ["stop"; 3]);
    assert_eq!(ends[3..], ["shutdown"; 3]);
    assert_eq!(
        town.upstream().asked.len(),
        4,
        "nobody is asked while the server closes"
    );
    assert_eq!(town.metrics().queued, 0);
    assert_eq!(town.world.sys().open_sockets(), 0);
}

/// The same providers and models, with other rules.
fn other(rules: Resilience) -> Option<Arc<Routing>> {
    Some(setup(rules).routing())
}

#[test]
fn a_reload_lets_in_as_many_as_the_new_rules_say() {
    for (after, most, last) in [(rules(4), 4, 2), (Resilience::NONE, 9, 1)] {
        let mut setup = setup(rules(1));
        setup.reloads = other(after);
        let asks: Vec<_> = (0..9).map(|n| (n * 10, "default")).collect();
        let mut town = Town::new(setup, upstream(says_for("a", 4000)), &asks);
        town.world.sys().signal(second(1), Signal::Reload);
        town.run();
        let ends: Vec<_> = (0..9).map(|n| town.ending(n)).collect();
        assert!(ends.iter().all(|(it, ..)| it == "stop"), "{ends:?}");
        assert!(ends.is_sorted_by_key(|(.., at)| *at), "{ends:?}");
        assert_eq!(town.upstream().most["a"], most);
        assert!(ends[8].2 < 1100 + last * 4000 + 4000, "{ends:?}");
        town.world.expect_nothing_left();
    }
    // Fewer: those who are being answered stay, and nobody comes in before there is room.
    let mut setup = setup(rules(3));
    setup.reloads = other(rules(1));
    let asks: Vec<_> = (0..5).map(|n| (n * 1000, "default")).collect();
    let mut town = Town::new(setup, upstream(says_for("a", 4000)), &asks);
    town.world.sys().signal(Moment(3500), Signal::Reload);
    town.run();
    let asked: Vec<_> = town.asked_at().iter().map(|at| at / 1000).collect();
    assert_eq!(asked, [0, 1, 2, 6, 10]);
}
