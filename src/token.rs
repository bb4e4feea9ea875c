//! JSON Web Tokens (RFC 7519): who a client is, and what it may listen to.
//!
//! ```text
//! token ─► Jws::parse ─► key for its `alg` and `kid` ─► signature ─► issuer, audience ─► times
//!             64 KiB        Settings, KeySource           ring        ─► ConnectionClaims
//!                                                                        SubscriptionClaims
//! ```
//!
//! Accepted are HS256, HS384, HS512, RS256, RS384, RS512, ES256, ES384 and EdDSA (Ed25519), each
//! only where a key of its family is configured. `none` never is, nor is ES512, as ring has no
//! P-521. So a token that is signed with the text of a public key as a shared secret finds no
//! key. Signatures are checked by ring, and nothing of a token is looked at before its own is.
//!
//! Nothing here asks the clock: `now` is the time since 1970.
//!
//! ```
//! use std::time::Duration;
//! use lmserver::runtime::plugin::provider::Secret;
//! use lmserver::token::{SecretKey, Settings, Verifier, sign};
//!
//! let verifier = Verifier::new(&Settings {
//!     hmac_secret_key: Some(Secret::new("secret".to_owned())),
//!     ..Settings::default()
//! });
//! let key = SecretKey::new(b"secret");
//! let token = sign(&key, br#"{"alg":"HS256"}"#, br#"{"sub":"42"}"#);
//! let claims = verifier.connection(&token, Duration::from_secs(1_700_000_000)).unwrap();
//! assert_eq!(&*claims.user, "42");
//! ```

use std::time::Duration;

use lmserver_proto::json;
use lmserver_runtime::plugin::provider::Secret;

mod algorithm;
mod claims;
mod fetch;
mod jws;
mod key;
mod key_set;
mod pem;

pub use algorithm::{Algorithm, Family};
pub(crate) use claims::claims;
pub use claims::{ConnectionClaims, Overrides, SubscribeOptions, SubscriptionClaims, Validity};
pub use fetch::{Fetcher, KeyServer};
pub use jws::{Jws, LONGEST_TOKEN, sign};
pub use key::{KeyError, LARGEST_KEY_SET, PublicKey, SecretKey};
pub use key_set::{KeySet, KeySource};

use claims::Common;

/// Which keys tokens are signed with, and what they have to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The shared secret of HS256, HS384 and HS512.
    pub hmac_secret_key: Option<Secret>,
    /// The secret before that, accepted too while tokens of it are about.
    pub hmac_previous_secret_key: Option<Secret>,
    /// When the previous secret ends, in seconds since 1970; none: never.
    pub hmac_previous_secret_key_valid_until: Option<u64>,
    /// The key of RS256, RS384 and RS512.
    pub rsa_public_key: Option<PublicKey>,
    /// The key of ES256 or ES384, by its curve.
    pub ecdsa_public_key: Option<PublicKey>,
    /// Further public keys, picked by `kid`.
    pub key_source: Option<KeySource>,
    /// What `aud` has to be or contain.
    pub audience: Option<Box<str>>,
    /// What `iss` has to be.
    pub issuer: Option<Box<str>>,
    /// The claim that holds the user's name, instead of `sub`.
    pub user_id_claim: Option<Box<str>>,
}

/// Checks tokens.
#[derive(Debug)]
pub struct Verifier {
    secret: Option<SecretKey>,
    previous: Option<(SecretKey, Option<u64>)>,
    settings: Settings,
}

/// Why a token is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Not of the compact form, or a header that is none.
    #[error("the token is no JSON Web Token: three parts in base64url with dots between")]
    Malformed,
    /// Longer than any token that is meant.
    #[error("the token has {0} bytes, the limit is {LONGEST_TOKEN}")]
    TooLong(usize),
    /// `alg` is `none`.
    #[error("the token is not signed")]
    Unsigned,
    /// `alg` is `ES512`.
    #[error("ES512 is not supported: sign with ES256, ES384 or EdDSA")]
    Es512,
    /// `alg` is none that is known.
    #[error("the token's algorithm is none of HS, RS 256, 384 and 512, ES256, ES384 and EdDSA")]
    Algorithm,
    /// RFC 7515 §4.1.11.
    #[error("the token needs an extension (crit), and none is supported")]
    Critical,
    /// No key of the algorithm's family is configured.
    #[error("no key is configured for the token's algorithm")]
    NoKey,
    /// The token's `kid` picks a key that is not for its algorithm.
    #[error("the token's algorithm is not that of its key")]
    Mismatch,
    /// A key set is configured and the token does not say which of its keys it is signed with.
    #[error("the token does not name its key (kid)")]
    KeyNotNamed,
    /// No key of the set has the token's `kid`.
    #[error("the token's key (kid) is not in the key set")]
    UnknownKey {
        /// Whether the set comes from a URL, so that fetching it again may bring the key.
        may_come: bool,
    },
    /// Somebody else's token, or a changed one.
    #[error("the token's signature does not fit the configured key")]
    Signature,
    /// A claim is not of its type. What was found stands in the text: the token is genuine.
    #[error("the token's claims are not as they should be: {0}")]
    Claims(Box<str>),
    /// `iss` is not the configured issuer.
    #[error("the token is not from the configured issuer (iss)")]
    Issuer,
    /// `aud` does not have the configured audience.
    #[error("the token is not for the configured audience (aud)")]
    Audience,
    /// `exp` or `expire_at` is over.
    #[error("the token expired {0} seconds ago; get a new one")]
    Expired(u64),
    /// `nbf` is to come.
    #[error("the token is not valid yet (nbf)")]
    NotYet,
    /// A connection token is asked for.
    #[error("this is a subscription token: it has a `channel`; a connection token has none")]
    WrongKind,
    /// A subscription token is asked for.
    #[error("this is no subscription token: it has no `channel`")]
    NoChannel,
}

