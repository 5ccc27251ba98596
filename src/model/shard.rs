//! The share of one of several processes that go over the same originals. By a hash of the name,
//! so that every process knows its own without asking the others. Never reads the environment.

use std::fmt;
use std::str::FromStr;

/// Shards of one job, at most.
const MOST: u64 = 10_000;

/// One share of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Which, from 1.
    number: u64,
    /// Of how many, 1 to 10,000.
    of: u64,
}

/// A text that names no share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// Not of the form, or out of range.
    #[error(
        "cannot read {0:?} (expected 1/8 to 8/8 for one of eight, of at most 10000, or auto/8)"
    )]
    Form(String),
    /// `auto` outside an Indexed Job.
    #[error("auto needs JOB_COMPLETION_INDEX, which an Indexed Job of Kubernetes sets; it is {0}")]
    Index(String),
}

impl Shard {
    /// Everything.
    pub const WHOLE: Self = Self { number: 1, of: 1 };

    /// Reads `2/8`, the second of eight, or `auto/8`: the one of `index`, which counts from 0 as
    /// `JOB_COMPLETION_INDEX` does.
    ///
    /// # Errors
    /// [`ShardError`].
    pub fn read(text: &str, index: Option<&str>) -> Result<Self, ShardError> {
        let Some(of) = text.strip_prefix("auto/") else { return text.parse() };
        let index = index.ok_or_else(|| ShardError::Index("not set".to_owned()))?;
        let wrong = || ShardError::Index(format!("{index:?}, for {of} shards"));
        let number = index.parse::<u64>().ok().and_then(|index| index.checked_add(1));
        let number = number.ok_or_else(wrong)?;
        format!("{number}/{of}").parse().map_err(|_| match format!("1/{of}").parse::<Self>() {
            Ok(_) => wrong(),
            Err(error) => error,
        })
    }

    /// Whether what is called so is in this share.
    #[must_use]
    pub fn has(self, name: &str) -> bool {
        let [a, b, c, d, e, f, g, h, ..] = *blake3::hash(name.as_bytes()).as_bytes();
        let of_all = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        of_all.checked_rem(self.of) == self.number.checked_sub(1)
    }

    /// Whether it is the share that sees to what is nobody's.
    #[must_use]
    pub const fn is_first(self) -> bool {
        self.number == 1
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let form = || ShardError::Form(text.to_owned());
        let digits = |part: &str| -> Option<u64> {
            part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok()).flatten()
        };
        let (number, of) = text.split_once('/').ok_or_else(form)?;
        let (number, of) = (digits(number).ok_or_else(form)?, digits(of).ok_or_else(form)?);
        if (1..=MOST).contains(&of) && (1..=of).contains(&number) {
            Ok(Self { number, of })
        } else {
            Err(form())
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_in_exactly_one_share_and_shares_are_about_equal() {
        let mut sizes = [0; 7];
        for n in 0..7_000 {
            let key = format!("photos/{n}.jpg");
            let has = |number| Shard { number, of: 7 }.has(&key);
            let owners: Vec<_> = (1..=7).filter(|number| has(*number)).collect();
            assert_eq!(owners.len(), 1, "{key}");
            sizes[usize::try_from(owners[0]).unwrap() - 1] += 1;
            assert!(Shard::WHOLE.has(&key));
        }
        assert!(sizes.iter().all(|size| (850..1_150).contains(size)), "{sizes:?}");
    }

    #[test]
    fn a_share_is_one_of_so_many_or_by_the_index_of_the_pod() {
        assert_eq!("3/8".parse::<Shard>().unwrap().to_string(), "3/8");
        assert_eq!(Shard::read("auto/8", Some("0")).unwrap().to_string(), "1/8");
        assert_eq!(Shard::read("auto/8", Some("7")).unwrap().to_string(), "8/8");
        for text in ["0/8", "9/8", "1/0", "1", "a/b", "+1/8", "1/10001", "", "auto"] {
            assert!(matches!(Shard::read(text, Some("0")), Err(ShardError::Form(_))), "{text}");
        }
        for index in [None, Some("8"), Some("x"), Some("-1")] {
            let told = Shard::read("auto/8", index).unwrap_err();
            assert!(matches!(told, ShardError::Index(_)), "{told}");
        }
        assert!(matches!(Shard::read("auto/0", Some("0")), Err(ShardError::Form(_))));
    }
}
