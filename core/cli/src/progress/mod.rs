//! What a user sees of what is being done.

mod bars;
mod numbers;
mod quiet;
mod run;

pub use bars::{Steps, counting, transferring, working};
pub use numbers::{duration, round};
pub use quiet::{be_quiet, is_quiet, note};
pub use run::Progress;
