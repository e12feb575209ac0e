//! What a child gives up before it touches anything of a stranger's.
//!
//! wasm itself is the first wall. This is the second, for the day on which the first has a hole: a process
//! without environment, files, network and children of its own, that cannot grow without bound.

use std::io;
use std::path::Path;
use std::time::Duration;

use landlock::{
    ABI, Access, AccessFs, AccessNet, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus, Scope,
};
use rustix::process::{Resource, Rlimit, setrlimit};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// Newest Landlock version that this was tested with; older kernels do what they can.
const LANDLOCK: ABI = ABI::V6;

/// What a child may still do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance<'a> {
    /// Private writable memory in bytes. Reserved address space, of which wasmtime takes 4 GiB for each
    /// memory, does not count.
    pub(super) memory: u64,
    /// Processor time, after which the child is killed.
    pub(super) cpu: Option<Duration>,
    /// The one directory whose files may be read.
    pub(super) read: Option<&'a Path>,
}

/// Confines this process for good, and says in words how far the kernel went along.
///
/// Resource limits must hold. Landlock and seccomp are a second wall that not every kernel and container
/// offers, so their absence is reported and not an error.
pub(super) fn confine(allowance: Allowance<'_>) -> io::Result<String> {
    let limit = |resource, value| {
        setrlimit(
            resource,
            Rlimit {
                current: Some(value),
                maximum: Some(value),
            },
        )
        .map_err(io::Error::from)
    };
    limit(Resource::Core, 0)?;
    limit(Resource::Fsize, 0)?;
    limit(Resource::Nofile, 16)?;
    limit(Resource::Data, allowance.memory)?;
    if let Some(cpu) = allowance.cpu {
        // The soft limit ends the process by a signal of its own, which tells the parent what happened.
        let seconds = cpu.as_secs();
        setrlimit(
            Resource::Cpu,
            Rlimit {
                current: Some(seconds),
                maximum: Some(seconds + 5),
            },
        )?;
    }
    rustix::thread::set_no_new_privs(true)?;
    let landlock = match landlock(allowance.read) {
        Ok(RulesetStatus::FullyEnforced) => "landlock on".to_owned(),
        Ok(RulesetStatus::PartiallyEnforced) => "landlock on in part".to_owned(),
        Ok(RulesetStatus::NotEnforced) => "no landlock in this kernel".to_owned(),
        Err(error) => format!("landlock failed: {error}"),
    };
    let seccomp = match seccomp() {
        Ok(()) => "seccomp on".to_owned(),
        Err(error) => format!("seccomp failed: {error}"),
    };
    Ok(format!("{landlock}, {seccomp}"))
}

/// Denies files but those below `read`, TCP, and signals and sockets that reach other processes.
fn landlock(read: Option<&Path>) -> Result<RulesetStatus, Box<dyn std::error::Error>> {
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?;
    if let Some(read) = read {
        rules = rules.add_rule(PathBeneath::new(PathFd::new(read)?, AccessFs::ReadFile))?;
    }
    Ok(rules.restrict_self()?.ruleset)
}

/// Denies what a child never does: sockets of any kind, other programs, other processes.
fn seccomp() -> Result<(), Box<dyn std::error::Error>> {
    let denied = [
        libc::SYS_socket,
        libc::SYS_socketpair,
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_pidfd_open,
        libc::SYS_pidfd_getfd,
        libc::SYS_io_uring_setup,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_mount,
        libc::SYS_unshare,
        libc::SYS_setns,
    ];
    let filter = SeccompFilter::new(
        denied.into_iter().map(|call| (call, Vec::new())).collect(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM as u32),
        std::env::consts::ARCH.try_into()?,
    )?;
    let program: BpfProgram = filter.try_into()?;
    Ok(seccompiler::apply_filter(&program)?)
}
