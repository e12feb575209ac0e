//! `assay log --follow` beside a pool at work.

use std::io::{BufRead as _, BufReader};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::deployment::{Deployment, Process};
use super::submission::{Submission, job};

fn submission(id: &str, plan: &str) -> Submission {
    Submission {
        job: job(id, json!({"output_text": "as expected"})),
        plan: Some(plan.to_owned()),
    }
}

impl Deployment {
    async fn says(&self, process: &Process, text: &str) {
        self.until(text, Duration::from_secs(30), async || {
            process.log().contains(text)
        })
        .await;
    }

    async fn ended(&self, process: &mut Process) {
        for _ in 0..300 {
            if process.has_ended() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("it still follows: {}", process.log());
    }

    fn followed(&self, job_id: &str) -> (ExitStatus, Vec<Value>) {
        let output = self.command(&["log", job_id, "-f", "--json"]).output().unwrap();
        let lines = String::from_utf8(output.stdout).unwrap();
        let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap());
        (output.status, lines.collect())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_followed_from_before_it_is_there_over_a_takeover_to_its_payment() {
    let deployment = Deployment::new().await;
    let mut following = deployment.start(&["log", "j", "--follow"]);
    deployment
        .says(&following, "knows no job `j` yet: waiting for it")
        .await;
    deployment.judge.takes(Duration::from_secs(60));
    let submission = submission("j", "judged");
    deployment.insert(std::slice::from_ref(&submission)).await;
    let _settler = deployment.settler().await;
    let first = deployment.worker().await;
    deployment.publish(&[submission]).await;
    // Committed and told while the judge still thinks.
    deployment.says(&following, "\"grader\":\"text\"").await;
    assert_eq!(deployment.count("SELECT count(*) FROM assay.decision").await, 0);
    first.kill();
    deployment.judge.takes(Duration::ZERO);
    let _second = deployment.worker().await;
    deployment.ended(&mut following).await;

    let told = following.log();
    assert!(told.contains("\ntaken-over; hash chain holds\n"), "{told}");
    assert!(told.contains("taken over from verification"), "{told}");
    assert!(
        told.ends_with("verified; hash chain holds\ndecided: verified\nsettled: paid, 100 cents: receiver\n"),
        "{told}"
    );
    let committed = deployment.count("SELECT count(*) FROM assay.log").await;
    let printed = told.lines().filter(|line| line.starts_with("     ")).count();
    assert!(
        printed >= usize::try_from(committed).unwrap(),
        "{committed}: {told}"
    );

    let (status, lines) = deployment.followed("j");
    assert!(status.success());
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["ended"], &last["outcome"]),
        (&json!("decided"), &json!("verified"))
    );
    assert_eq!(last["settlement"]["effect"], json!("paid"));
}

#[tokio::test(flavor = "multi_thread")]
async fn following_ends_where_a_job_is_parked_or_closed_and_says_why() {
    let deployment = Deployment::new().await;
    let submission = submission("j", "no-such-plan");
    deployment.insert(std::slice::from_ref(&submission)).await;
    let worker = deployment.worker().await;
    deployment.publish(&[submission]).await;
    let (status, lines) = deployment.followed("j");
    assert!(status.success());
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["ended"], json!("parked"));
    assert_eq!(lines[0]["parked"]["reason"], json!("plan-unknown"));

    let output = deployment.command(&["log", "j"]).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        told.contains("nothing was graded of the job `j`: parked as 1, plan-unknown"),
        "{told}"
    );

    let args = ["parked", "close", "1", "--reason", "a test", "--by", "me"];
    assert!(deployment.command(&args).status().unwrap().success());
    let output = deployment.command(&["log", "j", "--follow"]).output().unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "closed by me: a test\n"
    );
    worker.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn following_is_ended_by_ctrl_c_with_0() {
    let deployment = Deployment::new().await;
    let mut command = deployment.command(&["log", "never", "--follow"]);
    let mut following = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut said = BufReader::new(following.stderr.take().unwrap());
    said.read_line(&mut line).unwrap();
    assert!(line.contains("waiting for it"), "{line}");
    let id = Pid::from_raw(i32::try_from(following.id()).unwrap()).unwrap();
    kill_process(id, Signal::INT).unwrap();
    assert!(following.wait().unwrap().success());
}
