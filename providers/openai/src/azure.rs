//! The provider of kind `azure`: Chat Completions of a resource of Azure OpenAI or Foundry.
//!
//! It shares this crate because only the address and the key differ. The model of a target is the
//! name of a deployment.
//!
//! | key | meaning | default |
//! | --- | --- | --- |
//! | `resource` | the name of the resource: `https://NAME.openai.azure.com` | needed without `base_url` |
//! | `api_version` | a version of the API by date; selects the older form of address | unset |
//! | `auth` | `key`: a key of the resource; `entra`: a token of Entra ID | `key` |
//!
//! | configured | request |
//! | --- | --- |
//! | `resource`, or a `base_url` without a path | `/openai/v1/chat/completions` |
//! | the same and `api_version` | `/openai/deployments/MODEL/chat/completions?api-version=…` |
//! | a `base_url` with a path | `PATH/chat/completions`, with `api_version` if it is set |
//!
//! A token of Entra ID is short-lived: whoever sets it must replace it in time.

use lmserver_proto::percent;
use lmserver_runtime::http_provider::{Auth, Defaults};
use lmserver_runtime::plugin::provider::{BaseUrl, PluginSection, Provider, ProviderSettings};

use crate::chat_completions::{COMPLETIONS, Path, Server};
use crate::dialect::Dialect;

/// Opens an instance; see the module's documentation for its keys.
pub fn open(
    mut settings: ProviderSettings,
    section: &mut dyn PluginSection,
) -> Option<Box<dyn Provider>> {
    if let Some(resource) = section.take_string("resource") {
        let url = BaseUrl::parse(&format!("https://{resource}.openai.azure.com"));
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        match url {
            Ok(url) if resource.bytes().all(is_name) && settings.base_url.is_none() => {
                settings.base_url = Some(url);
            }
            Ok(_) if settings.base_url.is_some() => {
                section.reject("resource", "stands beside base_url: set one of them");
            }
            _ => section.reject(
                "resource",
                "is the name of the resource alone, without dots",
            ),
        }
    }
    let auth = match section.take_string("auth").as_deref() {
        None | Some("key") => Auth::Field("api-key"),
        Some("entra") => Auth::Bearer,
        Some(_) => {
            section.reject("auth", "is \"key\" or \"entra\"");
            Auth::Bearer
        }
    };
    let version = section.take_string("api_version");
    if settings.base_url.is_none() {
        let mistake = "is missing: set it to the name of the resource, or base_url to its address";
        section.reject("resource", mistake);
        return None;
    }
    // Azure's own hosts need a key; a gateway in front may have one of its own.
    let host = settings.base_url.as_ref().map(|url| &url.endpoint.host);
    let usual = host
        .filter(|host| is_host(&host.to_ascii_lowercase()))
        .map(|host| format!("https://{host}"));
    let defaults = Defaults {
        base_url: usual.as_deref(),
        key_variable: Some("AZURE_OPENAI_API_KEY"),
        auth,
        accept: "text/event-stream",
    };
    let dialect = Dialect::OPENAI.configured(section);
    let mut server = Server::open(settings, &defaults, dialect, section)?;
    server.path = match (server.instance.path(), version) {
        ("", None) => Path::Fixed(format!("/openai/v1{COMPLETIONS}").into()),
        ("", Some(version)) => Path::Deployments(percent::encode(&version).into_owned()),
        (_, None) => Path::Fixed(COMPLETIONS.into()),
        (_, Some(version)) => {
            let version = percent::encode(&version);
            Path::Fixed(format!("{COMPLETIONS}?api-version={version}").into())
        }
    };
    Some(server.boxed())
}

/// Is this host one of Azure's, which look for the key in a field of its own?
pub(crate) fn is_host(host: &str) -> bool {
    host.ends_with(".openai.azure.com") || host.ends_with(".services.ai.azure.com")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::section::{Keys, settings};
    use crate::testing::sent;

    #[test]
    fn every_form_of_address_is_known() {
        let version = ("api_version", "2024-10-21");
        for (url, keys, want) in [
            (
                "",
                vec![("resource", "r")],
                "/openai/v1/chat/completions HTTP/1.1\r\nHost: r.openai.azure.com",
            ),
            (
                "",
                vec![("resource", "r"), version],
                "/openai/deployments/m%2F1/chat/completions?api-version=2024-10-21 HTTP/1.1\r\n\
                 Host: r.openai.azure.com",
            ),
            (
                "https://r.openai.azure.com/openai/deployments/d",
                vec![version],
                "/openai/deployments/d/chat/completions?api-version=2024-10-21 ",
            ),
            (
                "https://r.services.ai.azure.com/models?api-version=1",
                vec![],
                "/models/chat/completions?api-version=1 ",
            ),
            (
                "http://gateway:8080/",
                vec![],
                "/openai/v1/chat/completions HTTP/1.1\r\nHost: gateway:8080",
            ),
        ] {
            let mut section: Keys = keys.into_iter().collect();
            let request = sent(open, settings(Some(url), Some("key-1234")), &mut section);
            assert!(request.starts_with(&format!("POST {want}")), "{request}");
            assert!(request.contains("api-key: key-1234\r\n"), "{request}");
            assert!(request.contains("\"max_completion_tokens\""), "{request}");
        }
        let mut section = Keys::from_iter([("resource", "r"), ("auth", "entra")]);
        let request = sent(open, settings(None, Some("token")), &mut section);
        assert!(
            request.contains("Authorization: Bearer token\r\n"),
            "{request}"
        );
    }

    #[test]
    fn mistakes_are_reported_with_their_key() {
        let azure = "https://r.openai.azure.com";
        for (url, key, keys, want) in [
            ("", Some("k"), vec![], "resource: is missing"),
            (
                "",
                Some("k"),
                vec![("resource", "r.x")],
                "resource: is the name",
            ),
            (
                azure,
                Some("k"),
                vec![("resource", "r")],
                "resource: stands beside",
            ),
            (azure, Some("k"), vec![("auth", "x")], "auth: is \"key\" or"),
            (
                azure,
                None,
                vec![],
                "api_key: r.openai.azure.com needs a key",
            ),
        ] {
            let mut section: Keys = keys.into_iter().collect();
            let _ = open(settings(Some(url), key), &mut section);
            let mistake = section.mistakes.first().map(String::as_str);
            assert!(
                mistake.is_some_and(|text| text.starts_with(want)),
                "{mistake:?}"
            );
        }
    }
}
