//! More clients than the process may have open files.

use std::io::Read as _;
use std::net::TcpStream;
use std::time::Duration;

use crate::client::{question, request};
use crate::program::{Program, Server};

/// So long nothing happens on an overcrowded server.
const QUIET: Duration = Duration::from_millis(400);

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
        let before = cpu_ticks(&server);
        wait_quietly(&crowd[0]);
        if let (Some(before), Some(after)) = (before, cpu_ticks(&server)) {
            // Of some 40.
            assert!(
                after - before <= 8,
                "{} ticks with {files} files",
                after - before
            );
        }
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

/// Waits a moment in which this connection is neither served nor needed.
fn wait_quietly(mut stream: &TcpStream) {
    stream.set_read_timeout(Some(QUIET)).unwrap();
    let _ = stream.read(&mut [0]);
}

/// The processor time that the server has used, in hundredths of a second.
fn cpu_ticks(server: &Server) -> Option<u64> {
    let stat = server.proc("stat")?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut times = fields.split(' ').skip(11);
    let user: u64 = times.next()?.parse().ok()?;
    let system: u64 = times.next()?.parse().ok()?;
    Some(user + system)
}
