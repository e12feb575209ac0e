//! The jobs of the bench, as messages.

use std::fmt::Write as _;

use assay::job::Job;
use assay::message::{PlanChoice, SubmittedJob, Work};
use assay::queue::Lane;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use serde_json::json;

use crate::site::Site;

/// 2 KB of text.
pub(crate) fn expected() -> String {
    text("and all of it agrees")
}

fn text(last: &str) -> String {
    let mut text = String::new();
    for line in 0..36 {
        let _ = writeln!(
            text,
            "{line:04} lorem ipsum {:05} dolor sit amet, consectetur {:x}",
            line * 31 % 997,
            line * 7919
        );
    }
    text.push_str(last);
    text
}

/// Every id is as long as any other, and so is what comes of it.
pub(crate) fn id(number: u32) -> String {
    format!("bench-{number:08}")
}

/// Jobs whose judge writes for a while have ids above those of all others.
const SLOW: u32 = 90_000_000;

/// The job that is taken before an even load begins has an id above those of the load.
pub(crate) const FIRST: u32 = 80_000_000;

/// The id of a job whose judge writes for a while.
pub(crate) fn slow_id(number: u32) -> String {
    id(SLOW + number)
}

/// The message of one job, as a marketplace sends it.
pub(crate) fn body(number: u32) -> Vec<u8> {
    let job: Job = serde_json::from_value(json!({
        "id": id(number), "status": "submitted", "title": "Lorem", "prompt": "Write the text.", "sender": "sender",
        "receiver": "receiver", "price_cents": 100, "output_text": text("and the last line differs"),
        "created_at": "2026-11-24T09:00:00Z", "updated_at": "2026-11-24T09:00:00Z",
    }))
    .unwrap();
    let message = SubmittedJob {
        work: Work::Whole(Box::new(job)),
        plan: Some(PlanChoice::Named(
            if number < SLOW { "bench" } else { "slow" }.to_owned(),
        )),
    };
    message.to_json().unwrap()
}

/// The job that an outcome is about.
pub(crate) fn number(outcome: &[u8]) -> u32 {
    let key = b"\"job_id\":\"bench-";
    let at = memchr::memmem::find(outcome, key).unwrap() + key.len();
    std::str::from_utf8(&outcome[at..at + 8])
        .unwrap()
        .parse()
        .unwrap()
}

pub(crate) async fn channel(url: &str) -> (Connection, Channel) {
    let connection = Connection::connect(url, ConnectionProperties::default())
        .await
        .unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await
        .unwrap();
    (connection, channel)
}

/// Publishes one job; returns when the broker has it.
pub(crate) async fn publish(site: &Site, number: u32) {
    let (connection, channel) = channel(&site.amqp).await;
    let properties = BasicProperties::default()
        .with_delivery_mode(2)
        .with_message_id(id(number).into());
    let options = BasicPublishOptions::default();
    let (queue, body) = (Lane::Submitted.queue().into(), body(number));
    let publishing = channel.basic_publish("".into(), queue, options, &body, properties);
    assert!(publishing.await.unwrap().await.unwrap().is_ack());
    connection.close(200, "done".into()).await.unwrap();
}

/// Publishes a job whose judge writes for a while.
pub(crate) async fn publish_slow(site: &Site, number: u32) {
    publish(site, SLOW + number).await;
}
