//! A marketplace settled and mended by the roles of `deploy/roles.sql`, each with a login of its own.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Output;

use assay::journal::{PgJournal, Settled};
use assay::receipt::{SigningKey, TrustFile, TrustedKey};
use assay::settle::{SettleSettings, Settler};
use jiff::Timestamp;
use sqlx::Executor as _;

use super::commands::{assay, stdout};
use super::{Decision, World, settler};
use crate::roles::ROLES;

/// A marketplace whose settlement and whose people have the shipped roles.
pub(super) struct Shipped {
    pub(super) world: World,
    /// Settlement, as its role.
    pub(super) settler: Settler,
    /// Logins of the roles.
    pub(super) settlement: String,
    pub(super) operator: String,
    /// What the commands read.
    config: PathBuf,
}

impl Shipped {
    pub(super) async fn new(settings: SettleSettings) -> Self {
        let world = World::with(settings.clone()).await;
        world.journal.pool().execute(ROLES).await.unwrap();
        let settlement = world.database.login("assay_settlement").await;
        let operator = world.database.login("assay_operator").await;
        let config = world.folder.path().join("assay.toml");
        let mut text = "[settle]\n".to_owned();
        for (key, value) in [
            ("hold_above_cents", settings.hold_above_cents),
            ("max_paid_per_hour_cents", settings.max_paid_per_hour_cents),
        ] {
            if let Some(value) = value {
                let _ = writeln!(text, "{key} = {value}");
            }
        }
        std::fs::write(&config, text).unwrap();
        let market = PgJournal::connect(&settlement, 8)
            .await
            .unwrap()
            .market()
            .await
            .unwrap();
        Self {
            settler: settler(&market, &world.trust, settings),
            world,
            settlement,
            operator,
            config,
        }
    }

    pub(super) fn run(&self, login: &str, arguments: &[&str]) -> Output {
        let variables = [
            ("ASSAY_DATABASE_URL", login),
            ("ASSAY_TRUST", self.world.trust.to_str().unwrap()),
            ("ASSAY_CONFIG", self.config.to_str().unwrap()),
        ];
        assay(arguments, &variables)
    }

    /// What a person does, as its role.
    pub(super) fn operate(&self, arguments: &[&str]) {
        let output = self.run(&self.operator, arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    /// Tries the only open exception again, as settlement's role.
    pub(super) async fn again(&self) -> (Option<i32>, String) {
        let number = self.number().await;
        let output = self.run(&self.settlement, &["settle", "again", &number]);
        let said = stdout(&output).replace(&format!("{number}: "), "");
        let complained = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said + &complained)
    }

    /// The number of the only open exception.
    pub(super) async fn number(&self) -> String {
        let open = self.world.market.exceptions(false).await.unwrap();
        assert_eq!(open.len(), 1, "{open:?}");
        open[0].id.to_string()
    }

    pub(super) async fn settle(&self, decision: &Decision) -> Settled {
        self.settler.settle(&decision.body).await.unwrap()
    }

    pub(super) async fn stands(&self, decision: &Decision) -> String {
        self.world.stands(decision).await.join(", ")
    }

    /// A trust file that names another key alone, as after a rotation that went wrong.
    pub(super) fn trust_the_wrong_key(&self) {
        self.trust(&SigningKey::generate());
    }

    pub(super) fn trust(&self, key: &SigningKey) {
        let mut file = TrustFile::default();
        file.add(TrustedKey::new(key, "default", Timestamp::UNIX_EPOCH));
        file.write(&self.world.trust).unwrap();
    }
}
