//! A file of a job, as it is stated.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// A file of a job: where its bytes are, and what was said of them.
///
/// On the wire also a bare URL, whose name is then the last segment of its path.
#[derive(Clone, PartialEq, Serialize)]
pub struct Attachment {
    /// File name as the sender wrote it; a stranger's text.
    pub name: String,
    /// Where the bytes can be fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The bytes themselves in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Media type as stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Size in bytes as stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// SHA-256 in hexadecimal digits as stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

impl Attachment {
    /// An attachment of which only the URL is known.
    pub fn from_url(url: &str) -> Self {
        let path = url.split(['?', '#']).next().unwrap_or(url);
        let last = match path.split_once("://") {
            // A host alone is no name.
            Some((_, rest)) => rest.split_once('/').and_then(|(_, path)| path.rsplit('/').next()),
            None => path.rsplit('/').next(),
        };
        let name = last.filter(|last| !last.is_empty()).unwrap_or("attachment");
        Self {
            name: if url.starts_with("data:") {
                "attachment".to_owned()
            } else {
                name.to_owned()
            },
            url: Some(url.to_owned()),
            data: None,
            content_type: None,
            size: None,
            sha256: None,
        }
    }
}

impl fmt::Debug for Attachment {
    /// Leaves the bytes out: they can be large, and they are a stranger's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment")
            .field("name", &self.name)
            .field("content_type", &self.content_type)
            .field("size", &self.size)
            .field("sha256", &self.sha256)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize, JsonSchema)]
struct AttachmentFields {
    /// File name; the last segment of the URL where it is left out.
    name: Option<String>,
    /// Where the bytes can be fetched: `https:` or `data:`.
    url: Option<String>,
    /// The bytes themselves in base64.
    data: Option<String>,
    /// Media type as stated.
    content_type: Option<String>,
    /// Size in bytes as stated.
    size: Option<u64>,
    /// SHA-256 in hexadecimal digits as stated; other bytes are refused.
    sha256: Option<String>,
}

impl<'de> Deserialize<'de> for Attachment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UrlOrFields;

        impl<'de> Visitor<'de> for UrlOrFields {
            type Value = Attachment;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URL or an attachment {name, url | data, …}")
            }

            fn visit_str<E: de::Error>(self, url: &str) -> Result<Attachment, E> {
                Ok(Attachment::from_url(url))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Attachment, A::Error> {
                let fields = AttachmentFields::deserialize(MapAccessDeserializer::new(map))?;
                let name = match (fields.name, &fields.url) {
                    (Some(name), _) => name,
                    (None, Some(url)) => Attachment::from_url(url).name,
                    (None, None) => return Err(de::Error::missing_field("name")),
                };
                Ok(Attachment {
                    name,
                    url: fields.url,
                    data: fields.data,
                    content_type: fields.content_type,
                    size: fields.size,
                    sha256: fields.sha256,
                })
            }
        }

        deserializer.deserialize_any(UrlOrFields)
    }
}

impl JsonSchema for Attachment {
    fn schema_name() -> Cow<'static, str> {
        "Attachment".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A file of a job, or a bare URL.",
            "anyOf": [
                { "type": "string", "format": "uri" },
                {
                    "allOf": [AttachmentFields::json_schema(generator)],
                    "anyOf": [{ "required": ["name"] }, { "required": ["url"] }],
                },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_url_is_named_after_its_last_segment() {
        let name = |url: &str| Attachment::from_url(url).name;
        assert_eq!(name("https://h.example/x/report.pdf"), "report.pdf");
        assert_eq!(name("https://h.example/"), "attachment");
        assert_eq!(name("https://h.example"), "attachment");
        assert_eq!(name("files/clean.csv"), "clean.csv");
        assert_eq!(name("data:text/plain;base64,aGk="), "attachment");
    }

    #[test]
    fn an_attachment_without_name_and_url_is_refused() {
        let error = serde_json::from_str::<Attachment>(r#"{"data":"aGk="}"#).unwrap_err();
        assert!(error.to_string().contains("missing field `name`"), "{error}");
    }
}
