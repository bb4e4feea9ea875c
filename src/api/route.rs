//! The paths of the API.

use lmserver_proto::http1::Method;

/// A place of the API, found by its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route<'a> {
    /// `/`
    Page,
    /// `/health`
    Health,
    /// `/ready`
    Ready,
    /// `/metrics`
    Metrics,
    /// `/api/chat`
    Chats,
    /// `/api/chat/{channel_id}`, percent-encoded as it came.
    Chat(&'a str),
    /// `/api/publish`
    Publish,
    /// `/connection/{transport}`
    Connection(&'a str),
}

impl<'a> Route<'a> {
    /// The route at a path.
    pub(super) fn find(path: &'a str) -> Option<Self> {
        let in_folder = |folder: &str| {
            path.strip_prefix(folder)
                .filter(|name| !name.is_empty() && !name.contains('/'))
        };
        match path {
            "/api/publish" => Some(Self::Publish),
            "/api/chat" => Some(Self::Chats),
            "/health" => Some(Self::Health),
            "/ready" => Some(Self::Ready),
            "/metrics" => Some(Self::Metrics),
            "/" => Some(Self::Page),
            _ => in_folder("/connection/")
                .map(Self::Connection)
                .or_else(|| in_folder("/api/chat/").map(Self::Chat)),
        }
    }

    /// The value of `Allow` (RFC 9110 §10.2.1).
    pub(super) fn allow(self) -> &'static str {
        match self {
            Self::Page | Self::Health | Self::Ready | Self::Metrics | Self::Connection(_) => {
                "GET, HEAD, OPTIONS"
            }
            Self::Chats | Self::Publish => "POST, OPTIONS",
            Self::Chat(_) => "GET, HEAD, DELETE, OPTIONS",
        }
    }

    /// Whether the method is one of those.
    pub(super) fn allows(self, method: &Method) -> bool {
        self.allow()
            .split(", ")
            .any(|allowed| allowed == method.as_str())
    }
}

/// The value of `Allow` for the server as a whole.
pub(super) const ALLOW_ANYWHERE: &str = "GET, HEAD, POST, DELETE, OPTIONS";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_its_route_or_nowhere() {
        for (path, want) in [
            ("/", Some(Route::Page)),
            ("/health", Some(Route::Health)),
            ("/ready", Some(Route::Ready)),
            ("/metrics", Some(Route::Metrics)),
            ("/api/chat", Some(Route::Chats)),
            ("/api/chat/chat%3A1", Some(Route::Chat("chat%3A1"))),
            ("/api/publish", Some(Route::Publish)),
            ("/connection/sse", Some(Route::Connection("sse"))),
            ("", None),
            ("*", None),
            ("//", None),
            ("/health/", None),
            ("/Health", None),
            ("/api", None),
            ("/api/chat/", None),
            ("/api/chat/a/b", None),
            ("/api/chats", None),
            ("/connection", None),
            ("/connection/", None),
            ("/connection/sse/", None),
            ("/v1/models", None),
        ] {
            assert_eq!(Route::find(path), want, "{path}");
        }
    }
}
