//! Which plan judges a message: the operator's by name, the sender's own within the operator's rules, or the default.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::digest::{Digest, FieldHasher};
use crate::message::PlanChoice;
use crate::plan::{InlineRules, Plan, PlanFolders};

/// Why no plan judges a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoPlan {
    /// The message names none, and there is no default.
    #[error("the message names no plan: set `default_plan` under [pool], or name one")]
    NoneNamed,
    /// There is no such plan, or it is broken.
    #[error("{0}")]
    Unusable(String),
    /// The sender's plan asks for what the operator does not allow.
    #[error("the inline plan is not allowed: {0}")]
    NotAllowed(String),
}

impl NoPlan {
    /// Why the message is parked.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoneNamed | Self::Unusable(_) => "plan-unknown",
            Self::NotAllowed(_) => "plan-not-allowed",
        }
    }
}

/// The plans that a worker knows. An operator's plan is read once: what changes in its files takes effect with the next
/// start.
pub struct Plans {
    folders: PlanFolders,
    default: Option<String>,
    inline: InlineRules,
    read: Mutex<HashMap<String, Arc<Plan>>>,
}

impl Plans {
    /// The plans of these folders.
    pub fn new(folders: PlanFolders, default: Option<String>, inline: InlineRules) -> Self {
        Self {
            folders,
            default,
            inline,
            read: Mutex::default(),
        }
    }

    /// The plan that the message asks for.
    ///
    /// # Errors
    /// Why there is none; for the operator.
    pub fn of(&self, choice: Option<&PlanChoice>) -> Result<Arc<Plan>, NoPlan> {
        match choice {
            None => self.named(self.default.as_deref().ok_or(NoPlan::NoneNamed)?),
            Some(PlanChoice::Named(name)) => self.named(name),
            Some(PlanChoice::Inline(plan)) => {
                self.inline.allow(plan).map_err(NoPlan::NotAllowed)?;
                let plan = self.folders.load_inline(Value::Object(plan.clone()));
                plan.map(Arc::new)
                    .map_err(|error| NoPlan::Unusable(error.to_string()))
            }
        }
    }

    fn named(&self, name: &str) -> Result<Arc<Plan>, NoPlan> {
        // At a desk a plan may be named by its file; a message's name is a stranger's, and names no file of ours.
        if name.ends_with(".toml") || name.contains(['/', '\\', '\0']) {
            return Err(NoPlan::Unusable(format!("`{name}` is no plan's name")));
        }
        let read = || self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = read().get(name) {
            return Ok(Arc::clone(plan));
        }
        let plan = self
            .folders
            .load(name, None)
            .map_err(|error| NoPlan::Unusable(error.to_string()))?;
        let plan = Arc::new(plan);
        read().insert(name.to_owned(), Arc::clone(&plan));
        Ok(plan)
    }
}

/// Digest of how a message names its plan: another one for the same attempt parks as `plan-changed`.
pub(super) fn choice_digest(choice: Option<&PlanChoice>) -> Digest {
    let hasher = FieldHasher::new("assay-plan-choice-v1");
    match choice {
        None => hasher.text("default"),
        Some(PlanChoice::Named(name)) => hasher.text("named").text(name),
        Some(PlanChoice::Inline(plan)) => hasher
            .text("inline")
            .text(&Value::Object(plan.clone()).to_string()),
    }
    .finish()
}
