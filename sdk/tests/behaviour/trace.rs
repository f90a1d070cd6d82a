//! Tracing through the table of an attention.

use vitral_sdk::abi::c::{self, List};
use vitral_sdk::prelude::*;

use crate::host::Recorder;

/// What a test traces: a plugin cannot hold a closure, so the thread does.
type Body = Box<dyn Fn(&Layer, Tensor, Tensor, Tensor) -> Result<Tensor>>;

thread_local! {
    static BODY: std::cell::RefCell<Option<Body>> = const { std::cell::RefCell::new(None) };
}

struct Traced;

impl Plugin for Traced {
    type Parameters = ();
    const IDENTITY: Identity = identity!("traced", "What a test traces");

    fn new((): ()) -> Result<Self> {
        Ok(Self)
    }
}

impl Attention for Traced {
    fn trace(&self, layer: &Layer, query: Tensor, key: Tensor, value: Tensor) -> Result<Tensor> {
        let body = BODY.take().expect("a body");
        body(layer, query, key, value)
    }
}

const LAYER: c::Layer = c::Layer {
    index: 0,
    depth: 2,
    heads: 2,
    head_width: 4,
    prefix_tokens: 1,
    grid_height: 2,
    grid_width: 4,
    dropout: 0.0,
};

/// Traces a body; gives the status and what the host was told.
pub fn trace(
    body: impl Fn(&Layer, Tensor, Tensor, Tensor) -> Result<Tensor> + 'static,
) -> (u32, Recorder) {
    BODY.set(Some(Box::new(body)));
    let mut recorder = Recorder::new();
    let inputs = ["query", "key", "value"].map(|name| recorder.input(name, "f32[B,2,9,4]"));
    let host = recorder.table();
    let plugin = vitral_sdk::native::attention::<Traced>();
    let mut instance = std::ptr::null_mut();
    // SAFETY: everything that is passed lives until the calls return.
    let status = unsafe {
        let created =
            plugin.create.unwrap()(&host, List::EMPTY, &mut instance, std::ptr::null_mut());
        assert_eq!(created, c::OK);
        let [query, key, value] = inputs;
        let trace = plugin.trace_attention.unwrap();
        let status = trace(instance, &host, &LAYER, query, key, value);
        plugin.destroy.unwrap()(instance);
        status
    };
    (status, recorder)
}

#[test]
fn a_trace_becomes_a_program() {
    let (status, recorder) = trace(|layer, query, key, value| {
        let weight = parameter("mix", shape![4, 4], Initializer::Normal(0.02), true);
        let scores = label("scores", || {
            query.matmul(key.transpose([0, 1, 3, 2])) / f64::from(layer.head_width).sqrt()
        });
        Ok(scores.softmax(3).matmul(value).matmul(weight))
    });
    assert_eq!((status, &recorder.failure), (c::OK, &None));
    assert_eq!(recorder.parameters, [("mix".to_owned(), Initializer::Normal(0.02), true)]);
    let labels: Vec<_> =
        recorder.applied.iter().map(|it| (it.op.as_str(), it.label.as_str())).collect();
    assert_eq!(
        labels,
        [
            ("transpose", "scores"),
            ("matmul", "scores"),
            ("constant", "scores"),
            ("div", "scores"),
            ("softmax", ""),
            ("matmul", ""),
            ("matmul", ""),
        ]
    );
    let text = recorder.finish(&["output"]).unwrap();
    assert!(text.contains("softmax"), "{text}");
}

#[test]
fn shapes_and_types_are_known_while_tracing() {
    let (status, _) = trace(|_, query, _, value| {
        assert_eq!(query.shape(), Some(shape![B, 2, 9, 4]));
        assert_eq!(query.reshape(shape![B * 2, 36]).shape(), Some(shape![B * 2, 36]));
        assert_eq!(query.equal(value).dtype(), Some(DType::Bool));
        assert_eq!(constant(shape![], &[1.0]).shape(), Some(vec![]));
        assert_eq!(query.matmul(value).shape(), None);
        Ok(value.abs())
    });
    assert_eq!(status, c::OK);
}

