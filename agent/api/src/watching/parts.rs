//! Answers and events that come in several replies.

use crate::types::Response;

impl Response {
    /// Adds the next page of the same answer.
    ///
    /// # Errors
    /// The reason why it is none.
    pub(crate) fn append(&mut self, next: Self) -> Result<(), String> {
        match (self, next) {
            (Self::Instances(all), Self::Instances(next)) => all.instances.extend(next.instances),
            // A later page is no reset, so the pages of a watch after the first are changes.
            (Self::Instances(all), Self::Changes(next)) => {
                all.revision = next.revision;
                all.settings = next.settings.or(all.settings.take());
                all.instances.extend(next.instances);
            }
            (Self::Changes(all), Self::Changes(next)) => {
                all.revision = next.revision;
                all.settings = next.settings.or(all.settings.take());
                all.instances.extend(next.instances);
            }
            (Self::Services(all), Self::Services(next)) => all.services.extend(next.services),
            (Self::Members(all), Self::Members(next)) => all.members.extend(next.members),
            (Self::Members(all), Self::MemberChanges(next)) => {
                all.revision = next.revision;
                all.members.extend(next.changes.into_iter().map(|change| change.member));
                all.mass_losses = next.mass_losses.unwrap_or(std::mem::take(&mut all.mass_losses));
            }
            (Self::MemberChanges(all), Self::MemberChanges(next)) => {
                all.revision = next.revision;
                all.changes.extend(next.changes);
                all.lost_together.extend(next.lost_together);
                all.mass_losses = next.mass_losses.or(all.mass_losses.take());
            }
            _ => return Err("a page of another answer".to_owned()),
        }
        Ok(())
    }
}
