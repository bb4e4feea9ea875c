//! Spare connections to providers: made while there is traffic, used, made again, and never a
//! storm of them.

use std::net::SocketAddr;
use std::time::Duration;

use lmserver::runtime::metrics::Metrics;
use lmserver::runtime::sys::Signal;
use lmserver::runtime::sys::sim::{Host, PeerId, Weather};
use lmserver::runtime::time::Moment;

use crate::client::{Caller, Fetch};
use crate::scene::{UPSTREAM, second, whole};
use crate::script::Act;
use crate::upstream::Upstream;
use crate::world::{Setup, World};

/// How long a place stays warm, and how long an idle connection is kept.
const WARM: u64 = 300;
const IDLE: u64 = 50;

struct Place {
    world: World,
    upstream: PeerId,
}

fn place(spares: u32, upstream: Upstream) -> Place {
    let setup = || {
        let mut setup = Setup::new(1);
        setup.warm_connections = spares;
        setup.openai("up", "up.example");
        setup.model("default", &["up/m".into()]);
        setup
    };
    // Read again, the configuration says what it said.
    let mut reloadable = setup();
    reloadable.reloads = Some(setup().routing());
    let mut world = reloadable.build();
    let upstream = world.add(upstream);
    let addr: SocketAddr = UPSTREAM.parse().unwrap();
    world.host("up.example", addr, upstream, Weather::default());
    Place { world, upstream }
}

/// Answers after a second.
fn slow() -> Upstream {
    Upstream::new().plays("m", vec![Act::Wait(1000), Act::Send(whole(&["Hello"]))])
}

impl Place {
    /// Somebody asks at a second.
    fn asked_at(mut self, seconds: &[u64]) -> Self {
        for at in seconds {
            let fetch = Fetch::post_chat("default", "hi", Weather::default());
            let at = second(*at);
            self.world.add(Caller { fetch, at });
        }
        self
    }

    fn until(&mut self, seconds: u64) -> Metrics {
        let now = self.world.now();
        self.world.pass(second(seconds).since(now));
        self.world.reactor.metrics()
    }

    fn upstream(&self) -> &Upstream {
        self.world.peer(self.upstream)
    }

    /// When connections were opened, in whole seconds.
    fn opened(&self) -> Vec<u64> {
        let opened = self.upstream().opened_at.iter();
        opened.map(|at| at.0 / 1000).collect()
    }
}

#[test]
fn a_spare_is_made_after_the_first_request_and_serves_the_next_at_once() {
    let mut place = place(1, slow()).asked_at(&[10, 11]);
    let before = place.until(9);
    assert_eq!(before.upstream_connects, 0, "nobody has asked");
    // While the first answer runs, its spare stands.
    assert_eq!(place.until(10).upstream_connects, 0);
    place.world.pass(Duration::from_millis(500));
    assert_eq!(place.opened(), [10, 10]);
    // The second asks while the first one's connection is busy, or just free.
    let after = place.until(20);
    assert_eq!(after.runs_completed, 2);
    assert_eq!(after.upstream_spares_used + after.upstream_reuses, 1);
    assert_eq!(place.upstream().asked.len(), 2);
}

#[test]
fn a_spare_that_is_taken_is_made_again() {
    // Three at a time: the first makes the spare, the second takes it, and so on.
    let acts = vec![Act::Wait(30_000), Act::Send(whole(&["Hello"]))];
    let upstream = Upstream::new().plays("m", acts);
    let mut place = place(1, upstream).asked_at(&[10, 12, 14]);
    let metrics = place.until(16);
    assert_eq!(place.opened(), [10, 10, 12, 14]);
    assert_eq!(
        (metrics.upstream_spares, metrics.upstream_spares_used),
        (3, 2)
    );
    let metrics = place.until(60);
    assert_eq!(metrics.runs_completed, 3);
    // Four are idle now, so that nothing is missing.
    assert_eq!(metrics.upstream_connects, 4);
}

