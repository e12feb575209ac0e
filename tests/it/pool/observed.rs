//! What those see who look at a pool from outside: traces, log lines, probes.

use std::time::Duration;

use assay::message::OutcomeMessage;
use assay::queue::{Outgoing, Queue as _, Source};
use assay::trace_context::TraceContext;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::deployment::{Deployment, Process};
use super::submission::{Submission, job};

/// Longest time in which one job gets anywhere.
const WAIT: Duration = Duration::from_secs(60);

/// As it comes from whoever submits.
const INCOMING: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

impl Deployment {
    /// Publishes one job of that plan within the trace [`INCOMING`].
    async fn publish_traced(&self, plan: &str) {
        let submission = Submission {
            job: job("traced", json!({"output_text": "as expected"})),
            plan: Some(plan.to_owned()),
        };
        self.insert(std::slice::from_ref(&submission)).await;
        let outgoing = Outgoing {
            traceparent: Some(INCOMING.to_owned()),
            ..submission.outgoing()
        };
        self.queue.publish(outgoing).await.unwrap();
    }

    /// The next outcome, as settlement gets it, and the trace that it belongs to.
    async fn outcome(&self) -> (OutcomeMessage, TraceContext) {
        let mut consumer = self.queue.consume(Source::Settle, 1).await.unwrap();
        let delivery = tokio::time::timeout(WAIT, consumer.deliveries.recv()).await;
        let delivery = delivery.unwrap().unwrap();
        assert!(delivery.acker.ack().await);
        (
            serde_json::from_slice(&delivery.body).unwrap(),
            delivery.traceparent.unwrap().parse().unwrap(),
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_belongs_to_the_trace_of_the_message_that_was_submitted() {
    let deployment = Deployment::new().await;
    let worker = deployment.worker().await;
    deployment.publish_traced("quick").await;
    let (_, context) = deployment.outcome().await;
    let incoming: TraceContext = INCOMING.parse().unwrap();
    assert_eq!(context.trace(), incoming.trace());
    assert_ne!(
        context.span(),
        incoming.span(),
        "the verification is a span of its own"
    );
    assert!(context.is_sampled());
    assert!(worker.terminate().success());
}

/// A worker that stands still until another has taken its job over says so when it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_workers_json_lines_name_job_verification_and_trace() {
    let deployment = Deployment::new().await;
    deployment.judge.takes(Duration::from_secs(3600));
    let mut command = deployment.command(&["work"]);
    command.env("ASSAY_LOG_FORMAT", "json");
    let first = deployment.start_command(command);
    let first = deployment.ready(first, "the worker takes jobs").await;
    deployment.publish_traced("judged").await;
    let asked = async |questions| {
        deployment
            .until("the judge is asked", WAIT, async || {
                deployment.judge.asked() == questions
            })
            .await;
    };
    asked(1).await;
    let held = "SELECT id::text FROM assay.verification";
    let held: String = sqlx::query_scalar(held)
        .fetch_one(&deployment.journal.pool())
        .await
        .unwrap();
    first.signal(Signal::STOP);
    let second = deployment.worker().await;
    asked(2).await;
    deployment.judge.takes(Duration::ZERO);
    let (outcome, context) = deployment.outcome().await;
    first.signal(Signal::CONT);
    let says = "the claim was taken over: nothing of this run counts";
    let first = deployment.ready(first, says).await;
    let line = line(&first, says);
    let span = &line["span"];
    assert_eq!(line["level"], "INFO", "{line}");
    assert_eq!(
        (&span["job.id"], &span["job.attempt"]),
        (&json!("traced"), &json!(0))
    );
    assert_eq!(span["verification.id"], held, "the one that was taken over");
    assert_ne!(outcome.verification_id.to_string(), held);
    assert_eq!(span["trace.id"], TRACE);
    assert_eq!(context.trace(), INCOMING.parse::<TraceContext>().unwrap().trace());
    for worker in [first, second] {
        assert!(worker.terminate().success());
    }
}

/// The line of JSON that says so.
fn line(process: &Process, says: &str) -> Value {
    let log = process.log();
    let line = log.lines().find(|line| line.contains(says)).unwrap();
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn settlement_answers_probes_and_names_its_loops() {
    let deployment = Deployment::new().await;
    deployment.configure(|config| config.replace("listen = \"off\"", "listen = \"127.0.0.1:0\""));
    let settler = deployment.settler().await;
    let address = settler.health();
    assay::tls::install_provider();
    let probe = async |path: &str| {
        let response = reqwest::get(format!("http://{address}/{path}")).await.unwrap();
        let status = response.status().as_u16();
        (status, response.json::<Value>().await.unwrap())
    };
    let loops = json!([{"name": "release", "ok": true}, {"name": "assay.settle", "ok": true}]);
    // It begins to serve before its loops go round.
    deployment
        .until("its loops go round", WAIT, async || {
            probe("healthz").await == (200, json!({"alive": true, "conditions": loops}))
        })
        .await;
    let (status, ready) = probe("readyz").await;
    assert_eq!(status, 200, "{ready}");
    assert!(settler.terminate().success());
}
