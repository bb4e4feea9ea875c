//! The processes under measurement and those that load them.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::publisher::{API_KEY, Kind};
use crate::stats::now;
use crate::wire::Transport;

/// Where servers run, and where everything that loads them does.
pub const SERVER_CORE: usize = 0;
pub const LOAD_CORE: usize = 1;

/// Moves this thread, and what it starts from now on, to one core. One core alone is left as it is.
pub fn pin(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    let _ = sched_setaffinity(None, &set);
}

/// Lets this thread, and what it starts from now on, run wherever the system places it.
pub fn unpin() {
    let _ = sched_setaffinity(None, &every_core());
}

fn every_core() -> CpuSet {
    let mut set = CpuSet::new();
    (0..CpuSet::MAX_CPU).for_each(|core| set.set(core));
    set
}

/// Paths of the programs, as `run.sh` hands them over.
#[derive(Clone)]
pub struct Programs {
    pub lmserver: PathBuf,
    pub small: PathBuf,
    pub profiling: PathBuf,
    pub bare: PathBuf,
    pub relay: PathBuf,
    /// Compare the bare programs with themselves: what is told then is the noise of this machine.
    pub noise: bool,
}

/// A port that was free a moment ago.
pub fn free_address() -> Result<SocketAddrV4, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|e| e.to_string())?;
    let port = listener.local_addr().map_err(|e| e.to_string())?.port();
    Ok(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
}

/// The configuration of an lmserver under measurement. Heartbeats and write timeouts are longer
/// than any run, so that a window holds deliveries alone.
pub fn configuration(address: SocketAddrV4, upstream: Option<SocketAddrV4>) -> String {
    let upstream = upstream.map_or(String::new(), |upstream| {
        format!(
            "[provider.mock]\nkind = \"openai\"\nbase_url = \"http://{upstream}/v1\"\n\
             api_key = \"unused\"\nmodel = \"unused\"\n"
        )
    });
    format!(
        "[server]\nlisten = \"{address}\"\n[auth]\napi_keys = [\"{API_KEY}\"]\n\
         [channels]\nopen = true\nhistory_size = 4096\n\
         [client]\nping_interval = \"10m\"\n[limits]\nheartbeat = \"10m\"\nwrite_timeout = \"10m\"\nconnections = 16000\n\
         [log]\nlevel = \"error\"\n{upstream}"
    )
}

/// What nginx is told: every byte goes through as it comes, and connections to the provider are kept.
fn nginx(address: SocketAddrV4, upstream: SocketAddrV4) -> String {
    let directory = std::env::temp_dir();
    let name = |what: &str| {
        format!(
            "{}/nginx-bench-{}{what}",
            directory.display(),
            address.port()
        )
    };
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path {};\n", name("-bodies")))
        .concat();
    format!(
        "daemon off;\nworker_processes 1;\npid {};\nerror_log /dev/null;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\naccess_log off;\nkeepalive_requests 100000;\n{temporary}\
         upstream provider {{ server {upstream}; keepalive 512; keepalive_requests 100000; }}\n\
         server {{\nlisten {address} backlog=4096;\nlocation / {{\n\
         proxy_pass http://provider;\nproxy_http_version 1.1;\n\
         proxy_set_header Connection \"\";\nproxy_buffering off;\n}}\n}}\n}}\n",
        name(".pid")
    )
}

/// A running server. Dropping it ends it.
pub struct Server {
    pub address: SocketAddrV4,
    pub kind: Kind,
    /// From before `exec` to the first accepted connection.
    pub started_in: Duration,
    child: Child,
    /// The process that does the work: the child itself, or its own child.
    worker: u32,
    configuration: PathBuf,
}

impl Server {
    pub fn bare(programs: &Programs) -> Result<Self, String> {
        let address = free_address()?;
        let mut command = Command::new(&programs.bare);
        command.arg(address.to_string());
        Self::spawn(command, Kind::Bare, address)
    }

    pub fn relay(programs: &Programs, upstream: SocketAddrV4) -> Result<Self, String> {
        let address = free_address()?;
        let mut command = Command::new(&programs.relay);
        command.args([address.to_string(), upstream.to_string()]);
        Self::spawn(command, Kind::Bare, address)
    }

