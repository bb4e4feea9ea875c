use std::collections::BTreeMap;

use super::*;

const AT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// Sends bytes, ends its side, and keeps what comes back.
struct Caller {
    line: Option<LineId>,
    weather: Weather,
    unsent: Vec<u8>,
    received: Vec<u8>,
    outcome: Option<Received>,
}

impl Caller {
    fn new(bytes: &[u8], weather: Weather) -> Self {
        Self {
            line: None,
            weather,
            unsent: bytes.to_vec(),
            received: Vec::new(),
            outcome: None,
        }
    }
}

impl Peer for Caller {
    fn step(&mut self, _now: Moment, net: &mut Net<'_>) {
        let line = match self.line {
            Some(line) => line,
            None => *self.line.insert(net.connect(AT, self.weather).unwrap()),
        };
        let sent = net.write(line, &self.unsent);
        self.unsent.drain(..sent);
        if self.unsent.is_empty() {
            net.shutdown(line);
        }
        loop {
            match net.read(line, &mut self.received, 5) {
                Received::Bytes(_) => {}
                Received::Nothing => return,
                end => {
                    self.outcome = Some(end);
                    net.close(line);
                    return net.done();
                }
            }
        }
    }
}

/// A server that gives every byte back, with the bookkeeping that the contract of `Sys` asks for.
struct Echo {
    sys: SimSys,
    listener: SockId,
    open: BTreeMap<SockId, (bool, bool, Vec<u8>, bool)>,
}

impl Echo {
    fn new(mut sys: SimSys) -> Self {
        let (listener, _) = sys.listen(&ListenAddr::Tcp(AT)).unwrap();
        Self {
            sys,
            listener,
            open: BTreeMap::new(),
        }
    }

    fn turn(&mut self, until: Option<Moment>) -> io::Result<()> {
        let mut events = Vec::new();
        self.sys.poll(until, &mut events)?;
        for event in events {
            let SysEvent::Ready {
                sock,
                readable,
                writable,
                ..
            } = event
            else {
                continue;
            };
            if sock == self.listener {
                while let Ok((sock, _)) = self.sys.accept(sock) {
                    self.open.insert(sock, (false, false, Vec::new(), false));
                }
            } else if let Some(it) = self.open.get_mut(&sock) {
                it.0 |= readable;
                it.1 |= writable;
            }
        }
        for sock in self.open.keys().copied().collect::<Vec<_>>() {
            self.serve(sock);
        }
        Ok(())
    }

    fn serve(&mut self, sock: SockId) {
        let (readable, writable, bytes, ended) = self.open.get_mut(&sock).unwrap();
        let mut buf = [0; 16];
        while *readable && !*ended {
            match self.sys.read(sock, &mut buf) {
                Ok(0) => *ended = true,
                Ok(count) => bytes.extend(&buf[..count]),
                Err(_) => *readable = false,
            }
        }
        while *writable && !bytes.is_empty() {
            match self.sys.write(sock, bytes) {
                Ok(count) => drop(bytes.drain(..count)),
                Err(_) => *writable = false,
            }
        }
        if *ended && bytes.is_empty() {
            self.sys.close(sock);
            self.open.remove(&sock);
        }
    }
}

fn run(seed: u64, faults: Faults) -> (u64, Vec<Vec<u8>>) {
    let mut sys = SimSys::new(seed, faults);
    let mut dice = Random::new(seed);
    let callers: Vec<PeerId> = (0..8u8)
        .map(|n| {
            let weather = Weather {
                latency: (0, dice.below(30)),
                window_to_server: dice.pick(&[1, 7, 100]),
                window_to_peer: dice.pick(&[1, 7, 100]),
            };
            let at = Moment(dice.below(50));
            sys.add_at(Caller::new(&vec![n; 10 + usize::from(n) * 30], weather), at)
        })
        .collect();
    let mut echo = Echo::new(sys);
    while !echo.sys.all_done() {
        echo.turn(None).unwrap();
    }
    let received = callers
        .iter()
        .map(|id| echo.sys.peer::<Caller>(*id).unwrap().received.clone())
        .collect();
    (echo.sys.fingerprint(), received)
}

