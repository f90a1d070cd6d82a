//! Bundles that somebody made to do harm: sealed properly, wrong inside.

use tar::EntryType;

use crate::support::{Archive, LINUX, header, open, packed, sealed, sealed_frame};

const ZERO: &str = "0000000000000000000000000000000000000000000000000000000000000000";

struct Case {
    what: &'static str,
    make: fn(&mut Archive),
    /// Parts of the message.
    expected: &'static [&'static str],
}

/// The index of the first entry after the manifest, the checksums and the signature.
const FIRST: usize = 2;

const HEADERS: &[Case] = &[
    Case {
        what: "a path that leaves the bundle",
        make: |archive| archive.add("wasm/../../x.wasm", b""),
        expected: &["`wasm/../../x.wasm`", "leaves the bundle with `..`"],
    },
    Case {
        what: "an absolute path",
        make: |archive| archive.add("/etc/passwd", b""),
        expected: &["`/etc/passwd`", "absolute path"],
    },
    Case {
        what: "a path of another system",
        make: |archive| archive.add("C:\\x", b""),
        expected: &["letters, digits"],
    },
    Case {
        what: "a hidden file",
        make: |archive| archive.add("examples/.x.ron", b""),
        expected: &["no dot at the start"],
    },
    Case {
        what: "an unknown file",
        make: |archive| archive.add("install.sh", b""),
        expected: &["`install.sh`", "these are plugin.ron"],
    },
    Case {
        what: "an empty name",
        make: |archive| archive.add("", b""),
        expected: &["name that is empty"],
    },
    Case {
        what: "a name that is not UTF-8",
        make: |archive| archive.0.push((header(b"wasm/\xff.wasm", 0), Vec::new())),
        expected: &["not UTF-8"],
    },
    Case {
        what: "control characters in a name, which the message shows safely",
        make: |archive| archive.add("LICENSE\u{1b}[2J", b""),
        expected: &["LICENSE\\u{1b}[2J"],
    },
    Case {
        what: "a name that goes on behind its end",
        make: |archive| archive.change(FIRST, |header| header.as_old_mut().name[90] = b'x'),
        expected: &["damaged header"],
    },
    Case {
        what: "a long name in the prefix field",
        make: |archive| {
            archive.change(FIRST, |header| header.as_ustar_mut().unwrap().prefix[0] = b'a')
        },
        expected: &["`a/LICENSE-MIT`"],
    },
    Case {
        what: "a symbolic link",
        make: |archive| {
            archive.change(FIRST, |header| {
                header.set_entry_type(EntryType::Symlink);
                header.set_link_name("/etc/passwd").unwrap();
            })
        },
        expected: &["`LICENSE-MIT`", "is a symbolic link", "regular files only"],
    },
    Case {
        what: "a hard link",
        make: |archive| archive.change(FIRST, |header| header.set_entry_type(EntryType::Link)),
        expected: &["is a hard link"],
    },
    Case {
        what: "a device",
        make: |archive| archive.change(FIRST, |header| header.set_entry_type(EntryType::Char)),
        expected: &["is a device"],
    },
    Case {
        what: "a pipe",
        make: |archive| archive.change(FIRST, |header| header.set_entry_type(EntryType::Fifo)),
        expected: &["is a pipe"],
    },
    Case {
        what: "a folder",
        make: |archive| archive.change(FIRST, |header| header.set_entry_type(EntryType::Directory)),
        expected: &["is a folder"],
    },
    Case {
        what: "a pax header",
        make: |archive| archive.change(FIRST, |header| header.set_entry_type(EntryType::XHeader)),
        expected: &["is a pax header"],
    },
    Case {
        what: "a GNU long name",
        make: |archive| {
            archive.change(FIRST, |header| header.set_entry_type(EntryType::GNULongName))
        },
        expected: &["GNU header for long names"],
    },
    Case {
        what: "a sparse file",
        make: |archive| archive.change(FIRST, |header| header.set_entry_type(EntryType::GNUSparse)),
        expected: &["is a sparse file"],
    },
    Case {
        what: "a target of a link at a regular file",
        make: |archive| archive.change(FIRST, |header| header.as_old_mut().linkname[0] = b'x'),
        expected: &["damaged header"],
    },
    Case {
        what: "an executable file",
        make: |archive| archive.change(FIRST, |header| header.set_mode(0o4755)),
        expected: &["mode 4755", "it is 0644"],
    },
    Case {
        what: "a file of somebody",
        make: |archive| archive.change(FIRST, |header| header.set_uid(1000)),
        expected: &["user 1000", "it is 0"],
    },
    Case {
        what: "a file of some time",
        make: |archive| archive.change(FIRST, |header| header.set_mtime(1)),
        expected: &["time 1", "it is 0"],
    },
    Case {
        what: "a header of old tar",
        make: |archive| archive.change(FIRST, |header| header.as_mut_bytes()[257..265].fill(0)),
        expected: &["ustar headers"],
    },
    Case {
        what: "a wrong header checksum",
        make: |archive| archive.0[FIRST].0.as_mut_bytes()[150] ^= 1,
        expected: &["damaged header"],
    },
    Case {
        what: "a size that is not a number",
        make: |archive| archive.change(FIRST, |header| header.as_old_mut().size = *b"99zz99999999"),
        expected: &["no readable size"],
    },
];

