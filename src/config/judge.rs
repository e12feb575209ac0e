//! The judge's settings.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

use super::{ConfigError, variable};
use crate::graders::rubric::{JudgeSettings, Money, Price, ResponseFormat, UnknownResponseFormat};
use crate::pacing::{Pace, Pacer};

/// How the form of the judge's answer is asked for.
const RESPONSE_FORMAT: &str = "ASSAY_JUDGE_RESPONSE_FORMAT";

/// Longest time of one call in all, in seconds, where the file does not say.
const CALL_SECONDS: u64 = 120;

/// The table `[judge]` of the settings file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct JudgeTable {
    base_url: Option<String>,
    model: Option<String>,
    response_format: Option<ResponseFormat>,
    temperature: Option<f64>,
    max_completion_tokens: Option<u32>,
    timeout_seconds: Option<u64>,
    connect_timeout_seconds: Option<u64>,
    read_timeout_seconds: Option<u64>,
    max_concurrent: Option<u32>,
    requests_per_minute: Option<u32>,
    tokens_per_minute: Option<u64>,
    max_cents_per_job: Option<f64>,
    max_cents_per_day: Option<f64>,
    prices: BTreeMap<String, Price>,
}

/// Fewer requests a minute cannot be shared: each worker may always send one.
const LEAST_REQUESTS: u32 = 10;

impl JudgeTable {
    /// Refuses what no call could be made with.
    fn check(&self) -> Result<(), ConfigError> {
        let setting = |key, message: &str| {
            Err(ConfigError::Setting {
                key,
                message: message.to_owned(),
            })
        };
        let counts = [
            (
                "judge.max_completion_tokens",
                self.max_completion_tokens.map(u64::from),
            ),
            ("judge.timeout_seconds", self.timeout_seconds),
            ("judge.connect_timeout_seconds", self.connect_timeout_seconds),
            ("judge.read_timeout_seconds", self.read_timeout_seconds),
            ("judge.max_concurrent", self.max_concurrent.map(u64::from)),
            ("judge.tokens_per_minute", self.tokens_per_minute),
        ];
        for (key, count) in counts {
            if count == Some(0) {
                return setting(key, "must be above zero; leave it out for the usual value");
            }
        }
        if self
            .requests_per_minute
            .is_some_and(|requests| requests < LEAST_REQUESTS)
        {
            return setting(
                "judge.requests_per_minute",
                "must be 10 or more; leave it out for no limit",
            );
        }
        if self
            .temperature
            .is_some_and(|temperature| !(0.0..=2.0).contains(&temperature))
        {
            return setting(
                "judge.temperature",
                "must be from 0 to 2; leave it out for the model's own",
            );
        }
        if self.model.as_ref().is_some_and(|model| model.trim().is_empty()) {
            return setting(
                "judge.model",
                "must name a model; leave it out where every rubric names one",
            );
        }
        if !self.prices.values().all(|price| price.is_sound()) {
            return setting("judge.prices", "must be cents for a million tokens, zero or more");
        }
        for (key, cents) in [
            ("judge.max_cents_per_job", self.max_cents_per_job),
            ("judge.max_cents_per_day", self.max_cents_per_day),
        ] {
            if cents.is_some_and(|cents| !cents.is_finite() || cents < 0.0) {
                return setting(
                    key,
                    "must be an amount of cents, zero or more; leave it out for no ceiling",
                );
            }
        }
        let has_ceiling = self.max_cents_per_job.is_some() || self.max_cents_per_day.is_some();
        if has_ceiling && self.max_completion_tokens.is_none() {
            return setting(
                "judge.max_completion_tokens",
                "is needed where there is a ceiling of spending: what an answer may cost is not known before it is written",
            );
        }
        Ok(())
    }
}

