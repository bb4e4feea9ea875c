//! Key sets that are fetched from a URL: over TLS, through a proxy, and what is said where they
//! are not.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::certificates::{Authority, shake_hands};
use crate::client::request;
use crate::program::{Program, Server};
use crate::provider::{FullHouse, Provider, whole};
use crate::signer::{Signer, key_set};
use crate::websocket::Message;
use crate::wire::Wire;

/// A configuration that fetches its keys.
fn fetching(url: &str) -> Program {
    Program::new(&format!(
        "[provider.echo]\n[client]\nallow_anonymous_connect_without_token = false\n\
         [client.token]\njwks_public_endpoint = \"{url}\"\njwks_ca_file = \"ca.pem\"\n"
    ))
}

/// What a client is told that connects with this token.
fn connect(server: &Server, token: &str) -> Value {
    let mut wire = server.connect();
    let fields = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    wire.say(request("GET", "/connection/websocket", &fields, ""));
    assert_eq!(wire.head().status(), 101);
    let command = json!({"id": 1, "connect": {"token": token}}).to_string();
    wire.send_frame(0x1, command.as_bytes());
    match wire.message() {
        Message::Event(reply) => reply,
        Message::Close(code) => json!({"close": code}),
    }
}

fn is_accepted(server: &Server, token: &str) -> bool {
    let reply = connect(server, token);
    if reply["connect"]["client"].is_string() {
        return true;
    }
    let error = &reply["error"];
    assert_eq!(
        (&error["code"], &error["temporary"]),
        (&json!(100), &json!(true))
    );
    false
}

fn token(signer: &Signer) -> String {
    signer.sign(&json!({"sub": "42"}))
}

/// Takes the request for the set.
fn asked(issuer: &mut Wire) {
    let head = issuer.head();
    assert_eq!(head.line, "GET /keys HTTP/1.1");
    assert_eq!(head.field("authorization"), None);
}

fn gives(issuer: &mut Wire, signers: &[&Signer]) {
    asked(issuer);
    issuer.say(whole("200 OK", "application/json", &key_set(signers)));
}

#[test]
fn a_token_is_accepted_once_its_key_has_come_over_tls() {
    let (authority, issuer) = (Authority::new(), Provider::new());
    let (signer, stranger) = (Signer::new("a", 1), Signer::new("a", 2));
    let url = format!("https://localhost:{}/keys", issuer.address.port());
    let server = fetching(&url).file("ca.pem", &authority.pem()).start();
    assert!(!is_accepted(&server, &token(&signer)));
    let config = authority.certify("localhost").server();
    let (mut wire, _) = shake_hands(issuer.accept_tcp(), &config).unwrap();
    assert!(!is_accepted(&server, &token(&signer)));
    gives(&mut wire, &[&signer]);
    server.wait_for_log("the key set of localhost was fetched");
    assert!(is_accepted(&server, &token(&signer)));
    assert_eq!(connect(&server, &token(&stranger)), json!({"close": 3500}));
    assert!(wire.read_to_end().is_empty());
    assert!(issuer.has_nobody());
}

#[test]
fn a_key_set_comes_through_the_proxy() {
    let (authority, proxy) = (Authority::new(), Provider::new());
    let signer = Signer::new("a", 1);
    let program = fetching("https://issuer.invalid/keys").file("ca.pem", &authority.pem());
    let server = program
        .set("HTTPS_PROXY", &format!("http://{}", proxy.address))
        .start();
    let socket = proxy.accept_tcp();
    let mut outer = Wire::tcp(socket.try_clone().unwrap());
    assert_eq!(outer.head().line, "CONNECT issuer.invalid:443 HTTP/1.1");
    outer.say("HTTP/1.1 200 Connection established\r\n\r\n");
    let config = authority.certify("issuer.invalid").server();
    let (mut wire, _) = shake_hands(socket, &config).unwrap();
    gives(&mut wire, &[&signer]);
    server.wait_for_log("the key set of issuer.invalid was fetched");
    assert!(is_accepted(&server, &token(&signer)));
}

#[test]
fn a_set_that_does_not_come_is_warned_about_and_no_token_accepted() {
    let (authority, other) = (Authority::new(), Authority::named("a stranger"));
    let signer = Signer::new("a", 1);
    let good = whole("200 OK", "application/json", &key_set(&[&signer]));
    let moved = whole("302 Found\r\nLocation: /elsewhere", "text/plain", "");
    let ours = authority.certify("localhost");
    let theirs = other.certify("localhost");
    for (certificate, answer, why) in [
        (&theirs, good.as_str(), "no TLS with localhost: "),
        (
            &ours,
            &moved,
            "localhost answered 302 Found: redirects are not followed",
        ),
        (&ours, "", "localhost gave no answer"),
        (
            &ours,
            &good[..good.len() - 1],
            "before the end of the key set",
        ),
        (
            &ours,
            &whole("200 OK", "text/html", "<html>"),
            "is of no use: ",
        ),
    ] {
        let issuer = Provider::new();
        let url = format!("https://localhost:{}/keys?secret", issuer.address.port());
        let server = fetching(&url).file("ca.pem", &authority.pem()).start();
        if let Ok((mut wire, _)) = shake_hands(issuer.accept_tcp(), &certificate.server())
            && wire.try_head().is_some()
        {
            wire.say(answer);
        }
        let line = server.wait_for_log(why);
        assert!(
            line.contains("localhost") && !line.contains("secret"),
            "{line}"
        );
        if !why.starts_with("is of no use") {
            server.wait_for_log("the former stays, next try in 10 s");
        }
        assert!(!is_accepted(&server, &token(&signer)));
        assert!(issuer.has_nobody());
    }
}

#[test]
fn an_issuer_that_is_down_does_not_keep_the_server_from_starting_or_stopping() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let silent = FullHouse::new();
    for address in [closed, silent.address] {
        let url = format!("http://{address}/keys");
        let server = fetching(&url)
            .file("ca.pem", &Authority::new().pem())
            .start();
        assert!(!is_accepted(&server, &token(&Signer::new("a", 1))));
        server.signal("TERM");
        assert_eq!(server.wait(), Some(0));
    }
}
