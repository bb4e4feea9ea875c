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
    let subs = r#"{"token":"user:7","subs":{"a":{"recover":true}}}"#;
    match way {
        Way::WebSocket => world.websocket(
            "{\"id\":1,\"connect\":{\"token\":\"user:7\"}}\n{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"recover\":true}}",
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
            let body = br#"{"id":1,"connect":{"token":"user:7"}}"#;
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

#[test]
fn what_is_half_written_is_finished_before_the_end() {
    for way in [
        Way::WebSocket,
        Way::Uni("uni_websocket"),
        Way::Emulated("sse"),
        Way::Emulated("http_stream"),
    ] {
        let mut world = World::new();
        let client = open(&mut world, way);
        all(&mut world, client);
        world.stall(client, true);
        for number in 0..30 {
            world.publish("a", "", &format!("\"<<{number}>>{}\"", "x".repeat(20_000)));
        }
        world.post(
            "/signal?user=7&kind=disconnect&code=3503&reason=off",
            "",
            b"",
        );
        world.pass_seconds(1);
        world.stall(client, false);
        let got = world.get(client);
        let is_websocket = matches!(way, Way::WebSocket | Way::Uni(_));
        let end = got.iter().position(|got| match got {
            Got::Close(3503, _) => is_websocket,
            Got::End => !is_websocket,
            _ => false,
        });
        assert!(end.is_some(), "{way:?}: {:?}", got.last());
        let text: String = got[..end.unwrap()]
            .iter()
            .map(|got| match got {
                Got::Text(text) => text.as_str(),
                other => panic!("{other:?}"),
            })
            .collect();
        // Whatever came came whole and in order; the rest is for the next connection.
        let numbers = numbers(&text);
        assert!(
            !numbers.is_empty() && numbers.len() < 30,
            "{}",
            numbers.len()
        );
        assert!(
            numbers
                .iter()
                .copied()
                .eq(0..u32::try_from(numbers.len()).unwrap())
        );
        assert_eq!(text.matches("xx\"").count(), numbers.len());
        let said = text.contains(r#""disconnect":{"code":3503,"reason":"off"}"#);
        assert_eq!(said, !matches!(way, Way::WebSocket));
    }
}
