//! The protocol core judged by foreign corpora, whole and byte by byte.

#[path = "../../tests/common/http1_corpus.rs"]
mod http1_corpus;

use http1_corpus::{CASES, Cut, DECLINED, Link, Received, corpora, run};
use lmserver_proto::http1::server::{Connection, Event};
use lmserver_proto::http1::{Limits, Method, Response, imf_fixdate};

/// An echo server without a socket.
#[derive(Default)]
struct Echo {
    connection: Connection,
    out: Vec<u8>,
}

impl Link for Echo {
    fn send(&mut self, bytes: &[u8]) {
        let date = imf_fixdate(784_111_777);
        self.connection.feed(bytes);
        loop {
            match self.connection.next_event(&Limits::default()) {
                Ok(Some(Event::Continue)) => self.connection.write_continue(&mut self.out),
                Ok(Some(Event::Request { head, body })) => {
                    let response = match head.method {
                        Method::Connect => Response::text(501, "no tunnels"),
                        _ => Response {
                            body,
                            ..Response::text(200, "")
                        },
                    };
                    self.connection.respond(&response, &date, &mut self.out);
                }
                Ok(None) => return,
                Err(error) => self
                    .connection
                    .reject(&error.response(), &date, &mut self.out),
            }
        }
    }

    fn receive(&mut self) -> Received {
        Received {
            bytes: self.out.clone(),
            closed: self.connection.is_closed(),
        }
    }
}

#[test]
fn the_core_agrees_with_the_corpora_but_for_what_it_declines() {
    let Some(folder) = corpora(env!("CARGO_MANIFEST_DIR")) else {
        let _ = std::io::Write::write_fmt(
            &mut std::io::stderr(),
            format_args!("SKIPPED: no corpora in ../shared/fixtures/http1\n"),
        );
        return;
    };
    for cut in [Cut::Whole, Cut::EveryByte] {
        let report = run(&folder, "127.0.0.1:18080", cut, &mut || {
            Box::<Echo>::default()
        });
        assert_eq!(report.cases, CASES);
        eprintln!(
            "{cut:?}: {} cases, {} warnings",
            report.cases,
            report.warnings.len()
        );
        eprintln!("warnings: {}", report.warnings.join(" "));
        if let Err(complaint) = report.compare(DECLINED) {
            panic!("{cut:?}:\n{complaint}");
        }
    }
}
