//! The provider `bedrock`: AWS Bedrock's `ConverseStream`, for every model that it has.
//!
//! ```toml
//! [provider.bedrock]
//! kind = "bedrock"
//! region = "us-east-1"
//! api_key = "env:AWS_BEARER_TOKEN_BEDROCK"             # either this,
//! # access_key_id = "env:AWS_ACCESS_KEY_ID"            # or these: then requests are signed
//! # secret_access_key = "env:AWS_SECRET_ACCESS_KEY"
//! # session_token = "env:AWS_SESSION_TOKEN"            # of temporary credentials
//! # base_url = "https://…"                             # a private endpoint, or a gateway
//!
//! [model.default]
//! targets = ["bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0"]
//! ```
//!
//! `request` translates the question, `sigv4` signs it, `converse` reads the messages of the
//! answer; everything else is what all providers that speak HTTP share.

mod converse;
mod media;
mod request;
mod sigv4;
mod thinking;

#[cfg(test)]
#[path = "../../../tests/common/section.rs"]
mod section;

use lmserver_proto::percent;
use lmserver_runtime::http_provider::{Api, Auth, Defaults, Format, Instance, Question};
use lmserver_runtime::plugin::provider::{
    ChatRequest, PluginSection, Provider, ProviderError, ProviderSettings, StartCx, Upstream,
};

use crate::converse::Converse;
use crate::sigv4::{Credentials, Request, Scope};

/// Opens one `[provider.NAME]` of kind `bedrock`.
pub fn open(
    settings: ProviderSettings,
    section: &mut dyn PluginSection,
) -> Option<Box<dyn Provider>> {
    let has_address = settings.base_url.is_some();
    let has_key = settings.api_key.is_some();
    let credentials = credentials(section);
    let region = region(section);
    match (&region, &credentials) {
        (None, Some(_)) => section.reject("region", NO_REGION),
        (None, None) if !has_address => section.reject("region", NO_REGION),
        _ => {}
    }
    let region = region.unwrap_or_default();
    let url = format!(
        "https://bedrock-runtime.{region}.amazonaws.com{}",
        domain(&region)
    );
    let defaults = Defaults {
        base_url: (!region.is_empty()).then_some(&url),
        key_variable: None,
        auth: Auth::Bearer,
        accept: "application/vnd.amazon.eventstream",
    };
    if region.is_empty() && !has_address {
        return None;
    }
    let mut instance = Instance::open(settings, &defaults, section)?;
    match &credentials {
        Some(_) if has_key => section.reject(
            "access_key_id",
            "stands beside api_key; remove one of them, since a request has one proof",
        ),
        Some(credentials) => {
            instance.keep_secret(credentials.secret_access_key.clone());
            credentials
                .session_token
                .iter()
                .for_each(|token| instance.keep_secret(token.clone()));
        }
        None if has_key || has_address || instance.has_field("authorization") => {}
        None => section.reject(
            "api_key",
            "is missing; set api_key = \"env:AWS_BEARER_TOKEN_BEDROCK\", or access_key_id and \
             secret_access_key",
        ),
    }
    Some(instance.provider(Bedrock {
        region,
        credentials,
    }))
}

fn credentials(section: &mut dyn PluginSection) -> Option<Credentials> {
    let id = section.take_secret("access_key_id");
    let secret_access_key = section.take_secret("secret_access_key");
    let session_token = section.take_secret("session_token");
    match (id, secret_access_key) {
        (Some(id), Some(secret_access_key)) => Some(Credentials {
            access_key_id: id.expose().to_owned(),
            secret_access_key,
            session_token,
        }),
        (None, None) if session_token.is_none() => None,
        (None, _) => {
            section.reject(
                "access_key_id",
                "is missing; it belongs to secret_access_key",
            );
            None
        }
        (Some(_), None) => {
            section.reject(
                "secret_access_key",
                "is missing; it belongs to access_key_id",
            );
            None
        }
    }
}

fn region(section: &mut dyn PluginSection) -> Option<String> {
    let region = section.take_string("region")?;
    let is_label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if region.is_empty() || !region.bytes().all(is_label) {
        section.reject("region", "is no region; write one like \"us-east-1\"");
        return Some("us-east-1".to_owned());
    }
    Some(region)
}

/// What stands behind `amazonaws.com` in the names of a region's servers.
fn domain(region: &str) -> &'static str {
    if region.starts_with("cn-") { ".cn" } else { "" }
}

struct Bedrock {
    region: String,
    /// Requests are signed with these; without them they bear the key, if there is one.
    credentials: Option<Credentials>,
}

impl Api for Bedrock {
    fn ask(
        &self,
        instance: &Instance,
        request: &ChatRequest,
        model: &str,
        cx: StartCx,
    ) -> Result<Upstream, ProviderError> {
        let body = request::body(&Question::new(request, "bedrock"), model)?.to_string();
        let body = body.as_bytes();
        let path = format!("/model/{}/converse-stream", percent::encode(model));
        let Some(credentials) = &self.credentials else {
            return Ok(instance.post_with(&path, &[], body));
        };
        let target = instance.target(&path);
        let (target, query) = target.split_once('?').unwrap_or((&target, ""));
        let scope = Scope {
            region: &self.region,
            service: "bedrock",
        };
        let request = Request {
            method: "POST",
            path: target,
            query,
            fields: &[
                ("Host", instance.host()),
                ("Content-Type", "application/json"),
            ],
            body,
        };
        let signature = sigv4::sign(credentials, scope, &request, cx.unix_time);
        let mut fields = vec![
            ("X-Amz-Date", signature.date.as_str()),
            ("Authorization", &signature.authorization),
        ];
        let token = credentials.session_token.iter();
        fields.extend(token.map(|token| ("X-Amz-Security-Token", token.expose())));
        Ok(instance.post_with(&path, &fields, body))
    }

    fn format(&self, seed: u64) -> Box<dyn Format> {
        Box::new(Converse::new(seed))
    }
}

const NO_REGION: &str = "is missing; set region = \"us-east-1\", or another one";

#[cfg(test)]
mod tests;
