//! The same in a world where reads and writes are cut anywhere.

use crate::site::NODE;
use crate::world::{Client, Got, World, value};

/// How a client comes to its pushes.
#[derive(Clone, Copy, Debug)]
enum Way {
    WebSocket,
    Protobuf,
    Uni(&'static str),
    Emulated(&'static str),
}

const WAYS: [Way; 7] = [
    Way::WebSocket,
    Way::Protobuf,
    Way::Uni("uni_websocket"),
    Way::Uni("uni_sse"),
    Way::Uni("uni_http_stream"),
    Way::Emulated("sse"),
    Way::Emulated("http_stream"),
];

fn open(world: &mut World, way: Way) -> Client {
    let subs = r#"{"subs":{"a":{"recover":true}}}"#;
    match way {
        Way::WebSocket => world.websocket(
            "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"recover\":true}}",
        ),
        Way::Protobuf => {
            let client = world.handshake("/connection/websocket?format=protobuf", "");
            world.send_binary(client, &[4, 8, 1, 0x22, 0, 9, 8, 2, 0x2a, 5, 0x0a, 1, b'a', 0x18, 1]);
            client
        }
        Way::Uni("uni_websocket") => {
            let client = world.handshake("/connection/uni_websocket", "");
            world.send(client, subs);
            client
        }
        Way::Uni(path) => {
            world.request("POST", &format!("/connection/{path}"), "", subs.as_bytes())
        }
        Way::Emulated(path) => {
            let body = br#"{"id":1,"connect":{}}"#;
            let client = world.request("POST", &format!("/connection/{path}"), "", body);
            let mut said = String::new();
            while !said.contains("session") || !said.ends_with('\n') {
                for got in world.get(client) {
                    if let Got::Text(text) = got {
                        said.push_str(&text);
                    }
                }
            }
            let session = value(&said, "session");
            let data = r#"{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"recover\":true}}"#;
            let body = format!(r#"{{"session":"{session}","node":"{NODE}","data":"{data}"}}"#);
            world.request("POST", "/emulation", "", body.as_bytes());
            client
        }
    }
}

/// All that a client got, without what is around messages.
fn all(world: &mut World, client: Client) -> String {
    let mut all = String::new();
    for got in world.get(client) {
        match got {
            Got::Text(text) => all.push_str(&text),
            Got::Binary(bytes) => all.push_str(&String::from_utf8_lossy(&bytes)),
            Got::Head(..) => {}
            other => panic!("{other:?}"),
        }
    }
    all
}

/// The numbers that were published, as they stand in what a client got.
fn numbers(text: &str) -> Vec<u32> {
    text.split("<<")
        .skip(1)
        .map(|it| it.split(">>").next().unwrap().parse().unwrap())
        .collect()
}

#[test]
fn nothing_is_lost_doubled_or_torn() {
    for seed in 0..3 {
        for way in WAYS {
            let mut world = World::unkind(seed);
            let padding = "x".repeat(700);
            let mut next = 1;
            let mut publish = |world: &mut World, count: u32| {
                for _ in 0..count {
                    world.publish_soon("a", &format!("\"<<{next}>>{padding}\""));
                    world.pass(std::time::Duration::from_millis(20));
                    next += 1;
                }
            };
            publish(&mut world, 40);
            world.pass_seconds(2);
            let client = open(&mut world, way);
            publish(&mut world, 40);
            world.pass_seconds(3);
            let got = numbers(&all(&mut world, client));
            assert_eq!(got, (1..=80).collect::<Vec<u32>>(), "seed {seed}, {way:?}");
        }
    }
}
