//! What a stream is asked for. It travels as the model's name, which every system under test
//! passes on, so the upstream needs no state.

use std::{fmt, str::FromStr, time::Duration};

/// So many chunks, one each so often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    /// How many.
    pub(crate) count: u64,
    /// The distance between two; zero: as fast as the reader takes them.
    pub(crate) every: Duration,
}

impl Pace {
    /// So many chunks a second, for so long.
    pub(crate) fn per_second(rate: u32, length: Duration) -> Self {
        let every = Duration::from_secs(1) / rate;
        Self { count: length.div_duration_f64(every).ceil() as u64, every }
    }

    /// Everything at once.
    pub(crate) const fn backlog(count: u64) -> Self {
        Self { count, every: Duration::ZERO }
    }

    /// How long the stream is.
    pub(crate) fn length(&self) -> Duration {
        self.every.mul_f64(self.count as f64)
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "paced-{}-{}", self.count, self.every.as_micros())
    }
}

impl FromStr for Pace {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        let (count, every) = name.strip_prefix("paced-").and_then(|rest| rest.split_once('-')).ok_or(())?;
        let every = every.parse().map_err(|_| ())?;
        Ok(Self { count: count.parse().map_err(|_| ())?, every: Duration::from_micros(every) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_the_pace() {
        let pace = Pace::per_second(50, Duration::from_secs(3));
        assert_eq!(pace.to_string(), "paced-150-20000");
        assert_eq!(pace.to_string().parse(), Ok(pace));
        assert_eq!(Pace::backlog(7).to_string().parse(), Ok(Pace::backlog(7)));
        for other in ["gpt-4", "paced-1", "paced-x-1", "paced-1-x", ""] {
            assert_eq!(other.parse::<Pace>(), Err(()), "{other}");
        }
    }
}
