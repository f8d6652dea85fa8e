//! The name of this host.

/// The name of this host; `None` if it has none.
pub(super) fn host_name() -> Option<String> {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let unset = name.is_empty() || name == "(none)";
    (!unset).then_some(name)
}
