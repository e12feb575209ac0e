//! What no worker can do without, written by hand: consume; commit a claim; commit log and decision; publish and await the
//! confirm; acknowledge. Three tasks in a row over one broker connection for each direction and two database connections,
//! each taking what has come in meanwhile.

use std::ffi::OsStr;

use assay::queue::Lane;
use futures_util::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation};
use serde::{Deserialize, Serialize};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::site::Template;
use crate::{IN_FLIGHT, jobs};

/// The environment variable that makes this program a floor; names the file with its [`Settings`].
pub(crate) const SITE: &str = "ASSAY_BENCH_FLOOR";

/// Most jobs of one statement.
const BATCH: usize = 256;

#[derive(Serialize)]
pub(crate) struct Settings<'a> {
    pub(crate) amqp: &'a str,
    pub(crate) database: &'a str,
    pub(crate) template: &'a Template,
}

#[derive(Deserialize)]
struct OwnSettings {
    amqp: String,
    database: String,
    template: Template,
}

/// A job that is claimed.
struct Claimed {
    delivery: Delivery,
    id: String,
    verification: Uuid,
}

/// Takes jobs until it is killed.
pub(crate) async fn run(settings: &OsStr) {
    let OwnSettings {
        amqp,
        database,
        template,
    } = serde_json::from_slice(&std::fs::read(settings).unwrap()).unwrap();
    let (_consuming, consuming) = jobs::channel(&amqp).await;
    let (_publishing, publishing) = jobs::channel(&amqp).await;
    consuming
        .basic_qos(IN_FLIGHT, BasicQosOptions::default())
        .await
        .unwrap();
    let mut deliveries = consuming
        .basic_consume(
            Lane::Submitted.queue().into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await
        .unwrap();
    let (arrived, mut to_claim) = mpsc::channel(IN_FLIGHT.into());
    let (claimed, mut to_write) = mpsc::channel(IN_FLIGHT.into());
    let (published, mut to_ack) = mpsc::channel(IN_FLIGHT.into());
    tokio::spawn(async move {
        while let Some(delivery) = deliveries.next().await {
            arrived.send(delivery.unwrap()).await.unwrap();
        }
    });
    let mut claims = PgConnection::connect(&database).await.unwrap();
    claims.execute(CLAIM_TABLE).await.unwrap();
    tokio::spawn(async move {
        let mut batch = Vec::new();
        while to_claim.recv_many(&mut batch, BATCH).await > 0 {
            for job in claim(&mut claims, batch.drain(..)).await {
                claimed.send(job).await.unwrap();
            }
        }
    });
    let mut writes = PgConnection::connect(&database).await.unwrap();
    tokio::spawn(async move {
        let mut batch = Vec::new();
        while to_write.recv_many(&mut batch, BATCH).await > 0 {
            let outcomes: Vec<_> = batch.iter().map(|job| outcome(&template, job)).collect();
            write(&mut writes, &template, &batch, &outcomes).await;
            for (job, outcome) in batch.drain(..).zip(outcomes) {
                let confirm = publish(&publishing, &template, &job, &outcome).await;
                published.send((confirm, job.delivery)).await.unwrap();
            }
        }
    });
    let mut batch = Vec::new();
    while to_ack.recv_many(&mut batch, BATCH).await > 0 {
        let mut last: Option<Delivery> = None;
        for (confirm, delivery) in batch.drain(..) {
            assert!(confirm.await.unwrap().is_ack());
            last = Some(delivery);
        }
        // Jobs go through in the order of their deliveries.
        let several = BasicAckOptions { multiple: true };
        last.unwrap().acker.ack(several).await.unwrap();
    }
}

/// A claim in one row, with its message: the floor writes it once and never again.
const CLAIM_TABLE: &str = "
    CREATE TABLE floor_claim (
        job_id text, attempt integer, submission bytea, plan_choice bytea, message bytea, state text,
        verification_id uuid, holder text, due_at timestamptz, starts integer, PRIMARY KEY (job_id, attempt)
    ) WITH (toast_tuple_target = 8160);
    ALTER TABLE floor_claim ALTER message SET STORAGE EXTERNAL";

async fn claim(connection: &mut PgConnection, deliveries: impl Iterator<Item = Delivery>) -> Vec<Claimed> {
    let jobs: Vec<_> = deliveries
        .map(|delivery| {
            let id = delivery.properties.message_id().as_ref().unwrap();
            Claimed {
                id: id.as_str().to_owned(),
                verification: Uuid::now_v7(),
                delivery,
            }
        })
        .collect();
    let digest = [7_u8; 32];
    sqlx::query(
        "INSERT INTO floor_claim (job_id, attempt, submission, plan_choice, message, state, verification_id, holder,
                                  due_at, starts)
         SELECT job_id, 0, submission, plan_choice, message, 'running', id, 'floor', now() + interval '30 s', 1
         FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::bytea[], $5::uuid[])
              AS new (job_id, submission, plan_choice, message, id)",
    )
    .bind(jobs.iter().map(|job| job.id.as_str()).collect::<Vec<_>>())
    .bind(jobs.iter().map(|_| digest.as_slice()).collect::<Vec<_>>())
    .bind(jobs.iter().map(|_| digest.as_slice()).collect::<Vec<_>>())
    .bind(jobs.iter().map(|job| job.delivery.data.as_slice()).collect::<Vec<_>>())
    .bind(jobs.iter().map(|job| job.verification).collect::<Vec<_>>())
    .execute(connection)
    .await
    .unwrap();
    jobs
}

