//! The same target again: when, how often, and when not.

use std::time::Duration;

use lmserver::runtime::routing::{ProviderTimers, Resilience};
use lmserver::runtime::sys::Signal;
use lmserver::runtime::sys::sim::Host;

use crate::scene::{UPSTREAM, second};
use crate::script::Act;
use crate::town::{Town, breaks_off, busy, refuses, says};
use crate::upstream::Upstream;
use crate::world::Setup;

/// `default` is `up/a`, and `both` is `up/a` and then `up/b`, each tried three times at most.
fn setup() -> Setup {
    let mut setup = Setup::new(1);
    setup.resilience = Resilience::default();
    setup.openai("up", "up.example");
    setup.model("default", &["up/a".into()]);
    setup.model("both", &["up/a".into(), "up/b".into()]);
    setup
}

fn one(upstream: Upstream, model: &str) -> Town {
    let mut town = Town::new(setup(), upstream, &[(0, model)]);
    town.run();
    town
}

#[test]
fn a_lone_target_is_asked_again_after_waits_that_double() {
    let upstream = Upstream::new()
        .plays("a", busy())
        .plays("a", busy())
        .plays("a", says("Hello"));
    let mut town = one(upstream, "default");
    let (ending, attempts, _) = town.ending(0);
    assert_eq!(
        (ending.as_str(), town.watcher(0).text()),
        ("stop", "Hello".into())
    );
    assert_eq!(attempts, ["up/a provider_overloaded"; 2]);
    assert_eq!(
        town.watcher(0).seen.len(),
        3,
        "a retry publishes nothing of its own"
    );
    let at = town.asked_at();
    let waits: Vec<_> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(
        (375..=510).contains(&waits[0]) && (750..=1010).contains(&waits[1]),
        "{waits:?}"
    );
    let metrics = town.metrics();
    assert_eq!((metrics.retries, metrics.fallbacks), (2, 0));
    town.world.expect_nothing_left();
}

#[test]
fn after_the_last_retry_the_last_failure_is_told() {
    let town = one(Upstream::new().plays("a", busy()), "default");
    let (ending, attempts, _) = town.ending(0);
    assert_eq!(
        (ending.as_str(), attempts.len()),
        ("provider_overloaded", 2)
    );
    assert_eq!(town.last(0).json["retryable"], true);
    assert_eq!(town.upstream().asked.len(), 3);
}

#[test]
fn another_target_is_asked_at_once_and_the_last_one_again() {
    let upstream = Upstream::new().plays("a", busy());
    let upstream = upstream.plays("b", refuses("500 Internal Server Error", ""));
    let town = one(upstream, "both");
    assert_eq!(town.upstream().asked, ["a", "b", "b", "b"]);
    let (ending, attempts, _) = town.ending(0);
    assert_eq!(ending, "provider_error");
    let wanted = [
        "up/a provider_overloaded",
        "up/b provider_error",
        "up/b provider_error",
    ];
    assert_eq!(attempts, wanted);
    let at = town.asked_at();
    assert!(at[1] - at[0] < 10 && at[2] - at[1] >= 375, "{at:?}");
}

#[test]
fn the_wait_is_as_long_as_the_provider_says_up_to_a_minute() {
    for (seconds, least, most) in [(1, 1000, 1110), (20, 20_000, 22_010), (60, 60_000, 66_010)] {
        let limited = refuses("429 Too Many Requests", &format!("Retry-After: {seconds}"));
        let upstream = Upstream::new()
            .plays("a", limited)
            .plays("a", says("Hello"));
        let town = one(upstream, "default");
        let at = town.asked_at();
        assert!((least..=most).contains(&(at[1] - at[0])), "{at:?}");
        assert_eq!(town.ending(0).1, ["up/a provider_rate_limited"]);
    }
    let limited = refuses("429 Too Many Requests", "Retry-After: 61");
    let town = one(Upstream::new().plays("a", limited), "default");
    let (ending, attempts, at) = town.ending(0);
    assert_eq!(
        (ending.as_str(), attempts.len()),
        ("provider_rate_limited", 0)
    );
    assert!(at < 10, "{at} ms");
}

