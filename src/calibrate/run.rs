//! Verifies every case, as often as asked, side by side.

use std::collections::BTreeSet;

use futures_util::stream::{self, StreamExt as _};

use super::blessing::Demands;
use super::cases::{Case, Cases};
use super::report::{CalibrationReport, CaseReport, Said, Spending, Subject};
use crate::desk::{Trial, Tried};
use crate::graders;
use crate::report::Progress;
use crate::secrets::Secrets;

/// How a calibration is run.
pub struct Calibration {
    /// What verifies.
    pub trial: Trial,
    /// How often each case is verified; at least once.
    pub samples: usize,
    /// Verifications at a time.
    pub side_by_side: usize,
    /// What the judge must show.
    pub demands: Demands,
}

impl Calibration {
    /// Verifies every case and adds up; none where it was called off.
    pub async fn run(&self, loaded: &Cases, progress: &Progress) -> Option<CalibrationReport> {
        let mut cases: Vec<_> = loaded.cases.iter().map(unsaid).collect();
        let (mut spending, mut models, mut judges) = (Spending::default(), BTreeSet::new(), BTreeSet::new());
        // Sample by sample: where the run is cut short or the model drifts, it does so for all cases alike.
        let rounds = (0..self.samples.max(1)).flat_map(|_| loaded.cases.iter().enumerate());
        let mut running = stream::iter(rounds)
            .take_while(|_| std::future::ready(!self.trial.cancel.is_cancelled()))
            .map(async |(index, case)| {
                progress.begins(&case.name);
                let tried = self.verify(case, loaded).await;
                progress.ends(&case.name);
                (index, tried)
            })
            // In order, so that the first sample is the first asked.
            .buffered(self.side_by_side.max(1));
        while let Some((index, tried)) = running.next().await {
            spending.add(&tried);
            let named = tried.calls.iter().filter_map(|call| call.model.clone());
            models.extend(named.filter(|model| !model.is_empty()));
            judges.extend(tried.calls.iter().map(|call| call.judge_mode.clone()));
            cases[index]
                .said
                .push(Said::of(&tried, &Secrets::of(&loaded.cases[index].job.env_vars)));
        }
        drop(running);
        if self.trial.cancel.is_cancelled() {
            return None;
        }
        let subject = Subject {
            plan: loaded.plan.reference(),
            judges: judges.into_iter().collect(),
            models: models.into_iter().collect(),
            samples: self.samples.max(1),
            left_out: loaded.left_out,
        };
        Some(CalibrationReport::new(
            subject,
            cases,
            spending,
            loaded,
            self.demands,
        ))
    }

    async fn verify(&self, case: &Case, loaded: &Cases) -> Tried {
        let folder = case.folder.as_deref();
        self.trial
            .run(&case.job, folder, &loaded.plan, &case.judge, graders::build)
            .await
    }
}

/// The case before anything is said of it, without the values of its variables.
fn unsaid(case: &Case) -> CaseReport {
    let secrets = Secrets::of(&case.job.env_vars);
    CaseReport {
        name: case.name.clone(),
        prompt: secrets.scrub(&case.job.prompt).into_owned(),
        output: secrets
            .scrub(case.job.output_text.as_deref().unwrap_or_default())
            .into_owned(),
        label: case.accept,
        labels: case.labels.clone(),
        said: Vec::new(),
    }
}
