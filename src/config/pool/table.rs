//! The table `[pool]` of the settings file, and the environment over it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::settings::{AMQP_URL, BYTES_PER_DELIVERY, DATABASE_URL};
use super::{Lost, PoolSettings, Settlement};
use crate::config::ConfigError;
use crate::config::values::{Hidden, Length, Listen, Size};

const SIGNING_KEY: &str = "ASSAY_SIGNING_KEY";
const TRUST: &str = "ASSAY_TRUST";
const DEPLOYMENT: &str = "ASSAY_DEPLOYMENT";
const WORKER: &str = "ASSAY_WORKER";
const LISTEN: &str = "ASSAY_LISTEN";

/// Nothing is held unacknowledged for longer (DESIGN.md section 6): the broker takes it back after 30 minutes.
const LONGEST_VERIFICATION: Duration = Duration::from_secs(600);

/// A lease is renewed three times before it ends, over a database that may be slow.
const SHORTEST_LEASE: Duration = Duration::from_secs(3);

/// How long a drain may take beyond the longest verification.
const DRAIN_MARGIN: Duration = Duration::from_secs(30);

/// The table `[pool]` of the settings file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct PoolTable {
    amqp_url: Option<Hidden>,
    database_url: Option<Hidden>,
    deployment: Option<String>,
    worker: Option<String>,
    in_flight: Option<u16>,
    memory: Option<Size>,
    judge_slots: Option<usize>,
    lease: Option<Length>,
    verification_limit: Option<Length>,
    grace: Option<Length>,
    signing_key: Option<PathBuf>,
    trust: Option<PathBuf>,
    listen: Option<Listen>,
    default_plan: Option<String>,
    lost: Lost,
    lost_after: Option<Length>,
    marketplace: Option<bool>,
    settlement: Settlement,
}