#[test]
fn what_would_fail_again_is_not_tried_again() {
    for (acts, code) in [
        (refuses("400 Bad Request", ""), "provider_bad_request"),
        (refuses("401 Unauthorized", ""), "provider_auth"),
        (refuses("404 Not Found", ""), "provider_not_found"),
        (
            refuses("503 Service Unavailable", "x-should-retry: false"),
            "provider_overloaded",
        ),
        // Somebody has seen a part of it.
        (breaks_off("Hel"), "provider_truncated"),
    ] {
        let town = one(Upstream::new().plays("a", acts), "default");
        let (ending, attempts, _) = town.ending(0);
        assert_eq!((ending.as_str(), attempts.len()), (code, 0));
        assert_eq!(
            (town.upstream().asked.len(), town.metrics().retries),
            (1, 0),
            "{code}"
        );
    }
}

#[test]
fn what_a_timer_of_ours_ended_is_not_tried_again() {
    let mut setup = setup();
    setup.timers = ProviderTimers {
        first_event: Duration::from_secs(5),
        ..ProviderTimers::default()
    };
    setup.openai("up", "up.example");
    setup.model("default", &["up/a".into()]);
    let upstream = Upstream::new().plays("a", vec![Act::Stall]);
    let mut town = Town::new(setup, upstream, &[(0, "default")]);
    town.run();
    let (ending, attempts, at) = town.ending(0);
    assert_eq!((ending.as_str(), attempts.len()), ("provider_timeout", 0));
    assert!((5000..5010).contains(&at), "{at} ms");

    let mut town = Town::new(self::setup(), Upstream::new(), &[(0, "default")]);
    town.world
        .sys()
        .host(UPSTREAM.parse().unwrap(), Host::Silent);
    town.run();
    let (ending, attempts, at) = town.ending(0);
    assert_eq!((ending.as_str(), attempts.len()), ("provider_timeout", 0));
    assert!((10_000..10_010).contains(&at), "{at} ms");
}

#[test]
fn a_host_that_is_down_for_a_moment_is_not_noticed() {
    let mut town = Town::new(
        setup(),
        Upstream::new().plays("a", says("Hello")),
        &[(0, "default")],
    );
    let addr = UPSTREAM.parse().unwrap();
    town.world.sys().host(addr, Host::Refuses(1));
    town.world.pass(Duration::from_millis(200));
    let up = Host::Accepts(
        town.upstream,
        1,
        lmserver::runtime::sys::sim::Weather::default(),
    );
    town.world.sys().host(addr, up);
    town.run();
    let (ending, attempts, _) = town.ending(0);
    assert_eq!(
        (ending.as_str(), town.watcher(0).text()),
        ("stop", "Hello".into())
    );
    assert_eq!(attempts, ["up/a provider_unreachable"]);
}

#[test]
fn a_cancel_ends_a_run_that_waits_to_try_again() {
    let mut town = Town::empty(setup(), Upstream::new().plays("a", busy()));
    town.ask(0, "default", |question| question.cancelled_after(200));
    town.run();
    let (ending, attempts, at) = town.ending(0);
    assert_eq!((ending.as_str(), at), ("cancelled", 200));
    assert_eq!(attempts, ["up/a provider_overloaded"]);
    town.world.expect_nothing_left();
    assert_eq!(
        (town.upstream().asked.len(), town.metrics().runs_cancelled),
        (1, 1)
    );
}

#[test]
fn a_stop_waits_for_a_retry_within_the_drain_time_and_no_longer() {
    for (wait, ending) in [(20, "stop"), (40, "shutdown")] {
        let limited = refuses("429 Too Many Requests", &format!("Retry-After: {wait}"));
        let upstream = Upstream::new()
            .plays("a", limited)
            .plays("a", says("Hello"));
        let mut town = Town::new(setup(), upstream, &[(0, "default")]);
        town.world.sys().signal(second(1), Signal::Stop);
        town.run_to_stop();
        town.watcher(0).expect_a_whole_stream();
        let (ended, attempts, at) = town.ending(0);
        assert_eq!((ended.as_str(), attempts.len()), (ending, 1));
        assert!(at <= 31_000, "{at} ms");
        assert_eq!(town.world.sys().open_sockets(), 0);
    }
}