    pub fn lmserver(programs: &Programs, upstream: Option<SocketAddrV4>) -> Result<Self, String> {
        match upstream {
            None if programs.noise => return Self::bare(programs),
            Some(upstream) if programs.noise => return Self::relay(programs, upstream),
            _ => {}
        }
        let (command, address) = lmserver(&[], &programs.lmserver, upstream)?;
        Self::spawn(command, Kind::Lmserver, address)
    }

    /// An lmserver with a configuration of its own.
    pub fn configured(
        programs: &Programs,
        configuration: impl FnOnce(SocketAddrV4) -> String,
    ) -> Result<Self, String> {
        let (command, address) = started_with(&[], &programs.lmserver, configuration)?;
        Self::spawn(command, Kind::Lmserver, address)
    }

    /// nginx as a plain pass-through with one worker.
    pub fn nginx(upstream: SocketAddrV4) -> Result<Self, String> {
        let address = free_address()?;
        let path = configuration_path(address);
        fs::write(&path, nginx(address, upstream)).map_err(|e| e.to_string())?;
        let mut command = Command::new("nginx");
        command.arg("-c").arg(path).stderr(Stdio::null());
        let mut server = Self::spawn(command, Kind::Bare, address)?;
        let master = server.worker;
        let children = format!("/proc/{master}/task/{master}/children");
        for _ in 0..1000 {
            let list = fs::read_to_string(&children).unwrap_or_default();
            if let Some(worker) = list
                .split_whitespace()
                .next()
                .and_then(|it| it.parse().ok())
            {
                server.worker = worker;
                return Ok(server);
            }
            sleep(Duration::from_millis(1));
        }
        Err("nginx started no worker".into())
    }

    /// Under callgrind, whose profile goes to `profile`.
    pub fn callgrind(
        programs: &Programs,
        upstream: Option<SocketAddrV4>,
        profile: &Path,
    ) -> Result<Self, String> {
        let out = format!("--callgrind-out-file={}", profile.display());
        let tool = ["valgrind", "-q", "--tool=callgrind", &out];
        let (command, address) = lmserver(&tool, &programs.profiling, upstream)?;
        Self::spawn(command, Kind::Lmserver, address)
    }

    fn spawn(mut command: Command, kind: Kind, address: SocketAddrV4) -> Result<Self, String> {
        let configuration = configuration_path(address);
        pin(SERVER_CORE);
        let start = Instant::now();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        pin(LOAD_CORE);
        let child = child.map_err(|e| format!("{:?}: {e}", command.get_program()))?;
        let mut server = Self {
            address,
            kind,
            started_in: Duration::ZERO,
            worker: child.id(),
            child,
            configuration,
        };
        while TcpStream::connect(address).is_err() {
            if let Ok(Some(status)) = server.child.try_wait() {
                return Err(format!("{:?} ended with {status}", command.get_program()));
            }
            if start.elapsed() > Duration::from_secs(30) {
                return Err(format!("{:?} does not listen", command.get_program()));
            }
            sleep(Duration::from_micros(50));
        }
        server.started_in = start.elapsed();
        Ok(server)
    }