const SIZES: &[Case] = &[
    Case {
        what: "more bytes than a bundle may have",
        make: |archive| archive.change(FIRST, |header| header.set_size((512 << 20) + 1)),
        expected: &["has 536870913 bytes, but only"],
    },
    Case {
        what: "as many bytes as a header can say",
        make: |archive| archive.change(FIRST, |header| header.set_size(u64::MAX)),
        expected: &["LICENSE-MIT"],
    },
    Case {
        what: "many zeros in a small file",
        make: |archive| {
            archive.0[FIRST].1 = vec![0; 65 << 20];
            archive.change(FIRST, |header| header.set_size(65 << 20));
        },
        expected: &["has 68157440 bytes, but only 67"],
    },
    Case {
        what: "a large file of which little is there",
        make: |archive| {
            archive.0.truncate(FIRST + 1);
            archive.change(FIRST, |header| header.set_size(50 << 20));
        },
        expected: &["is cut off: it has"],
    },
    Case {
        what: "a large manifest",
        make: |archive| archive.replace("plugin.ron", |text| text + &" ".repeat(1 << 20)),
        expected: &["`plugin.ron`", "may have 1048576 at most"],
    },
    Case {
        what: "large checksums",
        make: |archive| archive.replace("SHA256SUMS", |text| text + &"x".repeat(1 << 20)),
        expected: &["`SHA256SUMS`", "at most"],
    },
    Case {
        what: "too many files",
        make: |archive| {
            archive.0.truncate(FIRST);
            (0..1000).for_each(|index| archive.add(&format!("LICENSE-{index:04}"), b""));
        },
        expected: &["`LICENSE-0998`", "at most 1000 files"],
    },
];

