//! A request's head.

use super::{Fields, Method, Target, Version};

/// The head of a request that passed every check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What to do.
    pub method: Method,
    /// With what.
    pub target: Target,
    /// By which rules.
    pub version: Version,
    /// The rest.
    pub fields: Fields,
}

impl Request {
    /// The target's path, as it came: see [`Target::path`].
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.path()
    }

    /// The target's query, without its question mark.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.target.query()
    }

    /// For which host. RFC 9112 §3.2.2: the target's authority counts more than `Host`.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.target.authority().or_else(|| self.fields.get("host"))
    }

    /// Whether the connection stays open behind the answer (RFC 9112 §9.3).
    #[must_use]
    pub fn wants_keep_alive(&self) -> bool {
        // RFC 9110 §9.3.6: what follows a CONNECT may be meant for the tunnel, and must not be
        // taken for a request.
        if self.method == Method::Connect {
            return false;
        }
        keeps_alive(self.version, &self.fields)
    }

    /// Whether the client asks to go on in that protocol (RFC 9110 §7.8). HTTP/1.0 cannot.
    #[must_use]
    pub fn wants_upgrade(&self, protocol: &str) -> bool {
        self.version == Version::Http11
            && self.fields.contains_token("connection", "upgrade")
            && self.fields.contains_token("upgrade", protocol)
    }
}

/// RFC 9112 §9.3: `close` ends it, else 1.1 persists, else `keep-alive` does.
pub(super) fn keeps_alive(version: Version, fields: &Fields) -> bool {
    !fields.contains_token("connection", "close")
        && (version == Version::Http11 || fields.contains_token("connection", "keep-alive"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn persistence_follows_version_and_connection() {
        for (version, connection, want) in [
            (Version::Http11, None, true),
            (Version::Http11, Some("close"), false),
            (Version::Http11, Some("Keep-Alive, CLOSE"), false),
            (Version::Http11, Some("closed"), true),
            (Version::Http10, None, false),
            (Version::Http10, Some("Keep-Alive"), true),
            (Version::Http10, Some("keep-alive, close"), false),
        ] {
            let mut fields = Fields::new();
            if let Some(value) = connection {
                fields.push("Connection", value.as_bytes());
            }
            assert_eq!(
                keeps_alive(version, &fields),
                want,
                "{version:?} {connection:?}"
            );
        }
    }
}
