//! How long an entry takes from its happening until everybody can read it.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};

use crate::load;
use crate::site::Site;

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(2);

/// Takes so many jobs through, one after the other, whose check runs for a while; gives back the age of each entry when it
/// was first seen.
pub(crate) async fn ages(site: &Site, jobs: u32) -> Vec<Duration> {
    let mut connection = PgConnection::connect(&site.database).await.unwrap();
    let mut ages = Vec::new();
    for job in 0..jobs {
        load::publish_slow(site, job).await;
        let mut seen = 0;
        loop {
            let rows: Vec<(i32, f64, bool)> = sqlx::query_as(
                "SELECT l.seq, extract(epoch FROM clock_timestamp() - l.created_at)::float8, v.ended_at IS NOT NULL
                 FROM assay.verification v JOIN assay.log l ON l.verification_id = v.id
                 WHERE v.job_id = $1 AND l.seq >= $2 ORDER BY l.seq",
            )
            .bind(load::slow_id(job))
            .bind(seen)
            .fetch_all(&mut connection)
            .await
            .unwrap();
            seen += i32::try_from(rows.len()).unwrap();
            ages.extend(
                rows.iter()
                    .map(|(_, seconds, _)| Duration::from_secs_f64(seconds.max(0.0))),
            );
            if rows.iter().any(|(_, _, ended)| *ended) {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
    ages
}
