//! Nothing is lost and nothing doubled, wherever a client's connection breaks.

use serde_json::{Value, json};

use crate::client::{Event, listening, next_event, request, text_of};
use crate::program::Server;
use crate::provider::Provider;
use crate::websocket;
use crate::wire::Wire;

/// A finished answer: its channel, and all its events.
fn finished(server: &Server, provider: &Provider) -> (String, Vec<Event>) {
    let mut asked = server.ask("hi");
    let mut connection = provider.accept();
    connection.question();
    connection.begin();
    for text in ["Grüße", " — ", "日本", "\n\"🙂\""] {
        connection.tell(text);
    }
    connection.finish();
    let events = asked.rest();
    assert_eq!(events.len(), 6);
    (asked.channel(), events)
}

/// The events of a body in chunks that came whole, wherever the body is cut.
pub(crate) fn whole_events(mut body: &[u8]) -> Vec<Event> {
    let mut plain = Vec::new();
    while let Some(end) = body.iter().position(|byte| *byte == b'\n') {
        let size = str::from_utf8(&body[..end]).unwrap().trim();
        let size = usize::from_str_radix(size, 16).unwrap();
        let rest = &body[end + 1..];
        let there = size.min(rest.len());
        plain.extend_from_slice(&rest[..there]);
        body = rest.get(there + 2..).unwrap_or_default();
    }
    let mut rest = match String::from_utf8(plain) {
        Ok(text) => text,
        Err(cut) => {
            let valid = cut.utf8_error().valid_up_to();
            String::from_utf8(cut.into_bytes()[..valid].to_vec()).unwrap()
        }
    };
    let mut events = Vec::new();
    while let Some((event, behind)) = next_event(&rest) {
        events.push(event);
        rest = behind;
    }
    events
}

/// What a server's event stream says after a cursor, to its end. Empty: 204.
fn resumed(server: &Server, channel: &str, after: Option<&str>) -> Vec<Event> {
    let mut wire = server.connect();
    wire.say(listening(channel, after));
    let head = wire.head();
    match head.status() {
        204 => Vec::new(),
        200 => whole_events(&wire.body_in_chunks()),
        other => panic!("{other}"),
    }
}

#[test]
fn a_connection_killed_after_any_byte_resumes_without_loss_or_repetition() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    let (channel, all) = finished(&server, &provider);
    let mut wire = server.connect();
    wire.say(listening(&channel, None));
    wire.head();
    let body = wire.body_in_chunks();
    assert_eq!(whole_events(&body), all);
    for count in 0..=body.len() {
        let mut broken = server.connect();
        broken.say(listening(&channel, None));
        broken.head();
        let mut seen = whole_events(&broken.exactly(count));
        drop(broken);
        let last = seen.last().map(|event| event.id.clone());
        seen.extend(resumed(&server, &channel, last.as_deref()));
        assert_eq!(seen, all, "killed after {count} bytes");
    }
}

#[test]
fn a_running_answer_resumes_after_any_byte_too() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    let mut asked = server.ask("hi");
    let channel = asked.channel();
    let mut connection = provider.accept();
    connection.question();
    connection.begin();
    connection.tell("Grüße ");
    connection.tell("🙂 ");
    let mut so_far = vec![
        asked.until("start"),
        asked.until("chunk"),
        asked.until("chunk"),
    ];
    let length = {
        let mut wire = server.connect();
        wire.say(listening(&channel, None));
        wire.head();
        let mut body = Vec::new();
        while whole_events(&body).len() < so_far.len() {
            body.extend(wire.exactly(1));
        }
        body.len()
    };
    let mut listeners = Vec::new();
    for count in 0..=length {
        let mut broken = server.connect();
        broken.say(listening(&channel, None));
        broken.head();
        let seen = whole_events(&broken.exactly(count));
        drop(broken);
        let last = seen.last().map(|event| event.id.as_str());
        listeners.push((count, server.listen(&channel, last), seen));
    }
    connection.tell("live");
    connection.finish();
    so_far.extend(asked.rest());
    assert_eq!(text_of(&so_far), "Grüße 🙂 live");
    for (count, mut listener, mut seen) in listeners {
        seen.extend(listener.rest());
        assert_eq!(seen, so_far, "killed after {count} bytes");
    }
}