#[test]
fn a_burst_of_rate_limits_that_name_their_time_opens_no_breaker() {
    let limited = refuses("429 Too Many Requests", "Retry-After: 1");
    let upstream = (0..6).fold(Upstream::new(), |it, _| it.plays("a", limited.clone()));
    let upstream = upstream.plays("a", says("Hello"));
    let mut town = Town::new(setup(), upstream, &[(0, "default"); 6]);
    town.run();
    for n in 0..6 {
        let (ending, attempts, at) = town.ending(n);
        assert_eq!(ending, "stop", "question {n}");
        assert_eq!(attempts, ["up/a provider_rate_limited"]);
        assert!((1000..1200).contains(&at), "{at} ms");
    }
    assert_eq!(town.metrics().breaker_openings, 0);
    town.world.expect_nothing_left();
}

#[test]
fn one_that_limits_without_a_time_or_for_long_is_left_alone() {
    for field in ["", "Retry-After: 61"] {
        let limited = refuses("429 Too Many Requests", field);
        let asks: Vec<_> = (0..6).map(|n| (n * 10, "default")).collect();
        let mut town = Town::new(setup(), Upstream::new().plays("a", limited), &asks);
        town.run();
        assert!(town.metrics().breaker_openings > 0, "{field}");
    }
}

/// Six at once, of whose failures the fifth opens the breaker for this long.
fn burst(cooldown: Duration, then: Vec<Act>) -> Town {
    let mut setup = Setup::new(1);
    setup.resilience = Resilience {
        breaker_cooldown: cooldown,
        ..Resilience::default()
    };
    setup.openai("up", "up.example");
    setup.model("default", &["up/a".into()]);
    let upstream = (0..6).fold(Upstream::new(), |it, _| it.plays("a", busy()));
    let mut town = Town::new(setup, upstream.plays("a", then), &[(0, "default"); 6]);
    town.run();
    town.world.expect_nothing_left();
    town
}

/// Those whose breaker opened while they waited: how they ended, and in which second.
fn waited(town: &Town) -> Vec<(String, u64)> {
    let ends = (0..6).map(|n| town.ending(n));
    let waited = ends.filter(|(_, attempts, _)| !attempts.is_empty());
    let mut waited: Vec<_> = waited.map(|(it, _, at)| (it, at / 1000)).collect();
    waited.sort();
    waited
}

#[test]
fn who_waits_to_try_again_outlasts_a_breaker_that_opens_meanwhile() {
    let town = burst(Duration::from_secs(30), says("Hello"));
    let waited = waited(&town);
    assert_eq!(waited.len(), 4, "{waited:?}");
    let probed = |(it, at): &(String, u64)| it == "stop" && (30..33).contains(at);
    assert!(waited.iter().all(probed), "{waited:?}");
}

#[test]
fn nobody_waits_for_a_breaker_longer_than_a_minute() {
    // A probe would be due too late.
    let late = burst(Duration::from_secs(120), says("Hello"));
    let all = vec![("provider_overloaded".to_owned(), 0); 4];
    assert_eq!(waited(&late), all);
    // The probe takes its time; whoever waits for its outcome does not.
    let mut slow = vec![Act::Wait(50_000)];
    slow.extend(says("Hello"));
    let waited = waited(&burst(Duration::from_secs(30), slow));
    assert_eq!(waited.len(), 4, "{waited:?}");
    let given_up = waited
        .iter()
        .filter(|(it, at)| it == "provider_overloaded" && (58..61).contains(at));
    assert_eq!(given_up.count(), 3, "{waited:?}");
    assert_eq!(waited[3].0, "stop");
}
