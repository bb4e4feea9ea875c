//! `/metrics` over the wire: whose tokens went where.

use std::fmt::Write as _;

use crate::client::{question, request, text_of};
use crate::program::{Program, Server};
use crate::provider::{Provider, in_chunk};

/// The page of all metrics.
pub(crate) fn metrics(server: &Server) -> String {
    let mut wire = server.connect();
    wire.say(request("GET", "/metrics", &[], ""));
    let head = wire.head();
    String::from_utf8(wire.body(&head)).unwrap()
}

#[test]
fn tokens_are_counted_under_the_name_of_the_key_and_never_the_key() {
    let provider = Provider::new();
    let keys = "[auth]\napi_keys = [\"env:TEAM_KEY\", \"file:ops.key\", \"topsecret-3\"]\n";
    let program = Program::new(&(provider.section("p", "") + keys))
        .set("TEAM_KEY", "topsecret-1")
        .file("ops.key", "topsecret-2\n");
    let server = program.start();
    let mut wire = None;
    for key in ["topsecret-1", "topsecret-2", "topsecret-3", "topsecret-1"] {
        let fields = [("X-API-Key", key), ("Accept", "text/event-stream")];
        let asked = request("POST", "/api/chat", &fields, &question("hi"));
        let mut stream = server.connect().stream(&asked);
        let wire = wire.get_or_insert_with(|| provider.accept());
        wire.question();
        wire.begin();
        wire.tell("Hello");
        wire.say(in_chunk("data: no answer\n\n"));
        wire.finish();
        assert_eq!(text_of(&stream.rest()), "Hello");
    }
    let metrics = metrics(&server);
    let mut want = String::new();
    for (name, count) in [("TEAM_KEY", 2), ("literal-3", 1), ("ops.key", 1)] {
        for (kind, tokens) in [("input", 5), ("output", 2)] {
            let labels = format!(
                "key=\"{name}\",provider=\"p\",model=\"m\",kind=\"{kind}\",estimated=\"true\""
            );
            let tokens = tokens * count;
            writeln!(want, "lmserver_tokens_total{{{labels}}} {tokens}").unwrap();
        }
    }
    let tokens = metrics
        .lines()
        .filter(|line| line.starts_with("lmserver_tokens_total{"));
    let tokens: Vec<&str> = tokens.collect();
    assert_eq!(tokens, want.lines().collect::<Vec<_>>());
    let answers = "\nlmserver_answers_total{provider=\"p\",model=\"m\",outcome=\"stop\"} 4\n";
    assert!(metrics.contains(answers), "{metrics}");
    let waits = "\nlmserver_first_event_seconds_count{provider=\"p\"} 4\n";
    assert!(metrics.contains(waits), "{metrics}");
    let unread = "\nlmserver_unread_events_total 4\n";
    assert!(metrics.contains(unread), "{metrics}");
    assert!(!metrics.contains("topsecret"), "{metrics}");
}
