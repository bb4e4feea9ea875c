//! AWS Signature Version 4, in an `Authorization` field.
//!
//! ```text
//!   method, path, query, fields, hash of the body ──► canonical request ──► its hash ┐
//!   AWS4-HMAC-SHA256, time, date/region/service/aws4_request ────────────────────────┴► text
//!   secret ─HMAC─► date ─HMAC─► region ─HMAC─► service ─HMAC─► aws4_request ─HMAC─► text = signature
//! ```
//!
//! A pure function: the time is an argument. The path is signed as it is sent, percent-encoded
//! once more, and with `.`, `..` and repeated slashes resolved, as every service but S3 has it.

use std::time::Duration;

use lmserver_proto::http1::basic_date_time;
use lmserver_proto::percent;
use lmserver_runtime::plugin::provider::Secret;
use ring::{digest, hmac};

/// Who signs.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: Secret,
    /// Of temporary credentials. It is sent in `X-Amz-Security-Token`, and signed.
    pub(crate) session_token: Option<Secret>,
}

/// What the signature is good for, the day apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'a> {
    pub(crate) region: &'a str,
    pub(crate) service: &'a str,
}

/// What is signed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    /// As it is sent.
    pub(crate) path: &'a str,
    /// As it is sent, without the question mark.
    pub(crate) query: &'a str,
    /// The fields that are signed, `Host` among them; those that a signature adds apart.
    pub(crate) fields: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a [u8],
}

/// The values of the fields that a signed request has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signature {
    /// `X-Amz-Date`.
    pub(crate) date: String,
    /// `Authorization`.
    pub(crate) authorization: String,
}

/// Signs a request that is sent at `unix_time`.
pub(crate) fn sign(
    credentials: &Credentials,
    scope: Scope<'_>,
    request: &Request<'_>,
    unix_time: Duration,
) -> Signature {
    let date = basic_date_time(unix_time.as_secs());
    let day = date.get(..8).unwrap_or_default();
    let fields = canonical_fields(request.fields, &date, credentials.session_token.as_ref());
    let names = fields.iter().map(|(name, _)| name.as_str());
    let names = names.collect::<Vec<_>>().join(";");

    let Scope { region, service } = scope;
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let hash = hex(digest::digest(
        &digest::SHA256,
        canonical(request, &fields, &names).as_bytes(),
    ));
    let text = format!("{ALGORITHM}\n{date}\n{scope}\n{hash}");

    let secret = format!("AWS4{}", credentials.secret_access_key.expose());
    let secret = Secret::new(secret);
    let mut key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    for part in [day, region, service, "aws4_request"] {
        key = hmac::Key::new(
            hmac::HMAC_SHA256,
            hmac::sign(&key, part.as_bytes()).as_ref(),
        );
    }
    let signature = hex(hmac::sign(&key, text.as_bytes()));
    let id = &credentials.access_key_id;
    let authorization = format!(
        "{ALGORITHM} Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}"
    );
    Signature {
        date,
        authorization,
    }
}

/// Everything that is signed, in the one form that both sides make of it.
fn canonical(request: &Request<'_>, fields: &[(String, String)], names: &str) -> String {
    let path = canonical_path(request.path);
    let query = canonical_query(request.query);
    let mut out = [request.method, &path, &query, ""].join("\n");
    for (name, value) in fields {
        out.push_str(name);
        out.push(':');
        out.push_str(value);
        out.push('\n');
    }
    out.push('\n');
    out.push_str(names);
    out.push('\n');
    out.push_str(&hex(digest::digest(&digest::SHA256, request.body)));
    out
}

/// Names in lower case and in order, each once; values without the blanks that say nothing.
fn canonical_fields(
    fields: &[(&str, &str)],
    date: &str,
    token: Option<&Secret>,
) -> Vec<(String, String)> {
    let added = [
        Some(("x-amz-date", date)),
        token.map(|token| ("x-amz-security-token", token.expose())),
    ];
    let all = fields.iter().copied().chain(added.into_iter().flatten());
    let mut all = all.map(|(name, value)| (name.to_ascii_lowercase(), single_spaced(value)));
    // The values of one name keep their order.
    let mut all = sorted(&mut all, |one, other| one.0 <= other.0);
    all.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1.push(',');
            kept.1.push_str(&next.1);
        }
        same
    });
    all
}

type Pair = (String, String);

/// Those pairs, each behind the ones that `may_precede` it. There are few.
fn sorted(
    pairs: &mut dyn Iterator<Item = Pair>,
    may_precede: fn(&Pair, &Pair) -> bool,
) -> Vec<Pair> {
    let mut sorted: Vec<Pair> = Vec::new();
    for pair in pairs {
        let at = sorted.partition_point(|other| may_precede(other, &pair));
        sorted.insert(at, pair);
    }
    sorted
}

fn single_spaced(value: &str) -> String {
    value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// Parameters by name, then by value, both encoded.
fn canonical_query(query: &str) -> String {
    let mut pairs = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let encoded = |text| percent::encode(&percent::decode_lossy(text)).into_owned();
            (encoded(name), encoded(value))
        });
    let pairs = sorted(&mut pairs, |one, other| one <= other);
    let pairs = pairs.into_iter().map(|(name, value)| name + "=" + &value);
    pairs.collect::<Vec<_>>().join("&")
}

/// RFC 3986 §5.2.4, empty segments taken out, and each encoded once more.
fn canonical_path(path: &str) -> String {
    let mut kept = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(percent::encode(segment)),
        }
    }
    let end = if path.ends_with('/') && !kept.is_empty() {
        "/"
    } else {
        ""
    };
    format!("/{}{end}", kept.join("/"))
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let halves = bytes
        .as_ref()
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15]);
    halves
        .filter_map(|half| DIGITS.get(usize::from(half)).copied().map(char::from))
        .collect()
}

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

#[cfg(test)]
mod tests;