/// What a client should make of a token that is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// It has to stop using the token: it will never be good.
    Refuse,
    /// It should fetch a new token.
    Renew,
    /// It should come again with the same token after the key set was fetched: see [`Fetcher`].
    Retry,
}

impl Verifier {
    /// Takes the keys; without any, no token is good.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let key = |secret: &Secret| SecretKey::new(secret.expose().as_bytes());
        let until = settings.hmac_previous_secret_key_valid_until;
        let previous = settings.hmac_previous_secret_key.as_ref();
        Self {
            secret: settings.hmac_secret_key.as_ref().map(key),
            previous: previous.map(|secret| (key(secret), until)),
            settings: settings.clone(),
        }
    }

    /// The key set's source, to put a fetched set in its place.
    pub fn key_source(&mut self) -> Option<&mut KeySource> {
        self.settings.key_source.as_mut()
    }

    /// What a connection token says, if it is good at `now`.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with tokens; [`TokenError::WrongKind`] for a subscription token.
    pub fn connection(&self, token: &str, now: Duration) -> Result<ConnectionClaims, TokenError> {
        let payload = self.open(token, now)?;
        let common = self.common(&payload)?;
        ConnectionClaims::read(common, &payload, now)
    }

    /// What a subscription token says, if it is good at `now`. That it is for this channel, user
    /// and client is for the caller to see.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with tokens; [`TokenError::NoChannel`] for a connection token.
    pub fn subscription(
        &self,
        token: &str,
        now: Duration,
    ) -> Result<SubscriptionClaims, TokenError> {
        let payload = self.open(token, now)?;
        let common = self.common(&payload)?;
        SubscriptionClaims::read(common, &payload, now)
    }

    /// Whether any key is configured.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        self.settings.has_keys()
    }

    /// The payload of a token with a good signature.
    fn open(&self, token: &str, now: Duration) -> Result<Vec<u8>, TokenError> {
        let jws = Jws::parse(token)?;
        let algorithm = jws.algorithm();
        if algorithm.family() == Family::Hmac {
            return jws
                .open(|message, signature| self.verify_secret(algorithm, message, signature, now));
        }
        let key = self.public_key(algorithm, jws.key_id())?;
        jws.open(|message, signature| key.verify(algorithm, message, signature))
    }

    fn verify_secret(
        &self,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
        now: Duration,
    ) -> Result<(), TokenError> {
        let is_over = |until: &Option<u64>| until.is_some_and(|until| until <= now.as_secs());
        let previous = self.previous.as_ref().filter(|(_, until)| !is_over(until));
        let keys = self.secret.iter().chain(previous.map(|(key, _)| key));
        keys.map(|key| key.verify(algorithm, message, signature))
            .reduce(Result::or)
            .unwrap_or(Err(TokenError::NoKey))
    }

    /// The key that `kid` picks from the key set, or else the one of the family.
    fn public_key(
        &self,
        algorithm: Algorithm,
        key_id: Option<&str>,
    ) -> Result<&PublicKey, TokenError> {
        let source = self.settings.key_source.as_ref();
        if let Some((source, id)) = source.zip(key_id)
            && let Some(found) = source.keys().find(id, algorithm)
        {
            return found;
        }
        let own = match algorithm.family() {
            Family::Rsa => self.settings.rsa_public_key.as_ref(),
            Family::Ecdsa => self.settings.ecdsa_public_key.as_ref(),
            Family::Hmac | Family::EdDsa => None,
        };
        own.ok_or_else(|| match (source, key_id) {
            (None, _) => TokenError::NoKey,
            (Some(_), None) => TokenError::KeyNotNamed,
            (Some(source), Some(_)) => {
                source.note_miss();
                TokenError::UnknownKey {
                    may_come: source.url().is_some(),
                }
            }
        })
    }

    /// The claims that both kinds have, with issuer and audience checked.
    fn common<'a>(&self, payload: &'a [u8]) -> Result<Common<'a>, TokenError> {
        let settings = &self.settings;
        let common = Common::read(payload, settings.user_id_claim.as_deref())?;
        if let Some(issuer) = &settings.issuer
            && common.iss.as_deref() != Some(&**issuer)
        {
            return Err(TokenError::Issuer);
        }
        if let Some(audience) = &settings.audience
            && !common.is_for(audience)
        {
            return Err(TokenError::Audience);
        }
        Ok(common)
    }
}

impl Settings {
    /// Whether any key is configured.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        self.hmac_secret_key.is_some()
            || self.hmac_previous_secret_key.is_some()
            || self.rsa_public_key.is_some()
            || self.ecdsa_public_key.is_some()
            || self.key_source.is_some()
    }
}

impl TokenError {
    /// What the client should make of it.
    #[must_use]
    pub fn reaction(&self) -> Reaction {
        match self {
            Self::Expired(_) => Reaction::Renew,
            Self::UnknownKey { may_come: true } => Reaction::Retry,
            _ => Reaction::Refuse,
        }
    }

    fn claims(problem: impl ToString) -> Self {
        Self::Claims(problem.to_string().into())
    }
}

impl From<json::Error> for TokenError {
    fn from(error: json::Error) -> Self {
        Self::claims(error)
    }
}

#[cfg(test)]
mod tests;