/// The frames of a broken WebSocket that came whole, as events.
fn whole_messages(mut bytes: &[u8]) -> Vec<Value> {
    let mut events = Vec::new();
    while let [0x81, length, rest @ ..] = bytes {
        let (length, rest) = match (length, rest) {
            (126, [high, low, rest @ ..]) => (usize::from(*high) << 8 | usize::from(*low), rest),
            (126, _) => break,
            (length, rest) => (usize::from(*length), rest),
        };
        let Some(payload) = rest.get(..length) else {
            break;
        };
        events.push(serde_json::from_slice(payload).unwrap());
        bytes = &rest[length..];
    }
    events
}

#[test]
fn a_websocket_killed_after_any_byte_resumes_by_either_transport() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    let (channel, all) = finished(&server, &provider);
    let flat = |event: &Event| {
        let mut data = event.data.clone();
        data["id"] = json!(event.id);
        data
    };
    let all: Vec<Value> = all.iter().map(flat).collect();
    let open = |after: Option<&str>| -> Wire {
        let mut wire = server.connect();
        wire.open(&channel, after);
        wire
    };
    let (events, code) = open(None).messages();
    assert_eq!((&events, code), (&all, 1000));
    let mut whole = open(None);
    // The close frame ends it: two bytes, and a code.
    let mut body = Vec::new();
    while !body.ends_with(&[0x88, 2, 3, 232]) {
        body.extend(whole.exactly(1));
    }
    for count in 0..=body.len() {
        let mut broken = open(None);
        let mut seen = whole_messages(&broken.exactly(count));
        drop(broken);
        let last = seen
            .last()
            .map(|event| event["id"].as_str().unwrap().to_owned());
        if count % 2 == 0 {
            let (rest, code) = open(last.as_deref()).messages();
            assert_eq!(code, 1000);
            seen.extend(rest);
        } else {
            let rest = resumed(&server, &channel, last.as_deref());
            seen.extend(rest.iter().map(flat));
        }
        assert_eq!(seen, all, "killed after {count} bytes");
    }
}

#[test]
fn every_cursor_gets_the_answer_that_is_promised() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    let (channel, all) = finished(&server, &provider);
    let end = &all[5].id;
    let epoch = end.split_once('-').unwrap().0;
    // Beyond the end, and of another life of the channel.
    for cursor in [
        format!("{epoch}-99"),
        "zzzz-3".to_owned(),
        "what?".to_owned(),
    ] {
        let events = server.listen(&channel, Some(&cursor)).rest();
        assert_eq!(events[0].data["type"], "reset", "{cursor}");
        assert_eq!(events[0].id, format!("{epoch}-0"));
        assert_eq!(events[1..], all, "{cursor}");
    }
    assert_eq!(resumed(&server, &channel, Some(end)), []);
    // A cursor of the URL counts where there is no field.
    let target = format!(
        "/connection/sse?channel={channel}&last_event_id={}",
        all[3].id
    );
    let events = server
        .connect()
        .stream(&request("GET", &target, &[], ""))
        .rest();
    assert_eq!(events, all[4..]);
    let unknown = "chat:00000000-0000-4000-8000-000000000000";
    let events = server.listen(unknown, Some(end)).rest();
    assert_eq!(
        (&*events[0].id, &events[0].data["code"]),
        ("gone-0", &json!("gone"))
    );
    assert_eq!(resumed(&server, unknown, Some("gone-0")), []);
    let (head, body) = server.call("GET", &format!("/connection/sse?channel={unknown}"), "");
    assert_eq!(
        (head.status(), &body["error"]["code"]),
        (404, &json!("not_found"))
    );
    let mut socket = server.connect();
    socket.say(websocket::listening(unknown, None));
    assert_eq!(socket.head().status(), 101);
    let (events, code) = socket.messages();
    assert_eq!((&events[0]["code"], code), (&json!("not_found"), 4404));
}
