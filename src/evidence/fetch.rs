//! Fetches an attachment over the network, for a stranger: the address is looked up once, checked, and the connection
//! pinned to it; every redirect is checked again; nothing is read beyond the limit.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Response, StatusCode, Url};
use tokio::io::AsyncWriteExt as _;

use super::disk;
use super::trouble::Trouble;
use crate::digest::Digest;
use crate::submission::Fault;
use crate::verdict::{ErrorKind, GradeError};

/// Redirects that are followed.
const MAX_REDIRECTS: usize = 5;

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// Longest wait for the next bytes.
const SILENCE: Duration = Duration::from_secs(30);

/// Longest download.
const WHOLE: Duration = Duration::from_secs(300);

/// What may be fetched for strangers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Network {
    /// Private, loopback and other addresses that are not the public internet's. Off outside tests and closed networks:
    /// a stranger's URL must not reach our own machines.
    pub allow_private: bool,
    /// Without encryption.
    pub allow_http: bool,
    /// Which files are their givers' fault when their host says that they do not exist.
    pub gone_for_good: GoneForGood,
}

/// Files that have been missing for long enough, and often enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GoneForGood {
    /// None yet.
    #[default]
    Nothing,
    /// The one whose URL has this digest.
    File(Digest),
    /// Every one: nobody waits for them any more.
    Everything,
}

impl GoneForGood {
    fn holds(self, file: Digest) -> bool {
        match self {
            Self::Nothing => false,
            Self::File(gone) => gone == file,
            Self::Everything => true,
        }
    }
}

/// Downloads `url` into the file and says the media type that the host states. `name` is for messages.
///
/// # Errors
/// A URL that nobody may use, and a file over `limit` bytes, are whoever's who gave it; a host that does not answer is
/// ours. A file that is gone is ours, too, until it has been gone for long enough: the caller counts.
pub(super) async fn download(
    url: &str,
    network: Network,
    limit: u64,
    name: &str,
    into: &Path,
) -> Result<Option<String>, Trouble> {
    let refused = |reason: String| Fault::AttachmentRefused {
        name: name.to_owned(),
        reason,
    };
    let file = Digest::of(url.as_bytes());
    let mut url = Url::parse(url).map_err(|error| refused(format!("its URL is broken: {error}")))?;
    for _ in 0..=MAX_REDIRECTS {
        let addresses = allowed_addresses(&url, network, name).await?;
        let response = get(&url, &addresses)
            .await
            .map_err(|reason| unreachable(name, reason))?;
        let status = response.status();
        if !status.is_redirection() {
            let response = accept(response, name, network.gone_for_good.holds(file), file)?;
            let media = response
                .headers()
                .get(CONTENT_TYPE)
                .and_then(|value| value.to_str().ok());
            let media = media.map(str::to_owned);
            save(response, limit, name, into).await?;
            return Ok(media);
        }
        let next = response
            .headers()
            .get(LOCATION)
            .and_then(|value| value.to_str().ok());
        let next = next.and_then(|next| url.join(next).ok());
        url =
            next.ok_or_else(|| unreachable(name, format!("a redirect ({status}) without a place to go")))?;
    }
    Err(refused(format!("its URL redirects more than {MAX_REDIRECTS} times")).into())
}

fn unreachable(name: &str, reason: impl std::fmt::Display) -> Trouble {
    Trouble::Ours(GradeError::new(
        ErrorKind::AttachmentUnreachable,
        format!("`{name}`: {reason}"),
    ))
}

/// The addresses of the URL's host, all of them allowed.
async fn allowed_addresses(url: &Url, network: Network, name: &str) -> Result<Vec<SocketAddr>, Trouble> {
    let refused = |reason: &str| {
        Trouble::Theirs(Fault::AttachmentRefused {
            name: name.to_owned(),
            reason: reason.to_owned(),
        })
    };
    match url.scheme() {
        "https" => {}
        "http" if network.allow_http => {}
        _ => return Err(refused("only https: and data: URLs are accepted")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("its URL holds a user name or password"));
    }
    let host = url.host_str().ok_or_else(|| refused("its URL names no host"))?;
    let port = url.port_or_known_default().unwrap_or(443);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let literal = bare.parse::<IpAddr>();
    let is_literal = literal.is_ok();
    let looked_up: Vec<SocketAddr> = match literal {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => {
            let found = tokio::time::timeout(CONNECT, tokio::net::lookup_host((bare, port))).await;
            let found = found.map_err(|_| unreachable(name, "its host's address was not found in time"))?;
            found.map_err(|error| unreachable(name, error))?.collect()
        }
    };
    let allowed: Vec<_> = looked_up
        .into_iter()
        .filter(|address| network.allow_private || is_public(address.ip()))
        .collect();
    match allowed.is_empty() {
        false => Ok(allowed),
        // Whoever wrote the address knew it; what a name stands for is our resolver's word, which may be wrong.
        true if is_literal => Err(refused("its host is not on the public internet")),
        true => Err(unreachable(
            name,
            "its host has no address on the public internet",
        )),
    }
}

