//! When the server lets what a provider sends be acknowledged together: from the head of a stream on,
//! and not at a provider that then falls silent.

use std::time::Duration;

use lmserver::runtime::sys::sim::Weather;
use lmserver::runtime::time::Moment;

use crate::client::{Caller, Fetch};
use crate::scene::{begun, chunk, delta, ending, second, watched, whole};
use crate::script::Act;

/// When it was said, where one question after the other is answered so.
fn expected(acts: &[Act], questions: u64) -> Vec<Moment> {
    let mut scene = watched(acts.to_vec());
    for index in 1..questions {
        let fetch = Fetch::post_chat("default", "hi", Weather::default());
        let at = second(100 * index);
        scene.world.add(Caller { fetch, at });
    }
    scene.world.pass(Duration::from_secs(100 * questions));
    scene.world.sys().streams_expected().to_vec()
}

#[test]
fn a_head_is_acknowledged_before_the_first_word_comes() {
    let acts = [
        Act::Send(begun(&[])),
        Act::Wait(5000),
        Act::Send(delta("Hel")),
        Act::Wait(5),
        Act::Send(delta("lo")),
        Act::Wait(5000),
        Act::Send(ending()),
    ];
    let [at] = expected(&acts, 1)[..] else {
        panic!("once an answer")
    };
    assert!(at < second(5), "{at:?}");
    assert_eq!(expected(&acts, 3).len(), 3);
}

#[test]
fn what_comes_before_the_first_word_is_acknowledged_too() {
    let acts = [
        Act::Send(begun(&[])),
        Act::Wait(1000),
        Act::Send(chunk(b": still thinking\n\n")),
        Act::Wait(4000),
        Act::Send(delta("Hel")),
        Act::Wait(5),
        Act::Send(delta("lo")),
        Act::Send(ending()),
    ];
    let [first, second_time] = expected(&acts, 1)[..] else {
        panic!("with the head, and with the comment")
    };
    assert!(first < second(1), "{first:?}");
    assert!(
        (second(1)..second(2)).contains(&second_time),
        "{second_time:?}"
    );
}

#[test]
fn another_attempt_is_not_taken_for_the_one_that_was_answered() {
    let refusal = b"HTTP/1.1 503 Busy\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nbusy";
    let acts = [Act::Send(refusal.to_vec())];
    assert_eq!(expected(&acts, 1), []);
}

#[test]
fn an_answer_in_one_piece_is_no_stream() {
    assert_eq!(expected(&[Act::Send(whole(&["Hello"]))], 1), []);
}

#[test]
fn a_provider_that_pauses_behind_its_first_word_is_left_alone() {
    let acts = [
        Act::Send(begun(&[])),
        Act::Wait(5000),
        Act::Send(delta("Hel")),
        Act::Wait(40),
        Act::Send(delta("lo")),
        Act::Send(ending()),
    ];
    assert_eq!(expected(&acts, 3).len(), 1);
}
