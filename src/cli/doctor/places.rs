//! What lies on this machine: plans, checks, runtimes, keys.

use super::super::parts;
use super::finding::Finding;
use crate::causes::in_full;
use crate::clock::Clock;
use crate::config::Config;
use crate::plan::{Plan, Stage};
use crate::receipt::{KeyState, SigningKey, TrustFile};
use crate::sandbox::{Language, ModuleSource, Sandbox};

/// Every plan of the plans' folder; the good ones are given back.
pub(super) fn plans(config: &Config) -> (Vec<Plan>, Vec<Finding>) {
    let folders = parts::folders(config);
    let (mut plans, mut findings) = (Vec::new(), Vec::new());
    for name in folders.names() {
        match folders.load(&name, None) {
            Ok(plan) => plans.push(plan),
            Err(error) => findings.push(Finding::error(format!("plan {name}"), &error)),
        }
    }
    let place = folders.plans.display();
    findings.insert(
        0,
        match plans.len() {
            0 => Finding::problem(
                "plans",
                format!("{place} has no plan that can be used"),
                "set ASSAY_GRADERS to the folder that holds plans/ and checks/",
            ),
            count => Finding::ok("plans", format!("{count} in {place} can be used")),
        },
    );
    let default = config.pool.default_plan.as_ref();
    if let Some(default) = default.filter(|default| !plans.iter().any(|plan| plan.name == **default)) {
        findings.push(Finding::problem(
            "default plan",
            format!("`{default}` is none of them: every message without a plan would park"),
            "name another in pool.default_plan",
        ));
    }
    (plans, findings)
}

/// The judge, where a plan asks one.
pub(super) fn judge(config: &Config, plans: &[Plan]) -> Finding {
    let asking = plans
        .iter()
        .filter(|plan| plan.graders.iter().any(|grader| grader.stage == Stage::Judge));
    let asking: Vec<_> = asking.map(|plan| plan.name.as_str()).collect();
    match (&config.judge, asking.as_slice()) {
        (Some(judge), _) => Finding::ok(
            "judge",
            format!("{} is asked; not tried, it may cost", judge.base_url),
        ),
        (None, []) => Finding::ok("judge", "none is configured, and no plan needs one"),
        (None, asking) => Finding::note(
            "judge",
            format!(
                "none is configured, and {} cannot judge without",
                asking.join(", ")
            ),
            "set OPENAI_API_KEY, and OPENAI_BASE_URL for another server",
        ),
    }
}

/// The sandbox, its walls, the runtimes, and every check of a plan.
pub(super) async fn sandbox(config: &Config, plans: &[Plan]) -> Vec<Finding> {
    let sandbox = match parts::sandbox(config) {
        Ok(sandbox) => sandbox,
        Err(error) => return vec![Finding::error("sandbox", error.error.as_ref())],
    };
    let mut findings = vec![match sandbox.confinement().await {
        Ok(walls) if walls == parts::FULL_CONFINEMENT => Finding::ok("sandbox", walls),
        Ok(walls) => Finding::note(
            "sandbox",
            walls,
            "checks are confined by wasm alone: a newer kernel, or a container that allows these calls, gives the rest",
        ),
        Err(error) => Finding::error("sandbox", &error),
    }];
    for language in Language::ALL {
        let what = format!("{language} runtime");
        findings.push(match sandbox.prepare_runtime(language).await {
            Ok(_) => Finding::ok(what, "compiled"),
            Err(error) if uses(plans, language) => Finding::error(what, &error),
            Err(error) => Finding::note(what, in_full(&error), "no plan here needs it; an inline plan may"),
        });
    }
    findings.extend(checks(&sandbox, plans).await);
    findings
}

fn scripts(plans: &[Plan]) -> impl Iterator<Item = (&Plan, &crate::plan::PlanFile)> {
    plans.iter().flat_map(|plan| {
        let files = plan
            .graders
            .iter()
            .filter_map(|grader| grader.files.get("script"));
        files.map(move |file| (plan, file))
    })
}

fn uses(plans: &[Plan], language: Language) -> bool {
    scripts(plans).any(|(_, file)| Language::of(&file.name) == Some(language))
}

/// Compiles what the plans' checks name. Scripts are read by their runtimes when they run.
async fn checks(sandbox: &Sandbox, plans: &[Plan]) -> Vec<Finding> {
    let (mut good, mut findings) = (0, Vec::new());
    for (plan, file) in scripts(plans).filter(|(_, file)| Language::of(&file.name).is_none()) {
        match sandbox.prepare(&ModuleSource::new(file.bytes.clone())).await {
            Ok(_) => good += 1,
            Err(error) => {
                let what = format!("check {} of the plan {}", file.name, plan.name);
                findings.push(Finding::error(what, &error));
            }
        }
    }
    findings.push(Finding::ok("checks", format!("{good} compiled")));
    findings
}

/// The signing key, the trust file, and whether they fit where both are here.
pub(super) fn keys(config: &Config, works: bool, settles: bool) -> Vec<Finding> {
    let pool = &config.pool;
    let mut findings = Vec::new();
    let mut signing = None;
    if works {
        match SigningKey::read(&pool.signing_key) {
            Ok(key) => {
                findings.push(Finding::ok("signing key", format!("{} can be read", key.id())));
                signing = Some(key);
            }
            Err(error) => findings.push(Finding::error("signing key", &error)),
        }
    }
    // Where this machine only works, the file had better not be here at all.
    if !settles {
        return findings;
    }
    let trust = match TrustFile::read(&pool.trust) {
        Ok(trust) => trust,
        Err(error) => {
            findings.push(Finding::error("trust file", &error));
            return findings;
        }
    };
    let now = Clock::system().now();
    let valid = trust
        .keys()
        .iter()
        .filter(|key| key.state(now) == KeyState::Valid && key.deployment == pool.deployment);
    let valid: Vec<_> = valid.map(|key| &key.kid).collect();
    findings.push(if valid.is_empty() {
        Finding::problem(
            "trust file",
            format!(
                "no key is valid now for the deployment `{}`: nothing would be paid",
                pool.deployment
            ),
            "`assay keys list` shows how they stand, `assay keys new` makes one",
        )
    } else {
        Finding::ok("trust file", format!("{} keys are valid now", valid.len()))
    });
    if let Some(key) = signing.filter(|key| !valid.contains(&key.id())) {
        findings.push(Finding::problem(
            "signing key",
            format!(
                "settlement does not trust {}: what it signs becomes an exception",
                key.id()
            ),
            "`assay keys list`; put the trust file in place before the workers get a new key",
        ));
    }
    findings
}
