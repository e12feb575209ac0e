//! The processes that are measured, and what they cost by `/proc`.

use std::fmt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::floor;
use crate::site::{Site, Template};

/// `sysconf(_SC_CLK_TCK)` is 100 wherever Linux runs.
const TICK: Duration = Duration::from_millis(10);

pub(crate) struct Process {
    child: Child,
}

/// What a process has used.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) cpu: Duration,
    pub(crate) peak_megabytes: f64,
}

/// What the private servers have used, where it is known which those are.
#[derive(Default)]
pub(crate) struct Servers {
    rabbitmq: Duration,
    postgres: Duration,
}

impl Process {
    /// `assay work`.
    pub(crate) fn worker(site: &Site) -> Self {
        Self::start(Self::work(site), site)
    }

    /// The same, with a model to ask.
    pub(crate) fn judging(site: &Site, base_url: &str) -> Self {
        let mut command = Self::work(site);
        command
            .env("OPENAI_BASE_URL", base_url)
            .env("OPENAI_API_KEY", "none")
            .env("ASSAY_MODEL", "bench");
        Self::start(command, site)
    }

    fn work(site: &Site) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_assay"));
        command
            .arg("work")
            .env("ASSAY_AMQP_URL", &site.amqp)
            .env("ASSAY_DATABASE_URL", &site.database)
            .env("ASSAY_LOG", "warn");
        command
    }

    /// This program, as the floor.
    pub(crate) fn floor(site: &Site, template: &Template) -> Self {
        let settings = floor::Settings {
            amqp: &site.amqp,
            database: &site.database,
            template,
        };
        let path = site.folder.path().join("floor.json");
        std::fs::write(&path, serde_json::to_vec(&settings).unwrap()).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env(floor::SITE, path);
        Self::start(command, site)
    }

    fn start(mut command: Command, site: &Site) -> Self {
        let child = command
            .current_dir(site.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        Self {
            child: child.unwrap(),
        }
    }

    pub(crate) fn cost(&self) -> Cost {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        let kilobytes: f64 = peak.trim_end_matches("kB").trim().parse().unwrap();
        Cost {
            cpu: Stat::of(self.child.id()).unwrap().cpu,
            peak_megabytes: kilobytes / 1024.0,
        }
    }
}

/// Nothing that was started stays behind, also when the bench fails.
impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A line of `/proc/PID/stat`.
struct Stat {
    parent: u32,
    /// Its own, and that of its children that have ended.
    cpu: Duration,
}

impl Stat {
    fn of(id: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name, in parentheses, may hold spaces.
        let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks: u32 = fields
            .get(11..15)?
            .iter()
            .filter_map(|field| field.parse::<u32>().ok())
            .sum();
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            cpu: ticks * TICK,
        })
    }
}

impl Servers {
    pub(crate) fn now() -> Self {
        let Ok(folder) = std::env::var("ASSAY_TEST_SERVERS") else {
            return Self::default();
        };
        let tree = |name: &str| {
            let id = std::fs::read_to_string(Path::new(&folder).join(format!("{name}.pid")));
            id.ok()
                .and_then(|id| id.trim().parse().ok())
                .map_or(Duration::ZERO, tree_cpu)
        };
        Self {
            rabbitmq: tree("rabbitmq"),
            postgres: tree("postgres"),
        }
    }

    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            rabbitmq: self.rabbitmq.saturating_sub(earlier.rabbitmq),
            postgres: self.postgres.saturating_sub(earlier.postgres),
        }
    }

    pub(crate) fn cpu(&self) -> Duration {
        self.rabbitmq + self.postgres
    }
}

impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [rabbitmq, postgres] = [self.rabbitmq, self.postgres].map(|cpu| cpu.as_secs_f64());
        write!(f, "RabbitMQ {rabbitmq:.2} s, PostgreSQL {postgres:.2} s")
    }
}

/// The CPU time of a process and all that descend from it.
fn tree_cpu(root: u32) -> Duration {
    let ids: Vec<u32> = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    let stats: Vec<(u32, Stat)> = ids
        .into_iter()
        .filter_map(|id| Some((id, Stat::of(id)?)))
        .collect();
    let (mut tree, mut at) = (vec![root], 0);
    while let Some(&parent) = tree.get(at) {
        tree.extend(
            stats
                .iter()
                .filter(|(_, stat)| stat.parent == parent)
                .map(|(id, _)| *id),
        );
        at += 1;
    }
    stats
        .iter()
        .filter(|(id, _)| tree.contains(id))
        .map(|(_, stat)| stat.cpu)
        .sum()
}
