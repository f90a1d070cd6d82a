//! What the host offers, and the tensors of the trace that is going on.

use std::cell::RefCell;
use std::mem::ManuallyDrop;

use vitral_abi::{Attribute, Initializer, LogLevel, wit::ToWit};

use super::bindings::vitral::plugin::{logging, tensors};
use crate::tensor::Tensor;

thread_local! {
    static TRACE: RefCell<Trace> = const { RefCell::new(Trace { number: 0, tensors: Vec::new() }) };
}

/// The tensors that a plugin may name. A name is the trace's number and the tensor's place.
struct Trace {
    number: u32,
    tensors: Vec<Handle>,
}

enum Handle {
    Owned(tensors::Tensor),
    /// The host's; whoever lent it drops it.
    Lent(ManuallyDrop<tensors::Tensor>),
    /// Given away as a result.
    Gone,
}

impl Trace {
    fn add(&mut self, handle: Handle) -> Tensor {
        let index = self.tensors.len() as u64;
        self.tensors.push(handle);
        Tensor::from_raw(u64::from(self.number) << 32 | index)
    }

    fn place(&self, tensor: Tensor) -> usize {
        let (number, place) = ((tensor.raw() >> 32) as u32, tensor.raw() as u32 as usize);
        assert!(
            number == self.number && place < self.tensors.len(),
            "tensors are of use only while the host traces the plugin"
        );
        place
    }

    fn get(&self, tensor: Tensor) -> &tensors::Tensor {
        match &self.tensors[self.place(tensor)] {
            Handle::Owned(handle) => handle,
            Handle::Lent(handle) => handle,
            Handle::Gone => panic!("a tensor is used after it was given as a result"),
        }
    }
}

/// Traces something with tensors that the host lends.
pub(super) fn trace<R, const N: usize>(
    lent: [&tensors::Tensor; N],
    body: impl FnOnce([Tensor; N]) -> R,
) -> R {
    let lent = TRACE.with_borrow_mut(|trace| {
        trace.number += 1;
        lent.map(|handle| {
            // SAFETY: the handle is lent until the trace ends, and is not dropped here.
            let alias = unsafe { tensors::Tensor::from_handle(handle.handle()) };
            trace.add(Handle::Lent(ManuallyDrop::new(alias)))
        })
    });
    let result = body(lent);
    TRACE.with_borrow_mut(|trace| {
        trace.number += 1;
        trace.tensors.clear();
    });
    result
}

/// Takes a tensor out, to be given as a result. It is one of the trace's own.
pub(super) fn give(tensor: Tensor) -> tensors::Tensor {
    let handle = TRACE.with_borrow_mut(|trace| {
        let place = trace.place(tensor);
        std::mem::replace(&mut trace.tensors[place], Handle::Gone)
    });
    match handle {
        Handle::Owned(handle) => handle,
        Handle::Lent(_) | Handle::Gone => panic!("a result is not a tensor of its own"),
    }
}

pub(crate) fn log(level: LogLevel, message: &str) {
    logging::log(level.to_wit(), message);
}

pub(crate) fn apply(
    op: &str,
    attributes: &[Attribute],
    operands: &[Tensor],
    label: &str,
    capacity: usize,
) -> Vec<Tensor> {
    let attributes: Vec<tensors::Attribute> = attributes.to_wit();
    TRACE.with_borrow_mut(|trace| {
        let operands: Vec<_> = operands.iter().map(|&operand| trace.get(operand)).collect();
        let results = tensors::apply(op, &attributes, &operands, label);
        results.into_iter().take(capacity).map(|handle| trace.add(Handle::Owned(handle))).collect()
    })
}

pub(crate) fn parameter(
    name: &str,
    shape: &[u32],
    initializer: Initializer,
    decay: bool,
) -> Tensor {
    let handle = tensors::parameter(name, shape, initializer.to_wit(), decay);
    TRACE.with_borrow_mut(|trace| trace.add(Handle::Owned(handle)))
}

pub(crate) fn tensor_type(tensor: Tensor) -> Option<String> {
    TRACE.with_borrow(|trace| trace.get(tensor).type_())
}
