//! Files that the configuration names, and the public keys in them.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use lmserver_runtime::tls::Trust;

use crate::config::secret;
use crate::token::{KeyError, KeySet, LARGEST_KEY_SET, PublicKey};

use super::{Section, reason};

impl Section<'_> {
    /// Takes a path, relative to the folder of the file.
    pub(crate) fn path_to_file(&mut self, key: &str) -> Option<PathBuf> {
        let (place, text) = self.placed_string(key)?;
        let directory = self.directory();
        let path = directory.join(&text);
        if let Err(error) = std::fs::File::open(&path) {
            let problem = format!(
                "`{key}`: cannot read {}: {}",
                path.display(),
                reason(&error)
            );
            self.mistake(place, problem, "name a file that the server can read");
            return None;
        }
        Some(path)
    }

    /// Takes a public key in PEM form: `"file:PATH"`, `"env:NAME"`, or the text itself. It is no
    /// secret, but what stands there is not shown: by mistake it may be the private key.
    pub(crate) fn public_key(&mut self, key: &str) -> Option<PublicKey> {
        let (place, written) = self.placed_string(key)?;
        let fetched = secret::fetch(&written, self.context.environment, self.directory());
        let (problem, fix) = match fetched {
            Ok((pem, _)) => match PublicKey::from_pem(&pem) {
                Ok(key) => return Some(key),
                Err(error) => (error.to_string(), key_form(key)),
            },
            Err(error) => (error.to_string(), error.fix()),
        };
        self.mistake(place, format!("`{key}`: {problem}"), fix);
        None
    }

    /// Takes the path of certificates that TLS trusts besides the `public` ones.
    pub(crate) fn trust(&mut self, key: &str, public: &Trust) -> Option<Trust> {
        let Some(path) = self.path_to_file(key) else {
            return Some(public.clone()).filter(|_| !self.has(key));
        };
        let mistake = |problem| {
            let fix = "name a file of certificates in PEM form";
            self.mistake_at(key, format!("`{key}`: {problem}"), fix);
        };
        authorities(&path).map_err(mistake).ok()
    }

    /// Takes the path of a key set.
    pub(crate) fn key_set(&mut self, key: &str) -> Option<KeySet> {
        let path = self.path_to_file(key)?;
        match read(&path) {
            Ok(set) => Some(set),
            Err(problem) => {
                let problem = format!("`{key}`: {problem}");
                self.mistake_at(key, problem, "name a JSON Web Key Set: {\"keys\":[…]}");
                None
            }
        }
    }
}

fn read(path: &Path) -> Result<KeySet, String> {
    let file = std::fs::File::open(path).map_err(|error| reason(&error))?;
    let mut json = Vec::new();
    // One byte over the limit, so that what is too large is seen to be.
    let most = u64::try_from(LARGEST_KEY_SET).unwrap_or(u64::MAX);
    file.take(most.saturating_add(1))
        .read_to_end(&mut json)
        .map_err(|error| reason(&error))?;
    KeySet::parse(&json).map_err(|error: KeyError| error.to_string())
}

fn authorities(path: &Path) -> Result<Trust, String> {
    let pem = std::fs::read(path).map_err(|error| reason(&error))?;
    Trust::with_authorities(&pem).map_err(|error| format!("{}: {error}", path.display()))
}

fn key_form(key: &str) -> String {
    format!("write {key} = \"file:PATH\" with a file that begins -----BEGIN PUBLIC KEY-----")
}
