//! Routes, methods, origins and the shape of errors.

use crate::harness::{Asked, Got, Script, Setup, describe, error, field, json};

const FOREIGN: (&str, &str) = ("Origin", "https://evil.example");
const APP: (&str, &str) = ("Origin", "https://app.example");
const ALLOWED: Option<&[&str]> = Some(&["https://app.example"]);

#[test]
fn every_route_takes_its_methods_and_names_them_to_others() {
    let routes = [
        ("/", "GET, HEAD, OPTIONS"),
        ("/health", "GET, HEAD, OPTIONS"),
        ("/ready", "GET, HEAD, OPTIONS"),
        ("/metrics", "GET, HEAD, OPTIONS"),
        ("/api/chat", "POST, OPTIONS"),
        ("/api/chat/chat%3A1", "GET, HEAD, DELETE, OPTIONS"),
        ("/api/publish", "POST, OPTIONS"),
        ("/connection/sse?channel=chat:1", "GET, HEAD, OPTIONS"),
    ];
    for (target, allow) in routes {
        for method in [
            "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE", "QUERY", "get",
        ] {
            let mut server = Setup {
                open_channels: true,
                ..Setup::default()
            }
            .start();
            server.script = match (target, method) {
                ("/metrics", _) => Script::Metrics,
                ("/api/publish", _) => Script::Published("k3f9ab-1"),
                ("/api/chat", _) => Script::Submitted,
                (_, "DELETE") => Script::Cancelled(true),
                _ => Script::Snapshot(Box::default(), "k3f9ab-1"),
            };
            let body: &[u8] = match target {
                "/api/publish" => br#"{"channel":"c","data":1}"#,
                _ => br#"{"message":"hi"}"#,
            };
            let got = server.send(&format!("{method} {target}"), &[], body);
            let is_allowed = allow.split(", ").any(|allowed| allowed == method);
            match got {
                Got::Session(_) | Got::Told(_) => assert!(is_allowed, "{method} {target}"),
                Got::Response(response) if is_allowed => {
                    assert_eq!(response.status, 200, "{method} {target}");
                }
                Got::Response(response) => {
                    error(&response, 405, "method_not_allowed");
                    assert_eq!(field(&response, "Allow"), Some(allow), "{method} {target}");
                    assert!(server.asked.is_empty());
                }
            }
        }
        let options = Setup::default()
            .start()
            .response(&format!("OPTIONS {target}"), &[], "");
        assert_eq!(
            (options.status, field(&options, "Allow")),
            (204, Some(allow)),
            "{target}"
        );
    }
}

#[test]
fn other_paths_are_not_found() {
    for target in [
        "/api/",
        "/api/nothing",
        "/api/chat/",
        "/api/chat/a/b",
        "/health/",
        "/connection",
        "/x?token=t",
    ] {
        for method in ["GET", "POST", "PUT"] {
            let line = format!("{method} {target}");
            let message = error(
                &Setup::default().start().response(&line, &[], ""),
                404,
                "not_found",
            );
            assert!(message.contains("POST /api/chat"), "{message}");
            assert!(!message.contains("token"), "{message}");
        }
    }
    let response = Setup::default()
        .start()
        .response("GET /v1/engines", &[], "");
    assert_eq!(json(&response)["error"]["type"], "invalid_request_error");
    assert_eq!(response.status, 404);
    let message = error(
        &Setup::default()
            .start()
            .response("GET /connection/tcp", &[], ""),
        404,
        "not_found",
    );
    assert!(
        message.contains("/connection/sse, /connection/websocket"),
        "{message}"
    );
}

#[test]
fn the_forms_of_the_target_are_understood() {
    let mut server = Setup::default().start();
    assert_eq!(
        server
            .response("GET http://other.example/health", &[], "")
            .status,
        200
    );
    let options = server.response("OPTIONS *", &[], "");
    assert_eq!(options.status, 204);
    assert_eq!(
        field(&options, "Allow"),
        Some("GET, HEAD, POST, DELETE, OPTIONS")
    );
    error(
        &server.response("CONNECT other.example:443", &[], ""),
        501,
        "invalid_request",
    );
}

#[test]
fn operators_are_answered() {
    let mut server = Setup::default().start();
    server.script = Script::Metrics;
    let health = server.response("GET /health", &[], "");
    assert_eq!((health.status, &*health.body), (200, &b"OK\n"[..]));
    assert_eq!(server.response("GET /ready", &[], "").status, 200);
    let metrics = String::from_utf8(server.response("GET /metrics", &[], "").body).unwrap();
    assert!(metrics.contains("lmserver_events_total 42\n"), "{metrics}");
    server.draining = true;
    assert_eq!(server.response("GET /health", &[], "").status, 200);
    error(&server.response("GET /ready", &[], ""), 503, "draining");
}

#[test]
fn the_page_is_served_unless_it_is_off() {
    let page = Setup::default().start().response("GET /", &[], "");
    assert_eq!(
        field(&page, "Content-Type"),
        Some("text/html; charset=utf-8")
    );
    assert!(page.body.starts_with(b"<!"), "{}", describe(&page));
    let mut server = Setup {
        no_page: true,
        ..Setup::default()
    }
    .start();
    error(&server.response("GET /", &[], ""), 404, "not_found");
}

