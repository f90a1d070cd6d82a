//! Numbers of bytes and operations for people.

/// A number of bytes for people.
pub(crate) fn bytes_text(bytes: u64) -> String {
    let units = [(1_u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|&(unit, _)| bytes >= unit) {
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
        None => format!("{bytes} bytes"),
    }
}

/// A number of floating-point operations for people.
pub(crate) fn flops_text(flops: u64) -> String {
    let units = [(1e15, "PFLOP"), (1e12, "TFLOP"), (1e9, "GFLOP"), (1e6, "MFLOP"), (1e3, "kFLOP")];
    let flops = flops as f64;
    match units.into_iter().find(|&(unit, _)| flops >= unit) {
        Some((unit, name)) => format!("{:.1} {name}", flops / unit),
        None => format!("{flops} FLOP"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_for_people() {
        assert_eq!(bytes_text(1023), "1023 bytes");
        assert_eq!(bytes_text(3 << 29), "1.5 GiB");
        assert_eq!(flops_text(2_500_000), "2.5 MFLOP");
        assert_eq!(flops_text(12), "12 FLOP");
    }
}
