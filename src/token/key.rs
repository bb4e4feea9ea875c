//! Keys that check signatures. The arithmetic, and comparing in constant time, is ring's.

use std::fmt;

use ring::hmac;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents,
    UnparsedPublicKey,
};

use super::algorithm::Family;
use super::{Algorithm, TokenError};

/// A shared secret, ready for the three HMAC algorithms.
pub struct SecretKey {
    hs256: hmac::Key,
    hs384: hmac::Key,
    hs512: hmac::Key,
}

impl SecretKey {
    /// A key of any secret.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self {
            hs256: hmac::Key::new(hmac::HMAC_SHA256, secret),
            hs384: hmac::Key::new(hmac::HMAC_SHA384, secret),
            hs512: hmac::Key::new(hmac::HMAC_SHA512, secret),
        }
    }

    /// Checks a signature (RFC 7518 §3.2).
    ///
    /// # Errors
    ///
    /// [`TokenError::Signature`], or [`TokenError::Mismatch`] for an algorithm of key pairs.
    pub fn verify(
        &self,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), TokenError> {
        let key = match algorithm {
            Algorithm::Hs256 => &self.hs256,
            Algorithm::Hs384 => &self.hs384,
            Algorithm::Hs512 => &self.hs512,
            _ => return Err(TokenError::Mismatch),
        };
        hmac::verify(key, message, signature).map_err(|_| TokenError::Signature)
    }

    pub(super) fn sign_hs256(&self, message: &[u8]) -> hmac::Tag {
        hmac::sign(&self.hs256, message)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

/// The public half of a key pair.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(Material);

#[derive(Clone, PartialEq, Eq)]
enum Material {
    /// Modulus and exponent, big-endian, without leading zeros.
    Rsa {
        n: Box<[u8]>,
        e: Box<[u8]>,
    },
    /// Points in the uncompressed form of SEC 1 §2.3.3.
    P256(Box<[u8]>),
    P384(Box<[u8]>),
    Ed25519(Box<[u8]>),
}

/// A curve that ring can check signatures on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
}

/// Why something is no key that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Neither `PUBLIC KEY` nor `RSA PUBLIC KEY` stands there.
    #[error("no public key in PEM form found")]
    NotPem,
    /// The half that belongs to the issuer of the tokens.
    #[error("this is a private key; the server needs only the public one")]
    Private,
    /// The text in the PEM is damaged.
    #[error("the public key in it cannot be read")]
    Damaged,
    /// Neither RSA, P-256, P-384 nor Ed25519.
    #[error("the key is neither RSA nor on P-256, P-384 or Ed25519")]
    Kind,
    /// ES512, which ring does not have.
    #[error("the key is on P-521: ES512 is not supported, use P-256 (ES256) or P-384 (ES384)")]
    P521,
    /// RSA keys have 2048 to 8192 bits.
    #[error("the RSA key has {0} bits, it needs 2048 to 8192")]
    RsaSize(usize),
    /// No key set as in RFC 7517 §5.
    #[error("this is no JSON Web Key Set: an object with an array `keys`")]
    NotKeySet,
    /// The set is larger than any that is meant.
    #[error("the key set has {0} bytes, the limit is {LARGEST_KEY_SET}")]
    TooLarge(usize),
    /// A set without one key that could check a token.
    #[error("the key set has no key that is usable here: with `kid`, RSA, P-256, P-384 or Ed25519")]
    NoKeys,
}

impl PublicKey {
    /// An RSA key of its modulus and exponent.
    pub(super) fn rsa(n: &[u8], e: &[u8]) -> Result<Self, KeyError> {
        let (n, e) = (without_leading_zeros(n), without_leading_zeros(e));
        let unused = n.first().map_or(0, |first| first.leading_zeros());
        let bits = (n.len() * 8).saturating_sub(usize::try_from(unused).unwrap_or(0));
        if !(2048..=8192).contains(&bits) {
            return Err(KeyError::RsaSize(bits));
        }
        // RFC 8017 §3.1: e is at least 3; ring takes up to 33 bits.
        if e.is_empty() || e == [1] || e.len() > 5 {
            return Err(KeyError::Damaged);
        }
        let (n, e) = (n.into(), e.into());
        Ok(Self(Material::Rsa { n, e }))
    }

    /// A key of its point, uncompressed.
    pub(super) fn on_curve(curve: Curve, point: &[u8]) -> Result<Self, KeyError> {
        if point.first() != Some(&4) || point.len() != 1 + 2 * curve.coordinate() {
            return Err(KeyError::Damaged);
        }
        Ok(Self(match curve {
            Curve::P256 => Material::P256(point.into()),
            Curve::P384 => Material::P384(point.into()),
        }))
    }

    /// An Ed25519 key.
    pub(super) fn ed25519(key: &[u8]) -> Result<Self, KeyError> {
        if key.len() != 32 {
            return Err(KeyError::Damaged);
        }
        Ok(Self(Material::Ed25519(key.into())))
    }

    /// Checks a signature (RFC 7518 §3.3 and §3.4, RFC 8037 §3.1).
    ///
    /// # Errors
    ///
    /// [`TokenError::Signature`], or [`TokenError::Mismatch`] where the algorithm is not for
    /// keys of this kind.
    pub fn verify(
        &self,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), TokenError> {
        let rsa = |n, e, parameters| {
            RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
        };
        let verified = match (algorithm, &self.0) {
            (Algorithm::Rs256, Material::Rsa { n, e }) => rsa(n, e, &RSA_PKCS1_2048_8192_SHA256),
            (Algorithm::Rs384, Material::Rsa { n, e }) => rsa(n, e, &RSA_PKCS1_2048_8192_SHA384),
            (Algorithm::Rs512, Material::Rsa { n, e }) => rsa(n, e, &RSA_PKCS1_2048_8192_SHA512),
            (Algorithm::Es256, Material::P256(point)) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            (Algorithm::Es384, Material::P384(point)) => {
                UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).verify(message, signature)
            }
            (Algorithm::EdDsa, Material::Ed25519(key)) => {
                UnparsedPublicKey::new(&ED25519, key).verify(message, signature)
            }
            _ => return Err(TokenError::Mismatch),
        };
        verified.map_err(|_| TokenError::Signature)
    }

    /// The algorithms that it is for.
    #[must_use]
    pub fn family(&self) -> Family {
        match self.0 {
            Material::Rsa { .. } => Family::Rsa,
            Material::P256(_) | Material::P384(_) => Family::Ecdsa,
            Material::Ed25519(_) => Family::EdDsa,
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Material::Rsa { .. } => "PublicKey(RSA)",
            Material::P256(_) => "PublicKey(P-256)",
            Material::P384(_) => "PublicKey(P-384)",
            Material::Ed25519(_) => "PublicKey(Ed25519)",
        })
    }
}

impl Curve {
    /// Bytes of one coordinate (RFC 7518 §6.2.1.2).
    pub(super) fn coordinate(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }
}

fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// Bytes of a key set.
pub const LARGEST_KEY_SET: usize = 256 * 1024;
