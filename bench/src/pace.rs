//! What a stream is asked for. It travels as the model's name, which every system under test
//! passes on, so the upstream needs no state.

use std::{fmt, str::FromStr, time::Duration};

/// What the upstream can be asked to do wrong, in the middle of a stream, so that the judge is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// A chunk is left out.
    Lose,
    /// A chunk is sent twice.
    Double,
    /// Two chunks change places.
    Swap,
    /// The connection is closed.
    Cut,
}

impl Mistake {
    pub(crate) const ALL: [Self; 4] = [Self::Lose, Self::Double, Self::Swap, Self::Cut];

    const fn name(self) -> &'static str {
        match self {
            Self::Lose => "lose",
            Self::Double => "double",
            Self::Swap => "swap",
            Self::Cut => "cut",
        }
    }
}

/// This many chunks, one at each interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    /// How many.
    pub(crate) count: u64,
    /// The distance between two; zero: as fast as the reader takes them.
    pub(crate) every: Duration,
    /// This many come at once, before the first distance.
    pub(crate) head: u64,
    /// What is done wrong.
    pub(crate) mistake: Option<Mistake>,
}

impl Pace {
    /// This many chunks a second, for this long.
    pub(crate) fn per_second(rate: u32, length: Duration) -> Self {
        let every = Duration::from_secs(1) / rate;
        Self { count: length.div_duration_f64(every).ceil() as u64, every, head: 1, mistake: None }
    }

    /// Everything at once.
    pub(crate) const fn backlog(count: u64) -> Self {
        Self { count, every: Duration::ZERO, head: 1, mistake: None }
    }

    /// The chunks' numbers in the order in which they are sent: 0 to `count`, but for the mistake.
    pub(crate) fn order(self) -> impl Iterator<Item = u64> {
        let middle = self.count / 2;
        let sent = move |index| match self.mistake {
            Some(Mistake::Lose) if index == middle => [None, None],
            Some(Mistake::Double) if index == middle => [Some(index), Some(index)],
            Some(Mistake::Swap) if index == middle => [Some(index - 1), None],
            Some(Mistake::Swap) if index + 1 == middle => [Some(index + 1), None],
            Some(Mistake::Cut) if index >= middle => [None, None],
            _ => [Some(index), None],
        };
        (0..self.count).flat_map(sent).flatten()
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mistake = self.mistake.map_or("none", Mistake::name);
        write!(f, "paced-{}-{}-{}-{mistake}", self.count, self.every.as_micros(), self.head)
    }
}

impl FromStr for Pace {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        let fields: Vec<_> = name.strip_prefix("paced-").ok_or(())?.split('-').collect();
        let [count, every, head, mistake] = fields.try_into().map_err(|_| ())?;
        let number = |text: &str| text.parse::<u64>().map_err(|_| ());
        let mistake = match mistake {
            "none" => None,
            name => Some(Mistake::ALL.into_iter().find(|mistake| mistake.name() == name).ok_or(())?),
        };
        Ok(Self { count: number(count)?, every: Duration::from_micros(number(every)?), head: number(head)?, mistake })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_the_pace() {
        let pace = Pace::per_second(50, Duration::from_secs(3));
        assert_eq!(pace.to_string(), "paced-150-20000-1-none");
        assert_eq!(pace.to_string().parse(), Ok(pace));
        let wrong = Pace { head: 3, mistake: Some(Mistake::Swap), ..Pace::backlog(7) };
        assert_eq!(wrong.to_string().parse(), Ok(wrong));
        for other in ["gpt-4", "paced-1", "paced-x-1-1-none", "paced-1-x-1-none", "paced-1-1-1-faint", ""] {
            assert_eq!(other.parse::<Pace>(), Err(()), "{other}");
        }
    }

    #[test]
    fn a_mistake_is_one_mistake() {
        let order = |mistake| Pace { mistake, ..Pace::backlog(6) }.order().collect::<Vec<_>>();
        assert_eq!(order(None), [0, 1, 2, 3, 4, 5]);
        assert_eq!(order(Some(Mistake::Lose)), [0, 1, 2, 4, 5]);
        assert_eq!(order(Some(Mistake::Double)), [0, 1, 2, 3, 3, 4, 5]);
        assert_eq!(order(Some(Mistake::Swap)), [0, 1, 3, 2, 4, 5]);
        assert_eq!(order(Some(Mistake::Cut)), [0, 1, 2]);
    }
}