#[test]
fn the_same_seed_gives_the_same_world_and_every_byte_arrives() {
    let mut fingerprints = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let faults = if seed % 3 == 0 {
            Faults::default()
        } else {
            Faults::unkind()
        };
        let (fingerprint, received) = run(seed, faults);
        for (n, bytes) in (0u8..).zip(&received) {
            assert_eq!(*bytes, vec![n; 10 + usize::from(n) * 30], "seed {seed}");
        }
        assert_eq!(run(seed, faults), (fingerprint, received), "seed {seed}");
        fingerprints.insert(fingerprint);
    }
    assert_eq!(fingerprints.len(), 100);
}

fn accepted(bytes: &[u8], weather: Weather) -> (SimSys, SockId, PeerId) {
    let mut sys = SimSys::new(1, Faults::default());
    let caller = sys.add(Caller::new(bytes, weather));
    let (listener, _) = sys.listen(&ListenAddr::Tcp(AT)).unwrap();
    let mut events = Vec::new();
    sys.poll(None, &mut events).unwrap();
    assert!(
        matches!(events[..], [SysEvent::Ready { sock, readable: true, .. }] if sock == listener)
    );
    let (sock, _) = sys.accept(listener).unwrap();
    (sys, sock, caller)
}

fn ready(sys: &mut SimSys) -> Vec<(bool, bool, bool)> {
    let mut events = Vec::new();
    let now = sys.now();
    sys.poll(Some(now), &mut events).unwrap();
    events
        .iter()
        .map(|event| match event {
            SysEvent::Ready {
                readable,
                writable,
                closed,
                ..
            } => (*readable, *writable, *closed),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn readiness_is_told_once_until_it_is_used_up() {
    let (mut sys, sock, _) = accepted(b"0123456789", Weather::default());
    assert_eq!(ready(&mut sys), [(true, true, true)]);
    assert_eq!(ready(&mut sys), []);
    let mut buf = [0; 10];
    assert_eq!(sys.read(sock, &mut buf).unwrap(), 10);
    // All that was asked for was given: whether there is more is for the reader to find out.
    assert_eq!(ready(&mut sys), []);
    assert_eq!(sys.read(sock, &mut buf).unwrap(), 0);
    assert_eq!(ready(&mut sys), []);
}

#[test]
fn a_full_window_blocks_and_its_space_is_told() {
    let weather = Weather {
        window_to_peer: 4,
        ..Weather::default()
    };
    let (mut sys, sock, caller) = accepted(b"x", weather);
    assert_eq!(ready(&mut sys).len(), 1);
    assert_eq!(sys.write(sock, b"abcdef").unwrap(), 4);
    assert_eq!(
        sys.write(sock, b"ef").unwrap_err().kind(),
        io::ErrorKind::WouldBlock
    );
    assert_eq!(ready(&mut sys), [(false, true, true)]);
    assert_eq!(sys.write(sock, b"ef").unwrap(), 2);
    sys.close(sock);
    // It was closed with a byte unread: the peer is reset, and what was under way is lost.
    assert_eq!(ready(&mut sys), []);
    let caller = sys.peer::<Caller>(caller).unwrap();
    assert_eq!(
        (&caller.received[..], caller.outcome),
        (&b"abcd"[..], Some(Received::Reset))
    );
}

#[test]
fn what_the_server_sends_before_it_closes_arrives() {
    let (mut sys, sock, caller) = accepted(
        b"x",
        Weather {
            latency: (5, 9),
            ..Weather::default()
        },
    );
    assert_eq!(
        sys.read(sock, &mut [0; 4]).unwrap_err().kind(),
        io::ErrorKind::WouldBlock
    );
    let mut events = Vec::new();
    sys.poll(None, &mut events).unwrap();
    sys.poll(None, &mut events).unwrap();
    assert_eq!(sys.read(sock, &mut [0; 4]).unwrap(), 1);
    assert_eq!(sys.write(sock, b"bye").unwrap(), 3);
    sys.close(sock);
    sys.poll(Some(Moment(100)), &mut Vec::new()).unwrap();
    let caller = sys.peer::<Caller>(caller).unwrap();
    assert_eq!(
        (&caller.received[..], caller.outcome),
        (&b"bye"[..], Some(Received::End))
    );
}

#[test]
fn connects_are_decided_as_the_host_decides() {
    let hosts = [
        (
            Host::Refuses(7),
            Some(7),
            Err(io::ErrorKind::ConnectionRefused),
        ),
        (
            Host::Accepts(PeerId(0), 9, Weather::default()),
            Some(9),
            Ok(true),
        ),
        (Host::Silent, None, Ok(false)),
    ];
    for (host, when, want) in hosts {
        let mut sys = SimSys::new(1, Faults::default());
        sys.host(AT, host);
        let sock = sys.connect(AT).unwrap();
        assert!(!sys.connected(sock).unwrap());
        let mut events = Vec::new();
        sys.poll(Some(Moment(1000)), &mut events).unwrap();
        assert_eq!(sys.now().0, when.unwrap_or(1000));
        assert_eq!(sys.connected(sock).map_err(|error| error.kind()), want);
    }
    let mut sys = SimSys::new(1, Faults::default());
    sys.host(AT, Host::Unreachable);
    assert_eq!(
        sys.connect(AT).unwrap_err().kind(),
        io::ErrorKind::NetworkUnreachable
    );
}

#[test]
fn names_are_answered_late_or_never_or_not_at_all() {
    let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut sys = SimSys::new(1, Faults::default());
    let takes = |millis| Some(Duration::from_millis(millis));
    sys.name(
        "good",
        Name {
            addrs: Ok(vec![ip, ip]),
            takes: takes(30),
        },
    );
    sys.name(
        "bad",
        Name {
            addrs: Err(io::ErrorKind::TimedOut),
            takes: takes(20),
        },
    );
    sys.name(
        "silent",
        Name {
            addrs: Ok(vec![ip]),
            takes: None,
        },
    );
    for (ticket, host) in (0..).zip(["good", "bad", "silent", "127.0.0.1", "unknown"]) {
        sys.resolve(host, 80, ticket);
    }
    let mut answers = Vec::new();
    while sys.now() < Moment(1000) {
        let mut events = Vec::new();
        sys.poll(Some(Moment(1000)), &mut events).unwrap();
        for event in events {
            let SysEvent::Resolved { ticket, addrs } = event else {
                panic!("{event:?}")
            };
            answers.push((sys.now().0, ticket, addrs.map_or(0, |addrs| addrs.len())));
        }
    }
    assert_eq!(answers, [(0, 3, 1), (1, 4, 0), (20, 1, 0), (30, 0, 2)]);
}

#[test]
fn accepts_fail_as_told_and_one_can_be_shed() {
    let mut sys = SimSys::new(1, Faults::default());
    for _ in 0..3 {
        sys.add(Caller::new(b"x", Weather::default()));
    }
    let (listener, _) = sys.listen(&ListenAddr::Tcp(AT)).unwrap();
    sys.poll(None, &mut Vec::new()).unwrap();
    sys.fail_accepts(&[ENFILE, ECONNABORTED]);
    let number = |result: io::Result<_>| result.map(|_| ()).unwrap_err().raw_os_error();
    assert_eq!(number(sys.accept(listener)), Some(ENFILE));
    assert_eq!(number(sys.accept(listener)), Some(ECONNABORTED));
    sys.exhaust_descriptors(Moment(5));
    assert_eq!(number(sys.accept(listener)), Some(EMFILE));
    assert!(sys.shed(listener));
    sys.poll(Some(Moment(5)), &mut Vec::new()).unwrap();
    assert!(sys.accept(listener).is_ok());
    assert_eq!(
        sys.accept(listener).unwrap_err().kind(),
        io::ErrorKind::WouldBlock
    );
    assert!(!sys.shed(listener));
    assert_eq!(sys.accepts_failed(), 3);
}

#[test]
fn a_deadlock_and_a_spinning_reactor_are_reported() {
    let (mut sys, _, _) = accepted(b"", Weather::default());
    sys.poll(None, &mut Vec::new()).unwrap();
    let error = sys.poll(None, &mut Vec::new()).unwrap_err().to_string();
    assert!(
        error.starts_with("deadlock") && error.contains("peer 0 is not done"),
        "{error}"
    );
    let mut sys = SimSys::new(1, Faults::default());
    let error = (0..100_000).find_map(|_| sys.poll(Some(Moment(0)), &mut Vec::new()).err());
    assert!(error.unwrap().to_string().starts_with("the reactor spins"));
}

#[test]
fn a_signal_comes_at_its_moment() {
    let mut sys = SimSys::new(1, Faults::default());
    sys.signal(Moment(70), Signal::Stop);
    let mut events = Vec::new();
    sys.poll(None, &mut events).unwrap();
    assert!(matches!(events[..], [SysEvent::Signal(Signal::Stop)]));
    assert_eq!(
        (sys.now(), sys.unix_time()),
        (Moment(70), UNIX_TIME + Duration::from_millis(70))
    );
}
