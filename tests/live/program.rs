//! Runs the program as a child, in a folder of its own.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use crate::wire::{PATIENCE, Wire};

/// So long nothing happens when it is measured what that costs.
const QUIET: Duration = Duration::from_millis(400);

/// A server that is about to run.
pub(crate) struct Program {
    directory: tempfile::TempDir,
    variables: Vec<(String, String)>,
    open_files: Option<u32>,
}

/// A server that runs. When dropped, it is killed.
pub(crate) struct Server {
    child: Child,
    /// Where it listens, as it says: `http://…`, `https://…` or `unix:…`.
    pub(crate) url: String,
    log: Receiver<String>,
    directory: tempfile::TempDir,
}

impl Program {
    /// With this configuration and no environment.
    pub(crate) fn new(configuration: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("lmserver.toml"), configuration).unwrap();
        Self {
            directory,
            variables: Vec::new(),
            open_files: None,
        }
    }

    /// With an environment variable.
    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a file beside the configuration.
    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.directory.path().join(name), text).unwrap();
        self
    }

    /// The path of a file beside the configuration.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// With so few files that it may have open.
    pub(crate) fn open_files(mut self, count: u32) -> Self {
        self.open_files = Some(count);
        self
    }

    /// Starts it on a free port.
    pub(crate) fn start(self) -> Server {
        self.listen("127.0.0.1:0")
    }

    /// Starts it at an address.
    pub(crate) fn listen(self, address: &str) -> Server {
        let program = env!("CARGO_BIN_EXE_lmserver");
        let mut command = match self.open_files {
            None => Command::new(program),
            Some(count) => {
                let mut shell = Command::new("/bin/sh");
                let script = format!("ulimit -n {count}; exec \"$0\" \"$@\"");
                shell.args(["-c", &script, program]);
                shell
            }
        };
        let mut child = command
            .args(["--listen", address])
            .env_clear()
            .envs(self.variables)
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (said, log) = channel();
        std::thread::spawn(move || {
            stderr
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| said.send(line))
        });
        let mut server = Server {
            child,
            url: String::new(),
            log,
            directory: self.directory,
        };
        let line = server.wait_for_log("listening on ");
        server.url = line.split_once("listening on ").unwrap().1.to_owned();
        server
    }
}

impl Server {
    /// Runs with this configuration.
    pub(crate) fn start(configuration: &str) -> Self {
        Program::new(configuration).start()
    }

    /// Waits for the next line of the log that holds `text`.
    pub(crate) fn wait_for_log(&self, text: &str) -> String {
        let mut lines = Vec::new();
        loop {
            let Ok(line) = self.log.recv_timeout(PATIENCE) else {
                panic!("{text:?} was not logged, but:\n{}", lines.join("\n"));
            };
            if line.contains(text) {
                return line;
            }
            lines.push(line);
        }
    }

    /// Its address, where it listens on TCP.
    pub(crate) fn address(&self) -> SocketAddr {
        let address = self.url.rsplit("//").next().unwrap();
        address.parse().unwrap()
    }

    /// A new connection to it.
    pub(crate) fn connect(&self) -> Wire {
        Wire::tcp(self.connect_tcp())
    }

    pub(crate) fn connect_tcp(&self) -> TcpStream {
        TcpStream::connect(self.address()).unwrap()
    }

    /// Replaces its configuration, without telling it.
    pub(crate) fn configure(&self, configuration: &str) {
        std::fs::write(self.directory.path().join("lmserver.toml"), configuration).unwrap();
    }

    /// Sends it a signal: `INT`, `TERM`, `HUP`, or `STOP` and `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill")
            .args(["-s", name, &id])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Waits for its end: its exit code.
    pub(crate) fn wait(mut self) -> Option<i32> {
        // The log ends with the process.
        while self.log.recv_timeout(PATIENCE).is_ok() {}
        let ended = self.child.try_wait().unwrap();
        match ended {
            Some(status) => status.code(),
            // Its standard error is closed, so it is about to end.
            None => self.child.wait().unwrap().code(),
        }
    }

    /// How much processor time it uses in a moment in which nothing happens, in hundredths of a
    /// second of some 40, where the system tells.
    pub(crate) fn ticks_in_a_while(&self) -> Option<u64> {
        // The clients are being ignored: there is nothing to wait for but time.
        let never: (Sender<()>, _) = channel();
        let before = self.ticks()?;
        let _ = never.1.recv_timeout(QUIET);
        Some(self.ticks()? - before)
    }

    fn ticks(&self) -> Option<u64> {
        let stat = self.proc("stat")?;
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut times = fields.split(' ').skip(11);
        let user: u64 = times.next()?.parse().ok()?;
        let system: u64 = times.next()?.parse().ok()?;
        Some(user + system)
    }

    /// How many files it has open, where the system tells: a number that holds while it serves,
    /// or `wanted` as soon as it is that.
    pub(crate) fn settled_files(&self, wanted: Option<usize>) -> Option<usize> {
        let mut witness = self.connect();
        let (mut last, mut held) = (0, 0);
        for _ in 0..5000 {
            let (head, _) = witness.call("GET", "/health", &[], "");
            assert_eq!(head.status(), 200);
            let count = std::fs::read_dir(format!("/proc/{}/fd", self.child.id()));
            let count = count.ok()?.count();
            held = if count == last { held + 1 } else { 0 };
            last = count;
            if wanted == Some(count) || (wanted.is_none() && held == 50) {
                break;
            }
        }
        Some(last)
    }

    /// A file of `/proc` about it.
    pub(crate) fn proc(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).ok()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
