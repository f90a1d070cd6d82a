//! What a library's first bytes say: loaders' own messages do not tell a library for another machine
//! from a file that is not there.

/// How many bytes are looked at.
pub(super) const LENGTH: u64 = 1024;

/// Checks that a file is a library for this system and processor, as far as its header tells.
///
/// # Errors
/// It is not, in words.
pub(super) fn check(start: &[u8]) -> Result<(), String> {
    let Some((system, processor)) = read(start) else {
        return Err("it is not a native library".into());
    };
    let here = if cfg!(windows) {
        "Windows"
    } else if cfg!(target_vendor = "apple") {
        "macOS"
    } else {
        "Linux and other Unix systems"
    };
    if system != here {
        return Err(format!("it is a library for {system}, but this is {here}"));
    }
    match processor {
        Some(processor) if processor != std::env::consts::ARCH => {
            Err(format!("it is built for {processor}, but this is {}", std::env::consts::ARCH))
        }
        _ => Ok(()),
    }
}

/// The system and, where this knows it, the processor of a library.
fn read(start: &[u8]) -> Option<(&'static str, Option<&'static str>)> {
    if start.starts_with(b"\x7fELF") {
        let machine = bytes(start, 18)?;
        let machine = if start.get(5) == Some(&2) {
            u16::from_be_bytes(machine)
        } else {
            u16::from_le_bytes(machine)
        };
        return Some(("Linux and other Unix systems", elf(machine)));
    }
    if start.starts_with(b"MZ") {
        let at = u32::from_le_bytes(bytes(start, 60)?) as usize;
        let machine = bytes(start, at.checked_add(4)?).map(u16::from_le_bytes);
        return Some(("Windows", machine.and_then(pe)));
    }
    match u32::from_be_bytes(bytes(start, 0)?) {
        0xcffa_edfe | 0xcefa_edfe => Some(("macOS", mach(u32::from_le_bytes(bytes(start, 4)?)))),
        // Of several processors.
        0xcafe_babe => Some(("macOS", None)),
        _ => None,
    }
}

fn bytes<const N: usize>(start: &[u8], at: usize) -> Option<[u8; N]> {
    start.get(at..at.checked_add(N)?)?.try_into().ok()
}

const fn elf(machine: u16) -> Option<&'static str> {
    match machine {
        3 => Some("x86"),
        40 => Some("arm"),
        62 => Some("x86_64"),
        183 => Some("aarch64"),
        _ => None,
    }
}

const fn pe(machine: u16) -> Option<&'static str> {
    match machine {
        0x14c => Some("x86"),
        0x8664 => Some("x86_64"),
        0xaa64 => Some("aarch64"),
        _ => None,
    }
}

const fn mach(processor: u32) -> Option<&'static str> {
    match processor {
        0x0100_0007 => Some("x86_64"),
        0x0100_000c => Some("aarch64"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_and_processors_are_read() {
        let mut elf = b"\x7fELF\x02\x01".to_vec();
        elf.resize(64, 0);
        elf[18] = 183;
        assert_eq!(read(&elf), Some(("Linux and other Unix systems", Some("aarch64"))));
        let mut pe = b"MZ".to_vec();
        pe.resize(134, 0);
        pe[60] = 128;
        pe.splice(128.., *b"PE\0\0\x64\x86");
        assert_eq!(read(&pe), Some(("Windows", Some("x86_64"))));
        assert_eq!(read(b"\xcf\xfa\xed\xfe\x0c\0\0\x01"), Some(("macOS", Some("aarch64"))));
        for other in [&b""[..], b"\x7fELF", b"MZ", b"#!/bin/sh\n", b"\xcf\xfa\xed\xfe"] {
            assert_eq!(read(other), None, "{other:?}");
        }
    }

    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    #[test]
    fn a_library_for_another_processor_is_named() {
        let mut elf = b"\x7fELF\x02\x01".to_vec();
        elf.resize(64, 0);
        elf[18] = 183;
        assert_eq!(check(&elf).unwrap_err(), "it is built for aarch64, but this is x86_64");
        elf[18] = 62;
        assert_eq!(check(&elf), Ok(()));
        let error = check(b"\xcf\xfa\xed\xfe\x0c\0\0\x01").unwrap_err();
        assert!(error.contains("a library for macOS"), "{error}");
    }
}
