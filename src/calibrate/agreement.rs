//! How far a judge agrees with people, and how sure that is.

use serde::Serialize;

/// The normal distribution's 97.5th percentile: intervals hold 95 %.
const Z: f64 = 1.959_964;

/// Below this, a kappa is 0: sums of shares are exact to about 1e-15.
const ROUNDING: f64 = 1e-9;

/// Resamples behind the interval of kappa.
pub(super) const RESAMPLES: usize = 4_000;

/// Where the draws of the resamples begin: the same table always has the same interval.
const SEED: u64 = 0x6173_7361_795f_6b61;

/// Two-sided 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// Its low end.
    pub low: f64,
    /// Its high end.
    pub high: f64,
}

/// What people said (the label) against what the judge said, each a yes or a no.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Confusion {
    /// Label yes, judge yes.
    pub true_accepts: u64,
    /// Label no, judge yes: paid for nothing.
    pub false_accepts: u64,
    /// Label yes, judge no.
    pub false_rejects: u64,
    /// Label no, judge no.
    pub true_rejects: u64,
}

impl Confusion {
    /// Counts one case.
    pub fn add(&mut self, label: bool, said: bool) {
        let cell = match (label, said) {
            (true, true) => &mut self.true_accepts,
            (false, true) => &mut self.false_accepts,
            (true, false) => &mut self.false_rejects,
            (false, false) => &mut self.true_rejects,
        };
        *cell += 1;
    }

    /// Cases in the table.
    pub fn total(&self) -> u64 {
        self.true_accepts + self.false_accepts + self.false_rejects + self.true_rejects
    }

    /// Cases whose label is yes.
    pub fn labelled_yes(&self) -> u64 {
        self.true_accepts + self.false_rejects
    }

    /// Cases whose label is no.
    pub fn labelled_no(&self) -> u64 {
        self.false_accepts + self.true_rejects
    }

    /// Share of the labels that are yes; none without a case.
    pub fn base_rate(&self) -> Option<f64> {
        share(self.labelled_yes(), self.total())
    }

    /// Share of the cases in which both say the same; none without a case.
    pub fn accuracy(&self) -> Option<f64> {
        share(self.agreed(), self.total())
    }

    /// The accuracy's interval by Wilson's score method, which is honest for few cases and near 0 and 1.
    pub fn accuracy_interval(&self) -> Option<Interval> {
        wilson(self.agreed(), self.total())
    }

    /// Cohen's kappa: agreement beyond what the same shares of yes and no would reach by chance. 1 is perfect, 0 is chance.
    /// None where label and judge say one and the same thing throughout: then chance alone explains everything.
    pub fn kappa(&self) -> Option<f64> {
        self.kappa_at(self.accuracy()?)
    }

    /// Kappa's interval: percentiles of a bootstrap over the cases with a fixed seed. Where both agree on every case (or on
    /// none), no resample differs and the bootstrap knows nothing; then the ends are kappa at the ends of the accuracy's
    /// interval.
    pub fn kappa_interval(&self) -> Option<Interval> {
        self.kappa()?;
        if self.agreed() == 0 || self.agreed() == self.total() {
            let accuracy = self.accuracy_interval()?;
            return Some(Interval {
                low: self.kappa_at(accuracy.low)?,
                high: self.kappa_at(accuracy.high)?,
            });
        }
        let mut random = SplitMix(SEED);
        let mut kappas: Vec<_> = (0..RESAMPLES)
            // A resample in which chance explains everything shows no agreement beyond it.
            .map(|_| self.resample(&mut random).kappa().unwrap_or(0.0))
            .collect();
        kappas.sort_by(f64::total_cmp);
        let at = |share: usize| kappas.get(RESAMPLES * share / 1000).copied();
        Some(Interval {
            low: at(25)?,
            high: at(975)?,
        })
    }

    fn agreed(&self) -> u64 {
        self.true_accepts + self.true_rejects
    }

    /// Kappa with these shares of yes and no and that accuracy.
    fn kappa_at(&self, accuracy: f64) -> Option<f64> {
        let label_yes = share(self.labelled_yes(), self.total())?;
        let judge_yes = share(self.true_accepts + self.false_accepts, self.total())?;
        let by_chance = label_yes * judge_yes + (1.0 - label_yes) * (1.0 - judge_yes);
        let kappa = (accuracy - by_chance) / (1.0 - by_chance);
        // What differs from chance by rounding alone is chance.
        (by_chance < 1.0).then_some(if kappa.abs() < ROUNDING { 0.0 } else { kappa })
    }

    /// As many cases, drawn from these with replacement.
    fn resample(&self, random: &mut SplitMix) -> Self {
        let total = self.total();
        let mut drawn = Self::default();
        for _ in 0..total {
            let mut ball = random.below(total);
            for (count, label, said) in [
                (self.true_accepts, true, true),
                (self.false_accepts, false, true),
                (self.false_rejects, true, false),
                (self.true_rejects, false, false),
            ] {
                if ball < count {
                    drawn.add(label, said);
                    break;
                }
                ball -= count;
            }
        }
        drawn
    }
}

