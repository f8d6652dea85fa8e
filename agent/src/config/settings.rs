//! The settings of an agent with their origins, and how they are read again.

use std::fmt;
use std::sync::Arc;

use hobnob_api::{Setting, Settings};

use super::Problem;

/// Reads the settings again, as at the next start.
type Read = dyn Fn() -> Result<Vec<Setting>, Vec<Problem>> + Send + Sync;

/// The settings that an agent was started with.
#[derive(Clone, Default)]
pub struct StartedWith {
    /// Every setting, with its origin.
    pub settings: Settings,
    /// How to read them again; an agent that cannot keeps them until it ends.
    pub read_again: Option<Arc<Read>>,
}

impl StartedWith {
    /// The keys of the settings that the next start would find changed.
    ///
    /// # Errors
    /// The configuration file cannot be used now.
    pub(crate) fn changed(&self) -> Result<Vec<String>, Vec<Problem>> {
        let Some(read_again) = &self.read_again else { return Ok(Vec::new()) };
        let now = read_again()?;
        let before = &self.settings.settings;
        let is_new = |setting: &&Setting| {
            !before.iter().any(|old| old.key == setting.key && old.value == setting.value)
        };
        let is_gone = |old: &&Setting| !now.iter().any(|setting| setting.key == old.key);
        let changed = now.iter().filter(is_new).chain(before.iter().filter(is_gone));
        Ok(changed.map(|setting| setting.key.clone()).collect())
    }
}

impl fmt::Debug for StartedWith {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StartedWith").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use hobnob_api::Origin;

    use super::*;

    fn setting(key: &str, value: Option<&str>) -> Setting {
        let value = value.map(str::to_owned);
        Setting { key: key.to_owned(), value, origin: Origin::Default, place: None }
    }

    #[test]
    fn a_setting_is_changed_by_its_value_not_by_its_origin() {
        let before = vec![setting("zone", None), setting("bind", Some("eth0"))];
        let now = |now: Vec<Setting>| StartedWith {
            settings: Settings { settings: before.clone(), ..Settings::default() },
            read_again: Some(Arc::new(move || Ok(now.clone()))),
        };
        let moved = Setting { origin: Origin::File, ..setting("bind", Some("eth0")) };
        assert_eq!(now(vec![setting("zone", None), moved]).changed(), Ok(vec![]));
        let changed = now(vec![setting("zone", Some("r1"))]).changed();
        assert_eq!(changed, Ok(vec!["zone".to_owned(), "bind".to_owned()]));
        let broken = StartedWith {
            read_again: Some(Arc::new(|| Err(vec![Problem::new("no")]))),
            ..StartedWith::default()
        };
        assert_eq!(broken.changed(), Err(vec![Problem::new("no")]));
        assert_eq!(StartedWith::default().changed(), Ok(vec![]));
    }
}
