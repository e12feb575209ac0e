//! How long an entry takes from its happening until everybody can read it.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::jobs;
use crate::model::Model;
use crate::site::Site;

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(2);

/// What was seen of jobs whose judge writes for a second.
#[derive(Default)]
pub(crate) struct Seen {
    /// Age of each entry when it was first seen.
    pub(crate) ages: Vec<Duration>,
    /// From the model's first token to the first entry with its words, for each job.
    pub(crate) first_words: Vec<Duration>,
}

/// Takes so many jobs through, one after the other, from the number `from` on.
pub(crate) async fn seen(site: &Site, model: &Model, from: u32, jobs: u32) -> Seen {
    let mut connection = PgConnection::connect(&site.database).await.unwrap();
    let mut seen = Seen::default();
    for job in from..from + jobs {
        jobs::publish_slow(site, job).await;
        let verification = claimed(&mut connection, &jobs::slow_id(job)).await;
        let mut next = 0;
        let mut has_words = false;
        loop {
            let rows: Vec<(i32, String, f64)> = sqlx::query_as(
                "SELECT seq, type, extract(epoch FROM clock_timestamp() - created_at)::float8
                 FROM assay.log WHERE verification_id = $1 AND seq >= $2 ORDER BY seq",
            )
            .bind(verification)
            .bind(next)
            .fetch_all(&mut connection)
            .await
            .unwrap();
            for (seq, kind, age) in rows {
                next = seq + 1;
                seen.ages.push(Duration::from_secs_f64(age.max(0.0)));
                if kind == "reasoning" && !has_words {
                    has_words = true;
                    let since = Timestamp::now().duration_since(model.last_first_token());
                    seen.first_words.push(since.try_into().unwrap());
                }
            }
            if has_ended(&mut connection, verification).await {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
    seen
}

/// Waits until a worker holds the job.
async fn claimed(connection: &mut PgConnection, job: &str) -> Uuid {
    loop {
        let held: Option<Uuid> =
            sqlx::query_scalar("SELECT verification_id FROM assay.claim WHERE job_id = $1")
                .bind(job)
                .fetch_optional(&mut *connection)
                .await
                .unwrap();
        match held {
            Some(held) => return held,
            None => tokio::time::sleep(LOOK).await,
        }
    }
}

async fn has_ended(connection: &mut PgConnection, verification: Uuid) -> bool {
    sqlx::query_scalar("SELECT ended_at IS NOT NULL FROM assay.verification WHERE id = $1")
        .bind(verification)
        .fetch_one(connection)
        .await
        .unwrap()
}
