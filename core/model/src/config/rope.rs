//! What does not go with rotated registers.

use super::{ViTConfig, check::ConfigProblem};

impl ViTConfig {
    /// What does not go together with RoPE on registers.
    pub(crate) fn check_rope_registers(&self) -> Result<(), ConfigProblem> {
        let count = self.register_tokens;
        let (message, help) = match (self.rope_registers, self.rope) {
            (None, _) => return Ok(()),
            (Some(_), None) => {
                ("registers turn only where patches do".to_owned(), "set `rope`, too")
            }
            (Some(_), Some(_)) if count == 0 || count.isqrt().pow(2) != count => (
                format!("{count} registers do not fill a square"),
                "set `register_tokens` to 1, 4, 9 or 16, ...",
            ),
            (Some(_), Some(_)) => return Ok(()),
        };
        Err(ConfigProblem::new("rope_registers", message, help))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_turn_only_in_a_square_and_beside_patches() {
        let config = |rope, register_tokens| ViTConfig {
            rope,
            register_tokens,
            rope_registers: Some(100.0),
            ..ViTConfig::default()
        };
        assert_eq!(config(Some(100.0), 4).check(), Ok(()));
        for (rope, registers, said) in [
            (None, 4, "only where patches do"),
            (Some(100.0), 3, "3 registers"),
            (Some(100.0), 0, "0"),
        ] {
            let problem = config(rope, registers).check().unwrap_err();
            assert_eq!(problem.field, "rope_registers");
            assert!(problem.message.contains(said), "{}", problem.message);
        }
    }
}
