//! `assay schema`: prints a JSON Schema.

use clap::{Args, ValueEnum};

use super::{CliError, Exit};
use crate::schema::Subject;

/// Flags of `assay schema`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  assay schema plan > graders/plans/plan.schema.json   then `#:schema ./plan.schema.json` as the first line of a plan
                                                       lets editors with Even Better TOML (taplo) complete it
  assay schema report                                  what --report json=FILE writes

The schemas are JSON Schema, draft 2020-12, made from the types of this version.")]
pub(super) struct SchemaArgs {
    /// What to print the schema of
    #[arg(value_enum)]
    name: Name,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// A job, as job.json of a fixture and the marketplace's API hold it
    Job,
    /// The message that a job was submitted
    Message,
    /// The message that carries a decision
    Outcome,
    /// A plan, with the settings of each kind of grader
    Plan,
    /// The report of `assay run`
    Report,
}

pub(super) fn run(args: &SchemaArgs) -> Result<Exit, CliError> {
    let subject = match args.name {
        Name::Job => Subject::Job,
        Name::Message => Subject::Message,
        Name::Outcome => Subject::Outcome,
        Name::Plan => Subject::Plan,
        Name::Report => Subject::Report,
    };
    let text = serde_json::to_string_pretty(&subject.schema()).map_err(CliError::trouble)?;
    anstream::println!("{text}");
    Ok(Exit::Good)
}
