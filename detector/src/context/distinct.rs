//! How many different things there are: exactly while they are few, by a `HyperLogLog` sketch when they are many.
//!
//! # Contract
//! The state is a function of the *set* of hashes that were added, never of their order or number: merging is
//! commutative, associative and idempotent, and shards that saw the same thing count it once.
//!
//! # Error
//! Up to [`MOST_EXACT`] things the count is exact. Beyond, 256 registers give a relative standard
//! error of 1.04 / sqrt(256) = 6.5 % (Flajolet et al. 2007); the estimator is Ertl's, which is nearly unbiased over the
//! whole range and needs no table (arXiv:1702.01284, algorithm 6). Hashes have 64 bits: 10^6 things collide with
//! a chance of 3e-8.
//!
//! # Memory
//! At most 8 × 16 bytes, or 256.

use serde::{Deserialize, Serialize};

/// Most things that are counted exactly.
pub const MOST_EXACT: usize = 16;
/// Bits of a hash that choose its register.
const INDEX_BITS: u32 = 8;
const REGISTERS: usize = 1 << INDEX_BITS;
/// Bits of a hash that are left.
const REST_BITS: u32 = 64 - INDEX_BITS;

/// A mergeable count of different things.
///
/// # Example
/// ```
/// use beaconwatch_detector::context::DistinctCount;
///
/// let mut count = DistinctCount::default();
/// for hash in [1, 2, 2, 3] {
///     count.insert(hash);
/// }
/// assert_eq!(count.estimate(), 3.0);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct DistinctCount(Kept);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kept {
    /// Hashes, ascending, each once, at most [`MOST_EXACT`].
    Few(Vec<u64>),
    Many(Box<[u8; REGISTERS]>),
}

/// As it is written.
#[derive(Clone, Serialize, Deserialize)]
enum Stored {
    Few(Vec<u64>),
    Many(Vec<u8>),
}

/// A stored sketch that contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}, expected {expected}")]
pub struct SketchError {
    /// Which part.
    pub field: &'static str,
    /// What it was.
    pub value: String,
    /// What it should have been.
    pub expected: &'static str,
}

pub(super) fn sketch_error(
    field: &'static str,
    value: impl std::fmt::Display,
    expected: &'static str,
) -> SketchError {
    SketchError {
        field,
        value: format!("{value}"),
        expected,
    }
}

impl Default for DistinctCount {
    fn default() -> Self {
        Self(Kept::Few(Vec::new()))
    }
}

impl DistinctCount {
    /// Takes the hash of a thing; hashes must be spread evenly over 64 bits.
    pub fn insert(&mut self, hash: u64) {
        match &mut self.0 {
            Kept::Few(hashes) => {
                if let Err(place) = hashes.binary_search(&hash) {
                    hashes.insert(place, hash);
                    self.spill();
                }
            }
            Kept::Many(registers) => add(registers, hash),
        }
    }

    /// Takes all that another count has seen.
    pub fn merge(&mut self, other: &Self) {
        match &other.0 {
            Kept::Few(hashes) => hashes.iter().for_each(|hash| self.insert(*hash)),
            Kept::Many(theirs) => {
                let mut ours = self.registers();
                for (our, their) in ours.iter_mut().zip(theirs.iter()) {
                    *our = (*our).max(*their);
                }
                self.0 = Kept::Many(ours);
            }
        }
    }

    /// How many different things there are, about.
    #[must_use]
    pub fn estimate(&self) -> f64 {
        match &self.0 {
            Kept::Few(hashes) => crate::stats::real(hashes.len()),
            Kept::Many(registers) => estimate(registers),
        }
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(&self.0, Kept::Few(hashes) if hashes.is_empty())
    }

    fn spill(&mut self) {
        if matches!(&self.0, Kept::Few(hashes) if hashes.len() > MOST_EXACT) {
            self.0 = Kept::Many(self.registers());
        }
    }

    /// The registers, or those that the few hashes make.
    fn registers(&self) -> Box<[u8; REGISTERS]> {
        match &self.0 {
            Kept::Many(registers) => registers.clone(),
            Kept::Few(hashes) => {
                let mut registers = Box::new([0; REGISTERS]);
                for hash in hashes {
                    add(&mut registers, *hash);
                }
                registers
            }
        }
    }
}

/// A register keeps the greatest place of the first set bit among the rest of its hashes, from 1.
fn add(registers: &mut [u8; REGISTERS], hash: u64) {
    let [index, ..] = hash.to_be_bytes();
    let place = (hash << INDEX_BITS).leading_zeros().min(REST_BITS) + 1;
    if let Some(register) = registers.get_mut(usize::from(index)) {
        *register = (*register).max(u8::try_from(place).unwrap_or(u8::MAX));
    }
}

/// Ertl's improved raw estimator: `m^2 / (2 ln 2 (m sigma(C0 / m) + sum Ck 2^-k + m tau(1 - Cq+1 / m) 2^-q))`,
/// `Ck` registers of value `k`.
fn estimate(registers: &[u8; REGISTERS]) -> f64 {
    let m = 256.0;
    let mut counts = [0.0_f64; REST_BITS as usize + 2];
    for register in registers {
        if let Some(count) = counts.get_mut(usize::from(*register)) {
            *count += 1.0;
        }
    }
    let [zeros, middle @ .., full] = &counts;
    let mut z = m * tau(1.0 - full / m);
    for count in middle.iter().rev() {
        z = 0.5 * (z + count);
    }
    z += m * sigma(zeros / m);
    m * m / (2.0 * std::f64::consts::LN_2 * z)
}

/// `x + sum x^(2^k) 2^(k - 1)`, k from 1.
fn sigma(x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut power, mut weight, mut sum) = (x, 1.0, x);
    loop {
        power *= power;
        let next = sum + power * weight;
        weight *= 2.0;
        if next <= sum {
            return sum;
        }
        sum = next;
    }
}

/// `(1 - x - sum (1 - x^(2^-k))^2 2^-k) / 3`, k from 1.
fn tau(x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut root, mut weight, mut sum) = (x, 1.0, 1.0 - x);
    loop {
        root = root.sqrt();
        weight *= 0.5;
        let next = sum - (1.0 - root).powi(2) * weight;
        if next >= sum {
            return sum / 3.0;
        }
        sum = next;
    }
}

impl TryFrom<Stored> for DistinctCount {
    type Error = SketchError;

    fn try_from(stored: Stored) -> Result<Self, SketchError> {
        match stored {
            Stored::Few(hashes) => {
                if hashes.len() > MOST_EXACT || !hashes.is_sorted_by(|a, b| a < b) {
                    let expected = "at most 16 that ascend";
                    return Err(sketch_error("hashes", hashes.len(), expected));
                }
                Ok(Self(Kept::Few(hashes)))
            }
            Stored::Many(bytes) => {
                let registers: Box<[u8; REGISTERS]> =
                    bytes.try_into().map_err(|bytes: Vec<u8>| {
                        sketch_error("registers", bytes.len(), "256 of them")
                    })?;
                match registers.iter().find(|it| u32::from(**it) > REST_BITS + 1) {
                    Some(value) => Err(sketch_error("register", value, "0 to 57")),
                    None => Ok(Self(Kept::Many(registers))),
                }
            }
        }
    }
}

impl From<DistinctCount> for Stored {
    fn from(count: DistinctCount) -> Self {
        match count.0 {
            Kept::Few(hashes) => Self::Few(hashes),
            Kept::Many(registers) => Self::Many(registers.to_vec()),
        }
    }
}
