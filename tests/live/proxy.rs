//! `HTTPS_PROXY`: a tunnel to the provider, and who gets none.

use std::net::TcpListener;

use crate::certificates::{Authority, shake_hands};
use crate::client::{answer, failure};
use crate::program::{Program, Server};
use crate::provider::{Provider, section};
use crate::wire::Wire;

/// A server behind a proxy; the provider's name is known to the proxy alone.
fn behind(proxy: &str, variables: &[(&str, &str)], authority: &Authority) -> Server {
    let configuration = section(
        "p",
        "https://provider.invalid/v1",
        "ca_file = \"ca.pem\"\nconnect_timeout = \"5s\"\nwarm_connections = 0",
    );
    let mut program = Program::new(&configuration).set("HTTPS_PROXY", proxy);
    for (name, value) in variables {
        program = program.set(name, value);
    }
    program.file("ca.pem", &authority.pem()).start()
}

#[test]
fn questions_go_through_a_tunnel_which_is_kept() {
    let (authority, proxy) = (Authority::new(), Provider::new());
    let url = format!("http://us%65r:p%40ss@{}", proxy.address);
    let server = behind(&url, &[], &authority);
    let config = authority.certify("provider.invalid").server();
    let mut asked = server.ask("hi");
    let socket = proxy.accept_tcp();
    let mut outer = Wire::tcp(socket.try_clone().unwrap());
    let head = outer.head();
    assert_eq!(head.line, "CONNECT provider.invalid:443 HTTP/1.1");
    assert_eq!(head.field("host"), Some("provider.invalid:443"));
    // user:p@ss
    let credentials = "Basic dXNlcjpwQHNz";
    assert_eq!(head.field("proxy-authorization"), Some(credentials));
    outer.say("HTTP/1.1 200 Connection established\r\nX-Proxy: 1\r\n\r\n");
    let (mut inner, _) = shake_hands(socket, &config).unwrap();
    for text in ["through", "again"] {
        let (head, _) = inner.question();
        assert_eq!(head.field("host"), Some("provider.invalid"));
        assert_eq!(head.field("proxy-authorization"), None);
        inner.begin();
        inner.tell(text);
        inner.finish();
        assert_eq!(answer(&mut asked), text);
        asked = asked.into_wire().ask("again");
    }
    assert!(proxy.has_nobody());
}

#[test]
fn a_proxy_that_gives_no_tunnel_is_told_as_such() {
    let (authority, proxy) = (Authority::new(), Provider::new());
    let server = behind(&format!("http://{}", proxy.address), &[], &authority);
    for (said, wanted) in [
        (
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
            "the proxy answered 403 to CONNECT",
        ),
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n",
            "the proxy answered 407 to CONNECT",
        ),
        ("SOCKS\r\n\r\n", "the proxy: "),
        ("", "the proxy: the connection was closed"),
    ] {
        let mut asked = server.ask("hi");
        let mut connection = proxy.accept();
        connection.head();
        connection.say(said);
        drop(connection);
        let (code, message) = failure(&mut asked);
        assert_eq!(code, "provider_unreachable");
        assert!(message.starts_with(wanted), "{message}");
        assert!(proxy.has_nobody());
    }
}

#[test]
fn a_proxy_that_cannot_be_reached_is_named_instead_of_the_provider() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let authority = Authority::new();
    for (proxy, wanted) in [
        (
            format!("http://{address}"),
            "cannot connect to the proxy 127.0.0.1: Connection refused",
        ),
        (
            "http://nobody.invalid:3128".to_owned(),
            "the name of the proxy nobody.invalid cannot be resolved: ",
        ),
    ] {
        let server = behind(&proxy, &[], &authority);
        let (code, message) = failure(&mut server.ask("hi"));
        assert_eq!(code, "provider_unreachable");
        assert!(message.starts_with(wanted), "{message}");
    }
}

#[test]
fn whoever_is_excepted_is_asked_without_the_proxy() {
    let (authority, proxy) = (Authority::new(), Provider::new());
    let url = format!("http://{}", proxy.address);
    for exceptions in ["provider.invalid", "a.example,.invalid", "*"] {
        let server = behind(&url, &[("NO_PROXY", exceptions)], &authority);
        let (code, message) = failure(&mut server.ask("hi"));
        assert_eq!(code, "provider_unreachable");
        let wanted = "the name provider.invalid cannot be resolved: ";
        assert!(message.starts_with(wanted), "{message}");
    }
    assert!(proxy.has_nobody());
}

#[test]
fn plain_connections_and_loopback_go_without_the_proxy() {
    let (authority, proxy, provider) = (Authority::new(), Provider::new(), Provider::new());
    let variables = |program: Program| {
        let url = format!("http://{}", proxy.address);
        program.set("https_proxy", &url).start()
    };
    let server = variables(Program::new(&provider.section("p", "")));
    let mut asked = server.ask("hi");
    provider.accept().answer("directly");
    assert_eq!(answer(&mut asked), "directly");
    let url = format!("https://{}/v1", provider.address);
    let program = Program::new(&section("p", &url, "ca_file = \"ca.pem\""));
    let server = variables(program.file("ca.pem", &authority.pem()));
    let mut asked = server.ask("hi");
    let config = authority.certify("127.0.0.1").server();
    let (mut wire, _) = shake_hands(provider.accept_tcp(), &config).unwrap();
    wire.answer("directly");
    assert_eq!(answer(&mut asked), "directly");
    assert!(proxy.has_nobody());
}
