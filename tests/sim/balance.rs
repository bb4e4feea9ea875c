//! Targets that share the work: by weight, the others where one fails, and who is free first.

use lmserver::runtime::routing::Resilience;

use crate::script::Act;
use crate::town::{Town, busy, says, says_for};
use crate::upstream::Upstream;
use crate::world::Setup;

fn setup() -> Setup {
    let mut setup = Setup::new(1);
    setup.openai("up", "up.example");
    setup.balanced("default", &[&[("up/a", 1), ("up/b", 3)], &[("up/c", 1)]]);
    setup
}

fn asks(count: u64, every: u64) -> Vec<(u64, &'static str)> {
    (0..count).map(|n| (n * every, "default")).collect()
}

fn upstream(a: Vec<Act>, b: Vec<Act>) -> Upstream {
    let upstream = Upstream::new().plays("a", a).plays("b", b);
    upstream.plays("c", says("c"))
}

#[test]
fn each_is_asked_as_often_as_it_weighs_and_in_the_same_order_every_time() {
    let asked = || {
        let upstream = upstream(says("a"), says("b"));
        let mut town = Town::new(setup(), upstream, &asks(400, 10));
        town.run();
        town.upstream().asked.clone()
    };
    let order = asked();
    let share = order.iter().filter(|model| *model == "b").count();
    assert!((270..330).contains(&share), "{share} of 400");
    assert_eq!(order.iter().filter(|model| *model == "c").count(), 0);
    assert_eq!(asked(), order);
}

#[test]
fn the_others_of_a_group_are_asked_before_the_next_group() {
    let mut town = Town::new(setup(), upstream(busy(), says("b")), &asks(20, 10));
    town.run();
    for n in 0..20 {
        let (ending, attempts, _) = town.ending(n);
        assert_eq!(
            (ending.as_str(), town.watcher(n).text()),
            ("stop", "b".into())
        );
        assert!(
            attempts.is_empty() || attempts == ["up/a provider_overloaded"],
            "{attempts:?}"
        );
    }
    assert_eq!(
        town.upstream().asked.iter().filter(|it| *it == "c").count(),
        0
    );

    let mut town = Town::new(setup(), upstream(busy(), busy()), &asks(4, 10));
    town.run();
    for n in 0..4 {
        let (ending, mut attempts, _) = town.ending(n);
        attempts.sort();
        assert_eq!(
            (ending.as_str(), town.watcher(n).text()),
            ("stop", "c".into())
        );
        assert_eq!(
            attempts,
            ["up/a provider_overloaded", "up/b provider_overloaded"]
        );
    }
}

#[test]
fn one_behind_an_open_breaker_is_left_to_itself() {
    let mut town = Town::new(setup(), upstream(says("a"), busy()), &asks(100, 10));
    town.run();
    let failed = town.upstream().asked.iter().filter(|it| *it == "b").count();
    assert_eq!(failed, 5);
    let metrics = town.metrics();
    assert_eq!((metrics.breaker_openings, metrics.open_breakers), (1, 1));
    assert_eq!(town.ending(99), ("stop".to_owned(), vec![], 990));
}

/// Every target has one request at a time.
fn capped() -> Setup {
    let mut setup = Setup::new(1);
    setup.resilience = Resilience {
        max_concurrent: Some(1),
        ..Resilience::default()
    };
    setup.openai("up", "up.example");
    setup.balanced("default", &[&[("up/a", 1), ("up/b", 1_000_000)]]);
    setup
}

#[test]
fn one_who_is_free_is_asked_before_one_who_weighs_more_is_waited_for() {
    let upstream = upstream(says_for("a", 1000), says_for("b", 1000));
    let mut town = Town::new(capped(), upstream, &asks(2, 10));
    town.run();
    assert_eq!(town.upstream().asked, ["b", "a"]);
}

#[test]
fn who_waits_for_one_goes_to_another_that_is_free_sooner() {
    let upstream = upstream(says_for("a", 1000), says_for("b", 5000));
    let mut town = Town::new(capped(), upstream, &asks(5, 10));
    town.run();
    assert_eq!(town.upstream().asked, ["b", "a", "a", "a", "a"]);
    let texts: Vec<_> = (0..5).map(|n| town.watcher(n).text()).collect();
    assert_eq!(texts, ["b", "a", "a", "a", "a"]);
    // In the order in which they came.
    let ends: Vec<_> = (1..5).map(|n| town.ending(n).2).collect();
    assert!(ends.is_sorted(), "{ends:?}");
    assert_eq!(town.metrics().queue_refusals, 0);
    town.world.expect_nothing_left();
}