/// One request, to one of these addresses and nowhere else. An error's text names no part of the URL: it may be signed.
async fn get(url: &Url, addresses: &[SocketAddr]) -> Result<Response, String> {
    crate::tls::install_provider();
    let client = reqwest::Client::builder()
        .resolve_to_addrs(url.host_str().unwrap_or_default(), addresses)
        .redirect(Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .timeout(WHOLE)
        .build()
        .map_err(|error| format!("no HTTP client: {}", error.without_url()))?;
    client
        .get(url.clone())
        .send()
        .await
        .map_err(|error| error.without_url().to_string())
}

fn accept(response: Response, name: &str, is_gone: bool, file: Digest) -> Result<Response, Trouble> {
    let status = response.status();
    match status {
        StatusCode::OK => Ok(response),
        StatusCode::NOT_FOUND | StatusCode::GONE if is_gone => Err(Fault::AttachmentGone {
            name: name.to_owned(),
            status: status.as_u16(),
        }
        .into()),
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            let message = format!("`{name}`: its host says that it does not exist (status {status})");
            Err(Trouble::Ours(
                GradeError::new(ErrorKind::AttachmentNotFoundYet, message).about(file),
            ))
        }
        _ => Err(unreachable(
            name,
            format!("its host answers with status {status}"),
        )),
    }
}

async fn save(response: Response, limit: u64, name: &str, into: &Path) -> Result<(), Trouble> {
    let too_large = || {
        Trouble::Theirs(Fault::AttachmentTooLarge {
            name: name.to_owned(),
            limit,
        })
    };
    if response.content_length().is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let ours = |error: std::io::Error| Trouble::Ours(disk(&error));
    let mut file = tokio::fs::File::create(into).await.map_err(ours)?;
    let mut left = limit;
    let mut body = response.bytes_stream();
    while let Some(bytes) = body.next().await {
        let bytes = bytes.map_err(|error| unreachable(name, error.without_url()))?;
        left = left.checked_sub(bytes.len() as u64).ok_or_else(too_large)?;
        file.write_all(&bytes).await.map_err(ours)?;
    }
    file.flush().await.map_err(ours)
}

/// Whether the address is one of the public internet (IANA's special-purpose address registries).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b));
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    // Only 2000::/3 is given out; all that carries an IPv4 address within (mapped, NAT64, 6to4, Teredo) lies outside of it
    // or is refused here.
    (segments[0] & 0xe000) == 0x2000
        && segments[0] != 0x2002
        && !(segments[0] == 0x2001 && (segments[1] < 0x0200 || segments[1] == 0x0db8))
        && !(segments[0] == 0x3fff && segments[1] < 0x1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_public_internet_are_public() {
        for public in [
            "1.1.1.1",
            "93.184.216.34",
            "172.32.0.1",
            "2606:4700::1111",
            "2a00:1450:4001::1",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for special in [
            "0.0.0.0",
            "10.1.2.3",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "192.0.0.8",
            "198.18.0.1",
            "198.51.100.7",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
        ] {
            assert!(!is_public(special.parse().unwrap()), "{special}");
        }
    }

    #[tokio::test]
    async fn a_url_that_nobody_may_use_is_refused_before_any_connection() {
        let into = tempfile::tempdir().unwrap();
        for url in [
            "http://93.184.216.34/x",
            "https://127.0.0.1/x",
            "https://[::1]/x",
            "https://[::ffff:10.0.0.1]/x",
            "https://169.254.169.254/latest/meta-data",
            "https://0x7f.1/",
            "https://2130706433/",
            "https://user:pw@93.184.216.34/",
            "ftp://93.184.216.34/",
            "https://",
            "file:///etc/passwd",
        ] {
            let result = download(url, Network::default(), 10, "n", &into.path().join("f")).await;
            assert!(
                matches!(result, Err(Trouble::Theirs(Fault::AttachmentRefused { .. }))),
                "{url}: {result:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_name_that_stands_for_a_private_address_is_not_held_against_the_submitter() {
        let into = tempfile::tempdir().unwrap();
        let result = download(
            "https://localhost/",
            Network::default(),
            10,
            "n",
            &into.path().join("f"),
        )
        .await;
        assert!(matches!(result, Err(Trouble::Ours(_))), "{result:?}");
    }
}
