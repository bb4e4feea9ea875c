//! Connections to a provider: kept for the next question, and what if they have died.

use std::net::{SocketAddr, ToSocketAddrs};

use crate::client::{answer, failure};
use crate::program::Server;
use crate::provider::{Provider, section, whole};
use crate::wire::Wire;

#[test]
fn the_next_question_takes_the_same_connection() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    let mut first = server.ask("one");
    let mut kept = provider.accept();
    kept.answer("1");
    assert_eq!(answer(&mut first), "1");
    for text in ["2", "3"] {
        let mut next = first.into_wire().ask("again");
        kept.answer(text);
        assert_eq!(answer(&mut next), text);
        first = next;
    }
    assert!(provider.has_nobody());
}

#[test]
fn questions_at_the_same_time_take_connections_of_their_own_which_are_kept() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    let mut asked: Vec<_> = (0..3).map(|_| server.ask("hi")).collect();
    let mut kept: Vec<_> = asked.iter().map(|_| provider.accept()).collect();
    for connection in &mut kept {
        connection.answer("a");
    }
    for stream in &mut asked {
        assert_eq!(answer(stream), "a");
    }
    let mut next: Vec<_> = (0..3).map(|_| server.ask("hi")).collect();
    for connection in &mut kept {
        connection.answer("b");
    }
    for stream in &mut next {
        assert_eq!(answer(stream), "b");
    }
    assert!(provider.has_nobody());
}

#[test]
fn a_kept_connection_that_dies_on_a_question_costs_one_more_connection_and_no_more() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    // It is closed after the question was read, or reset while the question is unread.
    for is_read in [true, false] {
        let mut first = server.ask("one");
        let socket = provider.accept_tcp();
        let mut kept = Wire::tcp(socket.try_clone().unwrap());
        kept.answer("1");
        assert_eq!(answer(&mut first), "1");
        let mut second = server.ask("two");
        if is_read {
            kept.question();
        } else {
            assert_eq!(socket.peek(&mut [0]).unwrap(), 1);
        }
        drop((kept, socket));
        let mut fresh = provider.accept();
        assert_eq!(fresh.question().1["messages"][0]["content"], "two");
        drop(fresh);
        let (code, message) = failure(&mut second);
        assert_eq!(code, "provider_unreachable", "{message}");
        assert!(message.contains("127.0.0.1 gave no answer"), "{message}");
        assert!(provider.has_nobody());
    }
}

#[test]
fn a_question_that_was_repeated_is_answered_once() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    let mut first = server.ask("one");
    let mut kept = provider.accept();
    kept.answer("1");
    assert_eq!(answer(&mut first), "1");
    let mut second = server.ask("two");
    kept.question();
    drop(kept);
    let mut fresh = provider.accept();
    fresh.answer("2");
    assert_eq!(answer(&mut second), "2");
    assert!(provider.has_nobody());
}

#[test]
fn a_connection_that_was_closed_in_the_meantime_is_not_used() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    let mut first = server.ask("one");
    let mut kept = provider.accept();
    kept.answer("1");
    assert_eq!(answer(&mut first), "1");
    drop(kept);
    let mut second = server.ask("two");
    provider.accept().answer("2");
    assert_eq!(answer(&mut second), "2");
    assert!(provider.has_nobody());
}

#[test]
fn a_question_is_not_repeated_once_an_answer_has_begun() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    for begun in ["H", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"] {
        let mut first = server.ask("one");
        let mut kept = provider.accept();
        kept.answer("1");
        assert_eq!(answer(&mut first), "1");
        let mut second = server.ask("two");
        kept.question();
        kept.say(begun);
        drop(kept);
        let (code, message) = failure(&mut second);
        assert_eq!(code, "provider_truncated", "{message}");
        assert!(provider.has_nobody(), "after {begun:?}");
    }
}

#[test]
fn a_fresh_connection_that_dies_is_not_tried_again() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    let mut stream = server.ask("one");
    provider.accept().question();
    let (code, message) = failure(&mut stream);
    assert_eq!(code, "provider_unreachable", "{message}");
    assert!(provider.has_nobody());
}

