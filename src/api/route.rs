//! The paths of the API.

use lmserver_proto::http1::Method;

use super::centrifugo;

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
    /// `/api/{method}` of the server API.
    Server(centrifugo::Method),
    /// `/api`, where the body names the method.
    ServerNamed,
    /// `/connection/{transport}` of a channel that the request names.
    Connection(&'a str),
    /// `/connection/{transport}` of clients that name channels themselves.
    Client(&'a str),
    /// `/emulation`
    Emulation,
    /// `/connection/init`
    Init,
    /// `/v1/…` of OpenAI's API.
    #[cfg(feature = "llm-api")]
    OpenAi(super::openai::Path<'a>),
    /// `/v1/messages` of Anthropic's API.
    #[cfg(feature = "llm-api")]
    Messages,
    /// `/api/ui/chat`, for `useChat`.
    #[cfg(feature = "llm-api")]
    Ui,
    /// `/api/ui/chat/{id}/stream`, percent-encoded as it came.
    #[cfg(feature = "llm-api")]
    UiStream(&'a str),
}

impl<'a> Route<'a> {
    /// The route at a path.
    pub(super) fn find(path: &'a str) -> Option<Self> {
        let in_folder = |folder: &str| {
            path.strip_prefix(folder)
                .filter(|name| !name.is_empty() && !name.contains('/'))
        };
        match path {
            "/api" => Some(Self::ServerNamed),
            "/api/chat" => Some(Self::Chats),
            "/health" => Some(Self::Health),
            "/ready" => Some(Self::Ready),
            "/metrics" => Some(Self::Metrics),
            "/" => Some(Self::Page),
            "/emulation" => Some(Self::Emulation),
            "/connection/init" => Some(Self::Init),
            #[cfg(feature = "llm-api")]
            "/v1/messages" => Some(Self::Messages),
            #[cfg(feature = "llm-api")]
            "/api/ui/chat" => Some(Self::Ui),
            #[cfg(feature = "llm-api")]
            _ if path.starts_with("/api/ui/chat/") => {
                let id = path
                    .strip_prefix("/api/ui/chat/")?
                    .strip_suffix("/stream")?;
                (!id.is_empty() && !id.contains('/')).then_some(Self::UiStream(id))
            }
            #[cfg(feature = "llm-api")]
            _ if path.starts_with("/v1/") => super::openai::Path::find(path).map(Self::OpenAi),
            _ => in_folder("/connection/")
                .map(Self::Connection)
                .or_else(|| in_folder("/api/chat/").map(Self::Chat))
                .or_else(|| {
                    let method = in_folder("/api/").and_then(centrifugo::Method::find);
                    method.map(Self::Server)
                }),
        }
    }

    /// The value of `Allow` (RFC 9110 §10.2.1).
    pub(super) fn allow(self) -> &'static str {
        match self {
            Self::Page
            | Self::Health
            | Self::Ready
            | Self::Metrics
            | Self::Init
            | Self::Connection(_) => "GET, HEAD, OPTIONS",
            Self::Chats | Self::Server(_) | Self::ServerNamed | Self::Emulation => "POST, OPTIONS",
            Self::Client("http_stream" | "uni_http_stream") => "POST, OPTIONS",
            Self::Client("sse" | "uni_sse") => "GET, POST, OPTIONS",
            Self::Client(_) => "GET, OPTIONS",
            Self::Chat(_) => "GET, HEAD, DELETE, OPTIONS",
            #[cfg(feature = "llm-api")]
            Self::OpenAi(path) => path.allow(),
            #[cfg(feature = "llm-api")]
            Self::Messages | Self::Ui => "POST, OPTIONS",
            #[cfg(feature = "llm-api")]
            Self::UiStream(_) => "GET, DELETE, OPTIONS",
        }
    }

    /// Whether the method is one of those.
    pub(super) fn allows(self, method: &Method) -> bool {
        let mut methods = self.allow().split([',', ' ']);
        methods.any(|allowed| allowed == method.as_str())
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
            (
                "/api/publish",
                Some(Route::Server(centrifugo::Method::Publish)),
            ),
            (
                "/api/presence_stats",
                Some(Route::Server(centrifugo::Method::PresenceStats)),
            ),
            ("/api", Some(Route::ServerNamed)),
            ("/emulation", Some(Route::Emulation)),
            ("/connection/init", Some(Route::Init)),
            ("/connection/sse", Some(Route::Connection("sse"))),
            ("", None),
            ("*", None),
            ("//", None),
            ("/health/", None),
            ("/Health", None),
            ("/api/", None),
            ("/api/Publish", None),
            ("/emulation/", None),
            ("/api/chat/", None),
            ("/api/chat/a/b", None),
            ("/api/chats", None),
            ("/connection", None),
            ("/connection/", None),
            ("/connection/sse/", None),
            ("/v1", None),
            ("/v1/", None),
            ("/v1/models/", None),
            ("/v1/completions", None),
            ("/v1/messages", Some(Route::Messages)),
            ("/v1/messages/", None),
            ("/api/ui/chat", Some(Route::Ui)),
            ("/api/ui/chat/a%2Fb/stream", Some(Route::UiStream("a%2Fb"))),
            ("/api/ui/chat/", None),
            ("/api/ui/chat/a", None),
            ("/api/ui/chat//stream", None),
            ("/api/ui/chat/a/b/stream", None),
            ("/api/ui", None),
        ] {
            assert_eq!(Route::find(path), want, "{path}");
        }
    }
}
