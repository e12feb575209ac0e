//! `assay keys`: the keys that sign receipts, and which of them settlement trusts.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;

use super::{CliError, Exit, parts};
use crate::clock::Clock;
use crate::config::{CommonArgs, Config, PoolSettings};
use crate::receipt::{KeyState, SigningKey, TrustFile, TrustedKey};

/// Flags of `assay keys`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  assay keys new --out signing.key --trust trust.toml
  assay keys list
  assay keys revoke 9f86d081884c7d65 --reason \"laptop stolen\"

The signing key goes to the workers alone, the trust file to settlement alone. To change keys: `new`, restart the workers
with the new key, and set `not_after` of the old one. A revoked key counts for nothing at once, also for what it signed
before: those outcomes become exceptions.")]
pub(super) struct KeysArgs {
    #[command(subcommand)]
    action: Action,
    /// The trust file [default: the configured one]
    #[arg(long, global = true, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a key pair; the public half goes into the trust file
    New {
        /// The new file of the secret half [default: the configured one]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// The deployment whose decisions it signs [default: the configured one]
        #[arg(long, value_name = "NAME")]
        deployment: Option<String>,
    },
    /// Show every key of the trust file, with its age and how it stands
    List,
    /// Trust a key no longer, from now on
    Revoke {
        /// The key's id, as `assay keys list` shows it
        kid: String,
        /// Why; kept in the trust file
        #[arg(long)]
        reason: String,
    },
}

pub(super) fn run(args: KeysArgs, common: &CommonArgs) -> Result<Exit, CliError> {
    let config = parts::config(common)?;
    let trust = match args.trust {
        Some(trust) => trust,
        None => config.pool.trust.clone(),
    };
    let now = Clock::system().now();
    match args.action {
        Action::New { out, deployment } => {
            let out = match out {
                Some(out) => out,
                None => config.pool.signing_key.clone(),
            };
            new(&config, &out, &trust, deployment, now, args.json)
        }
        Action::List => list(&trust, now, args.json),
        Action::Revoke { kid, reason } => {
            let mut file = TrustFile::read(&trust).map_err(CliError::usage)?;
            file.revoke(&kid, now, &reason).map_err(CliError::usage)?;
            file.write(&trust).map_err(CliError::trouble)?;
            if args.json {
                say!("{}", json!({"kid": kid, "revoked_at": now, "reason": reason}));
            } else {
                say!(
                    "revoked {kid}: settlement trusts it no longer as soon as it has {}",
                    trust.display()
                );
            }
            Ok(Exit::Good)
        }
    }
}

/// Makes the first key of a deployment, where its settings say that it is.
pub(super) fn first(config: &Config) -> Result<(), CliError> {
    let PoolSettings {
        signing_key, trust, ..
    } = &config.pool;
    new(config, signing_key, trust, None, Clock::system().now(), false).map(|_| ())
}

fn new(
    config: &Config,
    out: &Path,
    trust: &Path,
    deployment: Option<String>,
    now: Timestamp,
    as_json: bool,
) -> Result<Exit, CliError> {
    let mut file = if trust.exists() {
        TrustFile::read(trust).map_err(CliError::usage)?
    } else {
        TrustFile::default()
    };
    let deployment = deployment.unwrap_or_else(|| config.pool.deployment.clone());
    let key = SigningKey::generate();
    // The secret half first: a key that is trusted and exists nowhere would only confuse.
    key.write_new(out).map_err(CliError::usage)?;
    file.add(TrustedKey::new(&key, &deployment, now));
    file.write(trust).map_err(CliError::trouble)?;
    if as_json {
        let (signing_key, kid) = (out, key.id());
        say!(
            "{}",
            json!({"kid": kid, "deployment": deployment, "signing_key": signing_key, "trust": trust})
        );
    } else {
        say!("made key {} of deployment `{deployment}`", key.id());
        say!("  signing key  {}  for the workers, secret", out.display());
        say!("  trust file   {}  for settlement", trust.display());
    }
    Ok(Exit::Good)
}

fn list(trust: &Path, now: Timestamp, as_json: bool) -> Result<Exit, CliError> {
    let file = TrustFile::read(trust).map_err(CliError::usage)?;
    for key in file.keys() {
        let state = key.state(now);
        let age = key
            .not_before
            .map(|from| now.duration_since(from).as_secs() / 86_400);
        if as_json {
            let mut line = serde_json::to_value(key).map_err(|error| CliError::trouble(anyhow!(error)))?;
            line["state"] = json!(state);
            line["age_days"] = json!(age);
            say!("{line}");
            continue;
        }
        let age = age.map_or_else(String::new, |days| format!("  {days} days old"));
        let why = match (state, key.revoked_at, &key.reason) {
            (KeyState::Revoked, Some(at), reason) => {
                format!("  at {at}: {}", reason.as_deref().unwrap_or("no reason given"))
            }
            _ => String::new(),
        };
        say!(
            "{}  {:<13}  {}{age}{why}",
            key.kid,
            state.as_str(),
            key.deployment
        );
    }
    Ok(Exit::Good)
}