#[test]
fn the_next_address_of_a_name_is_tried_when_the_first_refuses() {
    let Some(last) = last_of_several() else {
        eprintln!("SKIPPED: localhost has one address here");
        return;
    };
    let provider = Provider::at(&last.to_string());
    let url = format!("http://localhost:{}/v1", provider.address.port());
    let server = Server::start(&section("p", &url, ""));
    let mut stream = server.ask("hi");
    provider.accept().answer("from the last address");
    assert_eq!(answer(&mut stream), "from the last address");
}

/// The last address of localhost, with any port, if it has several.
fn last_of_several() -> Option<SocketAddr> {
    let mut found: Vec<_> = ("localhost", 0).to_socket_addrs().ok()?.collect();
    found.dedup();
    let last = found.pop()?;
    let others = found.iter().any(|address| address.ip() != last.ip());
    others.then_some(last)
}

#[test]
fn whoever_cannot_be_reached_is_named() {
    // A port on which nobody listens any more.
    let refusing = Provider::new().address;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = taken.local_addr().unwrap();
    drop(taken);
    assert_ne!(refusing, closed);
    for (url, wanted) in [
        (
            format!("http://{closed}/v1"),
            "cannot connect to 127.0.0.1: Connection refused",
        ),
        (
            "http://nobody.invalid/v1".to_owned(),
            "the name nobody.invalid cannot be resolved: ",
        ),
    ] {
        let server = Server::start(&section("p", &url, ""));
        let (code, message) = failure(&mut server.ask("hi"));
        assert_eq!(code, "provider_unreachable");
        assert!(message.starts_with(wanted), "{message}");
    }
}

#[test]
fn what_nobody_asked_for_ends_a_kept_connection() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    let mut asked = server.ask("one");
    let mut kept = provider.accept();
    kept.answer("1");
    assert_eq!(answer(&mut asked), "1");
    // As some servers do before they close an idle connection.
    kept.say("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");
    kept.read_to_end();
    let mut asked = server.ask("two");
    provider.accept().answer("2");
    assert_eq!(answer(&mut asked), "2");
}

#[test]
fn an_answer_may_come_before_the_question_is_sent() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    // More than sockets hold, so that the server cannot get rid of it.
    let long = "x".repeat(900_000);
    let refusal = r#"{"error":{"message":"far too long","code":"context_length_exceeded"}}"#;
    let mut asked = server.ask(&long);
    let mut connection = provider.accept();
    connection.head();
    connection.say(whole("400 Bad Request", "application/json", refusal));
    assert_eq!(failure(&mut asked).0, "provider_context_length");
    // Half of a question is in it: nobody uses this connection again.
    let mut asked = server.ask("short");
    provider.accept().answer("on a fresh one");
    assert_eq!(answer(&mut asked), "on a fresh one");

    let mut asked = server.ask(&long);
    let mut connection = provider.accept();
    let (_, question) = connection.question();
    assert_eq!(question["messages"][0]["content"], *long);
    connection.begin();
    connection.tell("understood");
    connection.finish();
    assert_eq!(answer(&mut asked), "understood");
}

#[test]
fn many_questions_at_once_are_answered_and_not_all_connections_are_kept() {
    let provider = Provider::new();
    let server = Server::start(&provider.section("p", ""));
    let mut asked: Vec<_> = (0..260)
        .map(|number| server.ask(&number.to_string()))
        .collect();
    let mut connections: Vec<_> = asked.iter().map(|_| provider.accept()).collect();
    // They may come in any order: one that finds no room to wait in tries again a second later.
    for connection in &mut connections {
        let (_, question) = connection.question();
        let number = question["messages"][0]["content"].as_str().unwrap();
        let stream = &mut asked[number.parse::<usize>().unwrap()];
        connection.begin();
        connection.tell(number);
        connection.finish();
        assert_eq!(answer(stream), number);
    }
    // Those that had to make room are closed by the server; 256 are kept.
    let closed = connections.drain(..4).map(|mut it| it.read_to_end());
    assert!(closed.map(|rest| rest.len()).sum::<usize>() == 0);
    let mut asked = server.ask("hi");
    connections.last_mut().unwrap().answer("b");
    assert_eq!(answer(&mut asked), "b");
    assert!(provider.has_nobody());
}
