//! What a guest may use up.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use wasmtime::ResourceLimiter;

use super::Resource;

/// Limits of one call.
///
/// Fuel and memory decide: they are counted alike on every machine. The wall clock only guards against
/// trouble of the machine, and must sit far above the time in which the fuel can be burnt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Units of fuel, about one per wasm instruction.
    pub fuel: u64,
    /// Bytes of linear memory, all memories of the component together.
    pub memory_bytes: u64,
    /// Table elements, all tables together.
    pub table_elements: u64,
    /// Core instances within the component.
    pub instances: u32,
    /// Wall clock guard.
    pub wall: Duration,
    /// Bytes that the answer may take, reason and notes together.
    pub max_output_bytes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel: 1_000_000_000,
            memory_bytes: 64 << 20,
            table_elements: 100_000,
            instances: 256,
            wall: Duration::from_secs(8),
            max_output_bytes: 1 << 20,
        }
    }
}

/// A limit that is outside of what may be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the limit `{name}` is {asked}, it may be from 1 to {most}")]
pub struct LimitsError {
    /// Name of the limit.
    pub name: &'static str,
    /// What was asked for.
    pub asked: u64,
    /// The most that may be asked for.
    pub most: u64,
}

impl Limits {
    /// The most that may be asked for. A child may use 1 GiB of memory in all, which must hold the guest's
    /// memory, the request and the answer.
    pub const MOST: Self = Self {
        fuel: 100_000_000_000,
        memory_bytes: 512 << 20,
        table_elements: 10_000_000,
        instances: 10_000,
        wall: Duration::from_secs(300),
        max_output_bytes: 8 << 20,
    };

    /// Checks that every limit is within bounds.
    ///
    /// # Errors
    ///
    /// The first limit that is zero or above [`Limits::MOST`].
    pub fn check(&self) -> Result<(), LimitsError> {
        let most = Self::MOST;
        let millis = |wall: Duration| u64::try_from(wall.as_millis()).unwrap_or(u64::MAX);
        [
            ("fuel", self.fuel, most.fuel),
            ("memory_bytes", self.memory_bytes, most.memory_bytes),
            ("table_elements", self.table_elements, most.table_elements),
            ("instances", self.instances.into(), most.instances.into()),
            ("wall_millis", millis(self.wall), millis(most.wall)),
            (
                "max_output_bytes",
                self.max_output_bytes.into(),
                most.max_output_bytes.into(),
            ),
        ]
        .into_iter()
        .find(|&(_, asked, most)| asked == 0 || asked > most)
        .map_or(Ok(()), |(name, asked, most)| {
            Err(LimitsError { name, asked, most })
        })
    }
}

/// Counts what one guest uses, refuses what is too much, and remembers what it refused.
///
/// A refusal is an error, which wasmtime makes a trap: a guest that could see its growth fail might answer
/// differently on two plans that only differ in memory.
#[derive(Debug)]
pub(super) struct Meter {
    memory_limit: u64,
    table_limit: u64,
    instances: usize,
    memory: u64,
    tables: u64,
    /// What was refused, and how much it would have been in all.
    pub(super) refused: Option<(Resource, u64)>,
    /// Why the host could not give what the meter had allowed.
    pub(super) failed: Option<String>,
}

impl Meter {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            memory_limit: limits.memory_bytes,
            table_limit: limits.table_elements,
            instances: usize::try_from(limits.instances).unwrap_or(usize::MAX),
            memory: 0,
            tables: 0,
            refused: None,
            failed: None,
        }
    }

    /// Memory in use, in bytes. Linear memory never shrinks, so this is the peak as well.
    pub(super) fn peak_memory_bytes(&self) -> u64 {
        self.memory
    }

    fn grow(
        &mut self,
        resource: Resource,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // Above its own declared maximum a growth fails inside the guest, as the wasm specification says.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let (used, limit) = match resource {
            Resource::Memory => (&mut self.memory, self.memory_limit),
            Resource::Table => (&mut self.tables, self.table_limit),
        };
        let asked = used.saturating_add(desired.saturating_sub(current) as u64);
        if asked > limit {
            self.refused.get_or_insert((resource, asked));
            return Err(wasmtime::format_err!("growth refused"));
        }
        *used = asked;
        Ok(true)
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.grow(Resource::Memory, current, desired, maximum)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.failed.get_or_insert(format!("{error:#}"));
        Err(error)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.grow(Resource::Table, current, desired, maximum)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.failed.get_or_insert(format!("{error:#}"));
        Err(error)
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn tables(&self) -> usize {
        self.instances
    }

    fn memories(&self) -> usize {
        self.instances
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_of_one_component_share_the_limit_and_the_first_refusal_is_kept() {
        let mut meter = Meter::new(&Limits {
            memory_bytes: 100,
            ..Limits::default()
        });
        assert!(meter.memory_growing(0, 60, None).unwrap());
        assert!(meter.memory_growing(0, 41, None).is_err());
        assert!(meter.memory_growing(0, 99, None).is_err());
        assert_eq!(meter.refused, Some((Resource::Memory, 101)));
        assert_eq!(meter.peak_memory_bytes(), 60);
    }

    #[test]
    fn growth_above_the_declared_maximum_fails_inside_the_guest() {
        let mut meter = Meter::new(&Limits::default());
        assert!(!meter.table_growing(1, 2, Some(1)).unwrap());
        assert_eq!(meter.refused, None);
    }

    #[test]
    fn limits_outside_their_bounds_are_named() {
        assert_eq!(Limits::default().check(), Ok(()));
        assert_eq!(Limits::MOST.check(), Ok(()));
        let error = Limits {
            fuel: 0,
            ..Limits::default()
        }
        .check()
        .unwrap_err();
        insta::assert_snapshot!(error, @"the limit `fuel` is 0, it may be from 1 to 100000000000");
        assert!(
            Limits {
                wall: Duration::from_secs(301),
                ..Limits::default()
            }
            .check()
            .is_err()
        );
    }
}
