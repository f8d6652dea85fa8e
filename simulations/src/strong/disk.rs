//! The disk of one node: the writes in their order, and what a crash leaves of them.

use hobnob_membership::quorum::{Change, Image, Provenance};

/// What a crash leaves of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// All that was acknowledged.
    Kept,
    /// Nothing.
    Lost,
    /// An earlier image.
    RolledBack,
}

/// The disk of one node.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    written: Vec<Vec<Change>>,
    under_way: Option<(u64, Vec<Change>)>,
    /// Whether the present process has had a write acknowledged, or began with no disk before it: only then can it prove to the next
    /// one that the disk is the last.
    is_proof: bool,
}

impl Disk {
    /// A write begins.
    pub(super) fn begin(&mut self, ticket: u64, changes: Vec<Change>) {
        self.under_way = Some((ticket, changes));
    }

    /// A write ends. Returns whether it was the one under way.
    pub(super) fn end(&mut self, ticket: u64) -> bool {
        match self.under_way.take_if(|(number, _)| *number == ticket) {
            Some((_, changes)) => {
                self.written.push(changes);
                self.is_proof = true;
                true
            }
            None => false,
        }
    }

    /// The process ends. `draw` decides how much of the write under way is on disk.
    pub(super) fn crash(&mut self, loss: Loss, mut draw: impl FnMut(usize) -> usize) {
        if let Some((_, mut changes)) = self.under_way.take() {
            changes.truncate(draw(changes.len() + 1));
            self.written.push(changes);
        }
        match loss {
            Loss::Kept => return,
            Loss::Lost => self.written.clear(),
            Loss::RolledBack => self.written.truncate(draw(self.written.len() + 1)),
        }
        self.is_proof = false;
    }

    /// What a process finds that starts now, and what it knows of that. `is_new`: no process ran before.
    pub(super) fn start(&mut self, is_new: bool, same_boot: bool) -> (Image, Provenance) {
        let mut image = Image::default();
        for change in self.written.iter().flatten() {
            image.apply(change);
        }
        let is_proven = same_boot && self.is_proof;
        self.is_proof = is_proven || is_new;
        let provenance = match (is_new, is_proven) {
            (true, _) => Provenance::New,
            (_, true) => Provenance::Proven,
            _ => Provenance::Unproven,
        };
        (image, provenance)
    }
}
