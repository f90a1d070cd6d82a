//! Why a Parquet file cannot be read.

use parquet::errors::ParquetError;

/// Why a column cannot be read, from its library or from here.
pub(super) struct Problem(pub(super) String);

impl From<ParquetError> for Problem {
    fn from(error: ParquetError) -> Self {
        Self(match error {
            // Without the name of the library.
            ParquetError::General(problem) | ParquetError::EOF(problem) => problem,
            other => other.to_string(),
        })
    }
}

impl From<std::io::Error> for Problem {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<String> for Problem {
    fn from(problem: String) -> Self {
        Self(problem)
    }
}

impl From<&str> for Problem {
    fn from(problem: &str) -> Self {
        Self(problem.to_owned())
    }
}
