//! Signals: stopping gracefully, stopping at once, reading the configuration again.

use std::net::TcpStream;

use crate::client::{answer, end_of, failure, listening, question, request, text_of};
use crate::program::Server;
use crate::provider::Provider;
use crate::websocket::Message;

#[test]
fn a_stop_lets_running_answers_finish_and_be_resumed_and_takes_no_new_ones() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    let idle = server.connect();
    let mut asked = server.ask("hi");
    let channel = asked.channel();
    let mut connection = provider.accept();
    connection.question();
    connection.begin();
    connection.tell("one ");
    let first = asked.until("chunk");
    server.signal("TERM");
    server.wait_for_log("stopping: no new chats, 1 running");
    let (head, refused) = server.call("POST", "/api/chat", &question("too late"));
    assert_eq!(
        (head.status(), &refused["error"]["code"]),
        (503, &"draining".into())
    );
    assert!(head.field("retry-after").is_some());
    assert_eq!(server.call("GET", "/ready", "").0.status(), 503);
    assert_eq!(server.call("GET", "/health", "").0.status(), 200);
    // Who listens to what is held elsewhere is told to come back, in a way that stops no browser.
    let elsewhere = "chat:00000000-0000-4000-8000-000000000000";
    assert_come_back(&server.connect().raw_stream(&listening(elsewhere, None)));
    // The client loses its connection, and finds its answer again.
    drop(asked);
    let mut resumed = server.listen(&channel, Some(&first.id));
    connection.tell("two ");
    assert_eq!(resumed.until("chunk").data["message"], "two ");
    let mut socket = server.connect();
    socket.open(&channel, Some(&first.id));
    assert!(matches!(socket.message(), Message::Event(event) if event["message"] == "two "));
    connection.finish();
    assert_eq!(answer(&mut resumed), "");
    let (events, code) = socket.messages();
    assert_eq!((&events[0]["type"], code), (&"end".into(), 1000));
    socket.agree_to_close(code);
    drop((idle, resumed, socket));
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn an_idle_server_stops_at_once_though_clients_are_connected() {
    for signal in ["TERM", "INT"] {
        let server = Server::start("[provider.echo]\n");
        let mut idle = server.connect();
        let (head, _) = idle.call("GET", "/health", &[], "");
        assert_eq!(head.status(), 200);
        server.signal(signal);
        server.wait_for_log("stopped");
        assert_eq!(idle.read_to_end(), b"");
        assert_eq!(server.wait(), Some(0));
    }
}

#[test]
fn after_the_drain_time_an_answer_ends_with_shutdown() {
    let provider = Provider::new();
    let configuration = provider.section("p", "") + "[limits]\ndrain = \"150ms\"\n";
    let server = Server::start(&configuration);
    let mut asked = server.ask("hi");
    let mut socket = server.connect();
    socket.open(&asked.channel(), None);
    let mut connection = provider.accept();
    connection.question();
    connection.begin();
    connection.tell("half");
    asked.until("chunk");
    server.signal("TERM");
    let events = asked.rest();
    assert_eq!(end_of(&events)["code"], "shutdown");
    assert_eq!(end_of(&events)["retryable"], true);
    let (events, code) = socket.messages();
    assert_eq!(events.last().unwrap()["code"], "shutdown");
    assert_eq!(code, 1000);
    socket.agree_to_close(code);
    connection.read_to_end();
    drop((asked, socket));
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    let mut asked = server.ask("hi");
    let mut connection = provider.accept();
    connection.question();
    asked.until("start");
    server.signal("TERM");
    server.wait_for_log("stopping");
    server.signal("INT");
    server.wait_for_log("stopping at once");
    connection.read_to_end();
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn new_requests_use_a_new_configuration_and_a_running_answer_keeps_the_old_one() {
    let (old, new) = (Provider::new(), Provider::new());
    let server = Server::start(&old.section("p", ""));
    let mut running = server.ask("old");
    let mut before = old.accept();
    before.question();
    before.begin();
    before.tell("from the ");
    server.configure(&new.section("p", ""));
    server.signal("HUP");
    server.wait_for_log("configuration read again");
    let mut asked = server.ask("new");
    new.accept().answer("from the new one");
    assert_eq!(answer(&mut asked), "from the new one");
    before.tell("old one");
    before.finish();
    assert_eq!(answer(&mut running), "from the old one");
    assert!(old.has_nobody());

    // A file with mistakes changes nothing.
    server.configure("[provider.p]\nkind = \"opnai\"\n");
    server.signal("HUP");
    server.wait_for_log("the former one stays");
    let mut asked = server.ask("still");
    new.accept().answer("still here");
    assert_eq!(answer(&mut asked), "still here");
    assert!(old.has_nobody());
}

#[test]
fn a_deleted_answer_closes_the_providers_connection_at_once() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    for has_begun in [false, true] {
        let mut asked = server.ask("hi");
        let channel = asked.channel();
        let mut connection = provider.accept();
        connection.question();
        if has_begun {
            connection.begin();
            connection.tell("half");
            asked.until("chunk");
        }
        let since = std::time::Instant::now();
        let target = format!("/api/chat/{channel}");
        let (head, body) = server.call("DELETE", &target, "");
        assert_eq!((head.status(), &body["cancelled"]), (200, &true.into()));
        connection.read_to_end();
        // Far below every timer of the server.
        assert!(since.elapsed().as_secs() < 2, "{:?}", since.elapsed());
        let events = asked.rest();
        assert_eq!(end_of(&events)["finish_reason"], "cancelled");
        let (_, state) = server.call("GET", &target, "");
        assert_eq!(state["status"], "cancelled");
        assert_eq!(state["text"], if has_begun { "half" } else { "" });
        let (_, body) = server.call("DELETE", &target, "");
        assert_eq!(body["cancelled"], false);
    }
}

