//! `assay doctor`: what is wrong, by name and with a remedy, against real servers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::process::Output;

use serde_json::Value;

use crate::servers;
use crate::workbench::Workbench;

const PLAN: &str =
    "[[graders]]\nname = \"d\"\nkind = \"diff\"\ncompare = \"exact\"\nexpected = { text = \"x\" }\n";

/// Runs the command with these servers, and no other setting.
fn run(bench: &Workbench, arguments: &[&str], database: &str, amqp: &str) -> Output {
    bench
        .command(arguments)
        .env("ASSAY_DATABASE_URL", database)
        .env("ASSAY_AMQP_URL", amqp)
        .env_remove("OPENAI_API_KEY")
        .env_remove("OPENAI_BASE_URL")
        .output()
        .unwrap()
}

fn findings(output: &Output) -> Vec<Value> {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    report["findings"].as_array().unwrap().clone()
}

fn finding(output: &Output, what: &str) -> Value {
    let all = findings(output);
    let found = all.iter().find(|finding| finding["what"] == what);
    found
        .unwrap_or_else(|| panic!("nothing on {what}: {all:?}"))
        .clone()
}

#[tokio::test]
async fn a_first_deployment_of_two_urls_has_nothing_wrong() {
    let (bench, database, amqp) = (Workbench::new(), servers::database().await, servers::amqp_url());
    bench.plan("p", PLAN);

    let before = run(&bench, &["doctor", "--json"], &database.url, &amqp);
    assert_eq!(before.status.code(), Some(1));
    for what in ["tables", "assay.submitted", "signing key", "trust file"] {
        assert_eq!(finding(&before, what)["state"], "problem", "{what}");
    }
    let tables = finding(&before, "tables")["detail"].to_string();
    assert!(tables.contains("run `assay setup`"), "{tables}");

    let set_up = run(&bench, &["setup", "--demo-marketplace"], &database.url, &amqp);
    assert!(
        set_up.status.success(),
        "{}",
        String::from_utf8_lossy(&set_up.stderr)
    );
    let after = run(&bench, &["doctor", "--json"], &database.url, &amqp);
    let wrong: Vec<_> = findings(&after)
        .into_iter()
        .filter(|finding| finding["state"] == "problem")
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(after.status.code(), Some(0));
    // The owner may do more than it should: worth saying, and no obstacle.
    let rights = finding(&after, "rights for `assay work`");
    assert_eq!(rights["state"], "note");
    assert!(
        rights["remedy"].to_string().contains("deploy/roles.sql"),
        "{rights}"
    );

    let people = run(&bench, &["doctor"], &database.url, &amqp);
    let people = String::from_utf8_lossy(&people.stdout);
    assert!(
        people.contains("ok      tables: those of this version\n"),
        "{people}"
    );
    assert!(people.ends_with("\nnothing is wrong\n"), "{people}");
}

#[tokio::test]
async fn what_is_wrong_is_named_and_no_password_is() {
    let bench = Workbench::new();
    bench.plan("p", PLAN);
    bench.plan("typo", &PLAN.replace("kind", "knid"));
    let nobody = "postgres://me:canary@127.0.0.1:1/none";
    let output = run(
        &bench,
        &["doctor", "--json"],
        nobody,
        "amqp://me:canary@127.0.0.1:1/%2f",
    );
    assert_eq!(output.status.code(), Some(1));
    for what in ["database", "broker", "plan typo"] {
        assert_eq!(finding(&output, what)["state"], "problem", "{what}");
    }
    let plan = finding(&output, "plan typo")["detail"].to_string();
    assert!(plan.contains("typo.toml:"), "{plan}");
    let told = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!told.contains("canary"), "{told}");
}

#[test]
fn without_urls_it_says_which_are_needed() {
    let bench = Workbench::new();
    bench.plan("p", PLAN);
    let output = run(&bench, &["doctor", "--json"], "", "");
    let database = finding(&output, "database")["detail"].to_string();
    assert!(database.contains("ASSAY_DATABASE_URL is not set"), "{database}");
    let broker = finding(&output, "broker")["detail"].to_string();
    assert!(broker.contains("ASSAY_AMQP_URL is not set"), "{broker}");
    let plans = finding(&output, "plans")["detail"].to_string();
    assert!(plans.contains("1 in"), "{plans}");
}

#[test]
fn health_says_no_where_nothing_answers() {
    let bench = Workbench::new();
    let asked: [(&[&str], _); 2] = [
        (&["health"], "nothing answers at 127.0.0.1:1\n"),
        (&["health", "--settlement"], "nothing answers at 127.0.0.1:2\n"),
    ];
    for (args, answer) in asked {
        let output = bench
            .command(args)
            .env("ASSAY_LISTEN", "127.0.0.1:1")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(String::from_utf8_lossy(&output.stdout), answer);
    }
}
