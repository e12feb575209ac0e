//! Promise 5 over random sequences of hand-ins, decisions, disputes, duplicates, brakes and crashes, beside a model.

mod model;
mod play;
mod step;

use assay::settle::SettleSettings;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::World;
use play::Play;
use step::scene;

const FEE_BASIS_POINTS: i64 = 250;

const USERS: [&str; 3] = ["sender", "receiver", "platform"];

const JOBS: [(&str, i64); 2] = [("j0", 999), ("j1", 3_000)];

fn settings() -> SettleSettings {
    SettleSettings {
        fee_basis_points: u32::try_from(FEE_BASIS_POINTS).unwrap(),
        platform_user: Some("platform".to_owned()),
        ..SettleSettings::default()
    }
}

#[test]
fn whatever_is_decided_disputed_repeated_raced_or_cut_off_no_cent_is_made_or_lost() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let world = runtime.block_on(World::with(settings()));
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 16,
        max_shrink_iters: 200,
        ..ProptestConfig::with_source_file(file!())
    });
    let found = runner.run(&prop::collection::vec(scene(), 8..48), |scenes| {
        runtime.block_on(async {
            let mut play = Play::new(&world).await;
            for step in scenes.into_iter().flatten() {
                play.play(step).await;
            }
        });
        Ok(())
    });
    runtime.block_on(async { drop(world) });
    if let Err(failure) = found {
        panic!("{failure}");
    }
}
