//! Requests that open a session: encodings, refusals, fields.

use crate::world::{Got, World};

#[test]
fn the_encoding_is_that_of_the_subprotocol_or_of_the_query() {
    const CONNECT: &[u8] = &[8, 8, 1, 0x22, 4, 0x22, 2, b'j', b's'];
    for (target, fields, echo, is_binary) in [
        (
            "",
            "Sec-WebSocket-Protocol: centrifuge-protobuf\r\n",
            "centrifuge-protobuf",
            true,
        ),
        (
            "",
            "Sec-WebSocket-Protocol: centrifuge-json\r\n",
            "centrifuge-json",
            false,
        ),
        (
            "",
            "Sec-WebSocket-Protocol: other, centrifuge-protobuf, centrifuge-json\r\n",
            "centrifuge-protobuf",
            true,
        ),
        (
            "",
            "Sec-WebSocket-Protocol: centrifuge-json, centrifuge-protobuf\r\n",
            "centrifuge-json",
            false,
        ),
        ("", "Sec-WebSocket-Protocol: other\r\n", "", false),
        ("", "Sec-WebSocket-Protocol: \r\n", "", false),
        ("", "Sec-WebSocket-Protocol:\r\n", "", false),
        ("", "", "", false),
        ("?cf_protocol_version=v2&x=1", "", "", false),
        ("?format=protobuf", "", "", true),
        ("?cf_protocol=protobuf", "", "", true),
        ("?format=json", "", "", false),
    ] {
        let mut world = World::new();
        let client = world.handshake(&format!("/connection/websocket{target}"), fields);
        if is_binary {
            world.send_binary(client, CONNECT);
        } else {
            world.send(client, r#"{"id":1,"connect":{"name":"js"}}"#);
        }
        let got = world.get(client);
        let Got::Head(101, head) = &got[0] else {
            panic!("{got:?}")
        };
        let want = format!("Sec-WebSocket-Protocol: {echo}\r\n");
        assert_eq!(head.contains("Sec-WebSocket-Protocol"), !echo.is_empty());
        assert_eq!(head.contains(&want), !echo.is_empty(), "{head}");
        assert!(head.contains("Access-Control-Allow-Origin: http://a\r\n"));
        assert_eq!(
            matches!(got[1], Got::Binary(_)),
            is_binary,
            "{fields}{target}"
        );
        assert_eq!(
            matches!(got[1], Got::Text(_)),
            !is_binary,
            "{fields}{target}"
        );
    }
}

#[test]
fn json_in_binary_frames_is_understood_and_answered_in_text() {
    let mut world = World::new();
    let client = world.handshake("/connection/websocket", "");
    world.send_binary(client, br#"{"id":1,"connect":{}}"#);
    assert!(matches!(world.get(client)[1], Got::Text(_)));
}

#[test]
fn what_is_no_request_of_a_transport_is_refused() {
    let large = "x".repeat(65_537);
    for (method, target, body, want) in [
        ("GET", "/connection/websocket", "", 426),
        ("GET", "/connection/uni_websocket", "", 426),
        ("GET", "/connection/sse", "", 400),
        ("GET", "/connection/sse?cf_connect=", "", 400),
        ("OPTIONS", "/connection/sse", "", 405),
        ("PUT", "/connection/sse", "", 405),
        ("POST", "/connection/sse", &*large, 413),
        ("GET", "/connection/http_stream", "", 405),
        ("OPTIONS", "/connection/http_stream", "", 204),
        ("POST", "/connection/http_stream", &*large, 413),
        ("PUT", "/connection/uni_sse", "", 405),
        ("GET", "/connection/uni_sse?cf_connect=[]", "", 400),
        ("POST", "/connection/uni_sse", "{", 400),
        ("POST", "/connection/uni_sse", &*large, 400),
        ("GET", "/connection/uni_http_stream", "", 405),
        ("OPTIONS", "/connection/uni_http_stream", "", 204),
        ("POST", "/connection/uni_http_stream", "1", 400),
        ("GET", "/connection/websocket?forbidden", "", 403),
        ("GET", "/connection/sse?forbidden&cf_connect={}", "", 403),
        ("POST", "/connection/http_stream?forbidden", "", 403),
    ] {
        let mut world = World::new();
        let client = world.request(method, target, "", body.as_bytes());
        let got = world.get(client);
        let Got::Head(status, fields) = &got[0] else {
            panic!("{method} {target}: {got:?}")
        };
        assert_eq!(*status, want, "{method} {target}");
        if want == 204 {
            assert!(fields.contains("Access-Control-Max-Age: 300\r\n"));
            assert!(fields.contains("Access-Control-Allow-Methods: POST, OPTIONS\r\n"));
        }
        if [413, 403, 204].contains(&want) {
            assert!(
                fields.contains("Access-Control-Allow-Origin: http://a\r\n"),
                "{fields}"
            );
        }
    }
}
