//! One answer told to one client, without a socket: events of channels in, the client's bytes out,
//! from the request to the next one on the same connection.

#![expect(
    clippy::panic,
    clippy::expect_used,
    reason = "helpers of tests fail the test"
)]

mod case;
mod client;
mod scene;
mod speech;

use lmserver_llm_api::names;
use lmserver_runtime::channel::Placement;
use lmserver_runtime::event::{ErrorCode, Event};
use lmserver_runtime::plugin::transport::{Disconnect, Leftover};
use lmserver_runtime::time::Moment;

use case::{Case, THOUGHT, Want, split, unchunked};
use client::{CLIENTS, NEXT};
use scene::{SILENT, Scene};
use speech::{
    CHANNEL, DONE, Speech, behind, chat, failed, hello, messages, responses, told, ui_messages,
};

fn check(cases: &[Case]) {
    for case in cases {
        for client in &CLIENTS {
            case.check(client);
        }
    }
}

/// The answer comes after a while, and takes its time.
fn content_comes(scene: &mut Scene) {
    scene.place();
    tell_slowly(scene);
}

fn tell_slowly(scene: &mut Scene) {
    let events = hello();
    scene.tell(0, &events[0]);
    scene.wait(THOUGHT);
    for event in &events[1..] {
        scene.tell(0, event);
        scene.wait(2000);
    }
    scene.end(0);
}

/// The answer comes after a while, at once.
fn answer_comes(scene: &mut Scene) {
    scene.place();
    scene.wait(THOUGHT);
    scene.tell_all(0, &hello());
}

fn failure_comes(scene: &mut Scene) {
    scene.place();
    scene.wait(THOUGHT);
    scene.tell_all(0, &failed());
}

#[test]
fn a_stream_begins_with_its_first_content_in_every_dialect() {
    check(&[
        Case::stream("content comes", content_comes),
        Case::by("content of a response", responses(false), content_comes),
        Case::by("content of a message", messages(), content_comes),
        Case::by("content for a page", ui_messages(), content_comes),
    ]);
}

#[test]
fn a_heartbeat_begins_the_stream_where_nothing_else_does() {
    let silent_then = |name, speech: Speech, beat: &str, events: &[Event], play| Case {
        date: SILENT,
        elapsed: 15_000,
        want: Want::Stream(format!("{beat}{}", told(&speech, CHANNEL, events))),
        ..Case::by(name, speech, play)
    };
    let content: fn(&mut Scene) = |scene| {
        scene.place();
        scene.be_silent();
        tell_slowly(scene);
    };
    let ping = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
    // A stream that has begun fails as one: there is no word of an end behind it.
    let cut = Speech { end: "", ..chat() };
    check(&[
        silent_then("heartbeat first", chat(), ": hb\n\n", &hello(), content),
        silent_then("ping first", messages(), ping, &hello(), content),
        silent_then(
            "heartbeat, then a failure",
            cut,
            ": hb\n\n",
            &failed(),
            |scene| {
                scene.place();
                scene.be_silent();
                scene.tell_all(0, &failed());
            },
        ),
        silent_then(
            "two heartbeats",
            chat(),
            ": hb\n\n: hb\n\n",
            &hello(),
            |scene| {
                scene.place();
                scene.be_silent();
                scene.be_silent();
                scene.tell_all(0, &hello());
            },
        ),
    ]);
}

#[test]
fn a_failure_first_is_an_http_error_without_a_word_of_the_stream() {
    let gone = "the answer is no longer kept";
    let busy = "the server has no room for another listener; try again soon";
    check(&[
        Case::stream("a failure first", failure_comes).failed(),
        Case::by("of a response", responses(false), failure_comes).failed(),
        Case::by("of a message", messages(), failure_comes).failed(),
        Case::by("for a page", ui_messages(), failure_comes).failed(),
        Case::stream("no longer there", |scene| {
            scene.wait(THOUGHT);
            scene.place_at(&Placement::Gone);
        })
        .failure("HTTP/1.1 410 Gone", ErrorCode::Gone, gone),
        Case::stream("no room", |scene| {
            scene.wait(THOUGHT);
            scene.place_at(&Placement::Busy);
        })
        .failure(
            "HTTP/1.1 503 Service Unavailable",
            ErrorCode::ProviderOverloaded,
            busy,
        ),
    ]);
}

#[test]
fn an_answer_that_is_not_streamed_comes_whole() {
    check(&[
        Case::whole("a whole answer", chat(), answer_comes),
        Case::whole("a whole answer that failed", chat(), failure_comes).failed(),
        Case {
            after: Some(0),
            ..Case::whole("whole, for who comes back", responses(true), answer_comes)
        },
    ]);
    let mut scene = Case::whole("", chat(), answer_comes).open(&CLIENTS[0]);
    scene.call(|session, _| assert_eq!(session.deadline(Moment(1000)), None));
}