const CONTENTS: &[Case] = &[
    Case {
        what: "nothing",
        make: |archive| archive.0.clear(),
        expected: &["`plugin.ron`", "is missing"],
    },
    Case {
        what: "no manifest",
        make: |archive| drop(archive.0.remove(0)),
        expected: &["`SHA256SUMS`", "comes first, where a bundle has `plugin.ron`"],
    },
    Case {
        what: "no checksums",
        make: |archive| drop(archive.0.remove(1)),
        expected: &["comes second, where a bundle has `SHA256SUMS`"],
    },
    Case {
        what: "a name twice, one after the other",
        make: |archive| archive.0.insert(FIRST, archive.0[FIRST].clone()),
        expected: &["`LICENSE-MIT`", "occurs twice"],
    },
    Case {
        what: "a name twice, far apart",
        make: |archive| archive.add("plugin.ron", b"()"),
        expected: &["`plugin.ron`", "occurs twice"],
    },
    Case {
        what: "another order",
        make: |archive| archive.0.swap(FIRST, FIRST + 1),
        expected: &["`LICENSE-MIT` comes after `README.md`"],
    },
    Case {
        what: "a signature at the end",
        make: |archive| archive.add("SHA256SUMS.minisig", b""),
        expected: &["`SHA256SUMS.minisig` comes after"],
    },
    Case {
        what: "a signature that is none",
        make: |archive| {
            let signature = (header(b"SHA256SUMS.minisig", 1), b"x".to_vec());
            archive.0.insert(FIRST, signature);
        },
        expected: &["SHA256SUMS.minisig is not a minisign signature"],
    },
    Case {
        what: "a changed file",
        make: |archive| archive.replace("README.md", |_| "other".to_owned()),
        expected: &["`README.md` has changed", "SHA256SUMS says"],
    },
    Case {
        what: "a changed manifest",
        make: |archive| archive.replace("plugin.ron", |text| text + " "),
        expected: &["`plugin.ron` has changed"],
    },
    Case {
        what: "a file without a checksum",
        make: |archive| {
            archive.replace("SHA256SUMS", |text| {
                text.lines()
                    .filter(|line| !line.contains("README"))
                    .map(|l| l.to_owned() + "\n")
                    .collect()
            })
        },
        expected: &["`README.md` has no line in SHA256SUMS"],
    },
    Case {
        what: "a checksum without a file",
        make: |archive| {
            archive.replace("SHA256SUMS", |text| text + &format!("{ZERO}  LICENSE-X\n"))
        },
        expected: &["`LICENSE-X` is in SHA256SUMS, but not in the bundle"],
    },
    Case {
        what: "a checksum of a path outside",
        make: |archive| archive.replace("SHA256SUMS", |text| text + &format!("{ZERO}  ../../x\n")),
        expected: &["../../x", "leaves the bundle"],
    },
    Case {
        what: "a checksum of the checksums",
        make: |archive| {
            archive.replace("SHA256SUMS", |text| text + &format!("{ZERO}  SHA256SUMS\n"))
        },
        expected: &["`SHA256SUMS`"],
    },
    Case {
        what: "a checksum twice",
        make: |archive| {
            archive.replace("SHA256SUMS", |text| {
                let last = text.lines().last().unwrap().to_owned();
                text + &last + "\n"
            })
        },
        expected: &["one line for each file"],
    },
    Case {
        what: "an artifact that the manifest does not name",
        make: |archive| {
            archive.add("wasm/x.wasm", b"\0asm");
            archive.sum();
        },
        expected: &["`wasm/x.wasm` is an artifact that the manifest does not name"],
    },
    Case {
        what: "a library for another machine that the manifest does not name",
        make: |archive| {
            let at = archive.0.len() - 1;
            archive.0.insert(at, (header(b"native/zz/x.so", 0), Vec::new()));
            archive.sum();
        },
        expected: &["`native/zz/x.so`", "manifest does not name"],
    },
    Case {
        what: "an artifact that is missing",
        make: |archive| {
            archive.0.pop();
            archive.sum();
        },
        expected: &["`wasm/window.wasm` is in the manifest, but not in the bundle"],
    },
    Case {
        what: "another artifact than the manifest says",
        make: |archive| {
            archive.replace("wasm/window.wasm", |_| "other".to_owned());
            archive.sum();
        },
        expected: &["`wasm/window.wasm` has SHA-256", "in the manifest, but"],
    },
    Case {
        what: "another length than the manifest says",
        make: |archive| {
            archive.replace("plugin.ron", |text| text.replacen("bytes: 4", "bytes: 5", 1));
            archive.sum();
        },
        expected: &["has 4 bytes, but the manifest says 5"],
    },
    Case {
        what: "an artifact of the manifest that is outside",
        make: |archive| {
            archive.replace("plugin.ron", |text| text.replace("wasm/window.wasm", "../x.wasm"));
            archive.sum();
        },
        expected: &["test.vitral: plugin.ron:", "../x.wasm", "leaves the bundle"],
    },
    Case {
        what: "an artifact of the manifest that is a document",
        make: |archive| {
            archive.replace("plugin.ron", |text| text.replace("wasm/window.wasm", "README.md"));
            archive.sum();
        },
        expected: &["`README.md`", "belongs to `wasm/window.wasm`"],
    },
    Case {
        what: "a name of the plugin that is a path",
        make: |archive| {
            archive.replace("plugin.ron", |text| text.replacen("\"window\"", "\"../window\"", 1));
            archive.sum();
        },
        expected: &["plugin.ron:2:", "a plugin cannot be called"],
    },
    Case {
        what: "a manifest that is not RON",
        make: |archive| {
            archive.replace("plugin.ron", |text| text.replacen('(', "", 1));
            archive.sum();
        },
        expected: &["test.vitral: plugin.ron:"],
    },
    Case {
        what: "a manifest for a contract to come",
        make: |archive| {
            archive
                .replace("plugin.ron", |text| text.replacen("contract: \"1.", "contract: \"7.", 1));
            archive.sum();
        },
        expected: &["`window`", "version 7.", "this build has 1."],
    },
];