#[test]
fn an_op_that_does_not_fit_is_reported_at_the_end() {
    let (status, recorder) = trace(|_, query, _, value| {
        let bad = label("bad", || query.matmul(value));
        let parts = bad.split([3, 3, 3], 2);
        let wrong = query.split([5_u32, 5], 2);
        assert_eq!((parts.len(), wrong.len()), (3, 2));
        Ok(concat(&[parts[0], wrong[1]], 2).exp())
    });
    assert_eq!(status, c::OK);
    let errors = recorder.finish(&["output"]).unwrap_err().to_string();
    assert!(errors.contains("matmul") && errors.contains("bad"), "{errors}");
    assert!(errors.contains("split"), "{errors}");
}

#[test]
fn numbers_take_the_type_of_the_tensor_they_meet() {
    let (_, recorder) = trace(|_, query, _, _| {
        let index = range(DType::I32, 9, 0.0, 1.0) * 2.0;
        let scale = 1.0 - index.cast(DType::F32).reshape([9, 1]);
        Ok(query * scale + index.greater(3.0).reshape([9, 1]).where_(1.0, 0.0))
    });
    recorder.finish(&["output"]).unwrap();
}

#[test]
fn an_operand_as_the_result_becomes_a_tensor_of_its_own() {
    let (_, recorder) = trace(|_, _, _, value| Ok(value));
    let ops: Vec<_> = recorder.applied.iter().map(|it| it.op.as_str()).collect();
    assert_eq!(ops, ["identity"]);
}

#[test]
fn a_panic_while_tracing_is_told_and_labels_end() {
    let (status, recorder) = trace(|_, _, _, _| label("inner", || panic!("the grid is {}", 3)));
    assert_eq!(status, c::PANICKED);
    let failure = recorder.failure.unwrap();
    assert!(failure.starts_with("panicked at "), "{failure}");
    assert!(failure.ends_with("the grid is 3") && failure.contains("trace.rs:"), "{failure}");
    let (_, recorder) = trace(|_, query, _, _| Ok(query.abs()));
    assert_eq!(recorder.applied[0].label, "");
}

#[test]
#[should_panic(expected = "tensors are of use only while the host traces the plugin")]
fn tensors_outside_of_a_trace_panic() {
    constant(shape![1], &[0.0]);
}

struct Swap;

impl Plugin for Swap {
    type Parameters = ();
    const IDENTITY: Identity = identity!("swap", "Gives its operands back");

    fn new((): ()) -> Result<Self> {
        Ok(Self)
    }
}

impl BatchAugmentation for Swap {
    fn trace(&self, batch: &Batch, images: Tensor, targets: Tensor) -> Result<(Tensor, Tensor)> {
        assert_eq!(batch.classes, 10);
        Ok((images * 2.0, targets))
    }
}

#[test]
fn batch_augmentations_give_two_results() {
    let mut recorder = Recorder::new();
    let images = recorder.input("images", "f32[B,8,8,3]");
    let targets = recorder.input("targets", "f32[B,10]");
    let host = recorder.table();
    let plugin = vitral_sdk::native::batch_augmentation::<Swap>();
    let batch = c::Batch { height: 8, width: 8, channels: 3, classes: 10 };
    let mut instance = std::ptr::null_mut();
    // SAFETY: everything that is passed lives until the calls return.
    unsafe {
        plugin.create.unwrap()(&host, List::EMPTY, &mut instance, std::ptr::null_mut());
        let status = plugin.trace_batch.unwrap()(instance, &host, &batch, images, targets);
        assert_eq!(status, c::OK);
        plugin.destroy.unwrap()(instance);
    }
    let text = recorder.finish(&["images", "targets"]).unwrap();
    assert!(text.contains("identity"), "{text}");
}
