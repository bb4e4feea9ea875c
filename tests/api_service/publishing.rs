//! `POST /api/publish`.

use crate::harness::{Asked, Script, Server, Setup, error, json};

fn server() -> Server {
    let mut server = Setup {
        open_channels: true,
        ..Setup::default()
    }
    .start();
    server.script = Script::Published("k3f9ab-7");
    server
}

#[test]
fn a_publication_is_kept_as_it_stands_but_for_line_breaks_between_tokens() {
    for (data, want) in [
        (r#"{"a":1}"#, r#"{"a":1}"#),
        (r#"{ "b" : 1.0, "a":1e400 }"#, r#"{ "b" : 1.0, "a":1e400 }"#),
        ("{\r\n  \"a\":\n1,\r\"b\":[\n]\n}", "{  \"a\":1,\"b\":[]}"),
        (r#""line\nbreak\u000a""#, r#""line\nbreak\u000a""#),
        ("null", "null"),
        ("12345678901234567890123", "12345678901234567890123"),
        (r#"{"a":1,"a":2}"#, r#"{"a":1,"a":2}"#),
        ("\"\u{2028} \u{e9}\"", "\"\u{2028} \u{e9}\""),
        ("  [1]  ", "[1]"),
    ] {
        let mut server = server();
        let body = format!("{{\"ignored\":true,\"channel\":\"n\\u0065ws\",\n\"data\":{data}}}");
        let response = server.response("POST /api/publish", &[], &body);
        assert_eq!(
            response.body, br#"{"result":{"offset":7,"epoch":"k3f9ab"}}"#,
            "{data}"
        );
        let Some(Asked::Publish(publish)) = server.asked.pop() else {
            panic!("{want}")
        };
        assert_eq!(
            (&*publish.channel, &*publish.data),
            ("news", want.as_bytes())
        );
    }
}

#[test]
fn mistakes_are_200_with_a_number() {
    let long = format!(r#"{{"channel":"{}","data":1}}"#, "x".repeat(256));
    for (body, code) in [
        ("", 107),
        ("{}", 107),
        ("[]", 107),
        ("{", 107),
        (r#"["c",1]"#, 107),
        (r#"{"channel":"c"}"#, 107),
        (r#"{"data":1}"#, 107),
        (r#"{"channel":"c","data":}"#, 107),
        (r#"{"channel":"c","data":01}"#, 107),
        (r#"{"channel":"c","data":1} x"#, 107),
        (r#"{"channel":"c","data":1,"data":2}"#, 107),
        (r#"{"channel":"","data":1}"#, 107),
        (r#"{"channel":1,"data":1}"#, 107),
        (r#"{"channel":null,"data":1}"#, 107),
        (r#"{"channel":"a\nb","data":1}"#, 107),
        ("{\"channel\":\"c\",\"data\":\"raw\nbreak\"}", 107),
        (&long, 107),
        (r#"{"channel":"chat:a","data":1}"#, 103),
        (r#"{"channel":"chat:","data":1}"#, 103),
    ] {
        let mut server = server();
        let response = server.response("POST /api/publish", &[], body);
        assert_eq!(response.status, 200, "{body}");
        assert_eq!(json(&response)["error"]["code"], code, "{body}");
        assert!(
            json(&response)["error"]["message"]
                .as_str()
                .is_some_and(|m| m.len() > 10)
        );
        assert!(server.asked.is_empty(), "{body}");
    }
    let invalid = [br#"{"channel":"c","data":""#.as_slice(), b"\xff\"}"].concat();
    let crate::harness::Got::Response(response) = server().send("POST /api/publish", &[], &invalid)
    else {
        panic!("a session");
    };
    assert_eq!(json(&response)["error"]["code"], 107);
}

#[test]
fn what_the_engine_refuses_has_a_number_too() {
    for (script, code) in [
        (Script::TooLarge(100), 107),
        (Script::Unknown, 102),
        (Script::Overloaded, 100),
        (Script::Draining, 100),
    ] {
        let mut server = server();
        server.script = script;
        let response = server.response("POST /api/publish", &[], r#"{"channel":"c","data":1}"#);
        assert_eq!(
            (response.status, &json(&response)["error"]["code"]),
            (200, &code.into())
        );
    }
    let mut closed = Setup::default().start();
    let response = closed.response("POST /api/publish", &[], r#"{"channel":"c","data":1}"#);
    assert_eq!(json(&response)["error"]["code"], 102);
    assert!(closed.asked.is_empty());
}

#[test]
fn a_wrong_key_is_401() {
    let mut server = Setup {
        keys: &["k"],
        open_channels: true,
        ..Setup::default()
    }
    .start();
    server.script = Script::Published("k3f9ab-7");
    let body = r#"{"channel":"c","data":1}"#;
    for fields in [
        &[][..],
        &[("X-API-Key", "x")],
        &[("Authorization", "Bearer x")],
    ] {
        error(
            &server.response("POST /api/publish", fields, body),
            401,
            "unauthorized",
        );
        error(
            &server.response("POST /api/publish", fields, "{"),
            401,
            "unauthorized",
        );
    }
    for fields in [[("X-API-Key", "k")], [("Authorization", "Bearer k")]] {
        let response = server.response("POST /api/publish", &fields, body);
        assert_eq!(json(&response)["result"]["offset"], 7);
    }
}
