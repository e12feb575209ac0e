//! A bucket of S3 on this machine, as far as stores of ours need one: PUT, GET, HEAD, DELETE, lists in pages.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{Method, Response, StatusCode};

/// Who may use it.
pub(crate) const KEY_ID: &str = "BUCKETS-KEY";
pub(crate) const SECRET: &str = "the bucket's secret";

const NAME: &str = "evidence-bucket";
const MODIFIED: &str = "Wed, 25 Nov 2026 09:00:00 GMT";

/// Keys of one page of a list: few, so that there are several.
const PAGE: usize = 2;

#[derive(Default)]
struct Contents {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    read_only: AtomicBool,
}

/// The bucket. It is gone with the test's runtime.
#[derive(Clone)]
pub(crate) struct Bucket {
    endpoint: String,
    contents: Arc<Contents>,
}

impl Bucket {
    pub(crate) async fn start() -> Self {
        let contents = Arc::new(Contents::default());
        let shared = Arc::clone(&contents);
        let router = Router::new().fallback(move |request: Request| {
            let contents = Arc::clone(&shared);
            async move { contents.answer(request).await }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { endpoint, contents }
    }

    /// The table of `assay.toml` that names it `cold`; the credentials are the environment's.
    pub(crate) fn settings(&self) -> String {
        format!(
            "[stores.cold]\nurl = \"s3://{NAME}/assay\"\n\
             options = {{ endpoint = \"{}\", region = \"here\", allow_http = \"true\" }}\n",
            self.endpoint
        )
    }

    /// Whether it takes nothing any more.
    pub(crate) fn is_read_only(&self, read_only: bool) {
        self.contents.read_only.store(read_only, Ordering::Relaxed);
    }

    /// The keys of its objects.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.contents.objects.lock().unwrap().keys().cloned().collect()
    }

    /// Exchanges what lies under a key.
    pub(crate) fn tamper(&self, key: &str, bytes: &[u8]) {
        let old = self
            .contents
            .objects
            .lock()
            .unwrap()
            .insert(key.to_owned(), bytes.to_vec());
        assert!(old.is_some(), "{key}");
    }
}

impl Contents {
    async fn answer(&self, request: Request) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let signed = header("authorization").unwrap_or_default();
        if !signed.starts_with(&format!("AWS4-HMAC-SHA256 Credential={KEY_ID}/")) {
            return with(StatusCode::FORBIDDEN, "<Error><Code>AccessDenied</Code></Error>");
        }
        let path = parts.uri.path().strip_prefix(&format!("/{NAME}")).unwrap();
        let (key, query) = (
            path.trim_start_matches('/'),
            parts.uri.query().unwrap_or_default(),
        );
        let mut objects = self.objects.lock().unwrap();
        if parts.method != Method::GET
            && parts.method != Method::HEAD
            && self.read_only.load(Ordering::Relaxed)
        {
            return with(StatusCode::FORBIDDEN, "<Error><Code>AccessDenied</Code></Error>");
        }
        match (parts.method, key) {
            (Method::GET, "") => with(StatusCode::OK, &list(&objects, query)),
            (Method::POST, "") if query == "delete" => {
                let asked = String::from_utf8(body).unwrap();
                let deleted = asked.split("<Key>").skip(1).map(|rest| {
                    let key = rest.split("</Key>").next().unwrap();
                    objects.remove(key);
                    format!("<Deleted><Key>{key}</Key></Deleted>")
                });
                let deleted: String = deleted.collect();
                with(StatusCode::OK, &format!("<DeleteResult>{deleted}</DeleteResult>"))
            }
            (Method::PUT, key) => {
                if header("if-none-match") == Some("*") && objects.contains_key(key) {
                    return with(StatusCode::PRECONDITION_FAILED, "");
                }
                objects.insert(key.to_owned(), body);
                with(StatusCode::OK, "")
            }
            (Method::GET | Method::HEAD, key) => match objects.get(key) {
                Some(bytes) => with(StatusCode::OK, bytes.clone()),
                None => with(StatusCode::NOT_FOUND, ""),
            },
            (method, key) => panic!("{method} {key}?{query}: not what our stores ask for"),
        }
    }
}

fn with(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    Response::builder()
        .status(status)
        .header("etag", "\"1\"")
        .header("last-modified", MODIFIED)
        .body(Body::from(body.into().0))
        .unwrap()
}

/// A body, of text or of bytes.
struct Bytes(Vec<u8>);

impl From<&str> for Bytes {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<&String> for Bytes {
    fn from(text: &String) -> Self {
        Self(text.clone().into())
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

fn list(objects: &BTreeMap<String, Vec<u8>>, query: &str) -> String {
    let parameter = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let value = pairs.find(|(key, _)| *key == name)?.1;
        Some(value.replace("%2F", "/"))
    };
    assert_eq!(parameter("list-type").as_deref(), Some("2"), "{query}");
    let (prefix, after) = (
        parameter("prefix").unwrap_or_default(),
        parameter("continuation-token"),
    );
    let mut listed = objects
        .iter()
        .filter(|(key, _)| key.starts_with(&prefix) && after.as_ref().is_none_or(|after| *key > after));
    let page: Vec<_> = listed.by_ref().take(PAGE).collect();
    let next = match (page.last(), listed.next()) {
        (Some((last, _)), Some(_)) => {
            format!("<NextContinuationToken>{last}</NextContinuationToken>")
        }
        _ => String::new(),
    };
    let contents = page.iter().map(|(key, bytes)| {
        format!(
            "<Contents><Key>{key}</Key><Size>{}</Size><LastModified>2026-11-25T09:00:00.000Z</LastModified>\
             <ETag>\"1\"</ETag></Contents>",
            bytes.len()
        )
    });
    format!(
        "<ListBucketResult>{}{next}</ListBucketResult>",
        contents.collect::<String>()
    )
}
