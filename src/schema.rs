//! JSON Schemas (draft 2020-12) of what goes in and out, made from the types.

use schemars::generate::{Contract, SchemaSettings};
use schemars::{JsonSchema as _, Schema, SchemaGenerator};

use crate::graders;
use crate::job::Job;
use crate::message::{OutcomeMessage, SubmittedJob};
use crate::plan::plan_schema;
use crate::report::RunReport;

/// What there is a schema of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A job, as the marketplace's API sends it.
    Job,
    /// The message that a job was submitted.
    Message,
    /// The message that carries a decision.
    Outcome,
    /// A plan, with the settings of each kind of grader.
    Plan,
    /// The report of `assay run`.
    Report,
}

impl Subject {
    /// The schema, complete in itself.
    pub fn schema(self) -> Schema {
        let contract = match self {
            Self::Job | Self::Message | Self::Plan => Contract::Deserialize,
            Self::Outcome | Self::Report => Contract::Serialize,
        };
        let settings = SchemaSettings::draft2020_12().with(|settings| settings.contract = contract);
        let dialect = settings.meta_schema.clone();
        let mut generator = settings.into_generator();
        let schema = self.root(&mut generator);
        let mut whole = Schema::default();
        if let Some(dialect) = dialect {
            whole.insert("$schema".to_owned(), dialect.into_owned().into());
        }
        whole.insert("title".to_owned(), self.title().into());
        for (key, value) in schema.as_object().into_iter().flatten() {
            whole.insert(key.clone(), value.clone());
        }
        let definitions = generator.take_definitions(true);
        if !definitions.is_empty() {
            whole.insert("$defs".to_owned(), definitions.into());
        }
        whole
    }

    fn root(self, generator: &mut SchemaGenerator) -> Schema {
        match self {
            Self::Job => Job::json_schema(generator),
            Self::Message => SubmittedJob::json_schema(generator),
            Self::Outcome => OutcomeMessage::json_schema(generator),
            Self::Plan => plan_schema(&graders::rules(), generator),
            Self::Report => RunReport::json_schema(generator),
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Job => "Job",
            Self::Message => "Submitted job",
            Self::Outcome => "Outcome of a submission",
            Self::Plan => "Grading plan",
            Self::Report => "Report of assay run",
        }
    }
}