fn check(cases: &[Case]) {
    let good = Archive::of(&open(&packed("1.2.0")).unwrap());
    open(&good.bundle()).unwrap();
    for Case { what, make, expected } in cases {
        let mut archive = good.clone();
        make(&mut archive);
        let error = match open(&archive.bundle()) {
            Ok(_) => panic!("{what} was accepted"),
            Err(error) => error.to_string(),
        };
        for part in *expected {
            assert!(error.contains(part), "{what}: no `{part}` in: {error}");
        }
    }
}

#[test]
fn headers_of_anything_but_plain_files_are_refused() {
    check(HEADERS);
}

#[test]
fn more_than_a_bundle_may_have_is_refused() {
    check(SIZES);
}

#[test]
fn contents_that_do_not_fit_together_are_refused() {
    check(CONTENTS);
}

#[test]
fn every_part_of_the_good_bundle_is_what_the_tables_take_it_for() {
    let bundle = open(&packed("1.2.0")).unwrap();
    let paths: Vec<&str> = bundle.files().map(|(path, _)| path).collect();
    let library = format!("native/{LINUX}/libvitral_window.so");
    let expected = [
        "plugin.ron",
        "SHA256SUMS",
        "LICENSE-MIT",
        "README.md",
        "examples/small.ron",
        &library,
        "wasm/window.wasm",
    ];
    assert_eq!(paths, expected);
}

#[test]
fn bytes_behind_the_end_and_between_entries_are_refused() {
    let good = Archive::of(&open(&packed("1.2.0")).unwrap()).tar();
    let end = good.len() - 1024;
    let mut in_end = good.clone();
    in_end[end + 700] = 1;
    let mut in_padding = good.clone();
    in_padding[end - 1] = 1;
    for (what, archive, expected) in [
        ("a longer end", [good.as_slice(), &[0; 512]].concat(), "goes on after its end"),
        ("a second archive", [good.as_slice(), &good].concat(), "goes on after its end"),
        ("a shorter end", good[..end + 512].to_vec(), "cut off"),
        ("something in the end", in_end, "goes on after its end"),
        ("something in the padding", in_padding, "something other than zeros"),
        ("no tar archive", b"text".to_vec(), "cut off"),
        ("another file", vec![b'?'; 4096], "unknown kind"),
    ] {
        let error = open(&sealed(&archive)).unwrap_err().to_string();
        assert!(error.contains(expected), "{what}: {error}");
    }
}

#[test]
fn compression_that_is_not_one_plain_frame_is_refused() {
    let good = Archive::of(&open(&packed("1.2.0")).unwrap()).tar();
    let frame = zstd::encode_all(good.as_slice(), 1).unwrap();
    open(&sealed_frame(&frame)).unwrap();
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 7];
    let empty = zstd::encode_all([].as_slice(), 1).unwrap();
    for (what, frame) in [
        ("a hidden frame behind", [frame.as_slice(), &skippable].concat()),
        ("a hidden frame before", [skippable.as_slice(), &frame].concat()),
        ("an empty frame before", [empty.as_slice(), &frame].concat()),
        ("an empty frame behind", [frame.as_slice(), &empty].concat()),
        ("bytes behind", [frame.as_slice(), b"x"].concat()),
        ("a frame that is cut off", frame[..frame.len() - 1].to_vec()),
    ] {
        assert!(open(&sealed_frame(&frame)).is_err(), "{what}");
    }
}
