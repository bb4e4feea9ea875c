//! Any text as a configuration file.
//!
//! - It is read, and every finding has a line and a column inside the text, a problem and a remedy
//!   on one line each.
//! - Reading again says the same, and so does reading with a comment behind it.
//! - A secret, from the text or from the environment, is in no finding and no summary.

use std::path::Path;

use lmserver::Plugins;
use lmserver::config::{Config, Environment, Flags, Inputs, Place, Report};

use crate::cut::Dice;

const NAME: &str = "lmserver.toml";

/// Paths in the text lead nowhere: reading them would tell more of the machine than of the reader.
const NOWHERE: &str = "/nonexistent/of/the/fuzzer";

/// Variables that a text may name, and that replace its keys.
const VARIABLES: [(&str, &str); 3] = [
    ("FUZZ_KEY", "sk-value-of-the-environment-0001"),
    ("OPENAI_API_KEY", "sk-value-of-the-environment-0002"),
    (
        "HTTPS_PROXY",
        "http://user:sk-value-of-the-environment-0003@proxy.example:3128",
    ),
];

/// Checks one input.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    // Devices never end, and what is in this machine's files is not the subject.
    if ["/dev", "/proc", "/sys", "\\u", "\\U", "\\x"]
        .iter()
        .any(|path| text.contains(path))
    {
        return;
    }
    let environment = match Dice::of(data).below(2) {
        0 => Environment::default(),
        _ => Environment::from(VARIABLES),
    };
    read_with(text, &environment);
}

fn read_with(text: &str, environment: &Environment) {
    let (outcome, report) = read(text, environment);
    for finding in report.findings() {
        check_place(&finding.place, text);
        assert!(
            !finding.problem.is_empty() && !finding.fix.is_empty(),
            "{finding:?}"
        );
        let line = finding.on_one_line();
        assert!(!line.contains(['\n', '\r']), "{finding:?}");
    }
    let told = format!("{report}{report:?}{outcome:?}");
    for secret in secrets(text) {
        assert!(!told.contains(&secret), "{secret} is in: {told}");
    }
    for (_, value) in VARIABLES {
        let secret = value
            .split(['@', '/', ':'])
            .find(|part| part.starts_with("sk-"));
        let secret = secret.unwrap_or(value);
        assert!(
            !told.contains(secret) || text.contains(secret),
            "{secret} is in: {told}"
        );
    }
    assert_eq!(
        read(text, environment),
        (outcome.clone(), report),
        "read again"
    );
    if outcome.is_some() {
        let (commented, _) = read(&format!("{text}\n# the end"), environment);
        assert_eq!(commented, outcome, "with a comment behind it");
    }
}

/// The summary, if the configuration is good, and the report.
fn read(text: &str, environment: &Environment) -> (Option<String>, Report) {
    let plugins = Plugins::builtin();
    let flags = Flags::default();
    let inputs = Inputs {
        flags: &flags,
        environment,
        plugins: &plugins,
    };
    match Config::from_text(NAME, text, Path::new(NOWHERE), inputs) {
        Ok((config, report)) => {
            assert!(!report.has_mistakes());
            (Some(config.summary()), report)
        }
        Err(report) => {
            assert!(report.has_mistakes());
            (None, report)
        }
    }
}

fn check_place(place: &Place, text: &str) {
    if let Place::File { name, line, column } = place {
        assert_eq!(&**name, NAME);
        let lines: Vec<&str> = text.split('\n').collect();
        let Some(found) = line.checked_sub(1).and_then(|index| lines.get(index)) else {
            panic!("line {line} of {}", lines.len());
        };
        let columns = found.chars().count() + 1;
        assert!(
            (1..=columns).contains(column),
            "column {column} of {columns} in line {line}"
        );
    }
}

/// Values that stand plainly behind the name of a secret key, and nowhere else in the text.
fn secrets(text: &str) -> Vec<String> {
    // Inside a multi-line string nothing is a key.
    if text.contains("\"\"\"") || text.contains("'''") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for line in text.lines() {
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        if !matches!(key.trim(), "api_key" | "token_secret" | "X-Secret") {
            continue;
        }
        let value = value.trim();
        let bare = value
            .strip_prefix('"')
            .and_then(|value| value.strip_suffix('"'));
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let is_secret = |bare: &&str| bare.len() >= 12 && bare.bytes().all(is_plain);
        if let Some(bare) = bare.filter(is_secret)
            && text.matches(bare).count() == 1
        {
            found.push(bare.to_owned());
        }
    }
    found
}
