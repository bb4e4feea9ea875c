//! Slow clients, idle clients, and no descriptors for any.

use std::time::Duration;

use lmserver::proto::http1::Method;
use lmserver::runtime::sys::sim::{ECONNABORTED, ENFILE, PeerId, Weather};
use lmserver::runtime::time::Moment;

use crate::client::{Caller, Fetch};
use crate::world::{Setup, World};

fn call(world: &mut World, bytes: &[u8]) -> PeerId {
    world.add(Caller::new(Fetch::raw(
        Method::Get,
        bytes.to_vec(),
        Weather::default(),
    )))
}

fn expect(world: &mut World, caller: PeerId, status: Option<u16>, at: u64) {
    world.run(Duration::from_secs(300));
    let fetch = &world.peer::<Caller>(caller).fetch;
    assert_eq!(fetch.status, status);
    let late = world.now().0.checked_sub(at).unwrap();
    assert!(late <= 2, "{} ms, wanted {at}", at + late);
}

#[test]
fn a_request_that_does_not_end_is_answered_408_after_the_head_timeout() {
    for begun in [
        "GET /api/chat/x HT",
        "POST /api/chat HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{",
    ] {
        let mut world = Setup::new(1).build();
        let caller = call(&mut world, begun.as_bytes());
        expect(&mut world, caller, Some(408), 10_000);
        world.expect_nothing_left();
    }
}

#[test]
fn a_connection_that_says_nothing_is_closed_without_a_word() {
    let mut world = Setup::new(1).build();
    let caller = call(&mut world, b"");
    expect(&mut world, caller, None, 10_000);
    world.expect_nothing_left();
}

#[test]
fn more_callers_than_one_turn_takes_are_all_answered() {
    let mut world = Setup::new(1).build();
    let request = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let callers: Vec<PeerId> = (0..200).map(|_| call(&mut world, request)).collect();
    world.run(Duration::from_secs(1));
    for caller in callers {
        let fetch = &world.peer::<Caller>(caller).fetch;
        assert_eq!(fetch.status, Some(404));
    }
    world.expect_nothing_left();
}

#[test]
fn without_descriptors_the_server_neither_spins_nor_dies() {
    let mut world = Setup::new(1).build();
    world.sys().exhaust_descriptors(Moment(20_000));
    let callers: Vec<PeerId> = (0..5)
        .map(|_| {
            call(
                &mut world,
                b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            )
        })
        .collect();
    world.pass(Duration::from_secs(20));
    assert!(world.sys().polls() < 1000, "{} polls", world.sys().polls());
    // They were told that there is no room, rather than left waiting.
    for caller in callers {
        assert!(world.peer::<Caller>(caller).fetch.over);
    }
    let caller = call(
        &mut world,
        b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    world.run(Duration::from_secs(10));
    assert_eq!(world.peer::<Caller>(caller).fetch.status, Some(404));
}

#[test]
fn a_full_system_and_impatient_peers_cost_a_moment() {
    let mut world = Setup::new(1).build();
    world.sys().fail_accepts(&[ECONNABORTED, ENFILE, ENFILE]);
    let callers: Vec<PeerId> = (0..3)
        .map(|_| {
            call(
                &mut world,
                b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            )
        })
        .collect();
    world.run(Duration::from_secs(10));
    let answered = callers
        .iter()
        .filter(|it| world.peer::<Caller>(**it).fetch.status == Some(404))
        .count();
    assert_eq!(answered, 2, "one had gone");
    assert!(world.sys().polls() < 100);
    assert!(world.now() <= Moment(1000));
}