#[test]
fn a_websocket_can_cancel_too() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    let channel = server.post("hi");
    let mut connection = provider.accept();
    connection.question();
    let mut socket = server.connect();
    socket.open(&channel, None);
    assert!(matches!(socket.message(), Message::Event(event) if event["type"] == "start"));
    socket.send_frame(0x1, br#"{"type":"cancel"}"#);
    let (events, code) = socket.messages();
    assert_eq!(events[0]["finish_reason"], "cancelled");
    socket.agree_to_close(code);
    connection.read_to_end();
}

#[test]
fn leaving_is_not_cancelling() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    let mut asked = server.ask("hi");
    let channel = asked.channel();
    let mut connection = provider.accept();
    connection.question();
    connection.begin();
    connection.tell("one ");
    let last = asked.until("chunk").id;
    drop(asked);
    connection.tell("two");
    connection.finish();
    let events = server.listen(&channel, Some(&last)).rest();
    assert_eq!(
        (text_of(&events), &end_of(&events)["type"]),
        ("two".into(), &"end".into())
    );
}

#[test]
fn an_abandoned_answer_is_cancelled_where_that_is_configured() {
    let provider = Provider::new();
    let configuration =
        provider.section("p", "") + "[channels]\ncancel_when_abandoned = \"50ms\"\n";
    let server = Server::start(&configuration);
    let mut asked = server.ask("hi");
    let channel = asked.channel();
    let mut connection = provider.accept();
    connection.question();
    asked.until("start");
    drop(asked);
    connection.read_to_end();
    let mut stream = server.listen(&channel, None);
    let events = stream.rest();
    assert_eq!(end_of(&events)["finish_reason"], "cancelled");
}

#[test]
fn a_repeated_question_is_asked_once() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    let key = [("Idempotency-Key", "k-1")];
    let mut wire = server.connect();
    let ask = request("POST", "/api/chat", &key, &question("hi"));
    // Twice in one go, and once more on another connection.
    wire.say(ask.clone() + &ask);
    let mut channels: Vec<_> = (0..2)
        .map(|_| {
            let head = wire.head();
            assert_eq!(head.status(), 200);
            let body = wire.body(&head);
            serde_json::from_slice::<serde_json::Value>(&body).unwrap()["channel_id"].clone()
        })
        .collect();
    let call = |body: &str| server.connect().call("POST", "/api/chat", &key, body);
    channels.push(call(&question("hi")).1["channel_id"].clone());
    assert!(channels.iter().all(|channel| *channel == channels[0]));
    let (head, refused) = call(&question("something else"));
    assert_eq!(head.status(), 422);
    assert_eq!(refused["error"]["code"], "idempotency_conflict");
    let fields = [("Idempotency-Key", "k-1"), ("Accept", "text/event-stream")];
    let ask = request("POST", "/api/chat", &fields, &question("hi"));
    let mut listened = server.connect().stream(&ask);
    provider.accept().answer("once");
    assert_eq!(answer(&mut listened), "once");
    assert!(provider.has_nobody());
}

#[test]
fn a_stop_ends_an_answer_whose_provider_never_accepts() {
    let provider = Provider::new();
    let url = format!("https://{}/v1", provider.address);
    let configuration = crate::provider::section("p", &url, "") + "[limits]\ndrain = \"100ms\"\n";
    let server = Server::start(&configuration);
    let mut asked = server.ask("hi");
    let silent: TcpStream = provider.accept_tcp();
    server.signal("TERM");
    assert_eq!(failure(&mut asked).0, "shutdown");
    drop((asked, silent));
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn beyond_the_limit_of_connections_one_is_told_to_come_back() {
    let server = Server::start("[limits]\nconnections = 2\n[provider.echo]\ndelay = \"1ms\"\n");
    let channel = server.post("hi");
    let mut held = [server.connect(), server.connect()];
    for wire in &mut held {
        assert_eq!(wire.call("GET", "/health", &[], "").0.status(), 200);
    }
    let (head, refused) = server.call("POST", "/api/chat", &question("one too many"));
    assert_eq!(
        (head.status(), &refused["error"]["code"]),
        (503, &"overloaded".into())
    );
    assert!(head.field("retry-after").is_some());
    assert_come_back(&server.connect().raw_stream(&listening(&channel, None)));
    let mut socket = server.connect();
    socket.say(crate::websocket::listening(&channel, None));
    assert_eq!(socket.head().status(), 101);
    assert_eq!(socket.messages(), (Vec::new(), 1013));
    // Those that were there first are served on.
    assert_eq!(held[0].call("GET", "/health", &[], "").0.status(), 200);
}

/// The only line of a stream that cannot be had now.
fn assert_come_back(body: &str) {
    let wait = body.strip_prefix("retry: ").expect("a time to wait");
    let wait: u32 = wait.trim_end().parse().expect("nothing else");
    assert!((1000..=5000).contains(&wait), "{body}");
}
