//! Content that was erased is gone everywhere, and everything that was proven still is.

use assay::outcome::Outcome;

use super::World;

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_removes_every_text_leaves_every_proof_and_says_who_and_why() {
    let world = World::new().await;
    let id = world.decide("erased", Outcome::Verified).await.to_string();
    world.fail("erased-too").await;
    let also_there = format!(
        "INSERT INTO assay.model_call (id, verification_id, job_id, attempt, grader, criteria, sample, model_asked,
                                       judge_mode, parameters, prompt, prompt_digest, answer, finish, rejected,
                                       tokens_estimated, key, started_at, ended_at)
         VALUES (gen_random_uuid(), '{id}', 'erased', 0, 'g', '{{c}}', 0, 'm', 'live', '{{}}', 'canary', '', 'canary',
                 'complete', 'canary', false, '', now(), now());
         INSERT INTO assay.dispute (verification_id, disputes, by, reason) VALUES ('{id}', '{id}', 'b', 'r');
         INSERT INTO assay.preview (verification_id, message)
         SELECT verification_id, message FROM assay.decision WHERE verification_id = '{id}'"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(also_there))
        .execute(&world.journal.pool())
        .await
        .unwrap();
    world.decide("kept", Outcome::Retry).await;
    world.seal(None).await;
    let refused = world.run(&["erase", "erased", "--reason", "ticket 4711"], &[]);
    assert_eq!(refused.status.code(), Some(2), "nothing without a confirmation");
    for job in ["erased", "erased-too"] {
        let erased = world.run(&["erase", job, "--reason", "ticket 4711", "--yes"], &[]);
        assert!(erased.status.success(), "{erased:?}");
    }
    for (table, column) in [
        ("log", "content"),
        ("decision", "convert_from(message, 'UTF8')"),
        ("hand_in", "convert_from(message, 'UTF8')"),
        ("parked", "detail"),
        ("verification", "decision"),
        (
            "model_call",
            "concat(convert_from(prompt, 'UTF8'), convert_from(answer, 'UTF8'), rejected)",
        ),
        ("preview", "convert_from(message, 'UTF8')"),
    ] {
        let of_job = if table == "preview" {
            format!("verification_id = '{id}'")
        } else {
            "job_id LIKE 'erased%'".to_owned()
        };
        let left = format!("SELECT count(*) FROM assay.{table} WHERE {of_job} AND {column} LIKE '%canary%'");
        let left: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(left))
            .fetch_one(&world.journal.pool())
            .await
            .unwrap();
        assert_eq!(left, 0, "{table}");
    }
    let (code, report) = world.audit_report(&["--all"], None);
    assert_eq!((code, &report["findings"]), (0, &serde_json::json!([])));
    let told = &report["erasures"][0];
    assert_eq!(
        (&told["job_id"], &told["by"], &told["reason"]),
        (&"erased".into(), &"ann".into(), &"ticket 4711".into())
    );
    let path = world.folder.path().join("bundle.json");
    let file = path.to_str().unwrap();
    assert!(
        world
            .run(&["audit", "export", &id, "-o", file], &[])
            .status
            .success()
    );
    assert_eq!(world.run(&["audit", "verify", file], &[]).status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_erased_without_a_tombstone_or_while_it_is_under_way() {
    let world = World::new().await;
    world.claim("running").await;
    let running = world.run(&["erase", "running", "--reason", "r", "--yes"], &[]);
    assert_eq!(running.status.code(), Some(2), "{running:?}");
    world.decide("kept", Outcome::Verified).await;
    let zeros = "decode(repeat('00', 16), 'hex')";
    let shape =
        format!("SET content = '', salt = {zeros}, content_digest = assay.content_digest(salt, content)");
    // As the owner, with the triggers on: the shape of an erasure alone is not enough.
    let without = format!("UPDATE assay.log {shape} WHERE job_id = 'kept'");
    // With a tombstone, content can be removed, but not replaced.
    let replaced = "INSERT INTO assay.erasure (job_id, by, reason) VALUES ('kept', 'x', 'y');
                    UPDATE assay.log SET content = 'forged' WHERE job_id = 'kept'";
    for statement in [without.as_str(), replaced] {
        let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(&world.journal.pool())
            .await
            .unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{refused}");
    }
    assert_eq!(world.audit(None), (0, Vec::new()));
    // With the triggers off, it is the audit that tells.
    world.tamper(&format!("{without} AND seq = 2")).await;
    assert_eq!(
        world.audit(None),
        (1, vec![("erased-unrecorded".to_owned(), "entry 2".to_owned())])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_erasure_a_checkpoint_still_proves_how_graders_ended_and_without_one_it_is_said() {
    for sealed in [true, false] {
        let world = World::new().await;
        let id = world.decide("erased", Outcome::Verified).await;
        if sealed {
            world.seal(None).await;
        }
        let erased = world.run(&["erase", "erased", "--reason", "ticket 4711", "--yes"], &[]);
        assert!(erased.status.success(), "{erased:?}");
        let (code, report) = world.audit_report(&["--all"], None);
        assert_eq!(
            (code, &report["unproven"]),
            (0, &u64::from(!sealed).into()),
            "{report}"
        );
        let forge = |from: &str, to: &str| {
            format!(
                "UPDATE assay.decision SET message = convert_to(replace(convert_from(message, 'UTF8'), '{from}', '{to}'), 'UTF8')
                 WHERE verification_id = '{id}'"
            )
        };
        world
            .tamper(&forge("\"verdict\": \"pass\"", "\"verdict\": \"fail\""))
            .await;
        let expected = if sealed {
            (
                1,
                vec![("sealed-otherwise".to_owned(), "checkpoint 1".to_owned())],
            )
        } else {
            (0, Vec::new())
        };
        assert_eq!(world.audit(None), expected);
        world
            .tamper(&forge("\"verdict\": \"fail\"", "\"verdict\": \"pass\""))
            .await;
        world.tamper(&forge("[erased]", "it was fine")).await;
        let words = (
            "decision-changed".to_owned(),
            "decision.message.graders.text".to_owned(),
        );
        assert_eq!(world.audit(None), (1, vec![words]));
    }
}
