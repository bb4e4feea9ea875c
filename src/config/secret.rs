//! Reads secrets from where they are kept; they are never shown.
//!
//! A secret is written `env:NAME` or `file:PATH`; a literal works and is warned about. The text
//! of a secret, or of what might be one by mistake, is in no message: a finding names the key
//! and the place only.

use std::io::Read as _;
use std::path::Path;

use lmserver_runtime::plugin::provider::Secret;
use zeroize::Zeroizing;

use super::environment::Environment;
use super::section::reason;

/// Reads a secret as the configuration writes it; paths are relative to `directory`.
///
/// # Errors
///
/// What is wrong with it, without a letter of the secret.
pub(crate) fn read(
    written: &str,
    environment: &Environment,
    directory: &Path,
) -> Result<(Secret, Origin), Unreadable> {
    let (text, origin) = fetch(written, environment, directory)?;
    Ok((checked(&text)?, origin))
}

/// The text behind `env:NAME` or `file:PATH`, or the literal as it stands.
///
/// # Errors
///
/// Why there is none, without a letter of it.
pub(crate) fn fetch(
    written: &str,
    environment: &Environment,
    directory: &Path,
) -> Result<(Zeroizing<String>, Origin), Unreadable> {
    let owned = |text: &str| Zeroizing::new(text.to_owned());
    if let Some(name) = written.strip_prefix("env:") {
        let name = name.trim();
        if !is_variable_name(name) {
            return Err(Unreadable::NotAName);
        }
        let value = environment
            .get(name)
            .ok_or_else(|| Unreadable::Unset(shown(name)))?;
        return Ok((owned(value), Origin::Environment));
    }
    if let Some(path) = written.strip_prefix("file:") {
        let text = read_file(&directory.join(path.trim()))
            .map_err(|error| Unreadable::File(path.trim().to_owned(), reason(&error)))?;
        return Ok((text, Origin::File));
    }
    if let Some(name) = shell_variable(written) {
        return Err(Unreadable::ShellVariable(name.to_owned()));
    }
    Ok((owned(written), Origin::Literal))
}

/// What a secret that could be read is called where it must not be shown: the name of its
/// variable or file, or `literal-1` for a first one that is written as it is.
pub(crate) fn name(written: &str, number: usize) -> String {
    if let Some(name) = written.strip_prefix("env:") {
        return name.trim().to_owned();
    }
    let file = written.strip_prefix("file:");
    match file.and_then(|path| Path::new(path.trim()).file_name()) {
        Some(name) => name.to_string_lossy().into_owned(),
        None => format!("literal-{number}"),
    }
}

/// Checks that the text can travel in a header field; white space around it is dropped.
pub(crate) fn checked(text: &str) -> Result<Secret, Unreadable> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Unreadable::Empty);
    }
    if !text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return Err(Unreadable::NotVisible);
    }
    Ok(Secret::new(text.to_owned()))
}

/// Where a secret was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// In an environment variable.
    Environment,
    /// In a file of its own.
    File,
    /// In the configuration itself.
    Literal,
}

/// Why a secret could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("what follows `env:` is not the name of an environment variable")]
    NotAName,
    #[error("environment variable {0} is not set or empty")]
    Unset(String),
    #[error("cannot read {0}: {1}")]
    File(String, String),
    #[error("a shell variable is not expanded here")]
    ShellVariable(String),
    #[error("the secret is empty")]
    Empty,
    #[error("the secret holds a line break or a character outside ASCII")]
    NotVisible,
}

impl Unreadable {
    /// What would be right.
    pub(crate) fn fix(&self) -> String {
        match self {
            Self::NotAName => "write \"env:NAME\" with the variable's name, not its value".into(),
            Self::Unset(name) if name == UNSHOWN => {
                "set that variable, and check that it is a name and not the secret itself".into()
            }
            Self::Unset(name) => format!("set {name} in the server's environment"),
            Self::File(..) => "write \"file:PATH\" with a file that the server can read".into(),
            Self::ShellVariable(name) => format!("write \"env:{name}\""),
            Self::Empty => "give it a value, or remove the key".into(),
            Self::NotVisible => "keep the secret on one line, in visible ASCII".into(),
        }
    }
}

fn read_file(path: &Path) -> std::io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    std::fs::File::open(path)?
        .take(LARGEST_FILE)
        .read_to_string(&mut text)?;
    Ok(text)
}

fn is_variable_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The name, if it looks like one: what does not could be a secret written in the wrong place.
fn shown(name: &str) -> String {
    let conventional = name
        .bytes()
        .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    if conventional && name.len() <= 64 {
        name.to_owned()
    } else {
        UNSHOWN.to_owned()
    }
}

/// Finds the `NAME` in `$NAME` and `${NAME}`.
fn shell_variable(written: &str) -> Option<&str> {
    let name = written.strip_prefix('$')?;
    let name = name
        .strip_prefix('{')
        .and_then(|n| n.strip_suffix('}'))
        .unwrap_or(name);
    (is_variable_name(name) && shown(name) == name).then_some(name)
}

const UNSHOWN: &str = "named there";

/// Bytes of a secret's file that are read.
const LARGEST_FILE: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(written: &str, directory: &Path) -> Result<(Secret, Origin), String> {
        let environment = Environment::from([("KEY", "sk-1"), ("EMPTY", " "), ("lower", "sk-2")]);
        super::read(written, &environment, directory).map_err(|e| format!("{e}; {}", e.fix()))
    }

    #[test]
    fn a_secret_prints_as_dots() {
        let (secret, _) = read("sk-topsecret", Path::new("")).unwrap();
        assert_eq!(format!("{:?}", Some(&secret)), "Some(…)");
        assert_eq!(secret.expose(), "sk-topsecret");
    }

    #[test]
    fn a_secret_is_read_from_where_it_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("key"), "sk-file\r\n").unwrap();
        for (written, text, origin) in [
            ("env:KEY", "sk-1", Origin::Environment),
            ("env:lower", "sk-2", Origin::Environment),
            ("file:key", "sk-file", Origin::File),
            ("sk-literal", "sk-literal", Origin::Literal),
        ] {
            let (secret, from) = read(written, directory.path()).unwrap();
            assert_eq!((secret.expose(), from), (text, origin), "{written}");
        }
    }

    #[test]
    fn a_secret_is_called_by_its_source() {
        for (written, want) in [
            ("env:LMSERVER_API_KEY", "LMSERVER_API_KEY"),
            ("file:/run/secrets/key", "key"),
            ("file: key.txt ", "key.txt"),
            ("sk-topsecret", "literal-3"),
        ] {
            assert_eq!(name(written, 3), want, "{written}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_secret_is_said_without_it() {
        let directory = tempfile::tempdir().unwrap();
        for (written, want) in [
            (
                "env:MISSING",
                "environment variable MISSING is not set or empty; set MISSING in",
            ),
            (
                "env:sk_live_topsecret",
                "environment variable named there is not set or empty; set",
            ),
            ("env:sk-topsecret", "what follows `env:` is not the name"),
            ("env:EMPTY", "the secret is empty"),
            ("", "the secret is empty"),
            ("file:nowhere", "cannot read nowhere: No such file"),
            (
                "$KEY",
                "a shell variable is not expanded here; write \"env:KEY\"",
            ),
            (
                "${KEY}",
                "a shell variable is not expanded here; write \"env:KEY\"",
            ),
            ("sk-top\nsecret", "the secret holds a line break"),
        ] {
            let message = read(written, directory.path()).unwrap_err();
            assert!(message.starts_with(want), "{written}: {message}");
            assert!(!message.contains("topsecret"), "{message}");
        }
    }
}
