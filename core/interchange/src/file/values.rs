//! The values of a tensor: room for them, and whether they are numbers.

/// Room for so many values, or that there is none, in words.
pub(super) fn room(name: &str, values: usize) -> Result<Vec<f32>, String> {
    let mut room = Vec::new();
    room.try_reserve_exact(values)
        .map_err(|_| format!("`{name}` has {values} values, which do not fit into memory"))?;
    Ok(room)
}

/// Weights that are not numbers would make every result so.
pub(super) fn check_finite(name: &str, values: &[f32]) -> Result<(), String> {
    let count = values.iter().filter(|value| !value.is_finite()).count();
    if count > 0 {
        return Err(format!("{count} of the {} values of `{name}` are not finite", values.len()));
    }
    Ok(())
}
