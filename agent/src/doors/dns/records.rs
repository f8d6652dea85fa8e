//! What a name has of the type that was asked for.

use super::answer::{Data, Record};
use super::naming::OwnName;

/// Records of a name.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    pub(super) records: Vec<Record>,
    pub(super) additionals: Vec<Record>,
    /// Whether there are more.
    pub(super) is_cut: bool,
    /// The name that this one is an alias of. It is among the records.
    pub(super) alias: Option<OwnName>,
}

/// Why there are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// There is no such name.
    Name,
    /// It takes a look at all instances to know.
    Gathering,
}

impl Records {
    /// Records of the name that was asked for.
    pub(super) fn of(data: impl IntoIterator<Item = Data>) -> Self {
        let records = data.into_iter().map(|data| Record { owner: None, data });
        Self { records: records.collect(), ..Self::default() }
    }

    /// The first of them.
    pub(super) fn up_to(most: usize, data: impl IntoIterator<Item = Data>) -> Self {
        let mut data = data.into_iter().fuse();
        let records = Self::of(data.by_ref().take(most));
        Self { is_cut: data.next().is_some(), ..records }
    }

    /// Another name for the same.
    pub(super) fn alias(name: OwnName) -> Self {
        Self { alias: Some(name.clone()), ..Self::of([Data::Cname(name)]) }
    }

    /// Appends what another name has.
    pub(super) fn append(&mut self, owner: &OwnName, of_other: Self) {
        let owned =
            |record: Record| Record { owner: record.owner.or(Some(owner.clone())), ..record };
        self.records.extend(of_other.records.into_iter().map(owned));
        self.additionals.extend(of_other.additionals);
        self.is_cut |= of_other.is_cut;
        self.alias = of_other.alias;
    }
}
