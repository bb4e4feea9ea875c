//! More clients than the process may have open files.

use std::net::TcpStream;

use crate::client::{question, request};
use crate::program::{Program, Server};

#[test]
fn without_files_left_the_server_neither_spins_nor_stays_deaf() {
    for files in [18, 24, 40] {
        let program = Program::new("[provider.echo]\ndelay = \"1ms\"\n").open_files(files);
        let server = program.start();
        let mut held = server.connect();
        assert_eq!(held.call("GET", "/health", &[], "").0.status(), 200);
        let crowd: Vec<TcpStream> = (0..60).map(|_| server.connect_tcp()).collect();
        // All of them are dealt with when a later request is answered.
        assert_eq!(held.call("GET", "/health", &[], "").0.status(), 200);
        let ticks = server.ticks_in_a_while();
        assert!(
            ticks.is_none_or(|ticks| ticks <= 8),
            "{ticks:?} of 40 with {files} files"
        );
        // Whoever it holds is served on.
        assert_eq!(held.call("GET", "/health", &[], "").0.status(), 200);
        drop((crowd, held));
        ask_until_answered(&server);
    }
}

/// The server serves again, as soon as it has noticed that the crowd is gone.
fn ask_until_answered(server: &Server) {
    let accept = [("Accept", "text/event-stream")];
    let request = request("POST", "/api/chat", &accept, &question("hello again"));
    for _ in 0..1000 {
        let mut wire = server.connect();
        if wire.try_say(&request).is_err() || !matches!(wire.fill(), Ok(1..)) {
            continue;
        }
        let head = wire.head();
        let body = String::from_utf8(wire.body(&head)).unwrap();
        if head.status() == 200 {
            assert!(
                body.contains("\"hello \"") && body.contains("\"stop\""),
                "{body}"
            );
            return;
        }
        assert_eq!(head.status(), 503, "{body}");
    }
    panic!("the server does not recover");
}
