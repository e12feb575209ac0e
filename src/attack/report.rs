//! What the attacks came to, as data.

use std::collections::BTreeMap;

use serde::Serialize;

use super::attacks::{Class, Side};
use crate::graders::rubric::{Defence, Defences};
use crate::plan::{Plan, PlanRef};

/// Which defences were on, under the name that tables give it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// `none`, `all`, `fence` (that one alone), `all but fence`.
    pub name: String,
    /// The switches.
    pub defences: Defences,
}

impl Configuration {
    /// No defence, and all of them.
    pub fn ends() -> Vec<Self> {
        let named = |name: &str, defences| Self {
            name: name.to_owned(),
            defences,
        };
        vec![named("none", Defences::NONE), named("all", Defences::ALL)]
    }

    /// None, each alone, all, and all but each; of those that the plan has: it need not ask whether a text tries to
    /// influence its grading.
    pub fn each(plan: &Plan) -> Vec<Self> {
        let guarded = plan
            .graders
            .iter()
            .any(|planned| planned.settings.get("influence").is_some());
        let has = |defence: &Defence| *defence != Defence::Influence || guarded;
        let alone = Defence::ALL.into_iter().filter(has).map(|defence| Self {
            name: defence.as_str().to_owned(),
            defences: Defences::NONE.with(defence, true),
        });
        let without = Defence::ALL.into_iter().filter(has).map(|defence| Self {
            name: format!("all but {}", defence.as_str()),
            defences: Defences::ALL.with(defence, false),
        });
        let mut ends = Self::ends().into_iter();
        let none = ends.next().into_iter();
        none.chain(alone).chain(ends).chain(without).collect()
    }
}

/// What the attacks of one class came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Attacks made.
    pub attacks: u32,
    /// Attacks that got what they wanted: a submitter's hand-in verified, good work refused for its sender.
    pub succeeded: u32,
    /// Attacks after which the judge left the decision to a person: nobody is paid or loses an attempt.
    pub parked: u32,
    /// Attacks that nobody judged: they say nothing.
    pub troubled: u32,
}

/// The report; `--json`.
#[derive(Debug, Clone, Serialize)]
pub struct AttackReport {
    /// Version of this form: 1.
    pub v: u32,
    /// The plan.
    pub plan: PlanRef,
    /// Who judged: `credulous` (a structural test of fixed rules, no model) or `live`.
    pub judge: String,
    /// The models as their servers named them.
    pub models: Vec<String>,
    /// Fixtures attacked by the submitter's side (must be `retry`), and by the sender's (must be `verified`).
    pub targets: [u32; 2],
    /// Names of the configurations, in the order of the tallies.
    pub configurations: Vec<String>,
    /// Targets that came out wrong without any attack, by configuration: their successes say nothing.
    pub wrong_unattacked: Vec<u32>,
    /// Targets of which nothing was decided without any attack, by configuration.
    pub undecided_unattacked: Vec<u32>,
    /// Verifications that nobody judged, by the kind of our trouble.
    pub troubles: BTreeMap<String, u32>,
    /// One row for each class.
    pub classes: Vec<ClassReport>,
}

/// A class's row.
#[derive(Debug, Clone, Serialize)]
pub struct ClassReport {
    /// The class.
    pub class: &'static str,
    /// Whether it is the sender's.
    pub by_sender: bool,
    /// One for each configuration.
    pub tallies: Vec<Tally>,
}

impl ClassReport {
    /// An empty row.
    pub(super) fn of(class: Class, configurations: usize) -> Self {
        Self {
            class: class.as_str(),
            by_sender: class.side() == Side::Sender,
            tallies: vec![Tally::default(); configurations],
        }
    }
}

impl AttackReport {
    /// Attacks that succeeded though every defence was on.
    pub fn succeeded_against_all(&self) -> u32 {
        let all = self.with_all();
        let tallies = self.classes.iter().filter_map(|class| class.tallies.get(all?));
        tallies.map(|tally| tally.succeeded).sum()
    }

    /// Targets that did not come out as they must without any attack though every defence was on.
    pub fn unfit_with_all(&self) -> u32 {
        let count = |counts: &[u32]| self.with_all().and_then(|all| counts.get(all).copied());
        let counts = [&self.wrong_unattacked, &self.undecided_unattacked];
        counts.into_iter().filter_map(|counts| count(counts)).sum()
    }

    /// Verifications that nobody judged.
    pub fn troubled(&self) -> u32 {
        self.troubles.values().sum()
    }

    fn with_all(&self) -> Option<usize> {
        self.configurations.iter().position(|name| name == "all")
    }
}
