//! The labels of an instance. They are sorted and take no more room than they need, because every node holds the labels
//! of the whole cluster.

use super::Text;
use crate::codec::{DecodeError, Field, Reader, Writer};

/// A set of labels without a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tags(Box<[Text]>);

/// Labels with a value each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Meta(Box<[(Text, Text)]>);

impl Tags {
    /// Whether the set has this tag.
    #[must_use]
    pub fn contains(&self, tag: &str) -> bool {
        self.0.binary_search_by(|held| held.as_str().cmp(tag)).is_ok()
    }

    /// Every tag, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Text> {
        self.0.iter()
    }

    /// The number of tags.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no tags.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Into<Text>> FromIterator<T> for Tags {
    fn from_iter<I: IntoIterator<Item = T>>(tags: I) -> Self {
        let mut tags: Vec<Text> = tags.into_iter().map(Into::into).collect();
        tags.sort_unstable();
        tags.dedup();
        Self(tags.into_boxed_slice())
    }
}

impl<T: Into<Text>, const N: usize> From<[T; N]> for Tags {
    fn from(tags: [T; N]) -> Self {
        tags.into_iter().collect()
    }
}

/// Written as a list of texts.
impl Field for Tags {
    fn put(&self, writer: &mut Writer) {
        writer.number(self.0.len() as u64);
        self.iter().for_each(|tag| tag.put(writer));
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Vec::<Text>::take(reader).map(Self::from_iter)
    }
}

impl Meta {
    /// The value of a label.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        let place = self.0.binary_search_by(|(held, _)| held.as_str().cmp(key)).ok()?;
        self.0.get(place).map(|(_, value)| value.as_str())
    }

    /// Every label with its value, in the order of the labels.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Text, &Text)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// The number of labels.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no labels.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// If a label comes twice, the last value holds.
impl<K: Into<Text>, V: Into<Text>> FromIterator<(K, V)> for Meta {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(labels: I) -> Self {
        let mut labels: Vec<(Text, Text)> =
            labels.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        labels.sort_by(|(a, _), (b, _)| a.cmp(b));
        labels.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
        Self(labels.into_boxed_slice())
    }
}

impl<K: Into<Text>, V: Into<Text>, const N: usize> From<[(K, V); N]> for Meta {
    fn from(labels: [(K, V); N]) -> Self {
        labels.into_iter().collect()
    }
}

/// Written as a list of pairs of texts.
impl Field for Meta {
    fn put(&self, writer: &mut Writer) {
        writer.number(self.0.len() as u64);
        self.iter().for_each(|(label, value)| {
            label.put(writer);
            value.put(writer);
        });
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut labels = Vec::new();
        for _ in 0..reader.length()? {
            labels.push((Text::take(reader)?, Text::take(reader)?));
        }
        Ok(labels.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_a_set() {
        let tags = Tags::from(["b", "a", "b"]);
        assert_eq!(tags.iter().map(Text::as_str).collect::<Vec<_>>(), ["a", "b"]);
        assert!(tags.contains("b") && !tags.contains("c"));
    }

    #[test]
    fn of_a_label_that_comes_twice_the_last_value_holds() {
        let meta = Meta::from([("k", "1"), ("a", "0"), ("k", "2")]);
        assert_eq!((meta.get("a"), meta.get("k"), meta.get("z")), (Some("0"), Some("2"), None));
        assert_eq!(meta.len(), 2);
    }
}
