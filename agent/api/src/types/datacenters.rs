//! The datacenters that a question is about.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Stands for all datacenters. No datacenter has it as its name.
pub const ALL_DATACENTERS: &str = "*";
/// The most datacenters that one question names.
pub const MAX_DATACENTERS: usize = 64;

/// The datacenters that a question is about: all of them, or those that it names.
///
/// It is written as a name, as a list of names, or as `"*"`. Its text form is `eu,us` or `*`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Datacenters {
    /// All of them.
    #[default]
    All,
    /// These. There is at least one.
    Named(BTreeSet<String>),
}

/// There is no datacenter in a list, or more than [`MAX_DATACENTERS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} datacenters are named: 1 to {MAX_DATACENTERS} may be, or `*` for all")]
pub struct DatacentersError(usize);

impl Datacenters {
    /// One datacenter.
    #[must_use]
    pub fn one(name: impl Into<String>) -> Self {
        Self::Named(BTreeSet::from([name.into()]))
    }

    /// These datacenters, or all of them if `*` is among the names.
    ///
    /// # Errors
    /// There is no name, or there are too many.
    pub fn named<N: Into<String>>(
        names: impl IntoIterator<Item = N>,
    ) -> Result<Self, DatacentersError> {
        let mut named = BTreeSet::new();
        for name in names {
            named.insert(name.into());
            // A list of a request may be long.
            if named.len() > MAX_DATACENTERS {
                return Err(DatacentersError(named.len()));
            }
        }
        match named.len() {
            0 => Err(DatacentersError(0)),
            _ if named.contains(ALL_DATACENTERS) => Ok(Self::All),
            _ => Ok(Self::Named(named)),
        }
    }

    /// Whether a datacenter is among them.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.contains(name),
        }
    }

    /// Whether they are all.
    #[must_use]
    pub fn is_all(&self) -> bool {
        *self == Self::All
    }

    /// The names, in their order; none for all datacenters.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = match self {
            Self::All => None,
            Self::Named(names) => Some(names.iter().map(String::as_str)),
        };
        names.into_iter().flatten()
    }
}

impl fmt::Display for Datacenters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str(ALL_DATACENTERS),
            Self::Named(names) => f.write_str(&Vec::from_iter(names.iter().cloned()).join(",")),
        }
    }
}

impl FromStr for Datacenters {
    type Err = DatacentersError;

    fn from_str(text: &str) -> Result<Self, DatacentersError> {
        Self::named(text.split(',').map(str::trim).filter(|name| !name.is_empty()))
    }
}

impl Serialize for Datacenters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_str(ALL_DATACENTERS),
            // An earlier agent takes one name, and refuses a list.
            Self::Named(names) => match names.first() {
                Some(name) if names.len() == 1 => serializer.serialize_str(name),
                _ => serializer.collect_seq(names),
            },
        }
    }
}

impl<'de> Deserialize<'de> for Datacenters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameOrList)
    }
}

struct NameOrList;

impl<'de> Visitor<'de> for NameOrList {
    type Value = Datacenters;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the name of a datacenter, a list of 1 to {MAX_DATACENTERS} names, or `*`")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Datacenters, E> {
        Datacenters::named([name]).map_err(E::custom)
    }

    /// A field that may be left out may be `null`, too.
    fn visit_unit<E: de::Error>(self) -> Result<Datacenters, E> {
        Ok(Datacenters::All)
    }

    fn visit_none<E: de::Error>(self) -> Result<Datacenters, E> {
        Ok(Datacenters::All)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Datacenters, A::Error> {
        let mut names = Vec::new();
        while let Some(name) = list.next_element::<String>()? {
            names.push(name);
            if names.len() > MAX_DATACENTERS {
                return Err(de::Error::custom(DatacentersError(names.len())));
            }
        }
        Datacenters::named(names).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json, to_value};

    #[test]
    fn a_name_a_list_or_all_in_both_dialects() {
        for (written, read) in [
            (json!("eu"), Datacenters::one("eu")),
            (json!(["eu", "us"]), Datacenters::named(["us", "eu"]).expect("two")),
            (json!("*"), Datacenters::All),
        ] {
            assert_eq!(from_value::<Datacenters>(written.clone()).expect("read"), read);
            assert_eq!(to_value(&read).expect("written"), written);
            let packed = rmp_serde::to_vec_named(&read).expect("packed");
            assert_eq!(rmp_serde::from_slice::<Datacenters>(&packed).expect("unpacked"), read);
        }
        assert_eq!(from_value::<Datacenters>(json!(null)).expect("read"), Datacenters::All);
        assert_eq!(from_value::<Datacenters>(json!(["eu", "*"])).expect("read"), Datacenters::All);
    }

    #[test]
    fn text_separates_names_by_commas() {
        for (text, shown) in [("eu", "eu"), ("us, eu", "eu,us"), ("*", "*"), ("eu,*", "*")] {
            assert_eq!(text.parse::<Datacenters>().expect(text).to_string(), shown);
        }
    }

    #[test]
    fn none_and_too_many_are_refused() {
        let many: Vec<String> = (0..=MAX_DATACENTERS).map(|n| n.to_string()).collect();
        for wrong in [json!([]), json!(many), json!(7)] {
            let error = from_value::<Datacenters>(wrong).expect_err("refused").to_string();
            assert!(error.contains("1 to 64"), "{error}");
        }
        assert!("".parse::<Datacenters>().is_err() && ",".parse::<Datacenters>().is_err());
    }
}
