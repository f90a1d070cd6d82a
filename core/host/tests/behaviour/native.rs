//! Native libraries, written in C against the header.

use std::fs;

use vitral_host::{CallError, Declared, Description, Image, Kind, Plugin};

use crate::support::*;

/// A plugin `c-guest` in C; `AUGMENT` is the body of its `augment`, `TABLE` changes its table.
fn code(augment: &str, table: &str) -> String {
    format!(
        r#"
#include <string.h>
#define TEXT(s) {{ (const uint8_t *)(s), sizeof(s) - 1 }}
static const VitralDescription description = {{
    .name = TEXT("c-guest"), .version = TEXT("1.0.0"), .summary = TEXT("A guest in C."),
}};
static const VitralDescription *describe(void) {{ return &description; }}
static uint32_t create(const VitralHost *host, VitralList_Setting settings, void **instance,
                       VitralInterests *interests) {{
    static int one; *instance = &one; return VITRAL_OK;
}}
static void destroy(void *instance) {{}}
static uint32_t augment(void *instance, const VitralHost *host, const VitralImage *image,
                        const VitralSample *sample) {{ {augment} }}
static VitralPlugin plugin = {{
    .struct_size = sizeof(VitralPlugin), .major = 1, .minor = 0,
    .kind = VITRAL_IMAGE_AUGMENTATION, .describe = describe, .create = create,
    .destroy = destroy, .augment = augment,
}};
const VitralPlugin *vitral_plugin(void) {{ {table} return &plugin; }}
"#
    )
}

fn declared() -> Declared {
    Declared {
        kind: Kind::ImageAugmentation,
        description: Description {
            name: "c-guest".into(),
            version: "1.0.0".into(),
            summary: "A guest in C.".into(),
            parameters: vec![],
            examples: vec![],
        },
    }
}

fn open_code(augment: &str, table: &str) -> Result<Plugin, String> {
    let folder = tempfile::tempdir().unwrap();
    let library = library(folder.path(), &code(augment, table));
    Plugin::native(&library, Some(&declared())).map_err(|error| error.to_string())
}

fn run(augment: &str) -> Result<Image, CallError> {
    let plugin = open_code(augment, "").unwrap();
    crate::support::augment(&mut *plugin.image_augmentation(&defaults(&plugin)).unwrap())
}

#[test]
fn a_plugin_in_c_changes_images_in_place() {
    let changed =
        run("for (size_t i = 0; i < (size_t)image->width * image->height * image->channels; i++)
             image->pixels[i] = 255 - image->pixels[i];
         return VITRAL_OK;");
    assert_eq!(changed.unwrap().pixels, [254, 253, 252, 251]);
}

#[test]
fn a_plugin_in_c_makes_images_of_another_size() {
    let changed = run("uint8_t *pixels = host->new_image(host->context, 3, 1, image->channels);
         memcpy(pixels, image->pixels, 3);
         return VITRAL_OK;")
    .unwrap();
    assert_eq!((changed.width, changed.height, changed.pixels), (3, 1, vec![1, 2, 3]));
}

#[test]
fn what_a_plugin_in_c_does_wrong_is_named() {
    let too_large = "return host->new_image(host->context, 100000, 1, 1) ? VITRAL_OK : VITRAL_OK;";
    let tracing = "VitralText op = TEXT(\"abs\"); VitralList_Setting none = {0};
        VitralList_Tensor operands = {0}; uint64_t result;
        host->apply(host->context, op, none, operands, op, &result, 1); return VITRAL_OK;";
    let failing = "VitralText why = TEXT(\"no luck\"); host->fail(host->context, why);
        return VITRAL_FAILED;";
    for (augment, wanted) in [
        ("return VITRAL_FAILED;", "it did not say why"),
        (failing, "no luck"),
        ("return VITRAL_PANICKED;", "panicked"),
        ("return 99;", "status 99"),
        (too_large, "image of 100000x1x1"),
        (tracing, "nothing is traced"),
        ("host->new_image(host->context, 1, 1, 3); return VITRAL_OK;", "3 channels for one of 1"),
    ] {
        let text = run(augment).unwrap_err().to_string();
        assert!(text.contains(wanted) && text.contains("`c-guest` failed in augment"), "{text}");
    }
}

#[test]
fn tables_of_other_contracts_are_refused_with_both_versions() {
    let spoken = format!("this vitral supports 1.0 to 1.{}", vitral_abi::VERSION.1);
    for (table, wanted) in [
        ("plugin.major = 2;", "built for contract 2.0"),
        ("plugin.major = 3;", spoken.as_str()),
        ("plugin.minor = 7;", "built for contract 1.7"),
        ("plugin.struct_size = 8;", "its table has 8 bytes"),
        ("plugin.kind = 77;", "77"),
        ("plugin.augment = 0;", "no function `augment`"),
        ("plugin.describe = 0;", "no function `describe`"),
        ("return 0;", "its table is null"),
    ] {
        let text = open_code("return VITRAL_OK;", table).err().unwrap();
        assert!(text.contains(wanted), "{text}");
    }
}

#[test]
fn what_is_no_plugin_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.so");
    fs::write(&text, "hello").unwrap();
    let other = library(folder.path(), "int other(void) { return 1; }");
    let cases = [
        (folder.path().join("absent.so"), "cannot be read"),
        (text, "not a native library"),
        (other, "does not export `vitral_plugin`"),
    ];
    for (path, wanted) in cases {
        let text = Plugin::native(&path, Some(&declared())).err().unwrap().to_string();
        assert!(text.contains(wanted), "{text}");
    }
}

#[test]
fn a_library_that_says_otherwise_than_its_manifest_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let library = library(folder.path(), &code("return VITRAL_OK;", ""));
    let mut declared = declared();
    declared.description.version = "2.0.0".into();
    let text = Plugin::native(&library, Some(&declared)).err().unwrap().to_string();
    assert!(text.contains("declares version 2.0.0, but the plugin says 1.0.0"), "{text}");
}
