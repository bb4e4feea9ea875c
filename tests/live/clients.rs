//! Clients that name their channels themselves, and what backends do with them.
//!
//! A client of `http_stream` stands for all: its commands go to `/emulation`, its replies and what
//! else it is told come on its stream, a line each.

use serde_json::{Value, json};

use crate::client::{question, request};
use crate::program::Server;
use crate::wire::{PATIENCE, Wire};

/// What the server API asks for where namespaces guard channels.
const KEYS: &str = "[auth]\napi_keys = [\"of the backend\"]\n";

const CONFIGURATION: &str = r#"
    [provider.echo]
    delay = "1ms"

    [client.token]
    hmac_secret_key = "a secret of the tests, long enough to be one"

    [namespace.news]
    history_size = 10
    history_ttl = "60s"
    allow_recovery = true
    presence = true
    allow_subscribe_for_client = true
    allow_subscribe_for_anonymous = true

    [namespace.closed]
    history_size = 10
    history_ttl = "60s"
"#;

/// A client and its stream.
pub(crate) struct Client<'a> {
    server: &'a Server,
    wire: Wire,
    /// What has come and was not taken.
    text: String,
    id: u32,
    client: String,
    session: String,
    node: String,
}

impl<'a> Client<'a> {
    pub(crate) fn connect(server: &'a Server) -> Self {
        let mut wire = server.connect();
        let body = r#"{"connect":{"name":"test"},"id":1}"#;
        wire.say(request("POST", "/connection/http_stream", &[], body));
        assert_eq!(wire.head().status(), 200);
        let mut client = Self {
            server,
            wire,
            text: String::new(),
            id: 1,
            client: String::new(),
            session: String::new(),
            node: String::new(),
        };
        let reply = client.next();
        let text = |key: &str| reply["connect"][key].as_str().expect(key).to_owned();
        (client.client, client.session, client.node) =
            (text("client"), text("session"), text("node"));
        client
    }

    /// Sends a command, and takes its reply.
    pub(crate) fn command(&mut self, command: Value) -> Value {
        self.id += 1;
        let mut command = command;
        command["id"] = self.id.into();
        let body = json!({
            "session": self.session, "node": self.node, "data": command.to_string(),
        });
        let (head, _) = self.server.call("POST", "/emulation", &body.to_string());
        assert_eq!(head.status(), 204);
        loop {
            let next = self.next();
            if next["id"] == self.id {
                return next;
            }
        }
    }

    /// The next line of the stream.
    pub(crate) fn next(&mut self) -> Value {
        loop {
            if let Some((line, rest)) = self.text.split_once('\n') {
                let value = serde_json::from_str(line).expect(line);
                self.text = rest.to_owned();
                return value;
            }
            let chunk = self.wire.chunk().expect("the stream goes on");
            self.text += str::from_utf8(&chunk).expect("no character is cut");
        }
    }
}

/// The answer of the server API.
fn call(server: &Server, method: &str, body: Value) -> Value {
    call_with_key(server, &format!("/api/{method}"), &body.to_string())
}

/// The answer to who has the key of [`KEYS`].
fn call_with_key(server: &Server, target: &str, body: &str) -> Value {
    let key = [("X-API-Key", "of the backend")];
    let (head, answer) = server.connect().call("POST", target, &key, body);
    assert_eq!(head.status(), 200, "{answer}");
    answer
}

