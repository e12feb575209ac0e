//! The frames between a parent and its child: a length of four bytes, little end first, and as many bytes
//! of postcard. Both sides cap the length before they allocate.

use std::io::{self, Read};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::contract::{RawVerdict, Script};
use super::modules::ModuleDigest;
use super::{Limits, Resource};

/// Bytes of the length that begins a frame.
pub(super) const HEADER: usize = 4;
/// Largest request: the attachments of a call and everything around them.
pub(super) const REQUEST_BYTES: usize = 64 << 20;
/// Largest greeting of a child.
pub(super) const HELLO_BYTES: usize = 64 << 10;
/// What a response may take besides the texts of an answer.
const RESPONSE_OVERHEAD: usize = 64 << 10;
/// Longest text of an error that a child reports.
pub(super) const MESSAGE_BYTES: usize = 4 << 10;

/// First frame of a child.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Hello {
    /// Fingerprint of the child's engine.
    pub(super) fingerprint: String,
    /// How the child is confined, in words.
    pub(super) confinement: String,
}

/// One call. `C` is `&Call` where it is sent and `Call` where it is received.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Request<C> {
    pub(super) id: u64,
    /// Native code to run.
    pub(super) native: ModuleDigest,
    pub(super) limits: Limits,
    pub(super) entry: Entry,
    pub(super) call: C,
}

/// Which of a guest's functions is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Entry {
    /// `grade` of a check.
    Grade,
    /// `run` of a script runtime, with this script.
    Run(Script),
}

/// What became of a request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Response {
    /// The request's id.
    pub(super) id: u64,
    pub(super) outcome: Outcome,
    pub(super) fuel_used: u64,
    pub(super) peak_memory_bytes: u64,
    pub(super) time: Duration,
}

/// How a call ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Outcome {
    /// The guest returned.
    Returned(Result<RawVerdict, String>),
    /// No fuel is left.
    OutOfFuel,
    /// The guest asked for too much.
    Refused { resource: Resource, asked: u64 },
    /// The guest trapped.
    Trapped(String),
    /// The answer could not be read.
    Malformed(String),
    /// The wall clock guard fired.
    Interrupted,
    /// The host failed.
    Host(String),
    /// The native code in the cache is missing or is not what its name says.
    Damaged(String),
}

/// A frame that cannot be sent or read.
#[derive(Debug, Error)]
pub(super) enum FrameError {
    /// Over the cap.
    #[error("a frame of {bytes} bytes, at most {limit} are allowed")]
    TooLarge { bytes: usize, limit: usize },
    /// Not the postcard form of what was expected.
    #[error("a frame that cannot be read")]
    Malformed,
}

/// Cap of the response to a call with these limits.
pub(super) fn response_bytes(limits: &Limits) -> usize {
    RESPONSE_OVERHEAD + limits.max_output_bytes as usize
}

/// A whole frame, header included.
pub(super) fn encode<T: Serialize>(value: &T, limit: usize) -> Result<Vec<u8>, FrameError> {
    let mut frame =
        postcard::to_extend(value, vec![0; HEADER]).map_err(|_never_for_a_vec| FrameError::Malformed)?;
    let bytes = frame.len() - HEADER;
    let length = u32::try_from(bytes).ok().filter(|_| bytes <= limit);
    let length = length.ok_or(FrameError::TooLarge { bytes, limit })?;
    frame[..HEADER].copy_from_slice(&length.to_le_bytes());
    Ok(frame)
}

/// Length of the body that follows a header.
pub(super) fn body_length(header: [u8; HEADER], limit: usize) -> Result<usize, FrameError> {
    let bytes = u32::from_le_bytes(header) as usize;
    if bytes > limit {
        Err(FrameError::TooLarge { bytes, limit })
    } else {
        Ok(bytes)
    }
}

/// The value of a frame's body, which it must fill.
pub(super) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        _ => Err(FrameError::Malformed),
    }
}

/// Reads a frame's body into `body`, or nothing when the other side has closed the pipe between frames.
pub(super) fn read_body(reader: &mut impl Read, body: &mut Vec<u8>, limit: usize) -> io::Result<Option<()>> {
    let mut header = [0; HEADER];
    match reader.read_exact(&mut header) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    }
    let length = body_length(header, limit).map_err(io::Error::other)?;
    body.clear();
    // `take` and not `resize`: the memory grows with what really arrives.
    reader.take(length as u64).read_to_end(body)?;
    if body.len() == length {
        Ok(Some(()))
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sandbox::{Call, File, Role};

    fn request(content: Vec<u8>) -> Request<Call> {
        let file = File {
            name: "a.bin".into(),
            content_type: None,
            size: content.len() as u64,
            sha256: String::new(),
            role: Role::Input,
            content: Some(content),
        };
        let call = Call {
            job_id: "job".into(),
            attempt: 1,
            title: String::new(),
            prompt: String::new(),
            description: None,
            requirements: Some(String::new()),
            output_text: "text".into(),
            files: vec![file],
            params: "{}".into(),
        };
        Request {
            id: 7,
            native: ModuleDigest::of(b""),
            limits: Limits::default(),
            entry: Entry::Run(Script {
                name: "check.py".into(),
                source: "def check(s): return True".into(),
            }),
            call,
        }
    }

    #[test]
    fn a_frame_above_the_cap_is_neither_sent_nor_received() {
        assert!(matches!(
            encode(&vec![0u8; 100], 100),
            Err(FrameError::TooLarge {
                bytes: 101,
                limit: 100
            })
        ));
        assert!(body_length(u32::MAX.to_le_bytes(), RESPONSE_OVERHEAD).is_err());
    }

    #[test]
    fn a_length_that_lies_allocates_no_more_than_what_arrives() {
        let mut frame = (REQUEST_BYTES as u32).to_le_bytes().to_vec();
        frame.extend([0; 10]);
        let mut body = Vec::new();
        assert!(read_body(&mut frame.as_slice(), &mut body, REQUEST_BYTES).is_err());
        assert!(body.capacity() < 64 << 10, "{}", body.capacity());
    }

    #[test]
    fn bytes_after_the_value_are_malformed() {
        let mut body = encode(&Outcome::OutOfFuel, 100).unwrap()[HEADER..].to_vec();
        assert!(decode::<Outcome>(&body).is_ok());
        body.push(0);
        assert!(decode::<Outcome>(&body).is_err());
    }

    proptest! {
        #[test]
        fn requests_round_trip(content in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let request = request(content);
            let frame = encode(&request, REQUEST_BYTES).unwrap();
            let mut body = Vec::new();
            prop_assert!(read_body(&mut frame.as_slice(), &mut body, REQUEST_BYTES).unwrap().is_some());
            let back: Request<Call> = decode(&body).unwrap();
            prop_assert_eq!(back.call, request.call);
            prop_assert_eq!(back.entry, request.entry);
            prop_assert_eq!(back.id, request.id);
        }

        #[test]
        fn strange_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = decode::<Response>(&bytes);
            let _ = decode::<Hello>(&bytes);
            let _ = decode::<Request<Call>>(&bytes);
            let mut body = Vec::new();
            let _ = read_body(&mut bytes.as_slice(), &mut body, HELLO_BYTES);
            prop_assert!(body.capacity() <= HELLO_BYTES);
        }

        #[test]
        fn a_damaged_request_never_panics(at in 0usize..200, bit in 0u8..8) {
            let mut frame = encode(&request(vec![1; 50]), REQUEST_BYTES).unwrap();
            let at = at % frame.len();
            frame[at] ^= 1 << bit;
            let _ = decode::<Request<Call>>(&frame[HEADER..]);
        }
    }
}
