//! Publishing, history, presence, and commands that have no business here.

use crate::world::{Got, World, masked, text, value};

fn error(id: u32, code: u32, message: &str) -> Vec<Got> {
    vec![Got::Text(format!(
        r#"{{"id":{id},"error":{{"code":{code},"message":"{message}"}}}}"#
    ))]
}

#[test]
fn a_client_publishes_with_its_name() {
    let mut world = World::new();
    let client = world.connected("user:5&info");
    world.ask(
        client,
        r#"{"id":2,"subscribe":{"channel":"t","token":"info"}}"#,
    );
    world.send(
        client,
        r#"{"id":3,"publish":{"channel":"t","data":{"a":1}}}"#,
    );
    let mut texts: Vec<String> = world.texts(client).iter().map(|it| masked(it)).collect();
    texts.sort_unstable();
    assert_eq!(
        texts,
        [
            r#"{"id":3,"publish":{}}"#,
            r#"{"push":{"channel":"t","pub":{"data":{"a":1},"info":{"user":"5","client":"ID","conn_info":{"u":1},"chan_info":{"c":1}},"offset":1,"epoch":"EPOCH"}}}"#,
        ]
    );
    let other = world.connected("");
    world.ask(
        other,
        "{\"id\":2,\"publish\":{\"channel\":\"t\",\"data\":{\"a\":\r 2}}}",
    );
    let texts: Vec<String> = world.texts(client).iter().map(|it| masked(it)).collect();
    assert_eq!(
        texts,
        [
            r#"{"push":{"channel":"t","pub":{"data":{"a": 2},"info":{"user":"","client":"ID"},"offset":2}}}"#
        ]
    );
}

#[test]
fn what_is_wrong_with_a_command_is_said() {
    let bad = || vec![Got::Close(3501, "bad request".into())];
    for (command, want) in [
        (r#""publish":{"channel":"","data":1}"#, bad()),
        (r#""publish":{"channel":"a"}"#, error(2, 107, "bad request")),
        (
            r#""publish":{"channel":"a","data":1,"type":1}"#,
            error(2, 108, "not available"),
        ),
        (
            r#""publish":{"channel":"error:103","data":1}"#,
            error(2, 103, "permission denied"),
        ),
        (
            r#""publish":{"channel":"error:102","data":1}"#,
            error(2, 102, "unknown channel"),
        ),
        (
            r#""publish":{"channel":"own:a","data":1}"#,
            error(2, 103, "permission denied"),
        ),
        (r#""presence":{}"#, bad()),
        (
            r#""presence":{"channel":"a"}"#,
            error(2, 108, "not available"),
        ),
        (
            r#""presence":{"channel":"error:103"}"#,
            error(2, 103, "permission denied"),
        ),
        (r#""presence_stats":{"channel":""}"#, bad()),
        (
            r#""presence_stats":{"channel":"a"}"#,
            error(2, 108, "not available"),
        ),
        (
            r#""presence_stats":{"channel":"members:none"}"#,
            vec![text(
                r#"{"id":2,"presence_stats":{"num_clients":0,"num_users":0}}"#,
            )],
        ),
        (
            r#""presence":{"channel":"members:none"}"#,
            vec![text(r#"{"id":2,"presence":{"presence":{}}}"#)],
        ),
        (r#""history":{}"#, bad()),
        (
            r#""history":{"channel":"plain:a"}"#,
            error(2, 108, "not available"),
        ),
        (
            r#""history":{"channel":"error:103"}"#,
            error(2, 103, "permission denied"),
        ),
        (
            r#""history":{"channel":"a","reverse":true,"since":{"offset":0,"epoch":""}}"#,
            error(2, 107, "bad request"),
        ),
        (
            r#""history":{"channel":"a","limit":1,"since":{"offset":0,"epoch":"abcdef"}}"#,
            error(2, 112, "unrecoverable position"),
        ),
        (
            r#""rpc":{"method":"x","data":1}"#,
            error(2, 108, "not available"),
        ),
        (
            r#""send":{"data":1}"#,
            vec![Got::Close(3508, "not available".into())],
        ),
        (r#""unsubscribe":{}"#, bad()),
        (r#""sub_refresh":{"token":"x"}"#, bad()),
        (r#""ping":{}"#, bad()),
        (r#""unknown":{}"#, bad()),
        (r#""connect":{}"#, bad()),
        // Of several the first in the protocol's order counts.
        (
            r#""history":{"channel":"plain:a"},"rpc":{},"unsubscribe":{"channel":"a"}"#,
            vec![text(r#"{"id":2,"unsubscribe":{}}"#)],
        ),
    ] {
        let mut world = World::new();
        let client = world.connected("");
        let got = world.ask(client, &format!(r#"{{"id":2,{command}}}"#));
        assert_eq!(got, want, "{command}");
    }
    let mut world = World::new();
    let client = world.connected("");
    assert_eq!(
        world.ask(client, r#"{"send":{"data":1}}"#),
        [Got::Close(3508, "not available".into())]
    );
}

#[test]
fn history_is_read_in_both_directions() {
    let mut world = World::new();
    let client = world.connected("");
    let got = world.ask(client, r#"{"id":2,"history":{"channel":"h"}}"#);
    let [Got::Text(reply)] = &got[..] else {
        panic!("{got:?}")
    };
    assert_eq!(
        masked(reply),
        r#"{"id":2,"history":{"publications":[],"epoch":"EPOCH","offset":0}}"#
    );
    let epoch = value(reply, "epoch");
    for data in 1..=5 {
        world.publish("h", "", &data.to_string());
    }
    let first = format!(r#"{{"data":1,"offset":1,"epoch":"{epoch}"}}"#);
    let entry = |data: u32| format!(r#"{{"data":{data},"offset":{data}}}"#);
    let entries = |range: &[u32]| {
        let entries: Vec<String> = range
            .iter()
            .map(|data| {
                if *data == 1 {
                    first.clone()
                } else {
                    entry(*data)
                }
            })
            .collect();
        entries.join(",")
    };
    for (request, want) in [
        (String::new(), &[][..]),
        (r#","limit":0"#.into(), &[]),
        (r#","limit":2"#.into(), &[1, 2]),
        (r#","limit":-1"#.into(), &[1, 2, 3, 4, 5]),
        (r#","limit":2,"reverse":true"#.into(), &[5, 4]),
        (r#","limit":2,"since":{"offset":2}"#.into(), &[3, 4]),
        (r#","limit":9,"since":{"offset":5}"#.into(), &[]),
        (
            r#","limit":9,"reverse":true,"since":{"offset":3}"#.into(),
            &[2, 1],
        ),
        (
            format!(r#","limit":1,"since":{{"offset":4,"epoch":"{epoch}"}}"#),
            &[5],
        ),
    ] {
        let got = world.ask(
            client,
            &format!(r#"{{"id":3,"history":{{"channel":"h"{request}}}}}"#),
        );
        let want = entries(want);
        let want = format!(
            r#"{{"id":3,"history":{{"publications":[{want}],"epoch":"{epoch}","offset":5}}}}"#
        );
        assert_eq!(got, [Got::Text(want)], "{request}");
    }
}