#[test]
fn a_backend_publishes_to_clients_and_sees_them() {
    let server = Server::start(&format!("{KEYS}{CONFIGURATION}"));
    let mut client = Client::connect(&server);
    let reply = client.command(json!({"subscribe": {"channel": "news:a"}}));
    assert!(reply["subscribe"].is_object(), "{reply}");
    let answer = call(
        &server,
        "publish",
        json!({"channel": "news:a", "data": {"n": 1}}),
    );
    assert_eq!(answer["result"]["offset"], 1);
    let push = client.next();
    assert_eq!(push["push"]["channel"], "news:a");
    assert_eq!(push["push"]["pub"]["data"], json!({"n": 1}));

    let channel = json!({"channel": "news:a"});
    let present = call(&server, "presence", channel.clone());
    let info = &present["result"]["presence"][&client.client];
    assert_eq!(*info, json!({"user": "", "client": client.client}));
    let stats = call(&server, "presence_stats", channel.clone());
    assert_eq!(stats, json!({"result": {"num_clients": 1, "num_users": 1}}));
    let channels = call(&server, "channels", json!({"pattern": "news:*"}));
    assert_eq!(
        channels,
        json!({"result": {"channels": {"news:a": {"num_clients": 1}}}})
    );
    let node = &call(&server, "info", json!({}))["result"]["nodes"][0];
    assert_eq!(
        (&node["num_clients"], &node["num_subs"]),
        (&1.into(), &1.into())
    );
    assert_eq!(node["uid"], client.node);

    let body = json!({"commands": [
        {"publish": {"channel": "news:a", "data": 2}},
        {"broadcast": {"channels": ["news:a", "closed:b", "other:c"], "data": 3}},
        {"history": {"channel": "news:a", "limit": 2, "since": {"offset": 1}}},
    ]});
    let replies = &call(&server, "batch", body)["replies"];
    let codes = &replies[1]["broadcast"]["responses"];
    assert_eq!(codes[2]["error"]["code"], 102, "{replies}");
    let history = &replies[2]["history"];
    assert_eq!(history["publications"][0]["data"], 2, "{replies}");
    assert_eq!(history["publications"][1]["offset"], 3);
    assert_eq!(client.next()["push"]["pub"]["data"], 2);
    assert_eq!(client.next()["push"]["pub"]["data"], 3);

    assert_eq!(
        call(&server, "history_remove", channel),
        json!({"result": {}})
    );
    let history = call(
        &server,
        "history",
        json!({"channel": "news:a", "limit": -1}),
    );
    assert_eq!(history["result"]["publications"], json!([]));
    assert_eq!(history["result"]["offset"], 3);
}

#[test]
fn a_client_whose_connection_dies_is_no_longer_present() {
    let server = Server::start(&format!("{KEYS}{CONFIGURATION}"));
    let [mut stays, mut dies] = [(); 2].map(|()| Client::connect(&server));
    for client in [&mut stays, &mut dies] {
        client.command(json!({"subscribe": {"channel": "news:a"}}));
    }
    let present = || {
        let present = call(&server, "presence", json!({"channel": "news:a"}));
        let list = present["result"]["presence"].as_object().cloned();
        list.expect("a list")
    };
    assert_eq!(present().len(), 2);
    let id = dies.client.clone();
    drop(dies);
    let begun = std::time::Instant::now();
    while present().contains_key(&id) {
        assert!(begun.elapsed() < PATIENCE, "it is still listed");
    }
    assert!(present().contains_key(&stays.client));
}

#[test]
fn a_backend_directs_a_client() {
    let server = Server::start(&format!("{KEYS}{CONFIGURATION}"));
    let mut client = Client::connect(&server);
    let denied = client.command(json!({"subscribe": {"channel": "closed:a"}}));
    assert_eq!(denied["error"]["code"], 103);
    let whom = |more: Value| {
        let mut body = json!({"client": client.client});
        for (key, value) in more.as_object().expect("an object") {
            body[key] = value.clone();
        }
        body
    };
    let (on, off) = (
        whom(json!({"channel": "closed:a"})),
        whom(json!({"channel": "closed:a"})),
    );
    let away = whom(json!({"disconnect": {"code": 4500, "reason": "enough"}}));
    call(&server, "subscribe", on);
    assert_eq!(client.next()["push"]["channel"], "closed:a");
    call(
        &server,
        "publish",
        json!({"channel": "closed:a", "data": "x"}),
    );
    assert_eq!(client.next()["push"]["pub"]["data"], "x");
    call(&server, "unsubscribe", off);
    assert_eq!(client.next()["push"]["unsubscribe"]["code"], 2000);
    call(
        &server,
        "publish",
        json!({"channel": "closed:a", "data": "y"}),
    );
    call(&server, "disconnect", away);
    let last = client.next();
    assert_eq!(last["push"]["disconnect"]["code"], 4500, "{last}");
    assert_eq!(client.wire.chunk(), None);
    let nobody = call(&server, "channels", json!({}));
    assert_eq!(nobody, json!({"result": {"channels": {}}}));
}

