//! What an answer has cost: said by the provider, or estimated; in the terminal event and in the
//! metrics.

use std::time::Duration;

use lmserver::runtime::accounts::{Accounts, Row};
use lmserver::runtime::sys::sim::{Host, Weather};
use serde_json::{Value, json};

use crate::client::Question;
use crate::scene::{Scene, UPSTREAM, begun, scene, watched, whole};
use crate::script::{Act, Framing, response};
use crate::upstream::Upstream;
use crate::watcher::{Leg, Via, Watcher};

/// "hi" and the frame of its message.
const INPUT: u64 = 5;

fn accounts(scene: &Scene) -> Accounts {
    scene.world.reactor.metrics().accounts
}

fn rows<const N: usize>(rows: &[Row<N>]) -> Vec<(String, [u64; N])> {
    let shown = |row: &Row<N>| (row.labels.join(" "), row.counts);
    rows.iter().map(shown).collect()
}

fn one<const N: usize>(labels: &str, counts: [u64; N]) -> Vec<(String, [u64; N])> {
    vec![(labels.to_owned(), counts)]
}

fn played(acts: Vec<Act>) -> Scene {
    let mut scene = watched(acts);
    scene.world.run(Duration::from_secs(200));
    scene
}

fn cancelled(acts: Vec<Act>, silent: bool) -> Scene {
    let mut scene = scene(
        |_| {},
        acts,
        |ask| {
            let watchers = vec![Watcher::new(vec![Leg::new(Via::Sse11)])];
            Question::new(ask, watchers).cancelled_after(500)
        },
    );
    if silent {
        let sys = scene.world.sys();
        sys.host(UPSTREAM.parse().unwrap(), Host::Silent);
    }
    scene.world.run(Duration::from_secs(60));
    scene
}

#[test]
fn what_the_provider_says_is_told_and_counted() {
    let usage = br#"data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":70,"completion_tokens":30,"prompt_tokens_details":{"cached_tokens":64}}}"#;
    let mut said = crate::script::blocks(&["Hello"], true, false);
    said.push([usage.as_slice(), b"\n\ndata: [DONE]\n\n"].concat());
    let body = said.concat();
    let answer = response("200 OK", "text/event-stream", Framing::Chunked, &body);
    let scene = played(vec![Act::Send(answer)]);
    let want = json!({"input_tokens": 70, "output_tokens": 30, "cached_tokens": 64});
    assert_eq!(scene.last().json["usage"], want);
    let accounts = accounts(&scene);
    let tokens = rows(accounts.tokens());
    assert_eq!(tokens, one("none up m", [70, 30, 0, 64, 0, 0, 0, 0]));
    assert_eq!(rows(accounts.answers()), one("up m stop", [1]));
    assert_eq!(accounts.failed_attempts(), []);
}

#[test]
fn what_nobody_says_is_estimated_and_says_so() {
    let scene = played(vec![
        Act::Wait(300),
        Act::Send(whole(&["Hello, ", "wörld"])),
    ]);
    let want = json!({"input_tokens": INPUT, "output_tokens": 4, "estimated": true});
    assert_eq!(scene.last().json["usage"], want);
    let accounts = accounts(&scene);
    let tokens = rows(accounts.tokens());
    assert_eq!(tokens, one("none up m", [0, 0, 0, 0, INPUT, 4, 0, 0]));
    let [waits] = accounts.first_events() else {
        panic!("one provider");
    };
    assert_eq!((&*waits.provider, waits.count), ("up", 1));
    assert!(waits.sum >= Duration::from_millis(300), "{:?}", waits.sum);
}

#[test]
fn a_cancelled_answer_has_cost_what_was_sent_and_said() {
    for (acts, silent, want, tokens) in [
        (vec![], true, Value::Null, vec![]),
        (
            vec![Act::Stall],
            false,
            json!({"input_tokens": INPUT, "output_tokens": 0, "estimated": true}),
            one("none up m", [0, 0, 0, 0, INPUT, 0, 0, 0]),
        ),
        (
            vec![Act::Send(begun(&["Hello"])), Act::Stall],
            false,
            json!({"input_tokens": INPUT, "output_tokens": 2, "estimated": true}),
            one("none up m", [0, 0, 0, 0, INPUT, 2, 0, 0]),
        ),
    ] {
        let scene = cancelled(acts, silent);
        let last = scene.last().json;
        assert_eq!(
            (&last["usage"], &last["finish_reason"]),
            (&want, &json!("cancelled"))
        );
        let accounts = accounts(&scene);
        assert_eq!(rows(accounts.tokens()), tokens);
        assert_eq!(rows(accounts.answers()), one("up m cancelled", [1]));
        assert_eq!(accounts.failed_attempts(), []);
    }
}

#[test]
fn an_answer_that_breaks_off_has_cost_something_and_a_refused_one_has_not() {
    let scene = played(vec![Act::Send(begun(&["Hello"])), Act::Close]);
    let last = scene.last().json;
    assert_eq!(
        (&last["code"], last.get("usage")),
        (&json!("provider_truncated"), None)
    );
    let broken = accounts(&scene);
    let tokens = rows(broken.tokens());
    assert_eq!(tokens, one("none up m", [0, 0, 0, 0, INPUT, 2, 0, 0]));
    let truncated = one("up m provider_truncated", [1]);
    assert_eq!(rows(broken.answers()), truncated);
    assert_eq!(rows(broken.failed_attempts()), truncated);

    let refusal = response(
        "401 Unauthorized",
        "application/json",
        Framing::Length,
        b"{}",
    );
    let scene = played(vec![Act::Send(refusal)]);
    let refused = accounts(&scene);
    assert_eq!(refused.tokens(), []);
    assert_eq!(rows(refused.answers()), one("up m provider_auth", [1]));
    assert_eq!(refused.first_events(), []);
}

#[test]
fn the_answer_is_counted_for_the_target_that_gave_it() {
    let mut setup = crate::world::Setup::new(1);
    setup.openai("first", "first.example");
    setup.openai("second", "second.example");
    setup.model("default", &["first/a".into(), "second/b".into()]);
    let mut world = setup.build();
    let refusal = response(
        "401 Unauthorized",
        "application/json",
        Framing::Length,
        b"{}",
    );
    for (name, addr, model, answer) in [
        ("first.example", "192.0.2.1:80", "a", refusal),
        ("second.example", "192.0.2.2:80", "b", whole(&["Hello"])),
    ] {
        let peer = world.add(Upstream::new().plays(model, vec![Act::Send(answer)]));
        world.host(name, addr.parse().unwrap(), peer, Weather::default());
    }
    let ask = crate::client::Fetch::post_chat("default", "hi", Weather::default());
    let watchers = vec![Watcher::new(vec![Leg::new(Via::Sse11)])];
    world.add(Question::new(ask, watchers));
    world.run(Duration::from_secs(60));
    let accounts = world.reactor.metrics().accounts;
    let failed = rows(accounts.failed_attempts());
    assert_eq!(failed, one("first a provider_auth", [1]));
    assert_eq!(rows(accounts.answers()), one("second b stop", [1]));
    assert_eq!(accounts.tokens().len(), 1);
    assert_eq!(&*accounts.first_events()[0].provider, "second");
}
