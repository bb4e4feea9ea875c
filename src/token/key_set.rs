//! Sets of public keys (JWKS, RFC 7517 §5), from which a token's `kid` picks one.
//!
//! ```text
//! file ──────────────► KeySource ──► Arc<KeySet> ──► key for (kid, alg)
//! URL ── replace() ──────┘    a set that cannot be read leaves the former one in place
//! ```

use std::cell::Cell;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lmserver_proto::json::Object;

use super::key::{Curve, KeyError, LARGEST_KEY_SET, PublicKey};
use super::{Algorithm, TokenError};

/// The usable keys of a set. It does not change; a [`KeySource`] swaps one for another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet {
    /// At most [`MOST_KEYS`].
    keys: Vec<NamedKey>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct NamedKey {
    id: Box<str>,
    /// The one algorithm that the key is for, if the set says so (RFC 7517 §4.4).
    algorithm: Option<Algorithm>,
    key: PublicKey,
}

impl KeySet {
    /// Reads a set. RFC 7517 §5: keys that are not understood are passed over; so are those
    /// without a `kid`, those that are not for signatures, and shared secrets, which have no
    /// place in a public set.
    ///
    /// # Errors
    ///
    /// What is no set, and a set of which no key is left.
    pub fn parse(json: &[u8]) -> Result<Self, KeyError> {
        if json.len() > LARGEST_KEY_SET {
            return Err(KeyError::TooLarge(json.len()));
        }
        let set = Object::read(json, &["keys"]).map_err(|_| KeyError::NotKeySet)?;
        if set.value("keys").is_none() {
            return Err(KeyError::NotKeySet);
        }
        let keys = set.items("keys", LARGEST_KEY_SET);
        let keys = keys.map_err(|_| KeyError::NotKeySet)?.into_iter();
        let keys = keys.filter_map(|key| Object::read(key, MEMBERS).ok());
        let keys: Vec<_> = keys.filter_map(usable).take(MOST_KEYS).collect();
        if keys.is_empty() {
            return Err(KeyError::NoKeys);
        }
        Ok(Self { keys })
    }

    /// How many keys it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether it has none, as before the first one came.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The key of this name for this algorithm; none if no key has the name.
    ///
    /// RFC 7517 §4.5: keys of different kinds may share a name.
    pub(super) fn find(
        &self,
        id: &str,
        algorithm: Algorithm,
    ) -> Option<Result<&PublicKey, TokenError>> {
        let mut named = self.keys.iter().filter(|named| *named.id == *id).peekable();
        named.peek()?;
        let fits = |named: &&NamedKey| {
            named.key.family() == algorithm.family()
                && named.algorithm.is_none_or(|only| only == algorithm)
        };
        let found = named.find(fits).map(|named| &named.key);
        Some(found.ok_or(TokenError::Mismatch))
    }
}

/// Where a key set comes from, and the one that counts now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySource {
    endpoint: Option<Box<str>>,
    keys: Arc<KeySet>,
    /// A token has named a key that is not there. Verifying changes nothing else.
    missed: Cell<bool>,
}

impl KeySource {
    /// A set that was read from a file and stays.
    #[must_use]
    pub fn file(keys: KeySet) -> Self {
        Self {
            endpoint: None,
            keys: Arc::new(keys),
            missed: Cell::default(),
        }
    }

    /// A set that is fetched from a URL: it knows no key before the first [`replace`].
    ///
    /// [`replace`]: Self::replace
    #[must_use]
    pub fn endpoint(url: impl Into<Box<str>>) -> Self {
        Self {
            endpoint: Some(url.into()),
            keys: Arc::default(),
            missed: Cell::default(),
        }
    }

    /// The source with a set that counts until the first [`replace`](Self::replace).
    #[must_use]
    pub fn beginning_with(self, keys: KeySet) -> Self {
        Self {
            keys: Arc::new(keys),
            ..self
        }
    }

    /// Puts the set that was fetched in place of the former one. Says whether it is another.
    ///
    /// # Errors
    ///
    /// Why it is no usable set; the former one stays.
    pub fn replace(&mut self, json: &[u8]) -> Result<bool, KeyError> {
        let keys = KeySet::parse(json)?;
        let is_other = keys != *self.keys;
        self.keys = Arc::new(keys);
        Ok(is_other)
    }

    /// Remembers that a token has named a key that the set does not have.
    pub(super) fn note_miss(&self) {
        self.missed.set(true);
    }

    /// Whether a token has named a key that the set does not have, since this was asked last.
    pub fn take_miss(&mut self) -> bool {
        self.missed.take()
    }

    /// The set that counts now.
    #[must_use]
    pub fn keys(&self) -> &Arc<KeySet> {
        &self.keys
    }

    /// The URL to fetch it from; none if it is a file's.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }
}

/// The key, if it is one that checks signatures here.
fn usable(jwk: Object<'_>) -> Option<NamedKey> {
    let text = |key| jwk.text(key).ok();
    let bytes = |key| URL_SAFE_NO_PAD.decode(&*text(key)??).ok();
    if text("use")?.is_some_and(|usage| usage != "sig") {
        return None;
    }
    let algorithm = text("alg")?;
    let algorithm = algorithm
        .as_deref()
        .map(Algorithm::parse)
        .transpose()
        .ok()?;
    let key = match (&*text("kty")??, text("crv")?.as_deref()) {
        ("RSA", _) => PublicKey::rsa(&bytes("n")?, &bytes("e")?),
        ("EC", Some("P-256")) => point(Curve::P256, &bytes("x")?, &bytes("y")?),
        ("EC", Some("P-384")) => point(Curve::P384, &bytes("x")?, &bytes("y")?),
        ("OKP", Some("Ed25519")) => PublicKey::ed25519(&bytes("x")?),
        _ => return None,
    };
    Some(NamedKey {
        id: text("kid")??.into(),
        algorithm,
        key: key.ok()?,
    })
}

/// RFC 7518 §6.2.1.2: coordinates have their full length.
fn point(curve: Curve, x: &[u8], y: &[u8]) -> Result<PublicKey, KeyError> {
    if x.len() != curve.coordinate() {
        return Err(KeyError::Damaged);
    }
    PublicKey::on_curve(curve, &[&[4], x, y].concat())
}

/// The members of a key that matter (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2).
const MEMBERS: &[&str] = &["kty", "kid", "use", "alg", "crv", "n", "e", "x", "y"];

/// Keys of a set that are kept: many times what a rotation needs.
const MOST_KEYS: usize = 256;
