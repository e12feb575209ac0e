//! The hidden subcommand that runs guests: reads a request, runs it, writes the response, until its
//! parent closes the pipe.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use rustix::process::{Resource, Rlimit, setrlimit};

use super::Call;
use super::confine::{Allowance, confine};
use super::engine::{GUEST_STACK, engine, fingerprint};
use super::guest::Guests;
use super::protocol::{
    HELLO_BYTES, Hello, REQUEST_BYTES, Request, decode, encode, read_body, response_bytes,
};

/// First argument of a process that is such a child; the second is the cache directory.
pub(super) const SUBCOMMAND: &str = "sandbox-child";

/// Private writable memory that a child may have, in bytes: the largest guest, the largest request twice
/// (as bytes and as values), and the rest.
const MEMORY: u64 = 1 << 30;

/// Runs the child.
pub(super) fn main(directory: Option<OsString>) -> ExitCode {
    let result = directory
        .ok_or_else(|| io::Error::other("the cache directory is missing"))
        .and_then(|directory| serve(Path::new(&directory)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The parent reads this; if it is gone, nobody has to.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(directory: &Path) -> io::Result<()> {
    let confinement = confine(Allowance {
        memory: MEMORY,
        cpu: None,
        read: Some(directory),
    })?;
    let directory = directory.to_owned();
    // The main thread's stack is as the parent's shell wishes, this one is as guests need it.
    let guests = thread::Builder::new()
        .name("guests".into())
        .stack_size(2 * GUEST_STACK)
        .spawn(move || answer(directory, confinement))?;
    guests
        .join()
        .map_err(|_panic| io::Error::other("the sandbox process panicked"))?
}

fn answer(directory: PathBuf, confinement: String) -> io::Result<()> {
    let engine = engine().map_err(|error| io::Error::other(format!("{error:#}")))?;
    let hello = Hello {
        fingerprint: fingerprint(&engine),
        confinement,
    };
    let mut guests = Guests::new(engine, directory)?;
    // All threads are running now.
    setrlimit(
        Resource::Nproc,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    )?;

    // Not through `Stdout`, which would cut a frame in two at its last newline byte.
    let mut output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    output.write_all(&encode(&hello, HELLO_BYTES).map_err(io::Error::other)?)?;
    let mut input = io::stdin().lock();
    let mut body = Vec::new();
    while read_body(&mut input, &mut body, REQUEST_BYTES)?.is_some() {
        let request: Request<Call> = decode(&body).map_err(io::Error::other)?;
        // A large request is not kept in memory twice while its guest runs.
        if body.capacity() > 1 << 20 {
            body = Vec::new();
        }
        let response = guests.run(&request);
        output.write_all(&encode(&response, response_bytes(&request.limits)).map_err(io::Error::other)?)?;
    }
    Ok(())
}
