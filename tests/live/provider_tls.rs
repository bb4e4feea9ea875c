//! TLS with a provider: whom the server trusts, and what it says where it does not.

use rustls::HandshakeKind;

use crate::certificates::{Authority, Certificate, shake_hands};
use crate::client::{answer, failure};
use crate::metrics::metrics;
use crate::program::{Program, Server};
use crate::provider::{Provider, section};
use crate::wire::Wire;

/// A server that trusts an authority, and its provider, to whom nobody connects unasked.
fn trusting(authority: &Authority, host: &str) -> (Server, Provider) {
    warm(authority, host, "warm_connections = 0")
}

/// The same with other keys.
fn warm(authority: &Authority, host: &str, more: &str) -> (Server, Provider) {
    let provider = Provider::new();
    let url = format!("https://{host}:{}/v1", provider.address.port());
    let keys = format!("ca_file = \"ca.pem\"\n{more}");
    let program = Program::new(&section("p", &url, &keys));
    (program.file("ca.pem", &authority.pem()).start(), provider)
}

#[test]
fn a_provider_with_a_certificate_of_ones_own_authority_is_trusted() {
    let authority = Authority::new();
    for host in ["localhost", "127.0.0.1"] {
        let (server, provider) = trusting(&authority, host);
        let config = authority.certify(host).server();
        let mut asked = server.ask("hi");
        let (mut wire, _) = shake_hands(provider.accept_tcp(), &config).unwrap();
        wire.answer("in private");
        assert_eq!(answer(&mut asked), "in private");
        // The connection is kept, and so is its privacy.
        let mut asked = server.ask("hi");
        wire.answer("still");
        assert_eq!(answer(&mut asked), "still");
        assert!(provider.has_nobody());
    }
}

#[test]
fn a_second_connection_resumes_the_session_of_the_first() {
    let authority = Authority::new();
    let (server, provider) = trusting(&authority, "localhost");
    let config = authority.certify("localhost").server();
    let mut kinds = Vec::new();
    for _ in 0..3 {
        let mut asked = server.ask("hi");
        let (mut wire, kind) = shake_hands(provider.accept_tcp(), &config).unwrap();
        kinds.push(kind);
        wire.answer("hello");
        assert_eq!(answer(&mut asked), "hello");
    }
    let again = HandshakeKind::Resumed;
    assert_eq!(kinds, [HandshakeKind::Full, again, again]);
}

#[test]
fn the_next_question_finds_a_connection_whose_handshakes_are_over() {
    let authority = Authority::new();
    let (server, provider) = warm(&authority, "localhost", "");
    let config = authority.certify("localhost").server();
    let mut first = server.ask("one");
    let (mut wire, _) = shake_hands(provider.accept_tcp(), &config).unwrap();
    wire.question();
    wire.begin();
    wire.tell("one ");
    // The spare is made though nobody has asked again.
    let (mut spare, _) = shake_hands(provider.accept_tcp(), &config).unwrap();
    while !metrics(&server).contains("\nlmserver_upstream_spares_total 1\n") {}
    let mut second = server.ask("two");
    spare.answer("at once");
    assert_eq!(answer(&mut second), "at once");
    let metrics = metrics(&server);
    let used = "\nlmserver_upstream_spares_used_total 1\n";
    assert!(metrics.contains(used), "{metrics}");
    wire.finish();
    assert_eq!(answer(&mut first), "one ");
}

#[test]
fn a_certificate_that_proves_nothing_is_refused_before_the_question_is_sent() {
    let authority = Authority::new();
    let strange = Authority::named("a stranger");
    let cases: [(Certificate, &str); 3] = [
        (authority.certify("other.example"), "not valid for name"),
        (authority.certify_in_the_past("127.0.0.1"), "has expired"),
        (strange.certify("127.0.0.1"), "ca_file adds one"),
    ];
    let (server, provider) = trusting(&authority, "127.0.0.1");
    for (certificate, why) in cases {
        let mut asked = server.ask("hi");
        let outcome = shake_hands(provider.accept_tcp(), &certificate.server());
        let (code, message) = failure(&mut asked);
        assert_eq!(code, "provider_unreachable");
        assert!(message.starts_with("no TLS with 127.0.0.1: "), "{message}");
        assert!(message.contains(why), "{message}");
        // The provider is told by an alert, and gets nothing else.
        let told = match outcome {
            Err(error) => error.to_string(),
            Ok((mut wire, _)) => wire.fill().expect_err("an alert").to_string(),
        };
        assert!(told.contains("alert"), "{told}");
        assert!(provider.has_nobody());
    }
}

#[test]
fn what_does_not_speak_tls_is_told_as_such() {
    let authority = Authority::new();
    let (server, provider) = trusting(&authority, "127.0.0.1");
    for (said, why) in [
        (
            "HTTP/1.1 400 Bad Request\r\n\r\n",
            "the peer does not speak TLS",
        ),
        ("\x16\x03\x03", "the connection was closed"),
        ("", "the connection was closed"),
    ] {
        let mut asked = server.ask("hi");
        let mut connection = Wire::tcp(provider.accept_tcp());
        // The whole hello, so that the end is no reset.
        let length = connection.exactly(5);
        connection.exactly(usize::from(length[3]) * 256 + usize::from(length[4]));
        connection.say(said);
        drop(connection);
        let (code, message) = failure(&mut asked);
        assert_eq!(code, "provider_unreachable", "{message}");
        assert!(message.starts_with("no TLS with 127.0.0.1: "), "{message}");
        assert!(message.ends_with(why), "{message}");
        assert!(provider.has_nobody());
    }
}

#[test]
fn an_answer_in_tls_that_is_cut_is_truncated() {
    let authority = Authority::new();
    let (server, provider) = trusting(&authority, "127.0.0.1");
    let config = authority.certify("127.0.0.1").server();
    let mut asked = server.ask("hi");
    let (mut wire, _) = shake_hands(provider.accept_tcp(), &config).unwrap();
    wire.question();
    wire.begin();
    wire.tell("half");
    drop(wire);
    assert_eq!(failure(&mut asked).0, "provider_truncated");
}