#[test]
fn none_is_made_where_none_is_wanted_and_as_many_as_are_wanted() {
    for (wanted, want) in [(0, 1), (1, 2), (3, 4)] {
        let mut place = place(wanted, slow()).asked_at(&[1]);
        let metrics = place.until(2);
        assert_eq!(metrics.upstream_connects, want, "{wanted}");
    }
}

#[test]
fn spares_are_kept_for_some_minutes_after_the_last_request() {
    let mut place = place(1, slow()).asked_at(&[1]);
    place.until(WARM + 1);
    let opened = place.opened();
    // One at a time, each kept for as long as an idle connection is.
    let most = usize::try_from(WARM / IDLE + 2).unwrap();
    assert!((4..=most).contains(&opened.len()), "{opened:?}");
    let remade = opened.iter().skip(2);
    assert!(
        remade
            .clone()
            .zip(remade.skip(1))
            .all(|(a, b)| b - a >= IDLE - 1)
    );
    place.until(WARM + 2 * IDLE);
    assert_eq!(place.opened().len(), opened.len(), "nobody asks any more");
    place.world.expect_nothing_left();
}

#[test]
fn a_server_that_closes_idle_connections_at_once_is_not_stormed() {
    for patience in [1, 100, 5000] {
        let upstream = slow().patient_for(Duration::from_millis(patience));
        let mut place = place(1, upstream).asked_at(&[1]);
        let metrics = place.until(2 * WARM);
        assert_eq!(metrics.runs_failed, 0);
        let opened = place.opened();
        let pauses: Vec<u64> = opened
            .iter()
            .skip(1)
            .zip(opened.iter().skip(2))
            .map(|(a, b)| b - a)
            .collect();
        assert!(opened.len() <= 11, "{opened:?}");
        assert!(pauses.iter().all(|pause| *pause >= 3), "{opened:?}");
        // The first is longer while the used connection is there.
        assert!(pauses[1..].is_sorted(), "{opened:?}");
        assert!(
            pauses.last().is_some_and(|pause| *pause >= 48),
            "{opened:?}"
        );
        place.world.expect_nothing_left();
    }
}

#[test]
fn a_host_that_takes_no_more_connections_is_left_alone_and_nobody_fails_for_it() {
    for host in [Host::Refuses(1), Host::Silent, Host::Unreachable] {
        let acts = vec![Act::Wait(20_000), Act::Send(whole(&["Hello"]))];
        let mut place = place(1, Upstream::new().plays("m", acts)).asked_at(&[1]);
        while place.upstream().opened == 0 {
            place.world.turn();
        }
        let addr = UPSTREAM.parse().unwrap();
        place.world.sys().host(addr, host);
        let metrics = place.until(WARM);
        assert_eq!((metrics.runs_completed, metrics.runs_failed), (1, 0));
        assert_eq!(metrics.accounts.failed_attempts(), []);
        assert_eq!(metrics.upstream_spares, 0);
        assert!(metrics.upstream_connects <= 11, "{metrics:?}");
    }
}

#[test]
fn a_spare_that_died_unnoticed_costs_no_answer() {
    let upstream = slow().patient_for(Duration::from_millis(2000));
    let mut place = place(1, upstream).asked_at(&[1, 2, 3, 4, 5, 6, 7]);
    let metrics = place.until(30);
    assert_eq!((metrics.runs_completed, metrics.runs_failed), (7, 0));
}

#[test]
fn a_server_that_stops_or_reads_its_configuration_again_makes_no_more() {
    let mut stopped = place(1, slow()).asked_at(&[1]);
    stopped.until(3);
    let opened = stopped.opened().len();
    stopped.world.sys().signal(second(5), Signal::Stop);
    stopped.world.run_to_stop(Duration::from_secs(60));
    assert_eq!(stopped.opened().len(), opened);
    assert!(stopped.world.now() < Moment(12_000));

    let mut reloaded = place(1, slow()).asked_at(&[1, 200]);
    reloaded.world.sys().signal(second(5), Signal::Reload);
    reloaded.until(190);
    assert_eq!(reloaded.opened(), [1, 1], "nothing is made again");
    reloaded.until(201);
    assert_eq!(reloaded.opened(), [1, 1, 200, 200]);
}
