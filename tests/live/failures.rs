//! Failures of providers: what a client is told, and who is asked next.

use std::time::Duration;

use serde_json::json;

use crate::client::{answer, end_of, failure, text_of};
use crate::program::Server;
use crate::provider::{FullHouse, Provider, in_chunk, piece, section, whole};
use crate::wire::Wire;

/// Two providers, asked in order.
struct Pair {
    first: Provider,
    second: Provider,
    server: Server,
}

impl Pair {
    fn new(more: &str) -> Self {
        let (first, second) = (Provider::new(), Provider::new());
        let configuration = first.section("first", more)
            + &second.section("second", "")
            + "[model.default]\ntargets = [\"first/a\", \"second/b\"]\n";
        let server = Server::start(&configuration);
        Self {
            first,
            second,
            server,
        }
    }
}

const LIMITED: &str = r#"{"error":{"message":"slow down","code":"rate_limit_exceeded"}}"#;

#[test]
fn the_second_target_answers_where_the_first_fails() {
    let pair = Pair::new("first_event_timeout = \"500ms\"\nbreaker_failures = 0");
    type Script = fn(&Provider);
    let scripts: [(&str, Script); 6] = [
        ("provider_rate_limited", |it| {
            it.accept().refuse("429 Too Many Requests", LIMITED);
        }),
        ("provider_auth", |it| {
            it.accept().refuse("401 Unauthorized", "{}");
        }),
        ("provider_rate_limited", |it| {
            it.accept().refuse("200 OK", LIMITED);
        }),
        ("provider_rate_limited", |it| {
            let mut connection = it.accept();
            connection.question();
            connection.begin();
            connection.say(in_chunk(format!("data: {LIMITED}\n\n")));
        }),
        ("provider_unreachable", |it| {
            it.accept().question();
        }),
        ("provider_timeout", |it| {
            let mut connection = it.accept();
            connection.question();
            connection.read_to_end();
        }),
    ];
    let mut asked = pair.server.ask("hi");
    let mut helper = None;
    for (code, script) in scripts {
        script(&pair.first);
        let second = helper.get_or_insert_with(|| pair.second.accept());
        assert_eq!(second.question().1["model"], "b");
        second.begin();
        second.tell("instead");
        second.finish();
        let events = asked.rest();
        assert_eq!(text_of(&events), "instead");
        let kinds: Vec<_> = events.iter().map(|event| &event.data["type"]).collect();
        assert_eq!(kinds, ["start", "chunk", "end"], "{code}");
        let end = end_of(&events);
        let attempts = json!([{"provider": "first", "model": "a", "code": code}]);
        assert_eq!(end["attempts"], attempts);
        assert_eq!(
            (&end["provider"], &end["model"]),
            (&json!("second"), &json!("b"))
        );
        asked = asked.into_wire().ask("hi");
    }
}

#[test]
fn nobody_else_is_asked_what_was_wrong_to_ask() {
    let pair = Pair::new("");
    for body in [
        r#"{"error":{"message":"no such parameter","code":"unknown_parameter"}}"#,
        r#"{"error":{"message":"flagged","code":"content_filter"}}"#,
    ] {
        let mut asked = pair.server.ask("hi");
        pair.first.accept().refuse("400 Bad Request", body);
        let events = asked.rest();
        let end = end_of(&events);
        assert_eq!(end["type"], "error");
        assert_eq!(
            (&end["provider"], end.get("attempts")),
            (&json!("first"), None)
        );
        assert!(pair.second.has_nobody());
    }
}

#[test]
fn after_the_first_word_a_failure_is_final() {
    let pair = Pair::new("");
    for (last, code) in [
        (Some(LIMITED), "provider_rate_limited"),
        (None, "provider_truncated"),
    ] {
        let mut asked = pair.server.ask("hi");
        let mut connection = pair.first.accept();
        connection.question();
        connection.begin();
        connection.tell("half an ");
        if let Some(last) = last {
            connection.say(in_chunk(format!("data: {last}\n\n")));
        }
        drop(connection);
        let events = asked.rest();
        assert_eq!(text_of(&events), "half an ");
        assert_eq!(end_of(&events)["code"], code);
        assert_eq!(end_of(&events)["provider"], "first");
        assert!(pair.second.has_nobody());
    }
}

#[test]
fn when_all_fail_the_last_failure_is_told_with_those_before() {
    let pair = Pair::new("");
    let mut asked = pair.server.ask("hi");
    pair.first.accept().refuse("500 Oops", "{}");
    pair.second.accept().refuse("402 Payment Required", "{}");
    let events = asked.rest();
    let end = end_of(&events);
    assert_eq!(end["code"], "provider_billing");
    assert_eq!(end["provider"], "second");
    assert_eq!(end["attempts"][0]["provider"], "first");
    assert_eq!(end["attempts"][0]["code"], "provider_error");
}