/// The judge's endpoint: `OPENAI_BASE_URL` and `OPENAI_API_KEY` as every client of that protocol reads them. A key
/// alone means the protocol's own server; nothing at all means no judge.
pub(super) fn endpoint(file: JudgeTable) -> Result<Option<JudgeSettings>, ConfigError> {
    file.check()?;
    let api_key = variable("OPENAI_API_KEY");
    let base_url = variable("OPENAI_BASE_URL").or(file.base_url);
    if api_key.is_none() && base_url.is_none() {
        return Ok(None);
    }
    let response_format = match variable(RESPONSE_FORMAT) {
        Some(text) => Some(
            text.parse()
                .map_err(|error: UnknownResponseFormat| ConfigError::Variable {
                    name: RESPONSE_FORMAT,
                    message: error.to_string(),
                })?,
        ),
        None => file.response_format,
    };
    let base_url = base_url.unwrap_or_else(|| "https://api.openai.com/v1".to_owned());
    let usual = JudgeSettings::new(base_url, SecretString::from(api_key.unwrap_or_default()));
    let pace = Pace {
        max_concurrent: file
            .max_concurrent
            .map_or(Pace::default().max_concurrent, |most| most as usize),
        requests_per_minute: file.requests_per_minute,
        tokens_per_minute: file.tokens_per_minute,
    };
    let seconds = |asked: Option<u64>, usual| asked.map_or(usual, Duration::from_secs);
    Ok(Some(JudgeSettings {
        model: variable("ASSAY_MODEL").or(file.model),
        response_format: response_format.unwrap_or(usual.response_format),
        temperature: file.temperature,
        max_completion_tokens: file.max_completion_tokens,
        call_timeout: Duration::from_secs(file.timeout_seconds.unwrap_or(CALL_SECONDS)),
        connect_timeout: seconds(file.connect_timeout_seconds, usual.connect_timeout),
        read_timeout: seconds(file.read_timeout_seconds, usual.read_timeout),
        pacer: Pacer::alone(pace),
        money: Money {
            prices: file.prices,
            max_cents_per_job: file.max_cents_per_job,
            max_cents_per_day: file.max_cents_per_day,
        },
        ..usual
    }))
}

#[cfg(test)]
mod tests {
    use super::super::tests::load;
    use super::*;

    #[test]
    fn every_setting_of_the_judge_can_be_written_and_no_senseless_one() {
        let judge = |text: &str| load(&format!("[judge]\nbase_url = \"http://127.0.0.1:1/v1\"\n{text}"));
        let text = "response_format = \"text\"\ntemperature = 0\nmax_completion_tokens = 900\ntimeout_seconds = 30\n\
                    connect_timeout_seconds = 5\nread_timeout_seconds = 25\nmax_concurrent = 50\n\
                    requests_per_minute = 600\ntokens_per_minute = 90000\n";
        let endpoint = judge(text).unwrap().judge.unwrap();
        assert_eq!(endpoint.response_format, ResponseFormat::Text);
        assert_eq!(
            (endpoint.temperature, endpoint.max_completion_tokens),
            (Some(0.0), Some(900))
        );
        assert_eq!(endpoint.call_timeout, Duration::from_secs(30));
        assert_eq!(
            (endpoint.connect_timeout, endpoint.read_timeout),
            (Duration::from_secs(5), Duration::from_secs(25))
        );
        let pace = endpoint.pacer.pace();
        assert_eq!(
            (
                pace.max_concurrent,
                pace.requests_per_minute,
                pace.tokens_per_minute
            ),
            (50, Some(600), Some(90_000))
        );
        let money = judge(
            "max_cents_per_day = 1.5\nmax_completion_tokens = 900\n[judge.prices.\"m 1\"]\ninput = 15\noutput = 60.5\n",
        );
        let money = money.unwrap().judge.unwrap().money;
        let price = Price {
            input: 15.0,
            output: 60.5,
        };
        assert_eq!((money.max_cents_per_day, money.prices["m 1"]), (Some(1.5), price));
        let wrong = |text: &str| judge(text).unwrap_err();
        insta::assert_snapshot!(wrong("max_cents_per_job = -1.0"), @"judge.max_cents_per_job: must be an amount of cents, zero or more; leave it out for no ceiling");
        insta::assert_snapshot!(wrong("[judge.prices.m]\ninput = -1\noutput = 1"), @"judge.prices: must be cents for a million tokens, zero or more");
        insta::assert_snapshot!(wrong("max_cents_per_job = 1.0"), @"judge.max_completion_tokens: is needed where there is a ceiling of spending: what an answer may cost is not known before it is written");
        insta::assert_snapshot!(wrong("timeout_seconds = 0"), @"judge.timeout_seconds: must be above zero; leave it out for the usual value");
        insta::assert_snapshot!(wrong("max_completion_tokens = 0"), @"judge.max_completion_tokens: must be above zero; leave it out for the usual value");
        insta::assert_snapshot!(wrong("requests_per_minute = 9"), @"judge.requests_per_minute: must be 10 or more; leave it out for no limit");
        insta::assert_snapshot!(wrong("temperature = 2.5"), @"judge.temperature: must be from 0 to 2; leave it out for the model's own");
        insta::assert_snapshot!(wrong("model = \" \""), @"judge.model: must name a model; leave it out where every rubric names one");
        insta::assert_snapshot!(wrong("response_format = \"json\""), @"/assay.toml:3: unknown variant `json`, expected `json-schema` or `text`");
    }
}
