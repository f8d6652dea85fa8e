//! One-way latency of a link.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;

/// The distribution of a one-way latency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Latency {
    /// Uniform between two bounds.
    Uniform {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// Log-normal, as measured on wide-area paths: the median times `exp(sigma * z)`. `z` is a sum of twelve uniforms
    /// (Irwin-Hall), which never exceeds 6 sigma.
    LogNormal {
        /// The median.
        median: Duration,
        /// The spread: 0.1 is a calm path, 1.0 a bad one.
        sigma: f64,
    },
}

impl Default for Latency {
    /// A local network: 0.25 to 1.5 ms.
    fn default() -> Self {
        Self::Uniform { min: Duration::from_micros(250), max: Duration::from_micros(1_500) }
    }
}

impl Latency {
    /// Draws the latency of one packet.
    pub fn sample(&self, rng: &mut Xoshiro256PlusPlus) -> Duration {
        match *self {
            Self::Uniform { min, max } => {
                let span = max.saturating_sub(min).as_micros() as u64;
                min + Duration::from_micros(if span == 0 { 0 } else { rng.random_range(0..=span) })
            }
            Self::LogNormal { median, sigma } => {
                let z: f64 = (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
                let micros = median.as_micros() as f64 * (sigma * z).exp();
                Duration::from_micros(micros as u64)
            }
        }
    }

    /// The typical latency: the median.
    #[must_use]
    pub fn typical(&self) -> Duration {
        match *self {
            Self::Uniform { min, max } => (min + max) / 2,
            Self::LogNormal { median, .. } => median,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn samples_keep_to_their_distribution() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let ms = Duration::from_millis;
        let uniform = Latency::Uniform { min: ms(2), max: ms(4) };
        let normal = Latency::LogNormal { median: ms(40), sigma: 0.3 };
        assert!((0..1_000).all(|_| (ms(2)..=ms(4)).contains(&uniform.sample(&mut rng))));
        let below = (0..10_000).filter(|_| normal.sample(&mut rng) < ms(40)).count();
        assert!((4_700..5_300).contains(&below), "{below} of 10,000 are below the median");
    }
}