    /// Lets its threads run wherever the system places them.
    pub fn unpin(&self) {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.worker));
        for task in tasks.into_iter().flatten().flatten() {
            let id = task
                .file_name()
                .to_string_lossy()
                .parse()
                .ok()
                .and_then(Pid::from_raw);
            let _ = id.map(|id| sched_setaffinity(Some(id), &every_core()));
        }
    }

    /// CPU time of all its threads, in nanoseconds.
    pub fn cpu(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.worker));
        let times = tasks.into_iter().flatten().flatten().filter_map(|task| {
            let stat = fs::read_to_string(task.path().join("schedstat")).ok()?;
            stat.split(' ').next()?.parse::<u64>().ok()
        });
        times.sum()
    }

    /// Waits until it has been idle for a while, and tells its CPU time then.
    pub fn settled_cpu(&self) -> u64 {
        let (mut before, deadline) = (self.cpu(), now() + 5_000_000_000);
        loop {
            sleep(Duration::from_millis(50));
            let after = self.cpu();
            if after - before < 20_000 || now() > deadline {
                return after;
            }
            before = after;
        }
    }

    /// Files and sockets that it has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.worker)).map_or(0, Iterator::count)
    }

    pub fn memory(&self) -> Memory {
        let read = |file: &str, name: &str| {
            let text = fs::read_to_string(format!("/proc/{}/{file}", self.worker));
            let text = text.unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
            kib.unwrap_or(0) * 1024
        };
        Memory {
            rss: read("status", "VmRSS:"),
            anonymous: read("smaps_rollup", "Anonymous:"),
            peak: read("status", "VmHWM:"),
        }
    }

    /// Asks it to end, and waits.
    pub fn stop(mut self) -> Result<(), String> {
        self.end(Duration::from_secs(20));
        Ok(())
    }

    fn end(&mut self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let pid = Pid::from_child(&self.child);
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill_process(pid, Signal::TERM);
        }
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
            sleep(Duration::from_millis(2));
        }
        let _ = fs::remove_file(&self.configuration);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end(Duration::from_secs(2));
    }
}

/// User memory in bytes.
#[derive(Clone, Copy)]
pub struct Memory {
    pub rss: u64,
    pub anonymous: u64,
    /// The most that was ever resident.
    pub peak: u64,
}

fn configuration_path(address: SocketAddrV4) -> PathBuf {
    std::env::temp_dir().join(format!("lmserver-bench-{}.toml", address.port()))
}

fn lmserver(
    tool: &[&str],
    program: &Path,
    upstream: Option<SocketAddrV4>,
) -> Result<(Command, SocketAddrV4), String> {
    started_with(tool, program, |address| configuration(address, upstream))
}

fn started_with(
    tool: &[&str],
    program: &Path,
    configuration: impl FnOnce(SocketAddrV4) -> String,
) -> Result<(Command, SocketAddrV4), String> {
    let address = free_address()?;
    let path = configuration_path(address);
    fs::write(&path, configuration(address)).map_err(|e| e.to_string())?;
    let mut command = match tool {
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
        [] => Command::new(program),
    };
    command.arg("--config").arg(path);
    for name in [
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "OPENAI_MODEL",
        "PORT",
        "HOST",
    ] {
        command.env_remove(name);
    }
    Ok((command, address))
}

/// A swarm process that loads one server. Dropping it ends it.
pub struct Load {
    child: Child,
    answers: BufReader<ChildStdout>,
}

/// What a swarm answered.
pub struct Report(String);

impl Report {
    pub fn value(&self, name: &str) -> f64 {
        let pair = self
            .0
            .split(' ')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        pair.and_then(|value| value.parse().ok())
            .unwrap_or(f64::NAN)
    }

    /// True where every subscriber got every message once and in order.
    pub fn is_exact(&self) -> bool {
        ["lost", "out_of_order", "behind"]
            .iter()
            .all(|name| self.value(name) == 0.0)
    }
}

impl Load {
    pub fn start(server: &Server, transport: Transport) -> Result<Self, String> {
        let kind = match server.kind {
            Kind::Bare => "bare",
            Kind::Lmserver => "lmserver",
        };
        let own = std::env::current_exe().map_err(|e| e.to_string())?;
        let mut child = Command::new(own)
            .args(["swarm", &server.address.to_string(), kind, transport.name()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| e.to_string())?;
        let stdout = child.stdout.take().ok_or("no standard output")?;
        Ok(Self {
            child,
            answers: BufReader::new(stdout),
        })
    }

    /// Sends one command and waits for its answer.
    pub fn ask(&mut self, command: &str) -> Result<Report, String> {
        let stdin = self.child.stdin.as_mut().ok_or("no standard input")?;
        writeln!(stdin, "{command}").map_err(|e| format!("swarm: {e}"))?;
        let mut line = String::new();
        self.answers
            .read_line(&mut line)
            .map_err(|e| e.to_string())?;
        if line.is_empty() {
            return Err(format!("the swarm ended at {command:?}"));
        }
        Ok(Report(line.trim().to_owned()))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
