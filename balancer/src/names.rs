//! Names of the values of an enum, as they stand in JSON, in records and on the command line.

/// A text that names no value of an enum.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {kind} `{name}`; known are {}", known.join(", "))]
pub struct UnknownName {
    /// The kind of value that was expected: strategy, preference or outcome.
    pub kind: &'static str,
    /// The name that was given.
    pub name: String,
    /// The names of this kind.
    pub known: Vec<&'static str>,
}

/// The value in `all` whose name is `name`.
pub(crate) fn by_name<T: Copy>(
    kind: &'static str,
    all: &[T],
    name_of: fn(T) -> &'static str,
    name: &str,
) -> Result<T, UnknownName> {
    let found = all.iter().copied().find(|&value| name_of(value) == name);
    found.ok_or_else(|| {
        let known = all.iter().copied().map(name_of).collect();
        UnknownName { kind, name: name.into(), known }
    })
}

#[cfg(test)]
mod tests {
    use crate::{Outcome, Prefer, Strategy};

    #[test]
    fn every_name_reads_back_as_its_value() {
        for &strategy in Strategy::ALL {
            assert_eq!(strategy.to_string().parse(), Ok(strategy));
        }
        for &prefer in Prefer::ALL {
            assert_eq!(prefer.to_string().parse(), Ok(prefer));
        }
        for &outcome in Outcome::ALL {
            assert_eq!(outcome.to_string().parse(), Ok(outcome));
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = "fastest".parse::<Strategy>().unwrap_err().to_string();
        let expected = "unknown strategy `fastest`; known are round-robin, weighted, ";
        assert!(error.starts_with(expected), "{error}");
        assert_eq!(
            "near".parse::<Prefer>().unwrap_err().to_string(),
            "unknown preference `near`; known are any, zone, datacenter"
        );
    }

    #[cfg(feature = "serde")]
    #[test]
    fn serde_uses_the_same_names() {
        use serde::de::value::{Error, StrDeserializer};
        use serde::{Deserialize, de::IntoDeserializer};

        fn read<'de, T: Deserialize<'de>>(name: &'de str) -> Result<T, Error> {
            let text: StrDeserializer<'de, Error> = name.into_deserializer();
            T::deserialize(text)
        }

        for &strategy in Strategy::ALL {
            assert_eq!(read(strategy.name()), Ok(strategy));
        }
        for &prefer in Prefer::ALL {
            assert_eq!(read(prefer.name()), Ok(prefer));
        }
        for &outcome in Outcome::ALL {
            assert_eq!(read(outcome.name()), Ok(outcome));
        }
        assert!(read::<Strategy>("RoundRobin").is_err());
    }
}
