//! Runs the program with an environment and a folder of its own.

use std::io::Read;
use std::path::{Path, PathBuf};
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

    /// The path of a file in its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
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
            stderr: String::new(),
            directory: self.directory,
        }
    }
}

/// A program that runs; one that is dropped is killed.
pub(crate) struct Running {
    child: Child,
    stdout: String,
    stderr: String,
    directory: tempfile::TempDir,
}

impl Running {
    /// Waits until the standard output holds `text`.
    pub(crate) fn wait_for_output(&mut self, text: &str) {
        read_until(self.child.stdout.as_mut().unwrap(), &mut self.stdout, text);
    }

    /// Waits for the next line of the standard error that holds `text`.
    pub(crate) fn wait_for_log(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            read_until(self.child.stderr.as_mut().unwrap(), &mut line, "\n");
            self.stderr += &line;
            if line.contains(text) {
                return line.trim_end().to_owned();
            }
        }
    }

    /// Waits until it says where it listens.
    pub(crate) fn wait_for_url(&mut self) -> String {
        let line = self.wait_for_log("listening on ");
        let url = line.split_once("listening on ").unwrap().1;
        url.split('"').next().unwrap().to_owned()
    }

    /// Closes the other end of its standard error.
    pub(crate) fn close_log(&mut self) {
        self.child.stderr = None;
    }

    /// Writes a file in its folder.
    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.directory.path().join(name), text).unwrap();
    }

    /// Sends a signal: `INT`, `TERM` or `HUP`.
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
        let mut stderr = std::mem::take(&mut self.stderr);
        self.child
            .stdout
            .as_mut()
            .unwrap()
            .read_to_string(&mut stdout)
            .unwrap();
        if let Some(pipe) = &mut self.child.stderr {
            pipe.read_to_string(&mut stderr).unwrap();
        }
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

fn read_until(from: &mut impl Read, into: &mut String, text: &str) {
    let mut bytes = std::mem::take(into).into_bytes();
    while !String::from_utf8_lossy(&bytes).contains(text) {
        let mut byte = [0];
        let read = from.read(&mut byte).unwrap();
        let so_far = String::from_utf8_lossy(&bytes);
        assert!(read > 0, "it ended without {text:?}:\n{so_far}");
        bytes.push(byte[0]);
    }
    *into = String::from_utf8(bytes).unwrap();
}
