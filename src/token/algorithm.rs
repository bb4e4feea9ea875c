//! Signature algorithms of JSON Web Tokens (RFC 7518 §3.1, RFC 8037 §3.1).

use super::TokenError;

/// An algorithm that is accepted where a key of its family is configured.
///
/// `none` is no member, so that nothing can accept it; nor is `ES512`, as ring has no P-521.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

/// What kind of key an algorithm needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// A shared secret.
    Hmac,
    /// An RSA key pair.
    Rsa,
    /// A key pair on P-256 or P-384.
    Ecdsa,
    /// An Ed25519 key pair.
    EdDsa,
}

impl Algorithm {
    /// Reads the value of `alg`, which is case-sensitive (RFC 7515 §4.1.1).
    ///
    /// # Errors
    ///
    /// [`TokenError::Unsigned`] for `none`, [`TokenError::Es512`], and
    /// [`TokenError::Algorithm`] for all else.
    pub fn parse(name: &str) -> Result<Self, TokenError> {
        Ok(match name {
            "HS256" => Self::Hs256,
            "HS384" => Self::Hs384,
            "HS512" => Self::Hs512,
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "EdDSA" => Self::EdDsa,
            "ES512" => return Err(TokenError::Es512),
            _ if name.eq_ignore_ascii_case("none") => return Err(TokenError::Unsigned),
            _ => return Err(TokenError::Algorithm),
        })
    }

    /// The kind of key that it needs.
    #[must_use]
    pub fn family(self) -> Family {
        match self {
            Self::Hs256 | Self::Hs384 | Self::Hs512 => Family::Hmac,
            Self::Rs256 | Self::Rs384 | Self::Rs512 => Family::Rsa,
            Self::Es256 | Self::Es384 => Family::Ecdsa,
            Self::EdDsa => Family::EdDsa,
        }
    }
}
