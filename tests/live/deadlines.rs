//! The four timers of an answer, each told by its name.

use crate::client::{end_of, text_of};
use crate::program::Server;
use crate::provider::{FullHouse, Provider, in_chunk, section};

const LONG: &str = "connect_timeout = \"60s\"\nfirst_event_timeout = \"60s\"\n\
                    between_events_timeout = \"60s\"\ntotal_timeout = \"60s\"\n";

/// A provider's timers, of which one is short.
fn timers(short: &str) -> String {
    let (before, after) = LONG.split_once(short).unwrap();
    let (_, after) = after.split_once('\n').unwrap();
    format!("{before}{short} = \"300ms\"\n{after}")
}

#[test]
fn each_timer_ends_the_answer_under_its_own_name() {
    for (timer, said, what) in [
        ("first_event_timeout", None, "no first event"),
        ("first_event_timeout", Some(": alive\n\n"), "no first event"),
        ("between_events_timeout", Some(""), "no further event"),
        ("total_timeout", None, "no complete answer"),
        ("total_timeout", Some(""), "no complete answer"),
    ] {
        let provider = Provider::new();
        let server = Server::start(&provider.section("p", &timers(timer)));
        let mut asked = server.ask("hi");
        let mut connection = provider.accept();
        connection.question();
        match said {
            None => {}
            Some("") => {
                connection.begin();
                connection.tell("partial");
            }
            Some(sign_of_life) => {
                connection.begin();
                connection.say(in_chunk(sign_of_life));
            }
        }
        let events = asked.rest();
        let end = end_of(&events);
        assert_eq!(end["code"], "provider_timeout", "{end}");
        let wanted = format!("{what} from 127.0.0.1 within {timer} (300 ms)");
        assert_eq!(end["message"], wanted);
        assert_eq!(end["retryable"], true);
        let text = if said == Some("") { "partial" } else { "" };
        assert_eq!(text_of(&events), text);
        // The provider learns of it.
        connection.read_to_end();
        assert!(provider.has_nobody());
    }
}

#[test]
fn the_time_to_connect_holds_for_sockets_and_for_tls() {
    let silent = Provider::new();
    let full = FullHouse::new();
    for url in [
        format!("https://{}/v1", silent.address),
        format!("http://{}/v1", full.address),
    ] {
        let server = Server::start(&section("p", &url, &timers("connect_timeout")));
        let events = server.ask("hi").rest();
        let end = end_of(&events);
        assert_eq!(end["code"], "provider_timeout", "{end}");
        let wanted = "no connection to 127.0.0.1 within connect_timeout (300 ms)";
        assert_eq!(end["message"], wanted);
    }
}