#[test]
fn a_client_that_comes_back_gets_what_it_has_not_had() {
    let resumed = |name, after, events: &[Event], play| {
        let speech = responses(true);
        Case {
            after: Some(after),
            want: Want::Stream(behind(after, &told(&speech, CHANNEL, events))),
            ..Case::by(name, speech, play)
        }
    };
    let play: fn(&mut Scene) = |scene| {
        scene.wait(THOUGHT);
        scene.place();
        scene.wait(2000);
        scene.tell_all(0, &hello());
    };
    // Of the numbers 0 to 4 are those of the first event with content.
    check(&[
        resumed("resumed behind the first number", 0, &hello(), play),
        resumed("resumed within an event", 2, &hello(), play),
        resumed("resumed behind an event", 4, &hello(), play),
        resumed("resumed within the last event", 7, &hello(), play),
        resumed("resumed behind everything", 1000, &hello(), play),
        resumed("resumed, and it failed", 0, &failed(), |scene| {
            scene.wait(THOUGHT);
            scene.place();
            scene.tell_all(0, &failed());
        }),
    ]);
    let again = responses(true);
    check(&[Case {
        want: Want::Stream(told(&again, CHANNEL, &failed())),
        ..Case::by("told again, and it failed", again, failure_comes)
    }]);
}

/// Sends as much as is kept, and this much more.
fn send_too_much(scene: &mut Scene, more: usize) {
    let rest = vec![b'x'; Leftover::MOST - NEXT.len() + more];
    for piece in rest.chunks(5000) {
        scene.receive(piece);
    }
}

#[test]
fn who_sends_too_much_behind_the_request_gets_the_last_answer() {
    let most: fn(&mut Scene) = |scene| {
        send_too_much(scene, 0);
        answer_comes(scene);
    };
    let more: fn(&mut Scene) = |scene| {
        send_too_much(scene, 1);
        answer_comes(scene);
    };
    let fails: fn(&mut Scene) = |scene| {
        send_too_much(scene, 1);
        failure_comes(scene);
    };
    let closed = |case: Case| Case {
        closes: true,
        ..case
    };
    check(&[
        Case::stream("as much as is kept, then a stream", most),
        Case::whole("as much as is kept, then a whole answer", chat(), most),
        closed(Case::stream("too much, then a stream", more)),
        closed(Case::whole("too much, then a whole answer", chat(), more)),
        closed(Case::stream("too much, then a failure", fails).failed()),
        closed(Case::stream("too much while the answer comes", |scene| {
            scene.place();
            send_too_much(scene, 0);
            scene.wait(THOUGHT);
            scene.receive(b"x");
            scene.tell_all(0, &hello());
        })),
    ]);
}

#[test]
fn too_much_behind_the_head_closes_the_connection_at_the_end() {
    let case = Case::stream("", content_comes);
    let mut scene = case.open(&CLIENTS[0]);
    scene.place();
    scene.wait(THOUGHT);
    scene.tell(0, &Event::Chunk("Hello".into()));
    send_too_much(&mut scene, 1);
    scene.tell(0, &hello()[3]);
    scene.end(0);
    let (head, body) = split(&scene.wire);
    assert_eq!(
        head,
        case.head(&CLIENTS[0]),
        "it left before that was known"
    );
    assert!(unchunked(body).ends_with(&format!("{DONE}<end>")));
    assert!(scene.http.expect("handed back").is_closed());
}

#[test]
fn several_answers_are_one_stream_with_one_end() {
    let second = names::sibling(CHANNEL, 1);
    let cut = Speech { end: "", ..chat() };
    let both = told(&cut, CHANNEL, &hello()) + &told(&chat(), &second, &hello());
    let of_two = |case: Case, text: String| Case {
        answers: 2,
        want: Want::Stream(text),
        ..case
    };
    let one_failed = told(&cut, &second, &hello()) + &told(&cut, CHANNEL, &failed());
    check(&[
        of_two(
            Case::stream("two answers", |scene| {
                answer_comes(scene);
                scene.tell_all(1, &hello());
            }),
            both,
        ),
        // What failed first is told at the end, since the other has begun the stream.
        of_two(
            Case::stream("one of two fails", |scene| {
                scene.place();
                scene.wait(THOUGHT);
                for event in failed() {
                    scene.tell(0, &event);
                }
                for event in hello() {
                    scene.tell(1, &event);
                }
                scene.end(0);
            }),
            one_failed,
        ),
    ]);
    check(&[Case {
        answers: 2,
        ..Case::stream("the first of two fails", failure_comes).failed()
    }]);
}

#[test]
fn a_reader_that_is_behind_hears_no_heartbeat() {
    let mut scene = Case::stream("", content_comes).open(&CLIENTS[0]);
    scene.place();
    scene.stage.unsent = true;
    scene.be_silent();
    assert_eq!(scene.wire, b"");
    assert!(scene.session.is_some());
}

#[test]
fn a_stop_ends_the_body_and_a_slow_reader_is_cut() {
    for (why, want) in [(Disconnect::Shutdown, "<end>"), (Disconnect::Slow, "")] {
        let mut scene = Case::stream("", content_comes).open(&CLIENTS[0]);
        scene.place();
        scene.be_silent();
        scene.call(|session, stage| session.farewell(&why, &mut stage.cx()));
        let (_, body) = split(&scene.wire);
        assert_eq!(unchunked(body), format!(": hb\n\n{want}"), "{why:?}");
    }
    let mut scene = Case::stream("", content_comes).open(&CLIENTS[0]);
    scene.place();
    scene.call(|session, stage| session.farewell(&Disconnect::Shutdown, &mut stage.cx()));
    assert_eq!(scene.wire, b"", "where nothing has begun, nothing ends");
}
