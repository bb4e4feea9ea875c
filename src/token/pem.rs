//! Public keys in PEM form: `PUBLIC KEY` (SubjectPublicKeyInfo, RFC 5280 §4.1) and
//! `RSA PUBLIC KEY` (PKCS#1, RFC 8017 appendix A.1.1).

use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::{Error, PemObject as _};
use spki::der::asn1::UintRef;
use spki::der::{Reader as _, SliceReader};
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};

use super::key::{Curve, KeyError, PublicKey};

impl PublicKey {
    /// Reads the first public key in a text.
    ///
    /// # Errors
    ///
    /// Why there is none that can be used. The text is not in the error.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        if pem.contains("PRIVATE KEY-----") {
            return Err(KeyError::Private);
        }
        // The reader of PEM knows one label for public keys. What is inside tells the forms apart.
        let relabelled = pem.replace("RSA PUBLIC KEY-----", "PUBLIC KEY-----");
        let der = SubjectPublicKeyInfoDer::from_pem_slice(relabelled.as_bytes());
        let der = der.map_err(|error| match error {
            Error::NoItemsFound => KeyError::NotPem,
            _ => KeyError::Damaged,
        })?;
        match SubjectPublicKeyInfoRef::try_from(der.as_ref()) {
            Ok(key) => of_info(&key),
            Err(_) => of_pkcs1(der.as_ref()),
        }
    }
}

fn of_info(key: &SubjectPublicKeyInfoRef<'_>) -> Result<PublicKey, KeyError> {
    let bits = key.subject_public_key.as_bytes().ok_or(KeyError::Damaged)?;
    match key.algorithm.oid {
        RSA => of_pkcs1(bits),
        ED25519 => PublicKey::ed25519(bits),
        EC => match key.algorithm.parameters_oid() {
            Ok(P256) => PublicKey::on_curve(Curve::P256, bits),
            Ok(P384) => PublicKey::on_curve(Curve::P384, bits),
            Ok(P521) => Err(KeyError::P521),
            _ => Err(KeyError::Kind),
        },
        _ => Err(KeyError::Kind),
    }
}

/// `RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER }`, and nothing after it.
fn of_pkcs1(der: &[u8]) -> Result<PublicKey, KeyError> {
    let numbers = |reader: &mut SliceReader<'_>| {
        reader.sequence(|inside| {
            let n: UintRef<'_> = inside.decode()?;
            let e: UintRef<'_> = inside.decode()?;
            Ok((n.as_bytes().to_vec(), e.as_bytes().to_vec()))
        })
    };
    let mut reader = SliceReader::new(der).map_err(|_| KeyError::Damaged)?;
    let read: Result<(Vec<u8>, Vec<u8>), spki::der::Error> = numbers(&mut reader);
    let (n, e) = read.map_err(|_| KeyError::Damaged)?;
    if !reader.is_finished() {
        return Err(KeyError::Damaged);
    }
    PublicKey::rsa(&n, &e)
}

/// RFC 8017 appendix A.1.
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// RFC 5480 §2.1.1.
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
/// RFC 8410 §3.
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
