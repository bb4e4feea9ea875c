//! The compact form of a signed object (RFC 7515 §3.1): `header.payload.signature`, each in
//! base64url without padding.
//!
//! A [`Jws`] is what a stranger sent. Its payload comes out of [`Jws::open`] alone, which asks
//! for a check of the signature; the algorithm that the header names is there to be compared
//! with the key, never to be obeyed (RFC 8725 §3.1).

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lmserver_proto::json::Object;

use super::key::SecretKey;
use super::{Algorithm, TokenError};

/// A token whose signature has not been checked.
pub struct Jws<'a> {
    signed: &'a str,
    algorithm: Algorithm,
    key_id: Option<String>,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl<'a> Jws<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    ///
    /// One that is too long or not of this form, and one whose header asks for an algorithm or
    /// an extension that is not accepted.
    pub fn parse(token: &'a str) -> Result<Self, TokenError> {
        if token.len() > LONGEST_TOKEN {
            return Err(TokenError::TooLong(token.len()));
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        let malformed = |_| TokenError::Malformed;
        let header = decode(header)?;
        let header = Object::read(&header, &["alg", "kid", "crit"]).map_err(malformed)?;
        let algorithm = header.text("alg").map_err(malformed)?;
        let algorithm = algorithm.ok_or(TokenError::Malformed)?;
        let key_id = header.text("kid").map_err(malformed)?;
        let (payload, signature) = (decode(payload)?, decode(signature)?);
        // RFC 7515 §4.1.11: extensions that must be understood, and none is.
        if header.value("crit").is_some() {
            return Err(TokenError::Critical);
        }
        Ok(Self {
            signed,
            algorithm: Algorithm::parse(&algorithm)?,
            key_id: key_id.map(Cow::into_owned),
            payload,
            signature,
        })
    }

    /// The payload, if `verify` finds the signature to be that of the message.
    ///
    /// # Errors
    ///
    /// Those of `verify`, which is given the signed message and the signature.
    pub fn open(
        self,
        verify: impl FnOnce(&[u8], &[u8]) -> Result<(), TokenError>,
    ) -> Result<Vec<u8>, TokenError> {
        verify(self.signed.as_bytes(), &self.signature)?;
        Ok(self.payload)
    }

    /// What the header says that it was signed with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The name of the key that it was signed with, `kid`.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }
}

/// Signs a payload with HS256.
#[must_use]
pub fn sign(key: &SecretKey, header: &[u8], payload: &[u8]) -> String {
    let mut token = URL_SAFE_NO_PAD.encode(header);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(payload, &mut token);
    let tag = key.sign_hs256(token.as_bytes());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(tag, &mut token);
    token
}

fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| TokenError::Malformed)
}

/// Bytes of a token. Beyond it nothing is decoded.
pub const LONGEST_TOKEN: usize = 64 * 1024;
