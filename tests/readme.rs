//! The README does what it says: its commands run, their output looks as shown, its
//! configuration is one, its links lead somewhere.
//!
//! Blocks marked `sh` are run as they stand, against a server on a port of its own. Two are not:
//! the test command, which runs this, and `cargo build`, which would take minutes.

#![expect(clippy::expect_used, reason = "helpers of tests fail the test")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).expect("a README")
}

/// One fenced block.
struct Block {
    language: String,
    text: String,
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else {
            continue;
        };
        let inside = lines.by_ref().take_while(|line| *line != "```");
        let text = inside.map(|line| format!("{line}\n")).collect();
        let language = language.to_owned();
        blocks.push(Block { language, text });
    }
    blocks
}

/// The program that was built with this test, without the builder's environment.
fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lmserver"));
    command.env_clear().env("PATH", path()).stdin(Stdio::null());
    command
}

fn path() -> std::ffi::OsString {
    std::env::var_os("PATH").unwrap_or_default()
}

/// A server that is told to end when it is dropped.
struct Server {
    child: Child,
    /// Its log is read on, or it would have nowhere to write.
    _log: BufReader<ChildStderr>,
    address: String,
}

impl Server {
    fn start(args: &[&str], folder: &Path) -> Self {
        let mut command = program();
        command.args(args).args(["--listen", "127.0.0.1:0"]);
        command.current_dir(folder).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn().expect("a process");
        let mut log = BufReader::new(child.stderr.take().expect("its log"));
        let mut said = String::new();
        let address = loop {
            let from = said.len();
            assert!(log.read_line(&mut said).expect("a line") > 0, "{said}");
            let line = said.get(from..).unwrap_or_default();
            if let Some((_, address)) = line.split_once("listening on http://") {
                break address.trim_end().to_owned();
            }
        };
        Self {
            child,
            _log: log,
            address,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn sh(script: &str, server: &Server, fake: &Server) -> Output {
    let program = env!("CARGO_BIN_EXE_lmserver");
    let asked = script
        .replace("127.0.0.1:8080", &server.address)
        .replace("127.0.0.1:9099", &fake.address)
        .replace("cargo run --release --", program)
        .replace(
            " ask ",
            &format!(" ask --server http://{} ", server.address),
        );
    let mut command = Command::new("sh");
    command.env_clear().env("PATH", path()).current_dir(root());
    command
        .args(["-eu", "-c", &asked])
        .output()
        .expect("a shell")
}

/// The text without what differs from run to run: epochs and the names of channels.
fn masked(text: &str) -> String {
    let marks = [
        ("id: ", '-'),
        (r#""epoch":""#, '"'),
        (r#""channel_id":""#, '"'),
    ];
    marks
        .into_iter()
        .fold(text.to_owned(), |text, (mark, end)| {
            let mut parts = text.split(mark);
            let first = parts.next().unwrap_or_default().to_owned();
            parts.fold(first, |masked, part| {
                let (_, rest) = part.split_once(end).expect("the end of a name");
                format!("{masked}{mark}…{end}{rest}")
            })
        })
}

/// Whether there is a curl that knows `--json`.
fn has_curl() -> bool {
    let asked = Command::new("curl").args(["--help", "all"]).output();
    asked.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("--json"))
}

#[test]
fn its_commands_do_what_it_says() {
    if !has_curl() {
        eprintln!("SKIPPED: the README's commands: they need curl 7.82 or newer");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let config = "[provider.echo]\n[channels]\nopen = true\n";
    std::fs::write(folder.path().join("open.toml"), config).expect("a file");
    let server = Server::start(&["--config", "open.toml"], folder.path());
    let fake = Server::start(&["fake"], folder.path());
    let blocks = blocks(&readme());
    let mut run = 0;
    for (at, Block { text: script, .. }) in blocks.iter().enumerate() {
        let words: Vec<_> = script.split_whitespace().collect();
        match words.as_slice() {
            _ if blocks[at].language != "sh" => {}
            ["cargo", "test" | "build", ..] | ["cargo", "run", "--example", ..] => {}
            // Without a command, it is the server.
            ["cargo", "run", "--release"] => drop(Server::start(&[], folder.path())),
            ["cargo", "run", "--release", "--", flags @ ..] if flags[0].starts_with("--") => {
                drop(Server::start(flags, folder.path()));
            }
            ["cargo", "run", "--release", "--", flags @ ..] if flags[0] == "fake" => {
                drop(Server::start(flags, folder.path()));
            }
            _ => {
                let output = sh(script, &server, &fake);
                let said = String::from_utf8(output.stdout).expect("text");
                let complaints = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{script}\n{said}\n{complaints}");
                assert!(!said.is_empty(), "{script} says nothing\n{complaints}");
                if let Some(shown) = blocks.get(at + 1).filter(|next| next.language == "text")
                    && script.contains("curl")
                {
                    assert_eq!(masked(said.trim()), masked(shown.text.trim()), "{script}");
                }
                run += 1;
            }
        }
    }
    assert!(run >= 6, "only {run} commands were found");
}

#[test]
fn its_configuration_has_no_mistake() {
    let folder = tempfile::tempdir().expect("a folder");
    let files: Vec<_> = blocks(&readme())
        .into_iter()
        .filter(|block| block.language == "toml")
        .collect();
    assert!(!files.is_empty());
    for Block { text, .. } in files {
        let file = folder.path().join("lmserver.toml");
        std::fs::write(&file, &text).expect("a file");
        let mut check = program();
        check.arg("check").current_dir(folder.path());
        let variables = text.split("\"env:").skip(1);
        for name in variables.filter_map(|rest| rest.split('"').next()) {
            check.env(name, "a-secret-that-is-long-enough-for-hs256");
        }
        let output = check.output().expect("a process");
        assert!(
            output.status.success(),
            "{text}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn its_scripts_are_javascript() {
    let folder = tempfile::tempdir().expect("a folder");
    let scripts = blocks(&readme());
    for Block { text, .. } in scripts.iter().filter(|block| block.language == "js") {
        let file = folder.path().join("script.mjs");
        std::fs::write(&file, text).expect("a file");
        let Ok(output) = Command::new("node").arg("--check").arg(&file).output() else {
            eprintln!("SKIPPED: the README's scripts: they need Node.js");
            return;
        };
        assert!(
            output.status.success(),
            "{text}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn it_names_every_key_flag_and_variable() {
    let readme = readme();
    let example = std::fs::read_to_string(root().join("lmserver.example.toml")).expect("a file");
    let keys = example.lines().filter_map(|line| {
        let (key, _) = line.trim_start_matches('#').split_once(" = ")?;
        key.chars()
            .all(|c| c.is_ascii_lowercase() || c == '_')
            .then_some(key)
    });
    let mut names: Vec<_> = keys.map(str::to_owned).collect();
    assert!(names.len() > 30, "{names:?}");
    let help = program().arg("--help").output().expect("a process").stdout;
    let help = String::from_utf8(help).expect("text");
    for word in help.split([' ', '\n', ',', ';']) {
        let is_variable =
            word.contains('_') && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
        let is_flag = word
            .strip_prefix("--")
            .is_some_and(|name| !matches!(name, "help" | "version"));
        if is_variable || is_flag || matches!(word, "HOST" | "PORT") {
            names.push(word.to_owned());
        }
    }
    for name in names {
        let is_named = ["`", " "]
            .iter()
            .any(|end| readme.contains(&format!("`{name}{end}")));
        assert!(is_named, "{name} is missing in the README");
    }
}

#[test]
fn the_links_of_the_documents_lead_somewhere() {
    for document in [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "docs/architecture.md",
        "docs/dependencies.md",
    ] {
        let path = root().join(document);
        let text = std::fs::read_to_string(&path).expect(document);
        let slug = |title: &str| title.to_lowercase().replace(' ', "-");
        let titles: Vec<_> = text
            .lines()
            .filter_map(|line| line.trim_start_matches('#').strip_prefix(' '))
            .map(slug)
            .collect();
        for link in text.split("](").skip(1) {
            let (target, _) = link.split_once(')').expect("the end of a link");
            if target.starts_with("http") {
                continue;
            }
            match target.strip_prefix('#') {
                Some(title) => assert!(titles.iter().any(|t| t == title), "{document}: {target}"),
                None => {
                    let target: PathBuf = path.with_file_name(target);
                    assert!(target.exists(), "{document}: {}", target.display());
                }
            }
        }
    }
}
