//! Where the requests go and what they carry. Made field by field: async-openai's own configuration would take
//! keys from the environment.

use async_openai::config::Config;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::super::judge::JudgeError;
use super::super::model::JudgeSettings;

/// An endpoint and its key.
#[derive(Clone)]
pub(super) struct Endpoint {
    base_url: String,
    api_key: SecretString,
    headers: HeaderMap,
}

impl Endpoint {
    /// Checks address and key.
    pub(super) fn new(settings: &JudgeSettings) -> Result<Self, JudgeError> {
        let base_url = settings.base_url.trim_end_matches('/').to_owned();
        let url = Url::parse(&base_url).map_err(|_| JudgeError::BaseUrl)?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !plain {
            return Err(JudgeError::BaseUrl);
        }
        let mut headers = HeaderMap::new();
        let key = settings.api_key.expose_secret();
        if !key.is_empty() {
            let mut value =
                HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| JudgeError::ApiKey)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(Self {
            base_url,
            api_key: settings.api_key.clone(),
            headers,
        })
    }

    /// Whether the connection is encrypted.
    pub(super) fn is_https(&self) -> bool {
        self.base_url.starts_with("https:")
    }
}

impl Config for Endpoint {
    fn headers(&self) -> HeaderMap {
        self.headers.clone()
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }

    fn query(&self) -> Vec<(&str, &str)> {
        Vec::new()
    }

    fn api_base(&self) -> &str {
        &self.base_url
    }

    fn api_key(&self) -> &SecretString {
        &self.api_key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(base_url: &str, key: &str) -> Result<Endpoint, JudgeError> {
        Endpoint::new(&JudgeSettings::new(base_url, key.into()))
    }

    #[test]
    fn an_address_or_key_that_cannot_work_is_refused_before_anything_is_sent() {
        assert_eq!(
            endpoint("http://127.0.0.1:1/v1/", "k").unwrap().url("/x"),
            "http://127.0.0.1:1/v1/x"
        );
        for wrong in [
            "",
            "api.openai.com/v1",
            "ftp://x/v1",
            "https://u:p@x/v1",
            "https://x/v1?a=b",
        ] {
            assert!(
                matches!(endpoint(wrong, "k"), Err(JudgeError::BaseUrl)),
                "{wrong}"
            );
        }
        assert!(matches!(
            endpoint("https://x/v1", "a\nb"),
            Err(JudgeError::ApiKey)
        ));
        assert!(endpoint("https://x/v1", "").unwrap().headers().is_empty());
    }

    #[test]
    fn no_debug_output_holds_the_key() {
        let settings = JudgeSettings::new("https://x/v1", "sk-canary-123".into());
        assert!(!format!("{settings:?}").contains("canary"));
        assert!(
            !format!(
                "{:?}",
                endpoint("https://x/v1", "sk-canary-123").unwrap().headers()
            )
            .contains("canary")
        );
    }
}
