//! `assay plan`: lints plans, or shows one resolved.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use serde_json::json;

use super::{CliError, Exit, parts};
use crate::config::CommonArgs;
use crate::plan::{Plan, PlanFolders};

/// Flags of `assay plan`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  assay plan check                                every plan in graders/plans
  assay plan check csv-cleanup ./my-plan.toml
  assay plan show csv-cleanup --json

Exit status: 0 good, 2 a plan is wrong (file, line and key are named).")]
pub(super) struct PlanArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Lint plans
    Check {
        /// Names or .toml files; every plan of the plans' folder where none is given
        plans: Vec<String>,
    },
    /// Show a plan with its files and digest
    Show {
        /// A name or a .toml file
        plan: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(args: &PlanArgs, common: &CommonArgs) -> Result<Exit, CliError> {
    let folders = parts::folders(&parts::config(common)?);
    match &args.action {
        Action::Check { plans } => check(plans, &folders),
        Action::Show { plan, json } => {
            let plan = folders.load(plan, None).map_err(CliError::usage)?;
            show(&plan, *json)
        }
    }
}

fn check(plans: &[String], folders: &PlanFolders) -> Result<Exit, CliError> {
    let names = if plans.is_empty() {
        folders.names()
    } else {
        plans.to_vec()
    };
    if names.is_empty() {
        return Err(CliError::usage(anyhow!(
            "there is no plan in {}",
            folders.plans.display()
        )));
    }
    let mut wrong = Vec::new();
    for name in names {
        match folders.load(&name, None) {
            Ok(plan) => say!(
                "ok  {name}  {} graders  {}",
                plan.graders.len(),
                plan.digest.short()
            ),
            Err(error) => wrong.push(error.to_string()),
        }
    }
    if wrong.is_empty() {
        Ok(Exit::Good)
    } else {
        Err(CliError::usage(anyhow!("{}", wrong.join("\nassay: "))))
    }
}

fn show(plan: &Plan, as_json: bool) -> Result<Exit, CliError> {
    let graders: Vec<_> = plan
        .graders
        .iter()
        .map(|grader| {
            let files: Vec<_> = grader
                .files
                .iter()
                .map(|(key, file)| json!({"key": key, "name": file.name, "path": file.path, "sha256": file.digest}))
                .collect();
            json!({
                "name": grader.name, "kind": grader.kind, "stage": grader.stage, "gate": grader.gate,
                "weight": grader.weight, "settings": grader.settings, "files": files,
            })
        })
        .collect();
    let resolved = json!({
        "name": plan.name, "description": plan.description, "digest": plan.digest,
        "threshold": plan.threshold, "reveal": plan.reveal, "required_files": plan.required_files,
        "graders": graders,
    });
    if as_json {
        say!("{resolved:#}");
        return Ok(Exit::Good);
    }
    say!("{} ({})", plan.name, plan.digest);
    if let Some(description) = &plan.description {
        say!("  {description}");
    }
    say!("  verified from a score of {}", plan.threshold);
    if !plan.required_files.is_empty() {
        say!("  needs the files {}", plan.required_files.join(", "));
    }
    for grader in &plan.graders {
        let gate = if grader.gate { ", a gate" } else { "" };
        say!(
            "  {} ({}, weight {}{gate})",
            grader.name,
            grader.kind,
            grader.weight
        );
        for (key, file) in &grader.files {
            let path: &PathBuf = &file.path;
            say!("    {key}: {} ({})", path.display(), file.digest.short());
        }
        if let Some(settings) = grader.settings.as_object() {
            for (key, value) in settings
                .iter()
                .filter(|(key, _)| !grader.files.contains_key(key.as_str()))
            {
                say!("    {key} = {value}");
            }
        }
    }
    Ok(Exit::Good)
}
