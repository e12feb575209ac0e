//! Where an attachment's bytes come from: its `data`, a `data:` URL, the network, or, in fixtures, a file.

use std::path::Path;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::trouble::Trouble;
use super::{Sources, disk, fetch, local};
use crate::job::Attachment;
use crate::submission::Fault;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Schemes are the same in either case (RFC 3986, section 3.1).
fn has_scheme(url: &str, scheme: &str) -> bool {
    url.get(..scheme.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}

/// Writes the attachment's bytes into the file, and says the media type where the source states one.
pub(super) async fn obtain(
    attachment: &Attachment,
    name: &str,
    sources: &Sources,
    into: &Path,
) -> Result<Option<String>, Trouble> {
    let limit = sources.limits.file_bytes;
    if let (None, Some(url), Some(network)) = (&attachment.data, &attachment.url, sources.network)
        && (has_scheme(url, "https:") || has_scheme(url, "http:"))
    {
        return fetch::download(url, network, limit, name, into).await;
    }
    let (attachment, sources) = (attachment.clone(), sources.clone());
    let (name, into) = (name.to_owned(), into.to_owned());
    let writing = tokio::task::spawn_blocking(move || {
        let (bytes, content_type) = read(&attachment, &name, &sources)?;
        if bytes.len() as u64 > limit {
            return Err(Fault::AttachmentTooLarge { name, limit }.into());
        }
        std::fs::write(into, bytes).map_err(|error| Trouble::Ours(disk(&error)))?;
        Ok(content_type)
    });
    writing
        .await
        .map_err(|error| Trouble::Ours(disk(&std::io::Error::other(error))))?
}

/// Bytes that are at hand, and the media type where their source states one.
fn read(
    attachment: &Attachment,
    name: &str,
    sources: &Sources,
) -> Result<(Vec<u8>, Option<String>), Trouble> {
    let limit = sources.limits.file_bytes;
    let refused = |reason: &str| Fault::AttachmentRefused {
        name: name.to_owned(),
        reason: reason.to_owned(),
    };
    match (&attachment.data, &attachment.url) {
        (Some(data), _) => Ok((decode(data, limit, name)?, None)),
        (None, Some(url)) if has_scheme(url, "data:") => data_url(url, limit, name),
        (None, Some(url)) if !url.contains(':') && sources.fixture.is_some() => {
            Ok((local::read(sources.fixture.as_deref(), url, limit, name)?, None))
        }
        (None, Some(_)) => Err(refused("only https: and data: URLs are accepted").into()),
        (None, None) => Err(refused("it has neither `url` nor `data`").into()),
    }
}

/// Decodes base64, refusing by its length before anything is allocated.
fn decode(text: &str, limit: u64, name: &str) -> Result<Vec<u8>, Trouble> {
    if text.len() as u64 / 4 * 3 > limit.saturating_add(3) {
        return Err(Fault::AttachmentTooLarge {
            name: name.to_owned(),
            limit,
        }
        .into());
    }
    // Both alphabets of RFC 4648, padded or not: the spelling of the bytes is not the work.
    let compact: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            byte => byte,
        })
        .collect();
    BASE64.decode(compact).map_err(|error| {
        Fault::AttachmentUndecodable {
            name: name.to_owned(),
            reason: format!("its base64 is broken: {error}"),
        }
        .into()
    })
}

/// RFC 2397: `data:[<mediatype>][;base64],<data>`.
fn data_url(url: &str, limit: u64, name: &str) -> Result<(Vec<u8>, Option<String>), Trouble> {
    let broken = |reason: &str| Fault::AttachmentUndecodable {
        name: name.to_owned(),
        reason: reason.to_owned(),
    };
    let (head, data) = url["data:".len()..]
        .split_once(',')
        .ok_or_else(|| broken("its data: URL has no comma"))?;
    let (media, is_base64) = head
        .strip_suffix(";base64")
        .map_or((head, false), |media| (media, true));
    let content_type = (!media.is_empty()).then(|| media.to_owned());
    let bytes = if is_base64 {
        decode(data, limit, name)?
    } else {
        percent_decode(data).ok_or_else(|| broken("its data: URL has a broken percent escape"))?
    };
    Ok((bytes, content_type))
}

fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            let mut decoded = [0];
            hex::decode_to_slice(digits, &mut decoded).ok()?;
            bytes.extend(decoded);
        } else {
            bytes.push(byte);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_url(url: &str) -> Result<Vec<u8>, Trouble> {
        read(&Attachment::from_url(url), "n", &Sources::default()).map(|(bytes, _)| bytes)
    }

    #[test]
    fn a_data_url_is_decoded_in_both_forms() {
        assert_eq!(read_url("data:text/plain;base64,aGk=").unwrap(), b"hi");
        assert_eq!(read_url("DATA:;base64,aGk").unwrap(), b"hi");
        assert_eq!(
            read_url("data:;base64,-_-_").unwrap(),
            read_url("data:;base64,+/+/").unwrap()
        );
        assert_eq!(read_url("data:,a%20b").unwrap(), b"a b");
    }

    #[test]
    fn a_broken_data_url_is_the_givers_fault() {
        for url in [
            "data:text/plain;base64,a",
            "data:;base64,a=b",
            "data:nothing",
            "data:,%zz",
            "data:,%4",
        ] {
            assert!(
                matches!(
                    read_url(url),
                    Err(Trouble::Theirs(Fault::AttachmentUndecodable { .. }))
                ),
                "{url}"
            );
        }
    }

    #[test]
    fn no_path_and_no_other_scheme_is_read_for_a_stranger() {
        for url in [
            "file:///etc/passwd",
            "/etc/passwd",
            "http://127.0.0.1/",
            "s3://b/k",
            "out.txt",
            "ftp://x/y",
        ] {
            assert!(
                matches!(
                    read_url(url),
                    Err(Trouble::Theirs(Fault::AttachmentRefused { .. }))
                ),
                "{url}"
            );
        }
    }

    #[test]
    fn base64_over_the_limit_is_refused_by_its_length() {
        let mut sources = Sources::default();
        sources.limits.file_bytes = 3;
        let mut attachment = Attachment::from_url("data:;base64,YWFhYWFhYWFh");
        assert!(matches!(
            read(&attachment, "n", &sources),
            Err(Trouble::Theirs(Fault::AttachmentTooLarge { .. }))
        ));
        attachment.url = Some("data:;base64,YWFh".into());
        assert_eq!(read(&attachment, "n", &sources).unwrap().0, b"aaa");
    }

    proptest::proptest! {
        #[test]
        fn no_url_and_no_data_make_reading_panic(url in "(data:)?[ -~]{0,40}|\\PC{0,20}", data: Option<String>) {
            let attachment = Attachment { data, ..Attachment::from_url(&url) };
            let _ = read(&attachment, "n", &Sources::default());
        }

        #[test]
        fn bytes_survive_a_data_url(bytes: Vec<u8>) {
            let url = format!("data:;base64,{}", BASE64.encode(&bytes));
            proptest::prop_assert_eq!(read_url(&url).unwrap(), bytes);
        }
    }
}
