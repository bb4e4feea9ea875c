//! Tokens of listeners: JSON Web Tokens (RFC 7519) signed with HMAC-SHA256, and nothing else of
//! that family.
//!
//! A token carries the `channel` that it is for and `exp`, when it ends. Other backends may make
//! tokens with the same secret; one without `exp` does not end. The algorithm is fixed: what the
//! header says is compared, never obeyed (RFC 8725 §3.1).

use std::time::Duration;

use serde::Serialize;

use crate::token::{self, Algorithm, Jws, SecretKey, Validity};

/// The secret with which tokens are signed and checked.
pub(super) struct TokenKey(SecretKey);

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenError {
    #[error("the token is no JSON Web Token: three parts in base64url with dots between")]
    Malformed,
    #[error("the token is not signed with HS256, the only algorithm accepted")]
    Algorithm,
    #[error("the token's signature is not that of this server's token_secret")]
    Signature,
    #[error("the token's claims are no JSON object with a string channel and a number exp")]
    Claims,
    #[error("the token expired {0} seconds ago; get a new one")]
    Expired(u64),
    #[error("the token is not valid yet (nbf)")]
    NotYet,
    #[error("the token is for another channel")]
    OtherChannel,
}

#[derive(Serialize)]
struct Issued<'a> {
    channel: &'a str,
    iat: u64,
    exp: u64,
}

impl TokenKey {
    /// A key of any secret.
    pub(super) fn new(secret: &[u8]) -> Self {
        Self(SecretKey::new(secret))
    }