#[test]
fn an_answer_without_its_end_is_truncated_however_it_breaks_off() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    for last in ["0\r\n\r\n", "5\r\ndat", ""] {
        let mut asked = server.ask("hi");
        let mut connection = provider.accept();
        connection.question();
        connection.begin();
        connection.tell("half");
        connection.say(last);
        drop(connection);
        let (code, message) = failure(&mut asked);
        assert_eq!(code, "provider_truncated", "{last:?}");
        assert!(message.contains(&provider.address.to_string()), "{message}");
    }
}

#[test]
fn no_key_is_ever_repeated() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", "api_key = \"sk-very-secret-key\""));
    let mut asked = server.ask("hi");
    let mut connection = provider.accept();
    let (head, _) = connection.question();
    assert_eq!(
        head.field("authorization"),
        Some("Bearer sk-very-secret-key")
    );
    let body = r#"{"error":{"message":"Incorrect key sk-very-secret-key"}}"#;
    connection.say(whole("401 Unauthorized", "application/json", body));
    let (code, message) = failure(&mut asked);
    assert_eq!(code, "provider_auth");
    assert!(message.starts_with("Incorrect key "), "{message}");
    assert!(!message.contains("very-secret"), "{message}");
}

#[test]
fn a_model_of_one_target_answers_again_after_a_failure() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    let mut asked = server.ask("hi");
    provider.accept().refuse("503 Service Unavailable", "{}");
    assert_eq!(failure(&mut asked).0, "provider_overloaded");
    let mut asked = server.ask("hi");
    provider.accept().answer("back");
    assert_eq!(answer(&mut asked), "back");
}

#[test]
fn an_answer_larger_than_a_channel_is_ended_and_its_provider_let_go() {
    let provider = Provider::new();
    let configuration = provider.section("p", "") + "[channels]\nmax_channel_bytes = \"64KiB\"\n";
    let server = Server::start(&configuration);
    let mut asked = server.ask("hi");
    let mut connection = provider.accept();
    connection.question();
    connection.begin();
    let piece = in_chunk(piece(&"x".repeat(1000)));
    while connection.try_say(&piece).is_ok() {}
    let events = asked.rest();
    let end = end_of(&events);
    assert_eq!(end["code"], "too_large", "{end}");
    assert_eq!(end["retryable"], false);
    assert!(
        end["message"]
            .as_str()
            .unwrap()
            .contains("max_channel_bytes"),
        "{end}"
    );
    assert!(text_of(&events).len() < 64 * 1024);
}

#[test]
fn a_reset_in_the_middle_of_an_answer_is_truncation() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    let mut asked = server.ask("hi");
    let socket = provider.accept_tcp();
    let mut connection = Wire::tcp(socket.try_clone().unwrap());
    connection.question();
    connection.begin();
    connection.tell("half");
    asked.until("chunk");
    rustix::net::sockopt::set_socket_linger(&socket, Some(Duration::ZERO)).unwrap();
    drop((connection, socket));
    assert_eq!(failure(&mut asked).0, "provider_truncated");
}

#[test]
fn a_cancelled_answer_leaves_its_provider_in_whatever_phase() {
    let (silent, full) = (Provider::new(), FullHouse::new());
    let server = Server::start(
        &(section("tls", &format!("https://{}/v1", silent.address), "")
            + &section("full", &format!("http://{}/v1", full.address), "")
            + &section("name", "http://nobody.invalid/v1", "")
            + "[model.default]\ntargets = [\"tls/m\"]\n"),
    );
    for model in ["tls/m", "full/m", "name/m"] {
        let body = json!({"message": "hi", "model": model}).to_string();
        let mut wire = server.connect();
        let (_, created) = wire.call("POST", "/api/chat", &[], &body);
        let channel = created["channel_id"].as_str().unwrap();
        let waiting = (model == "tls/m").then(|| silent.accept());
        let target = format!("/api/chat/{channel}");
        assert_eq!(wire.call("DELETE", &target, &[], "").0.status(), 200);
        let events = server.listen(channel, None).rest();
        let end = end_of(&events);
        // An unknown name may be known to be unknown by now.
        assert!(
            end["finish_reason"] == "cancelled" || model == "name/m",
            "{end}"
        );
        if let Some(mut waiting) = waiting {
            waiting.read_to_end();
        }
    }
}
