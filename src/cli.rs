//! The grammar of the command line.
//!
//! ```text
//! lmserver [serve|check|ask TEXT…|fake SETTINGS…] [--config FILE] [--listen ADDR] [--allow-origin ORIGIN]… [--log LEVEL]
//! ```
//!
//! Exit codes: 0 clean, 1 failure while running, 2 a mistake in the usage or the configuration.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use lexopt::prelude::*;

use crate::config::{Flags, nearest};
use crate::plugins::Plugins;

mod ask;
mod check;
#[cfg(feature = "fake")]
mod fake;
mod help;
mod serve;

/// Carries out one command line; the first argument is the program's name.
pub(crate) fn run(plugins: &Plugins, args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let invocation = match parse(args) {
        Ok(invocation) => invocation,
        Err(usage) => {
            report(&format!(
                "lmserver: {usage}\nTry 'lmserver --help' for what there is.\n"
            ));
            return ExitCode::from(USAGE);
        }
    };
    match invocation.command {
        Command::Help => print(help::TEXT),
        Command::Version => print(concat!("lmserver ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Serve => serve::run(plugins, &invocation.flags),
        Command::Check => check::run(plugins, &invocation.flags),
        Command::Ask(question) => ask::run(plugins, &invocation.flags, &question),
        #[cfg(feature = "fake")]
        Command::Fake(words) => fake::run(&invocation.flags, &words),
        #[cfg(feature = "fake")]
        Command::FakeHelp => print(fake::HELP),
    }
}

/// One command line, understood.
#[derive(Debug, PartialEq)]
struct Invocation {
    command: Command,
    flags: Flags,
}

/// What to do.
#[derive(Debug, PartialEq)]
enum Command {
    Serve,
    Check,
    Ask(Question),
    /// With the settings of its answers.
    #[cfg(feature = "fake")]
    Fake(Vec<String>),
    #[cfg(feature = "fake")]
    FakeHelp,
    Help,
    Version,
}

/// What `ask` was given.
#[derive(Debug, Default, PartialEq)]
struct Question {
    /// The text; `-` is read from the standard input.
    text: String,
    /// The server's URL, where it is not the configured one.
    server: Option<String>,
    /// The model, where it is not the default one.
    model: Option<String>,
}

/// Why a command line is not understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
enum Usage {
    #[error("unknown command `{name}`{}", meant(.near))]
    UnknownCommand {
        name: String,
        near: Option<&'static str>,
    },
    #[error("unknown flag {name}{}", meant(.near))]
    UnknownFlag {
        name: String,
        near: Option<&'static str>,
    },
    #[error("{name} needs a value: {name} {form}")]
    NeedsValue {
        name: &'static str,
        form: &'static str,
    },
    #[error("{0}")]
    Unreadable(String),
    #[error("{0} belongs to `lmserver ask`")]
    OnlyForAsk(&'static str),
    #[cfg(feature = "fake")]
    #[error("`lmserver fake` takes no {0}")]
    NotForFake(&'static str),
    #[error("unexpected argument `{0}` after `{1}`")]
    Unexpected(String, &'static str),
    #[error("nothing to ask: lmserver ask \"text\"")]
    NothingToAsk,
    #[error("an argument is not UTF-8")]
    NotUtf8,
}

fn meant(near: &Option<&'static str>) -> String {
    near.map(|near| format!("; did you mean {near}?"))
        .unwrap_or_default()
}

fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Invocation, Usage> {
    let mut parser = lexopt::Parser::from_iter(args);
    let mut flags = Flags::default();
    let mut words: Vec<String> = Vec::new();
    let mut question = Question::default();
    loop {
        let argument = match parser.next() {
            Ok(Some(argument)) => argument,
            Ok(None) => break,
            Err(error) => return Err(Usage::Unreadable(error.to_string())),
        };
        let flag = match argument {
            Short('h') | Long("help") => return Ok(alone(help_of(&words))),
            Short('V') | Long("version") => return Ok(alone(Command::Version)),
            Value(word) => {
                words.push(word.into_string().map_err(|_| Usage::NotUtf8)?);
                continue;
            }
            Short(letter) => return Err(unknown_flag(&format!("-{letter}"))),
            Long(name) => format!("--{name}"),
        };
        let Some((name, form)) = FLAGS.into_iter().find(|(name, _)| *name == flag) else {
            return Err(unknown_flag(&flag));
        };
        let value = parser
            .value()
            .map_err(|_| Usage::NeedsValue { name, form })?;
        if value.to_string_lossy().starts_with("--") {
            return Err(Usage::NeedsValue { name, form });
        }
        if name == "--config" {
            flags.config = Some(PathBuf::from(value));
            continue;
        }
        let value = value.into_string().map_err(|_| Usage::NotUtf8)?;
        match name {
            "--listen" => flags.listen = Some(value),
            "--allow-origin" => flags.allow_origins.push(value),
            "--log" => flags.log = Some(value),
            "--server" => question.server = Some(value),
            _ => question.model = Some(value),
        }
    }
    let command = command(words, question)?;
    #[cfg(feature = "fake")]
    if matches!(command, Command::Fake(_)) {
        refuse_for_fake(&flags)?;
    }
    Ok(Invocation { command, flags })
}

/// The help on a command that has one of its own, or on all.
fn help_of(words: &[String]) -> Command {
    #[cfg(feature = "fake")]
    if words.first().is_some_and(|word| word == "fake") {
        return Command::FakeHelp;
    }
    let _ = words;
    Command::Help
}

/// The fake has no configuration, and pages are none of its clients.
#[cfg(feature = "fake")]
fn refuse_for_fake(flags: &Flags) -> Result<(), Usage> {
    match flags {
        Flags {
            config: Some(_), ..
        } => Err(Usage::NotForFake("--config")),
        Flags { allow_origins, .. } if !allow_origins.is_empty() => {
            Err(Usage::NotForFake("--allow-origin"))
        }
        _ => Ok(()),
    }
}

fn command(words: Vec<String>, question: Question) -> Result<Command, Usage> {
    let mut words = words.into_iter();
    let name = words.next().unwrap_or_else(|| "serve".to_owned());
    if name == "ask" {
        let text = words.collect::<Vec<_>>().join(" ");
        if text.trim().is_empty() {
            return Err(Usage::NothingToAsk);
        }
        return Ok(Command::Ask(Question { text, ..question }));
    }
    #[cfg(feature = "fake")]
    if name == "fake" {
        return refuse_question(question).map(|()| Command::Fake(words.collect()));
    }
    let (name, command) = match name.as_str() {
        "serve" => ("serve", Command::Serve),
        "check" => ("check", Command::Check),
        "help" => ("help", Command::Help),
        "version" => ("version", Command::Version),
        _ => {
            let near = nearest(&name, COMMANDS.iter().copied());
            return Err(Usage::UnknownCommand { name, near });
        }
    };
    if let Some(word) = words.next() {
        return Err(Usage::Unexpected(word, name));
    }
    refuse_question(question).map(|()| command)
}

/// Refuses flags that only a question has.
fn refuse_question(question: Question) -> Result<(), Usage> {
    match question {
        Question {
            server: Some(_), ..
        } => Err(Usage::OnlyForAsk("--server")),
        Question { model: Some(_), .. } => Err(Usage::OnlyForAsk("--model")),
        _ => Ok(()),
    }
}

fn alone(command: Command) -> Invocation {
    Invocation {
        command,
        flags: Flags::default(),
    }
}

fn unknown_flag(flag: &str) -> Usage {
    let names = FLAGS
        .into_iter()
        .map(|(name, _)| name)
        .chain(["--help", "--version"]);
    Usage::UnknownFlag {
        name: flag.to_owned(),
        near: nearest(flag, names),
    }
}

/// Writes to the standard output. A reader that has gone away is no failure.
fn print(text: &str) -> ExitCode {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => ExitCode::from(FAILURE),
        _ => ExitCode::SUCCESS,
    }
}

/// Writes to the standard error; there is nowhere to say that this failed.
fn report(text: &str) {
    use std::io::Write as _;
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// The flags that take a value, with the form of it.
const FLAGS: [(&str, &str); 6] = [
    ("--config", "FILE"),
    ("--listen", "ADDR"),
    ("--allow-origin", "ORIGIN"),
    ("--log", "LEVEL"),
    ("--server", "URL"),
    ("--model", "NAME"),
];

#[cfg(feature = "fake")]
const COMMANDS: &[&str] = &["serve", "check", "ask", "fake", "help", "version"];
#[cfg(not(feature = "fake"))]
const COMMANDS: &[&str] = &["serve", "check", "ask", "help", "version"];

/// Exit code of a failure while running.
const FAILURE: u8 = 1;

/// Exit code of a mistake in the usage or the configuration.
const USAGE: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &str) -> Result<Invocation, String> {
        let args = ["lmserver"].into_iter().chain(args.split_whitespace());
        parse(args.map(OsString::from)).map_err(|usage| usage.to_string())
    }

    #[test]
    fn flags_stand_before_or_after_the_command() {
        let flags = Flags {
            config: Some("a.toml".into()),
            listen: Some("0.0.0.0:1".into()),
            allow_origins: vec!["null".into(), "http://a".into()],
            log: Some("debug".into()),
        };
        let want = Invocation {
            command: Command::Check,
            flags,
        };
        for line in [
            "--config a.toml --listen 0.0.0.0:1 --allow-origin null --allow-origin http://a --log debug check",
            "check --config=a.toml --listen=0.0.0.0:1 --allow-origin=null --allow-origin=http://a --log=debug",
        ] {
            assert_eq!(parsed(line).as_ref(), Ok(&want), "{line}");
        }
    }

    #[test]
    fn serving_is_what_it_does_by_itself() {
        assert_eq!(parsed("").unwrap().command, Command::Serve);
        assert_eq!(parsed("serve").unwrap().command, Command::Serve);
        assert_eq!(parsed("-h").unwrap().command, Command::Help);
        assert_eq!(parsed("serve --version").unwrap().command, Command::Version);
    }

    #[test]
    fn a_question_is_all_the_words_after_ask() {
        let question = Question {
            text: "what is up".into(),
            server: Some("http://h".into()),
            model: Some("m".into()),
        };
        let command = parsed("ask what --server http://h is up --model m")
            .unwrap()
            .command;
        assert_eq!(command, Command::Ask(question));
    }

    #[test]
    fn usage_mistakes_say_what_would_be_right() {
        for (line, want) in [
            ("--lisen x", "unknown flag --lisen; did you mean --listen?"),
            (
                "--allow-origins x",
                "unknown flag --allow-origins; did you mean --allow-origin?",
            ),
            ("--frobnicate", "unknown flag --frobnicate"),
            ("-x", "unknown flag -x"),
            ("chek", "unknown command `chek`; did you mean check?"),
            ("start", "unknown command `start`"),
            ("--config", "--config needs a value: --config FILE"),
            (
                "--config --listen x",
                "--config needs a value: --config FILE",
            ),
            ("check this", "unexpected argument `this` after `check`"),
            (
                "check --server http://h",
                "--server belongs to `lmserver ask`",
            ),
            ("ask", "nothing to ask: lmserver ask \"text\""),
        ] {
            assert_eq!(parsed(line).map(|_| ()), Err(want.to_owned()), "{line}");
        }
    }
}
