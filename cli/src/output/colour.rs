//! Colours of text: whether they are wanted, and which one a status has.

use std::sync::OnceLock;

use clap::ColorChoice;
use comfy_table::Color;

use hobnob_api::{InstanceStatus, MemberStatus};

/// The choice of `--color`, once the arguments are parsed.
static CHOICE: OnceLock<ColorChoice> = OnceLock::new();

/// Keeps the choice of `--color` for this process.
pub(crate) fn choose(choice: ColorChoice) {
    // Ignore the error: the first choice holds, and there is one for each process.
    let _ = CHOICE.set(choice);
}

/// Whether output to a stream is coloured. `--color always` and `never` decide; else `NO_COLOR` (<https://no-color.org>), then
/// `CLICOLOR_FORCE` (<https://bixense.com/clicolors>); else it is on a terminal that shows colours, which `TERM=dumb` denies.
pub(crate) fn colours_wanted(is_terminal: bool) -> bool {
    match CHOICE.get() {
        Some(ColorChoice::Always) => true,
        Some(ColorChoice::Never) => false,
        Some(ColorChoice::Auto) | None if anstyle_query::no_color() => false,
        Some(ColorChoice::Auto) | None if anstyle_query::clicolor_force() => true,
        Some(ColorChoice::Auto) | None => is_terminal && anstyle_query::term_supports_color(),
    }
}

/// The style of text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Style {
    /// Whether it may have colours.
    pub(crate) colours: bool,
    /// The columns of the terminal that tables have to fit; `None` when they may be as wide as they are.
    pub(crate) width: Option<usize>,
}

impl Style {
    /// Text for a file or a pipe: without colours, as wide as it is.
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self { colours: false, width: None };
    /// Text with colours, as wide as it is.
    #[cfg(test)]
    pub(crate) const COLOURED: Self = Self { colours: true, width: None };

    /// The text in a colour, if colours are wanted.
    pub(crate) fn paint(self, text: &str, colour: Color) -> String {
        if !self.colours {
            return text.to_owned();
        }
        // Use the codes of comfy-table, so that lines and tables have the same colours.
        let code = match colour {
            Color::Green => 10,
            Color::Red => 9,
            Color::Yellow => 11,
            Color::DarkGrey => 8,
            _ => return text.to_owned(),
        };
        format!("\u{1b}[38;5;{code}m{text}\u{1b}[0m")
    }
}

/// The colour of an instance's status.
pub(crate) fn status_style(status: InstanceStatus) -> Color {
    match status {
        InstanceStatus::Healthy => Color::Green,
        InstanceStatus::Unhealthy => Color::Red,
        InstanceStatus::Unknown => Color::Yellow,
        InstanceStatus::Gone => Color::DarkGrey,
    }
}

/// The word for the status of a member, as in JSON, and its colour.
pub(crate) fn member_status(status: MemberStatus) -> (&'static str, Color) {
    match status {
        MemberStatus::Alive => ("alive", Color::Green),
        MemberStatus::Suspect => ("suspect", Color::Yellow),
        MemberStatus::Down => ("down", Color::Red),
        MemberStatus::Unreachable => ("unreachable", Color::Yellow),
        MemberStatus::Left => ("left", Color::DarkGrey),
        MemberStatus::ForceLeft => ("force_left", Color::DarkGrey),
        MemberStatus::Replaced => ("replaced", Color::DarkGrey),
        MemberStatus::Unknown => ("unknown", Color::DarkGrey),
    }
}
