//! Pictures that were handed in, for judges that see.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::digest::Digest;

/// Most pictures that are shown.
pub(super) const MAX_PICTURES: usize = 8;

/// Largest picture that is shown, in bytes: what the usual endpoints take.
pub(super) const MAX_PICTURE_BYTES: u64 = 5 * 1024 * 1024;

/// A picture as it is sent.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Picture {
    /// Its media type, from its first bytes.
    pub(super) media_type: &'static str,
    /// Its bytes.
    pub(super) bytes: Arc<[u8]>,
    /// Their digest.
    pub(super) sha256: Digest,
}

impl Picture {
    /// The picture as a URL that carries it.
    pub(super) fn data_url(&self) -> String {
        format!("data:{};base64,{}", self.media_type, STANDARD.encode(&self.bytes))
    }
}

impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.media_type, self.sha256.short())
    }
}

/// The media type of a picture that models take, by its first bytes; what the submitter states does not count.
pub(super) fn media_type(bytes: &[u8]) -> Option<&'static str> {
    let starts = |start: &[u8]| bytes.starts_with(start);
    if starts(b"\x89PNG\r\n\x1a\n") {
        Some("image/png")
    } else if starts(b"\xff\xd8\xff") {
        Some("image/jpeg")
    } else if starts(b"GIF87a") || starts(b"GIF89a") {
        Some("image/gif")
    } else if starts(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        Some("image/webp")
    } else {
        None
    }
}
