//! The checks find what they are for, and nothing else.

mod attention;
mod batch;
mod image;
mod monitor;

use vitral_testkit::Report;

/// Checks that something was found, and that each problem is of this kind.
#[track_caller]
fn assert_finds(report: &Report, problem: &str) {
    assert!(!report.problems().is_empty(), "nothing was found");
    for found in report.problems() {
        assert!(found.contains(problem), "{found}\nis not: {problem}");
    }
}

/// A plugin without parameters, called as its type in lower case.
macro_rules! plugin {
    ($Plugin:ident, $name:literal) => {
        impl Plugin for $Plugin {
            type Parameters = ();
            const IDENTITY: Identity = identity!($name, "For tests");

            fn new((): ()) -> Result<Self> {
                Ok(Self::default())
            }
        }
    };
}

use plugin;