/// Share of `part` in `whole`; none of nothing.
#[expect(clippy::cast_precision_loss, reason = "counts of cases are far below 2^52")]
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Wilson's score interval of a share.
#[expect(clippy::cast_precision_loss, reason = "counts of cases are far below 2^52")]
pub(super) fn wilson(part: u64, whole: u64) -> Option<Interval> {
    let p = share(part, whole)?;
    let n = whole as f64;
    let middle = p + Z * Z / (2.0 * n);
    let spread = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    // The share lies between them, whatever rounding says: of 19 of 19 the upper end would come out as a little less than 1.
    Some(Interval {
        low: ((middle - spread) / scale).clamp(0.0, p),
        high: ((middle + spread) / scale).clamp(p, 1.0),
    })
}

/// Steele, Lea and Flood's generator (<https://doi.org/10.1145/2714064.2660195>): small, and the same in every version.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`, by the high half of a product: its bias is far below what 4,000 resamples can show.
    fn below(&mut self, limit: u64) -> u64 {
        let product = u128::from(self.next()) * u128::from(limit);
        u64::try_from(product >> 64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(true_accepts: u64, false_accepts: u64, false_rejects: u64, true_rejects: u64) -> Confusion {
        Confusion {
            true_accepts,
            false_accepts,
            false_rejects,
            true_rejects,
        }
    }

    fn close(a: f64, b: f64, by: f64) -> bool {
        (a - b).abs() < by
    }

    #[test]
    fn kappa_and_wilson_are_those_of_the_textbook() {
        // Two readers of 50 proposals: 20 yes-yes, 15 no-no, 5 and 10 apart; kappa 0.4.
        let readers = table(20, 5, 10, 15);
        assert!(close(readers.kappa().unwrap(), 0.4, 1e-9));
        assert!(close(readers.accuracy().unwrap(), 0.7, 1e-9));
        let wilson = wilson(81, 263).unwrap();
        assert!(
            close(wilson.low, 0.2553, 1e-4) && close(wilson.high, 0.3662, 1e-4),
            "{wilson:?}"
        );
    }

    #[test]
    fn the_bootstrap_agrees_with_the_large_sample_interval_where_that_holds() {
        // Fleiss, Cohen and Everitt's standard error of this table is 0.0372.
        let table = table(92, 7, 8, 93);
        let (kappa, interval) = (table.kappa().unwrap(), table.kappa_interval().unwrap());
        assert!(close(kappa, 0.85, 1e-9));
        assert!(close(interval.low, kappa - Z * 0.0372, 0.015), "{interval:?}");
        assert!(close(interval.high, kappa + Z * 0.0372, 0.015), "{interval:?}");
        assert_eq!(
            table.kappa_interval(),
            Some(interval),
            "the same table, the same interval"
        );
    }

    #[test]
    fn always_yes_has_a_kappa_of_nothing_and_one_class_has_none() {
        let yes = table(190, 10, 0, 0);
        assert!(close(yes.kappa().unwrap(), 0.0, 1e-9));
        assert!(yes.kappa_interval().unwrap().low <= 0.0);
        assert_eq!(table(50, 0, 0, 0).kappa(), None);
        assert_eq!(Confusion::default().accuracy(), None);
    }

    #[test]
    fn perfect_agreement_is_no_certainty() {
        let few = table(4, 0, 0, 4).kappa_interval().unwrap();
        let many = table(100, 0, 0, 100).kappa_interval().unwrap();
        assert!(few.low < 0.4 && many.low > 0.9, "{few:?} {many:?}");
    }

    #[test]
    fn rounding_leaves_no_share_outside_its_interval() {
        for whole in 1..500 {
            assert_eq!(wilson(whole, whole).unwrap().high, 1.0, "{whole}");
            assert_eq!(wilson(0, whole).unwrap().low, 0.0, "{whole}");
        }
    }

    proptest! {
        #[test]
        fn every_interval_holds_its_estimate(a in 0u64..40, b in 0u64..40, c in 0u64..40, d in 0u64..40) {
            let table = table(a, b, c, d);
            if let (Some(accuracy), Some(interval)) = (table.accuracy(), table.accuracy_interval()) {
                prop_assert!(interval.low <= accuracy && accuracy <= interval.high);
                prop_assert!((0.0..=1.0).contains(&interval.low) && interval.high <= 1.0);
            }
            if let (Some(kappa), Some(interval)) = (table.kappa(), table.kappa_interval()) {
                prop_assert!(interval.low <= kappa + 1e-9 && kappa <= interval.high + 1e-9, "{:?}", table);
            }
        }
    }
}