#[test]
fn a_client_reads_a_chat_and_a_backend_its_history() {
    let server = Server::start(&format!("{KEYS}{CONFIGURATION}"));
    let asked = call_with_key(&server, "/api/chat", &question("one two"));
    let channel = asked["channel_id"].as_str().expect("its name");
    let mut client = Client::connect(&server);
    let reply = client.command(json!({"subscribe": {"channel": channel}}));
    let mut events: Vec<Value> = reply["subscribe"]["publications"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    while events.last().is_none_or(|it| it["data"]["type"] != "end") {
        events.push(client.next()["push"]["pub"].clone());
    }
    let text: String = events
        .iter()
        .filter(|event| event["data"]["type"] == "chunk")
        .map(|event| event["data"]["message"].as_str().expect("text"))
        .collect();
    assert_eq!(text, "one two");
    let history = call(&server, "history", json!({"channel": channel, "limit": -1}));
    let kept = history["result"]["publications"]
        .as_array()
        .expect("publications");
    assert_eq!(kept.len(), events.len());
    for (kept, event) in kept.iter().zip(&events) {
        assert_eq!(
            (&kept["data"], &kept["offset"]),
            (&event["data"], &event["offset"])
        );
    }
    let refused = call(&server, "publish", json!({"channel": channel, "data": 1}));
    assert_eq!(refused["error"]["code"], 103);
}

#[test]
fn a_plain_listener_needs_what_the_namespace_asks_for() {
    let server = Server::start(&format!("{KEYS}{CONFIGURATION}"));
    call(&server, "publish", json!({"channel": "news:a", "data": 1}));
    call(
        &server,
        "publish",
        json!({"channel": "closed:a", "data": 1}),
    );
    let mut stream = server.listen("news:a", None);
    assert_eq!(stream.next().expect("an event").data, 1);
    let (head, _) = server.call("GET", "/connection/sse?channel=closed:a", "");
    assert_eq!(head.status(), 401);
}

#[test]
fn the_token_of_a_chat_lets_a_client_in() {
    let secret = "[auth]\ntoken_secret = \"a secret of chats, long enough to be a secret\"\n";
    let server = Server::start(&format!("{secret}{CONFIGURATION}"));
    let (_, answer) = server.call("POST", "/api/chat", &question("one two"));
    let (channel, token) = (&answer["channel_id"], &answer["token"]);
    let mut client = Client::connect(&server);
    let denied = client.command(json!({"subscribe": {"channel": channel}}));
    assert_eq!(denied["error"]["code"], 103);
    let denied = client.command(json!({"subscribe": {"channel": channel, "token": "x.y.z"}}));
    assert_eq!(denied["error"]["code"], 103);
    let reply = client.command(json!({"subscribe": {"channel": channel, "token": token}}));
    assert_eq!(reply["subscribe"]["recoverable"], true, "{reply}");
    assert_eq!(reply["subscribe"]["expires"], true);
}

#[test]
fn the_commands_of_a_batch_take_effect_in_their_order() {
    let server = Server::start(&format!("{KEYS}{CONFIGURATION}"));
    let mut client = Client::connect(&server);
    let news = |data: u32, fleeting: bool| json!({"publish": {"channel": "news:a", "data": data, "skip_history": fleeting}});
    let body = json!({"commands": [
        {"subscribe": {"client": client.client, "channel": "news:a"}},
        news(1, false), news(2, true), news(3, false),
        {"unsubscribe": {"client": client.client, "channel": "news:a"}},
        news(4, false),
        {"subscribe": {"client": client.client, "channel": "news:a"}},
        news(5, false),
    ]});
    call(&server, "batch", body);
    assert!(client.next()["push"]["subscribe"].is_object());
    for data in [1, 2, 3] {
        assert_eq!(client.next()["push"]["pub"]["data"], data);
    }
    assert_eq!(client.next()["push"]["unsubscribe"]["code"], 2000);
    assert!(client.next()["push"]["subscribe"].is_object());
    assert_eq!(client.next()["push"]["pub"]["data"], 5);
}