/// Puts the pool's settings together; `variable` reads the environment.
pub(in crate::config) fn settings(
    file: PoolTable,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<PoolSettings, ConfigError> {
    let url = |name, file: Option<Hidden>, schemes: &[&str]| {
        let url = variable(name)
            .map(SecretString::from)
            .or(file.map(|Hidden(url)| url));
        match url {
            Some(url)
                if !schemes
                    .iter()
                    .any(|scheme| url.expose_secret().starts_with(scheme)) =>
            {
                // It may hold a password, so it is not repeated.
                Err(ConfigError::Variable {
                    name,
                    message: format!("expected a URL that begins with {}", schemes.join(" or ")),
                })
            }
            url => Ok(url),
        }
    };
    let listen = match variable(LISTEN) {
        Some(text) => Some(text.parse().map_err(|message| ConfigError::Variable {
            name: LISTEN,
            message,
        })?),
        None => file.listen,
    };
    let place = |name, file: Option<PathBuf>, usual: &str| {
        variable(name)
            .map(PathBuf::from)
            .or(file)
            .unwrap_or_else(|| usual.into())
    };
    let verification_limit = length(file.verification_limit, 540);
    let settings = PoolSettings {
        amqp_url: url(AMQP_URL, file.amqp_url, &["amqp://", "amqps://"])?,
        database_url: url(DATABASE_URL, file.database_url, &["postgres://", "postgresql://"])?,
        deployment: variable(DEPLOYMENT)
            .or(file.deployment)
            .unwrap_or_else(|| "default".to_owned()),
        worker: variable(WORKER).or(file.worker).unwrap_or_else(worker_name),
        in_flight: file.in_flight.unwrap_or(512),
        memory: file.memory.map_or(1 << 30, |Size(bytes)| bytes),
        judge_slots: file.judge_slots.unwrap_or(20),
        lease: length(file.lease, 30),
        verification_limit,
        grace: file
            .grace
            .map_or(verification_limit + DRAIN_MARGIN, |Length(grace)| grace),
        signing_key: place(SIGNING_KEY, file.signing_key, ".assay/signing.key"),
        trust: place(TRUST, file.trust, ".assay/trust.toml"),
        listen: listen.map_or_else(
            || Some(SocketAddr::from(([127, 0, 0, 1], 9900))),
            |Listen(address)| address,
        ),
        default_plan: file.default_plan,
        lost: file.lost,
        lost_after: length(file.lost_after, 3_600),
        marketplace: file.marketplace.unwrap_or(true),
        settlement: file.settlement,
    };
    check(&settings)?;
    Ok(settings)
}

fn length(asked: Option<Length>, usual_seconds: u64) -> Duration {
    asked.map_or(Duration::from_secs(usual_seconds), |Length(asked)| asked)
}

/// Refuses what no worker could go by.
fn check(settings: &PoolSettings) -> Result<(), ConfigError> {
    let wrong = |key, message: String| Err(ConfigError::Setting { key, message });
    if settings.in_flight == 0 {
        return wrong("pool.in_flight", "must be above zero".to_owned());
    }
    if settings.memory < BYTES_PER_DELIVERY {
        return wrong(
            "pool.memory",
            "must be at least 2MiB, the room of one message".to_owned(),
        );
    }
    if settings.judge_slots == 0 {
        return wrong("pool.judge_slots", "must be above zero".to_owned());
    }
    if settings.lease < SHORTEST_LEASE {
        return wrong(
            "pool.lease",
            format!("must be at least {}s", SHORTEST_LEASE.as_secs()),
        );
    }
    if settings.verification_limit.is_zero() || settings.verification_limit > LONGEST_VERIFICATION {
        return wrong(
            "pool.verification_limit",
            format!(
                "must be above zero and at most {}s",
                LONGEST_VERIFICATION.as_secs()
            ),
        );
    }
    if settings.lost == Lost::Default && settings.default_plan.is_none() {
        return wrong(
            "pool.lost",
            "is `default`, and there is no pool.default_plan".to_owned(),
        );
    }
    for (key, name) in [
        ("pool.deployment", &settings.deployment),
        ("pool.worker", &settings.worker),
    ] {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.is_empty() || name.len() > 128 || !name.bytes().all(plain) {
            return wrong(
                key,
                "must be 1 to 128 letters, digits, dots, underscores or hyphens".to_owned(),
            );
        }
    }
    Ok(())
}

/// `HOST-PID-RANDOM`: two processes, or one after a restart, never share a name.
fn worker_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let plain = |c: &char| c.is_ascii_alphanumeric() || *c == '.' || *c == '-';
    let host: String = host.trim().chars().filter(plain).take(64).collect();
    let host = if host.is_empty() { "host" } else { &host };
    format!("{host}-{}-{:08x}", std::process::id(), rand::random::<u32>())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn pool(text: &str, environment: &[(&str, &str)]) -> Result<PoolSettings, String> {
        let table = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        let variable = |name: &str| {
            let found = environment.iter().find(|(key, _)| *key == name)?;
            Some(found.1.to_owned())
        };
        settings(table, variable).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_set_is_a_worker_with_the_usual_values_and_without_urls() {
        let pool = pool("", &[]).unwrap();
        assert_eq!((pool.deployment.as_str(), pool.judge_slots), ("default", 20));
        assert_eq!(
            (pool.in_flight, pool.memory, pool.prefetch()),
            (512, 1 << 30, 512)
        );
        assert_eq!(
            (pool.lease, pool.verification_limit, pool.grace),
            (
                Duration::from_secs(30),
                Duration::from_secs(540),
                Duration::from_secs(570)
            )
        );
        assert_eq!(pool.listen, Some("127.0.0.1:9900".parse().unwrap()));
        assert!(pool.marketplace);
        let missing = |error: ConfigError| error.to_string();
        insta::assert_snapshot!(missing(pool.database_url().unwrap_err()), @"ASSAY_DATABASE_URL is not set: set it, or pool.database_url in assay.toml, to postgres://USER:PASSWORD@HOST:5432/DATABASE");
        insta::assert_snapshot!(missing(pool.amqp_url().unwrap_err()), @"ASSAY_AMQP_URL is not set: set it, or pool.amqp_url in assay.toml, to amqp://USER:PASSWORD@HOST:5672/VHOST");
    }

    #[test]
    fn every_setting_of_the_pool_can_be_written_and_the_environment_wins() {
        let text = "amqp_url = \"amqp://file\"\ndatabase_url = \"postgres://file\"\ndeployment = \"test\"\n\
                    worker = \"w1\"\nin_flight = 64\nmemory = \"64MiB\"\njudge_slots = 3\nlease = \"5s\"\n\
                    verification_limit = \"1m 30s\"\ngrace = \"2m\"\nsigning_key = \"k\"\ntrust = \"t\"\n\
                    listen = \"off\"\ndefault_plan = \"p\"\nlost = \"default\"\nmarketplace = false\n\
                    settlement = \"external\"\n";
        let written = pool(text, &[(AMQP_URL, "amqps://environment"), (TRUST, "elsewhere")]).unwrap();
        assert_eq!(written.amqp_url().unwrap().expose_secret(), "amqps://environment");
        assert_eq!(written.database_url().unwrap().expose_secret(), "postgres://file");
        assert_eq!(
            (written.deployment.as_str(), written.worker.as_str()),
            ("test", "w1")
        );
        assert_eq!((written.prefetch(), written.judge_slots), (32, 3));
        assert_eq!(
            (written.lease, written.verification_limit, written.grace),
            (
                Duration::from_secs(5),
                Duration::from_secs(90),
                Duration::from_secs(120)
            )
        );
        assert_eq!(written.signing_key, Path::new("k"));
        assert_eq!(written.trust, Path::new("elsewhere"));
        assert_eq!(
            (written.listen, written.default_plan.as_deref()),
            (None, Some("p"))
        );
        assert_eq!(
            (written.lost, written.settlement),
            (Lost::Default, Settlement::External)
        );
        assert!(!written.marketplace);
    }

    #[test]
    fn a_senseless_setting_is_refused_with_what_it_may_be() {
        let wrong = |text: &str| pool(text, &[]).unwrap_err();
        insta::assert_snapshot!(wrong("in_flight = 0"), @"pool.in_flight: must be above zero");
        insta::assert_snapshot!(wrong("memory = \"1MiB\""), @"pool.memory: must be at least 2MiB, the room of one message");
        insta::assert_snapshot!(wrong("memory = \"lots\""), @r#"expected a size, e.g. "512MiB" or "1GiB""#);
        insta::assert_snapshot!(wrong("memory = \"99999999999GiB\""), @r#"expected a size, e.g. "512MiB" or "1GiB""#);
        insta::assert_snapshot!(wrong("judge_slots = 0"), @"pool.judge_slots: must be above zero");
        insta::assert_snapshot!(wrong("lease = \"1s\""), @"pool.lease: must be at least 3s");
        insta::assert_snapshot!(wrong("lease = \"-5s\""), @r#"expected a length of time, e.g. "30s" or "9m 30s""#);
        insta::assert_snapshot!(wrong("lease = \"soon\""), @r#"expected a length of time, e.g. "30s" or "9m 30s""#);
        insta::assert_snapshot!(wrong("verification_limit = \"11m\""), @"pool.verification_limit: must be above zero and at most 600s");
        insta::assert_snapshot!(wrong("lost = \"default\""), @"pool.lost: is `default`, and there is no pool.default_plan");
        insta::assert_snapshot!(wrong("deployment = \"a b\""), @"pool.deployment: must be 1 to 128 letters, digits, dots, underscores or hyphens");
        insta::assert_snapshot!(wrong("listen = \"9900\""), @r#"expected an address and port, e.g. "127.0.0.1:9900", or "off""#);
    }

    #[test]
    fn a_url_is_never_repeated() {
        let errors = [
            pool("", &[(DATABASE_URL, "mysql://me:canary@host/db")]).unwrap_err(),
            pool("amqp_url = \"canary\"", &[]).unwrap_err(),
            pool("amqp_url = [\"amqp://canary\"]", &[]).unwrap_err(),
        ];
        insta::assert_snapshot!(errors[0], @"ASSAY_DATABASE_URL: expected a URL that begins with postgres:// or postgresql://");
        insta::assert_snapshot!(errors[1], @"ASSAY_AMQP_URL: expected a URL that begins with amqp:// or amqps://");
        insta::assert_snapshot!(errors[2], @"expected a URL in quotes");
        let shown = format!("{:?}", pool("", &[(AMQP_URL, "amqp://canary")]).unwrap());
        assert!(!shown.contains("canary"), "{shown}");
    }

    #[test]
    fn workers_have_different_names_that_say_where_they_run() {
        let (first, second) = (worker_name(), worker_name());
        assert_ne!(first, second);
        assert!(first.contains(&format!("-{}-", std::process::id())), "{first}");
    }
}
