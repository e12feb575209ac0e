//! The parent's side of one child.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::modules::ModuleDigest;
use super::protocol::{HEADER, HELLO_BYTES, Hello, Response, body_length, decode};
use super::{SandboxError, child};

/// How long a child may take to start.
const START: Duration = Duration::from_secs(20);
/// How long a lost child may take to be gone.
const BURIAL: Duration = Duration::from_secs(1);
/// Most of a lost child's stderr that is reported, in bytes.
const LAST_WORDS: usize = 1 << 10;
/// What one read asks for at least, so that a common response takes a single one.
const READ: usize = 16 << 10;

/// A running child. Dropping it kills it, so whoever gives up on a call leaves nothing behind that could
/// answer the next one.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    stderr: ChildStderr,
    buffer: Vec<u8>,
    calls: u64,
    /// What it ran last, and so has loaded.
    pub(super) last: Option<ModuleDigest>,
    /// How it is confined, in words.
    pub(super) confinement: String,
}

impl Process {
    /// Starts a child and waits for its greeting.
    pub(super) async fn start(program: &Path, cache: &Path, fingerprint: &str) -> Result<Self, SandboxError> {
        let mut child = Command::new(program)
            .arg(child::SUBCOMMAND)
            .arg(cache)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(SandboxError::Spawn)?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(SandboxError::Spawn(io::ErrorKind::BrokenPipe.into()));
        };
        let mut process = Self {
            child,
            stdin,
            stdout,
            stderr,
            buffer: Vec::new(),
            calls: 0,
            last: None,
            confinement: String::new(),
        };
        let hello: Hello = match timeout(START, process.read(HELLO_BYTES)).await {
            Ok(Ok(hello)) => hello,
            Ok(Err(error)) => return Err(process.lost(&error.to_string()).await),
            Err(_elapsed) => return Err(process.lost(&format!("it did not start within {START:?}")).await),
        };
        if hello.fingerprint != fingerprint {
            return Err(SandboxError::ChildLost(
                "the program on disk has another engine than this process: restart it".into(),
            ));
        }
        process.confinement = hello.confinement;
        Ok(process)
    }

    /// Whether the child is still there.
    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// An id that no request to this child has had.
    pub(super) fn next_id(&mut self) -> u64 {
        self.calls += 1;
        self.calls
    }

    /// Sends a request and waits for its response. A child that fails here must not be used again.
    pub(super) async fn exchange(
        &mut self,
        frame: &[u8],
        id: u64,
        response_bytes: usize,
        patience: Duration,
    ) -> Result<Response, SandboxError> {
        let exchange = async {
            self.stdin.write_all(frame).await?;
            self.read(response_bytes).await
        };
        let response: Response = match timeout(patience, exchange).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(self.lost(&error.to_string()).await),
            Err(_elapsed) => {
                return Err(self.lost(&format!("it did not answer within {patience:?}")).await);
            }
        };
        if response.id == id {
            Ok(response)
        } else {
            Err(self.lost("it answered another request").await)
        }
    }

    /// Reads one frame.
    async fn read<T: serde::de::DeserializeOwned>(&mut self, limit: usize) -> io::Result<T> {
        self.buffer.clear();
        let mut end = HEADER;
        while self.buffer.len() < end {
            // Memory grows with what arrives, never with what a header says.
            self.buffer.reserve(READ);
            if self.stdout.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed its pipe"));
            }
            if let Some(header) = self.buffer.first_chunk() {
                end = HEADER + body_length(*header, limit).map_err(io::Error::other)?;
            }
        }
        if self.buffer.len() > end {
            return Err(io::Error::other("it wrote more than it was asked for"));
        }
        let value = decode(&self.buffer[HEADER..end]).map_err(io::Error::other)?;
        self.buffer.shrink_to(READ);
        Ok(value)
    }

    /// Kills the child and says how it ended.
    async fn lost(&mut self, problem: &str) -> SandboxError {
        // A child that is ending by itself is given the time to, so that its own end is what is reported.
        let own_end = timeout(BURIAL / 4, self.child.wait()).await;
        let status = match own_end {
            Ok(status) => status,
            Err(_elapsed) => {
                let _ = self.child.start_kill();
                timeout(BURIAL, self.child.wait())
                    .await
                    .unwrap_or_else(|elapsed| Err(elapsed.into()))
            }
        };
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        let mut words = Vec::new();
        let mut stderr = (&mut self.stderr).take(LAST_WORDS as u64);
        // Whatever could be read in time is enough.
        let _ = timeout(BURIAL, stderr.read_to_end(&mut words)).await;
        let words = String::from_utf8_lossy(&words);
        let words = words.trim().escape_debug();
        SandboxError::ChildLost(format!("{problem} ({status}) {words}").trim_end().to_owned())
    }
}