/// The template's, of this job.
fn outcome(template: &Template, job: &Claimed) -> Vec<u8> {
    let mut outcome = template.outcome.clone();
    let of_template = jobs::id(0);
    for place in memchr::memmem::find_iter(&template.outcome, &of_template) {
        outcome[place..place + of_template.len()].copy_from_slice(job.id.as_bytes());
    }
    outcome
}

async fn write(connection: &mut PgConnection, template: &Template, jobs: &[Claimed], outcomes: &[Vec<u8>]) {
    let entries = || {
        jobs.iter()
            .flat_map(|job| (0..).zip(&template.entries).map(move |entry| (job, entry)))
    };
    let (salt, hash) = ([3_u8; 16], [5_u8; 32]);
    sqlx::query(
        "WITH logged AS (
            INSERT INTO assay.log (job_id, verification_id, seq, type, content, audience, created_at, salt, hash)
            SELECT job_id, id, seq, type, content, audience, now(), salt, hash
            FROM unnest($1::text[], $2::uuid[], $3::int4[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::bytea[])
                 AS l (job_id, id, seq, type, content, audience, salt, hash)
         )
         INSERT INTO assay.decision (verification_id, job_id, attempt, trigger, outcome, message, traceparent)
         SELECT id, job_id, 0, 'submission', 'retry', message, $12
         FROM unnest($9::text[], $10::uuid[], $11::bytea[]) AS d (job_id, id, message)",
    )
    .bind(entries().map(|(job, _)| job.id.as_str()).collect::<Vec<_>>())
    .bind(entries().map(|(job, _)| job.verification).collect::<Vec<_>>())
    .bind(entries().map(|(_, (seq, _))| seq).collect::<Vec<i32>>())
    .bind(entries().map(|(_, (_, entry))| entry.kind.as_str()).collect::<Vec<_>>())
    .bind(entries().map(|(_, (_, entry))| entry.content.as_str()).collect::<Vec<_>>())
    .bind(entries().map(|(_, (_, entry))| entry.audience.as_str()).collect::<Vec<_>>())
    .bind(entries().map(|_| salt.as_slice()).collect::<Vec<_>>())
    .bind(entries().map(|_| hash.as_slice()).collect::<Vec<_>>())
    .bind(jobs.iter().map(|job| job.id.as_str()).collect::<Vec<_>>())
    .bind(jobs.iter().map(|job| job.verification).collect::<Vec<_>>())
    .bind(outcomes)
    .bind(&template.traceparent)
    .execute(connection)
    .await
    .unwrap();
}

async fn publish(
    channel: &Channel,
    template: &Template,
    job: &Claimed,
    outcome: &[u8],
) -> impl Future<Output = lapin::Result<Confirmation>> + use<> {
    let mut headers = FieldTable::default();
    if let Some(traceparent) = &template.traceparent {
        headers.insert(
            "traceparent".into(),
            AMQPValue::LongString(traceparent.as_str().into()),
        );
    }
    let properties = BasicProperties::default()
        .with_delivery_mode(2)
        .with_content_type("application/json".into())
        .with_message_id(job.verification.to_string().into())
        .with_headers(headers);
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    channel
        .basic_publish(
            "assay.outcomes".into(),
            "job.retry".into(),
            options,
            outcome,
            properties,
        )
        .await
        .unwrap()
}
