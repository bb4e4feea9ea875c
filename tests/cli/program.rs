//! Runs the program with an environment and a folder of its own.

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A program that is about to run.
pub(crate) struct Program {
    directory: tempfile::TempDir,
    command: Command,
}

/// What a program that has run said.
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Program {
    /// In an empty folder, with no environment.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_lmserver"));
        command
            .env_clear()
            .current_dir(directory.path())
            .stdin(Stdio::null());
        Self { directory, command }
    }

    /// With an environment variable.
    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// With a file in its folder.
    pub(crate) fn file(self, name: impl AsRef<Path>, text: &str) -> Self {
        std::fs::write(self.directory.path().join(name), text).unwrap();
        self
    }

    /// Runs it to its end.
    pub(crate) fn run(mut self, args: &[&str]) -> Done {
        let output = self.command.args(args).output().unwrap();
        Done {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Starts it.
    pub(crate) fn start(mut self, args: &[&str]) -> Running {
        self.command
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = self.command.spawn().unwrap();
        Running {
            child,
            stdout: String::new(),
            _directory: self.directory,
        }
    }
}

/// A program that runs; one that is dropped is killed.
pub(crate) struct Running {
    child: Child,
    stdout: String,
    _directory: tempfile::TempDir,
}

impl Running {
    /// Waits until the standard output holds `text`.
    pub(crate) fn wait_for_output(&mut self, text: &str) {
        while !self.stdout.contains(text) {
            let mut byte = [0];
            let read = self.child.stdout.as_mut().unwrap().read(&mut byte).unwrap();
            assert!(read > 0, "the output ended with {:?}", self.stdout);
            self.stdout.push(char::from(byte[0]));
        }
    }

    /// Sends a signal, `INT` or `HUP`.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill")
            .args(["-s", name, &id])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Done {
        let mut stdout = std::mem::take(&mut self.stdout);
        self.child
            .stdout
            .as_mut()
            .unwrap()
            .read_to_string(&mut stdout)
            .unwrap();
        let mut stderr = String::new();
        self.child
            .stderr
            .as_mut()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        Done {
            code,
            stdout,
            stderr,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
