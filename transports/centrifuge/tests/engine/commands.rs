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

const TOO_MANY: &str = r#""error":{"code":111,"message":"too many requests","temporary":true}}"#;

#[test]
fn what_does_not_fit_behind_other_answers_is_asked_for_again() {
    let mut world = World::new();
    let client = world.connected("");
    let data = format!("\"{}\"", "x".repeat(30_000));
    for _ in 0..10 {
        world.publish("h", "", &data);
    }
    let ask = |id: u32, since: usize| {
        format!(
            r#"{{"id":{id},"history":{{"channel":"h","limit":-1,"since":{{"offset":{since}}}}}}}"#
        )
    };
    world.send(
        client,
        &[ask(2, 0), ask(3, 0), ask(4, 0), ask(5, 10)].join("\n"),
    );
    let texts = world.texts(client);
    let count = |reply: &str| reply.matches(r#""data""#).count();
    assert_eq!(texts.len(), 4);
    assert_eq!(count(&texts[0]), 6);
    assert_eq!(texts[1], format!(r#"{{"id":3,{TOO_MANY}"#));
    assert_eq!(texts[2], format!(r#"{{"id":4,{TOO_MANY}"#));
    assert!(texts[3].starts_with(r#"{"id":5,"history":{"publications":[],"#));
    world.send(client, &ask(6, 6));
    assert_eq!(count(&world.texts(client)[0]), 4);
    // What fits in no answer comes alone.
    world.publish("large", "", &format!("\"{}\"", "x".repeat(300_000)));
    world.publish("large", "", "1");
    let ask = r#"{"id":7,"history":{"channel":"large","limit":-1}}"#;
    world.send(client, &[ask, ask].join("\n"));
    let texts = world.texts(client);
    assert_eq!((count(&texts[0]), texts[0].len() > 300_000), (1, true));
    assert_eq!(texts[1], format!(r#"{{"id":7,{TOO_MANY}"#));
}

#[test]
fn subscriptions_that_recover_much_at_once_fill_no_memory() {
    let mut world = World::new();
    let client = world.connected("");
    let data = format!("\"{}\"", "x".repeat(15_000));
    let commands: Vec<String> = (0..40)
        .map(|channel| {
            world.publish(&channel.to_string(), "", &data);
            let id = channel + 2;
            format!(r#"{{"id":{id},"subscribe":{{"channel":"{channel}","recover":true}}}}"#)
        })
        .collect();
    world.send(client, &commands.join("\n"));
    let texts = world.texts(client);
    let replies = texts
        .iter()
        .filter(|text| text.contains(r#""recovered":true"#));
    let with_data = replies.clone().filter(|text| text.contains(r#""data""#));
    assert_eq!((replies.count(), with_data.count()), (40, 12));
    let all = texts.concat();
    assert_eq!(all.matches(r#""data""#).count(), 40, "the rest is pushed");
}

#[test]
fn so_many_members_are_listed_as_fit() {
    let mut world = World::new();
    let user = "u".repeat(30_000);
    let subscribe = r#"{"id":2,"subscribe":{"channel":"members:a"}}"#;
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let client = world.connected(&format!("user:{user}"));
            world.ask(client, subscribe);
            client
        })
        .collect();
    let client = world.connected("");
    let ask = |id: u32| format!(r#"{{"id":{id},"presence":{{"channel":"members:a"}}}}"#);
    world.send(client, &[ask(2), ask(3)].join("\n"));
    let texts = world.texts(client);
    assert_eq!(texts[0].matches(&user).count(), 4);
    assert_eq!(texts[1], format!(r#"{{"id":3,{TOO_MANY}"#));
    for _ in 0..3 {
        let client = world.connected(&format!("user:{user}"));
        world.ask(client, subscribe);
    }
    let got = world.ask(client, &ask(4));
    assert_eq!(got, error(4, 106, "limit exceeded"));
    let stats = r#"{"id":5,"presence_stats":{"channel":"members:a"}}"#;
    let want = r#"{"id":5,"presence_stats":{"num_clients":7,"num_users":1}}"#;
    assert_eq!(world.ask(client, stats), [text(want)]);
    assert!(
        clients
            .iter()
            .all(|it| !world.get(*it).contains(&Got::Gone))
    );
}