    /// A token for a channel, valid for `lifetime` from `now` (time since 1970).
    pub(super) fn issue(&self, channel: &str, now: Duration, lifetime: Duration) -> String {
        let iat = now.as_secs();
        let exp = iat.saturating_add(lifetime.as_secs());
        // Strings and numbers into a Vec: it cannot fail.
        let claims = serde_json::to_vec(&Issued { channel, iat, exp }).unwrap_or_default();
        token::sign(&self.0, br#"{"alg":"HS256","typ":"JWT"}"#, &claims)
    }

    /// Checks that a token is good for a channel at `now`.
    pub(super) fn check(
        &self,
        token: &str,
        channel: &str,
        now: Duration,
    ) -> Result<(), TokenError> {
        let payload = self.verify(token)?;
        let claims = token::claims(&payload, &["channel", "exp", "nbf"])?;
        let own = claims.text("channel").map_err(token::TokenError::from)?;
        let own = own.ok_or(TokenError::Claims)?;
        let time = |key| claims.decimal(key).map_err(token::TokenError::from);
        let validity = Validity {
            until: time("exp")?,
            from: time("nbf")?,
        };
        validity.check(now)?;
        if own == channel {
            Ok(())
        } else {
            Err(TokenError::OtherChannel)
        }
    }

    /// The payload of a token with a good signature.
    fn verify(&self, token: &str) -> Result<Vec<u8>, TokenError> {
        let jws = Jws::parse(token)?;
        if jws.algorithm() != Algorithm::Hs256 {
            return Err(TokenError::Algorithm);
        }
        let verify =
            |message: &[u8], signature: &[u8]| self.0.verify(Algorithm::Hs256, message, signature);
        Ok(jws.open(verify)?)
    }
}

impl From<token::TokenError> for TokenError {
    fn from(error: token::TokenError) -> Self {
        use token::TokenError as Error;
        match error {
            Error::Malformed | Error::TooLong(_) => Self::Malformed,
            Error::Signature => Self::Signature,
            Error::Claims(_) => Self::Claims,
            Error::Expired(since) => Self::Expired(since),
            Error::NotYet => Self::NotYet,
            _ => Self::Algorithm,
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    const NOW: Duration = Duration::from_secs(1_000_000);

    fn key() -> TokenKey {
        TokenKey::new(b"a secret")
    }

    fn token(header: &str, payload: &str) -> String {
        token::sign(&key().0, header.as_bytes(), payload.as_bytes())
    }

    #[test]
    fn the_example_of_rfc_7515_is_verified() {
        // RFC 7515, appendix A.1.
        let secret = URL_SAFE_NO_PAD
            .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
            .unwrap();
        let header = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9";
        let payload = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let token = format!("{header}.{payload}.{signature}");
        let key = TokenKey::new(&secret);
        let claims =
            "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}";
        assert_eq!(key.verify(&token), Ok(claims.into()));
        assert_eq!(key.check(&token, "chat:1", NOW), Err(TokenError::Claims));
        let header = "{\"typ\":\"JWT\",\r\n \"alg\":\"HS256\"}";
        assert_eq!(
            token::sign(&key.0, header.as_bytes(), claims.as_bytes()),
            token
        );
        for at in 0..token.len() {
            let mut other = token.clone().into_bytes();
            other[at] = if other[at] == b'A' { b'Q' } else { b'A' };
            let other = String::from_utf8(other).unwrap();
            assert!(key.verify(&other).is_err(), "byte {at}: {other}");
        }
    }

    #[test]
    fn an_issued_token_is_good_for_its_channel_and_time() {
        let token = key().issue("chat:1", NOW, Duration::from_secs(60));
        let at = |seconds| NOW + Duration::from_secs(seconds);
        assert_eq!(key().check(&token, "chat:1", NOW), Ok(()));
        assert_eq!(key().check(&token, "chat:1", at(59)), Ok(()));
        assert_eq!(
            key().check(&token, "chat:1", at(60)),
            Err(TokenError::Expired(0))
        );
        assert_eq!(
            key().check(&token, "chat:1", at(65)),
            Err(TokenError::Expired(5))
        );
        assert_eq!(
            key().check(&token, "chat:2", NOW),
            Err(TokenError::OtherChannel)
        );
        let other = TokenKey::new(b"another");
        assert_eq!(
            other.check(&token, "chat:1", NOW),
            Err(TokenError::Signature)
        );
    }

    #[test]
    fn tokens_are_those_of_other_implementations() {
        // Made by PyJWT 2.15.1, and the first by python-jose too.
        let same = concat!(
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.",
            "eyJjaGFubmVsIjoiY2hhdDoxIiwiaWF0IjoxMDAwMDAwLCJleHAiOjEwMDAwNjB9.",
            "EIp-L-A48OXlJphr-WlLvx_eNbTtDbJ7qnR356IeE14"
        );
        assert_eq!(key().issue("chat:1", NOW, Duration::from_secs(60)), same);
        let richer = concat!(
            "eyJhbGciOiJIUzI1NiIsImtpZCI6IjEiLCJ0eXAiOiJKV1QifQ.",
            "eyJjaGFubmVsIjoiY2hhdDoxIiwiZXhwIjoxMDAwMDYwLjUsInN1YiI6IjQyIn0.",
            "gB3VCk_JnGu1TVVNIe8A1Ef_lhFSlYgUrQnEz7m8DYo"
        );
        assert_eq!(key().check(richer, "chat:1", NOW), Ok(()));
    }

    #[test]
    fn what_is_no_good_token_is_refused() {
        let hs256 = r#"{"alg":"HS256"}"#;
        let good = r#"{"channel":"c"}"#;
        for (name, token, want) in [
            ("no exp", token(hs256, good), Ok(())),
            (
                "more claims",
                token(hs256, r#"{"sub":"42","channel":"c","exp":1000000.5}"#),
                Ok(()),
            ),
            (
                "nbf now",
                token(hs256, r#"{"channel":"c","nbf":1000000}"#),
                Ok(()),
            ),
            (
                "nbf later",
                token(hs256, r#"{"channel":"c","nbf":1000001}"#),
                Err(TokenError::NotYet),
            ),
            (
                "old",
                token(hs256, r#"{"channel":"c","exp":0}"#),
                Err(TokenError::Expired(1_000_000)),
            ),
            (
                "none",
                token(r#"{"alg":"none"}"#, good),
                Err(TokenError::Algorithm),
            ),
            (
                "HS512",
                token(r#"{"alg":"HS512"}"#, good),
                Err(TokenError::Algorithm),
            ),
            (
                "hs256",
                token(r#"{"alg":"hs256"}"#, good),
                Err(TokenError::Algorithm),
            ),
            (
                "crit",
                token(r#"{"alg":"HS256","crit":["x"]}"#, good),
                Err(TokenError::Algorithm),
            ),
            ("no alg", token("{}", good), Err(TokenError::Malformed)),
            (
                "header no JSON",
                token("x", good),
                Err(TokenError::Malformed),
            ),
            (
                "alg twice",
                token(r#"{"alg":"HS256","alg":"HS256"}"#, good),
                Err(TokenError::Malformed),
            ),
            ("no channel", token(hs256, "{}"), Err(TokenError::Claims)),
            (
                "channel twice",
                token(hs256, r#"{"channel":"d","channel":"c"}"#),
                Err(TokenError::Claims),
            ),
            (
                "channel number",
                token(hs256, r#"{"channel":1}"#),
                Err(TokenError::Claims),
            ),
            (
                "exp string",
                token(hs256, r#"{"channel":"c","exp":"9999999999"}"#),
                Err(TokenError::Claims),
            ),
            (
                "array",
                token(hs256, r#"["c",9999999999,0]"#),
                Err(TokenError::Claims),
            ),
            (
                "header array",
                token(r#"["HS256",null]"#, good),
                Err(TokenError::Malformed),
            ),
            ("empty", String::new(), Err(TokenError::Malformed)),
            ("dots", "..".into(), Err(TokenError::Malformed)),
            ("one part", "abc".into(), Err(TokenError::Malformed)),
            (
                "padding",
                format!("{}=", token(hs256, good)),
                Err(TokenError::Malformed),
            ),
            (
                "no signature",
                token(hs256, good).rsplit_once('.').unwrap().0.to_owned() + ".",
                Err(TokenError::Signature),
            ),
        ] {
            assert_eq!(key().check(&token, "c", NOW), want, "{name}");
        }
    }
}
