//! The arguments of `hobnob explain`.

use clap::Args;

const EXPLAIN_HELP: &str = "\
Examples:
  hobnob explain web-1          is this instance offered, and why?
  hobnob explain a2             why is this member alive, suspect, down or left?
  hobnob explain a2 --json

The answer is this agent's own view; another agent may have a different one.
Its last events follow, as `hobnob history` has them; --json leaves them out.
Exits with 3 when no member and no instance has that name. For the name of a
service the error names its instances.";

/// `hobnob explain`.
#[derive(Debug, Args)]
#[command(after_help = EXPLAIN_HELP)]
pub(crate) struct ExplainArgs {
    /// The name or node id of a member, or the id of an instance
    #[arg(value_name = "MEMBER-OR-INSTANCE")]
    pub(crate) subject: String,

    /// Print the answer of the agent as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
