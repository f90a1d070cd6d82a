use vitral_host::Plugin as Opened;
use vitral_sdk::native;
use vitral_sdk::prelude::*;
use vitral_testkit::{Report, check, check_attention, layer};

use crate::{assert_finds, plugin};

fn report<P: Attention>() -> Report {
    check::attention(&Opened::compiled_in(native::attention::<P>()).unwrap())
}

#[derive(Default)]
struct Softmax;

plugin!(Softmax, "softmax");

impl Attention for Softmax {
    fn trace(&self, layer: &Layer, query: Tensor, key: Tensor, value: Tensor) -> Result<Tensor> {
        if layer.head_width == 1 {
            bail!("heads of width 1 are not worth it");
        }
        Ok(query.scaled_dot_product_attention(key, value, None, 0.25))
    }
}

#[test]
fn a_good_one_passes_and_may_refuse_what_is_unusual() {
    check_attention::<Softmax>();
    assert_eq!(report::<Softmax>().tried(), 7);
}

#[test]
fn refusing_an_ordinary_layer_is_found() {
    #[derive(Default)]
    struct Refuses;
    plugin!(Refuses, "refuses");
    impl Attention for Refuses {
        fn trace(&self, _: &Layer, _: Tensor, _: Tensor, _: Tensor) -> Result<Tensor> {
            bail!("not today")
        }
    }
    assert_finds(&report::<Refuses>(), "not today");
    assert_eq!(report::<Refuses>().problems().len(), 3);
}

#[test]
fn wrong_programs_and_panics_are_found_even_for_unusual_layers() {
    #[derive(Default)]
    struct Wrong;
    plugin!(Wrong, "wrong");
    impl Attention for Wrong {
        fn trace(&self, at: &Layer, query: Tensor, _: Tensor, value: Tensor) -> Result<Tensor> {
            assert!(at.grid_width > 1, "a grid of one patch");
            Ok(if at.head_width == 1 { query.matmul(value) } else { value })
        }
    }
    let problems = report::<Wrong>().problems().to_vec();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("heads of width 1") && problems[0].contains("matmul"));
    assert!(problems[1].contains("panicked") && problems[1].contains("a grid of one patch"));
}

#[test]
fn results_that_are_no_numbers_are_found() {
    #[derive(Default)]
    struct Root;
    plugin!(Root, "root");
    impl Attention for Root {
        fn trace(&self, _: &Layer, _: Tensor, _: Tensor, value: Tensor) -> Result<Tensor> {
            Ok(value.sqrt())
        }
    }
    assert_finds(&report::<Root>(), "of `output` is NaN");
}

#[test]
fn images_that_see_each_other_are_found() {
    #[derive(Default)]
    struct Mixes;
    plugin!(Mixes, "mixes");
    impl Attention for Mixes {
        fn trace(&self, _: &Layer, _: Tensor, _: Tensor, value: Tensor) -> Result<Tensor> {
            Ok(value + value.reduce_mean([0], true))
        }
    }
    assert_finds(&report::<Mixes>(), "depends on its batch");
}

#[test]
fn another_layer_and_error_texts_can_be_asked_for() {
    let narrow = Layer { head_width: 1, ..layer() };
    let error = vitral_testkit::Attention::of::<Softmax>().layer(narrow).error();
    assert!(error.contains("heads of width 1 are not worth it"), "{error}");
}