#[test]
fn a_page_of_an_allowed_origin_may_read_every_answer() {
    let mut server = Setup {
        origins: ALLOWED,
        ..Setup::default()
    }
    .start();
    server.script = Script::Unknown;
    for (line, body) in [
        ("GET /health", ""),
        ("GET /nowhere", ""),
        ("PUT /health", ""),
        ("POST /api/chat", "{"),
        ("GET /api/chat/chat%3A1", ""),
        ("DELETE /api/chat/chat%3A1", ""),
        ("GET /connection/sse", ""),
        ("GET /connection/websocket?channel=chat:1", ""),
    ] {
        let response = server.response(line, &[APP], body);
        let origin = field(&response, "Access-Control-Allow-Origin");
        assert_eq!(origin, Some("https://app.example"), "{line}");
        assert_eq!(
            field(&response, "Access-Control-Allow-Credentials"),
            Some("true"),
            "{line}"
        );
        let exposed = field(&response, "Access-Control-Expose-Headers").unwrap();
        for name in [
            "X-Channel-Id",
            "Retry-After",
            "request-id",
            "x-should-retry",
        ] {
            assert!(exposed.contains(name), "{line}: {name}");
        }
        assert_eq!(field(&response, "Vary"), Some("Origin"), "{line}");
        let response = server.response(line, &[], body);
        assert_eq!(
            field(&response, "Access-Control-Allow-Origin"),
            None,
            "{line}"
        );
        assert_eq!(field(&response, "Vary"), Some("Origin"), "{line}");
    }
}

#[test]
fn a_foreign_page_reads_nothing_and_changes_nothing() {
    for origins in [None, ALLOWED] {
        let mut server = Setup {
            origins,
            open_channels: true,
            ..Setup::default()
        }
        .start();
        for (line, body) in [
            ("POST /api/chat", r#"{"message":"hi"}"#),
            ("POST /api/publish", r#"{"channel":"c","data":1}"#),
            ("DELETE /api/chat/chat%3A1", ""),
        ] {
            let response = server.response(line, &[FOREIGN, ("Content-Type", "text/plain")], body);
            let message = error(&response, 403, "forbidden");
            assert!(message.contains("allowed_origins"), "{message}");
            assert_eq!(
                field(&response, "Access-Control-Allow-Origin"),
                None,
                "{line}"
            );
        }
        assert!(server.asked.is_empty());
        let health = server.response("GET /health", &[FOREIGN], "");
        assert_eq!(
            (health.status, field(&health, "Access-Control-Allow-Origin")),
            (200, None)
        );
        let opened = server.session("GET /connection/sse?channel=chat:1", &[FOREIGN], "");
        assert_eq!(opened.fields, [("Vary".into(), "Origin".into())]);
        let upgrade = [FOREIGN, ("Connection", "Upgrade"), ("Upgrade", "websocket")];
        let refused = server.response("GET /connection/websocket?channel=chat:1", &upgrade, "");
        error(&refused, 403, "forbidden");
    }
}

#[test]
fn the_own_page_may_do_all() {
    for origins in [None, ALLOWED, Some(&["null"][..])] {
        let mut server = Setup {
            origins,
            ..Setup::default()
        }
        .start();
        let own = [
            ("Host", "127.0.0.1:8080"),
            ("Origin", "http://127.0.0.1:8080"),
        ];
        let response = server.response("POST /api/chat", &own, r#"{"message":"hi"}"#);
        assert_eq!(response.status, 200, "{origins:?}");
        assert!(matches!(server.asked.pop(), Some(Asked::Submit(_))));
    }
}

#[test]
fn a_preflight_is_answered() {
    let mut server = Setup {
        origins: ALLOWED,
        keys: &["k"],
        ..Setup::default()
    }
    .start();
    let fields = [
        APP,
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "authorization,x-custom"),
    ];
    for target in [
        "/api/chat",
        "/api/chat/chat%3A1",
        "/connection/sse",
        "/nowhere",
        "*",
    ] {
        let response = server.response(&format!("OPTIONS {target}"), &fields, "");
        assert_eq!(response.status, 204, "{target}");
        assert!(response.body.is_empty());
        assert_eq!(
            field(&response, "Access-Control-Allow-Origin"),
            Some("https://app.example")
        );
        let methods = field(&response, "Access-Control-Allow-Methods");
        assert_eq!(methods, Some("GET, POST, DELETE, OPTIONS"));
        let names = field(&response, "Access-Control-Allow-Headers").unwrap();
        for name in [
            "Last-Event-ID",
            "Authorization",
            "Idempotency-Key",
            "X-API-Key",
            "x-custom",
        ] {
            assert!(
                names.split(", ").any(|other| other == name),
                "{name}: {names}"
            );
        }
        let foreign = server.response(&format!("OPTIONS {target}"), &[FOREIGN], "");
        assert_eq!(foreign.status, 204);
        assert_eq!(field(&foreign, "Access-Control-Allow-Origin"), None);
        assert_eq!(field(&foreign, "Access-Control-Allow-Methods"), None);
    }
}

#[test]
fn everybody_may_come_where_the_star_is_listed_but_without_credentials() {
    let mut server = Setup {
        origins: Some(&["*"]),
        ..Setup::default()
    }
    .start();
    for origin in ["https://anyone.example", "null"] {
        let response = server.response(
            "POST /api/chat",
            &[("Origin", origin)],
            r#"{"message":"hi"}"#,
        );
        assert_eq!(response.status, 200);
        assert_eq!(
            field(&response, "Access-Control-Allow-Origin"),
            Some(origin)
        );
        assert_eq!(field(&response, "Access-Control-Allow-Credentials"), None);
    }
}

#[test]
fn a_request_that_cannot_be_read_is_refused_in_json() {
    let mut server = Setup::default().start();
    for (status, code) in [
        (400, "invalid_request"),
        (408, "timeout"),
        (413, "too_large"),
        (505, "invalid_request"),
    ] {
        let response = server.refuse(status, code, "a \"quoted\" reason");
        assert_eq!(error(&response, status, code), "a \"quoted\" reason");
        assert!(response.close);
    }
}
