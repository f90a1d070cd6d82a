//! What a GPU repeats on its own: launches that were recorded once (a CUDA graph), so that a step costs the host as
//! much as a few of them.
//!
//! What was recorded reads the memory that it read then. So its inputs stay where they are and are written over. Noise
//! that the host draws is one of them where it is [`Drawn`]; whatever draws in another way says so, by [`varies`], and is
//! not recorded.

use std::cell::{Cell, RefCell};
#[cfg(not(feature = "gpu"))]
use std::{convert::Infallible, marker::PhantomData};

use burn::backend::DispatchTensor;
use burn::tensor::{Device, Tensor, TensorData};
#[cfg(feature = "gpu")]
use vitral_gpu_kernels::Recorded;

use crate::{cpu::is_cpu, kernels::scaled};

thread_local! {
    static VARIED: Cell<Varied> = const { Cell::new(Varied { times: 0, why: "" }) };
    /// Where what is drawn lies, while it is recorded.
    static PLACES: RefCell<Option<Vec<Place>>> = const { RefCell::new(None) };
}

/// How often [`varies`] was said on a thread, and why the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Varied {
    times: u64,
    /// As a clause: "dropout draws in each step anew".
    pub why: &'static str,
}

/// Numbers that the host draws anew for each step.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawn {
    /// Where they are drawn from; no two draws of a step have the same.
    pub stream: u64,
    /// As many in each step of a kind.
    pub values: Vec<f32>,
}

/// Where one draw lies.
struct Place {
    stream: u64,
    tensor: Tensor<1>,
    is_taken: bool,
}

impl Drawn {
    /// The numbers on a device: while something is recorded, where they come to lie each time.
    pub fn on(self, device: &Device) -> Tensor<1> {
        let placed = PLACES.with_borrow_mut(|places| {
            let is_this = |place: &&mut Place| {
                place.stream == self.stream && place.tensor.dims()[0] == self.values.len()
            };
            let Some(place) = places.as_mut()?.iter_mut().find(is_this) else {
                varies("numbers are drawn that nobody told of");
                return None;
            };
            place.is_taken = true;
            Some(place.tensor.clone())
        });
        placed.unwrap_or_else(|| self.uploaded(device))
    }

    fn uploaded(self, device: &Device) -> Tensor<1> {
        let count = self.values.len();
        Tensor::from_data(TensorData::new(self.values, [count]), device)
    }
}

/// Says that what runs now depends on more than its tensors and what is [`Drawn`], or waits for the device; and why, as
/// in [`Varied::why`].
pub fn varies(why: &'static str) {
    VARIED.set(Varied { times: VARIED.get().times + 1, why });
}

/// What [`varies`] said on this thread: the same again if it said nothing since.
pub fn varied() -> Varied {
    VARIED.get()
}

#[cfg(not(feature = "gpu"))]
struct Recorded<T>(Infallible, PhantomData<T>);

/// A function of tensors that a GPU repeats on its own, and its result.
pub struct Recording<T>(Recorded<T>);

/// Whether a device may repeat what was recorded.
pub fn repeats(device: &Device) -> bool {
    cfg!(feature = "gpu") && !is_cpu(device)
}

/// A tensor with memory of its own, which nobody else holds, row by row.
pub fn own<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    let (shape, count) = (tensor.dims(), tensor.shape().num_elements());
    scaled(vec![tensor.reshape([count])], 1.0).swap_remove(0).reshape(shape)
}

#[cfg_attr(not(feature = "gpu"), allow(unused_variables, unused_mut))]
impl<T> Recording<T> {
    /// Records a function of `inputs`, all `f32`, each with memory of its [own], which [`Recording::write`] changes
    /// under all who hold them, and of what is drawn, all of which it must take: its last inputs. The function runs a
    /// few times. It must depend on nothing else that changes, and must not wait for the device.
    ///
    /// # Errors
    /// Why it cannot be recorded. The device can be used on.
    pub fn new(
        mut inputs: Vec<DispatchTensor>,
        drawn: Vec<Drawn>,
        device: &Device,
        function: impl FnMut() -> T,
    ) -> Result<Self, String> {
        #[cfg(feature = "gpu")]
        {
            let before = varied();
            let place = |drawn: Drawn| Place {
                stream: drawn.stream,
                tensor: own(drawn.uploaded(device)),
                is_taken: false,
            };
            let places: Vec<Place> = drawn.into_iter().map(place).collect();
            inputs.extend(places.iter().map(|place| place.tensor.clone().into_dispatch()));
            let inputs: Vec<_> = inputs.into_iter().map(crate::kernels::on_gpu).collect();
            if inputs.is_empty()
                || inputs.iter().any(|input| input.dtype != burn::tensor::DType::F32)
            {
                return Err("its inputs must be `f32`".into());
            }
            let (recorded, places) = with_places(places, || Recorded::new(inputs, function));
            let recorded = recorded?;
            if varied() != before {
                return Err(varied().why.into());
            }
            if !places.iter().all(|place| place.is_taken) {
                return Err("not all that is drawn is taken".into());
            }
            Ok(Self(recorded))
        }
        #[cfg(not(feature = "gpu"))]
        Err("this build is for the CPU alone".into())
    }

    /// Whether these very tensors are its inputs, from the `first` on.
    pub fn reads(&self, first: usize, tensors: Vec<DispatchTensor>) -> bool {
        #[cfg(feature = "gpu")]
        {
            let tensors: Vec<_> = tensors.into_iter().map(crate::kernels::on_gpu).collect();
            self.0.reads(first, &tensors)
        }
        #[cfg(not(feature = "gpu"))]
        match self.0.0 {}
    }

    /// Gives its inputs, from the `first` on, new values.
    ///
    /// # Errors
    /// They are not as long, or the device has failed to compute them. The inputs have no values then.
    pub fn write(&self, first: usize, values: Vec<DispatchTensor>) -> Result<(), String> {
        #[cfg(feature = "gpu")]
        return self.0.write(first, values.into_iter().map(crate::kernels::on_gpu).collect());
        #[cfg(not(feature = "gpu"))]
        match self.0.0 {}
    }

    /// Computes the result again. It lies where it lay before: what is to outlast the next time must be copied.
    ///
    /// # Errors
    /// The device fails, or this is another thread than the one that recorded.
    pub fn repeat(&self) -> Result<&T, String> {
        #[cfg(feature = "gpu")]
        return self.0.repeat();
        #[cfg(not(feature = "gpu"))]
        match self.0.0 {}
    }
}

/// Runs a function in which what is drawn lies in these places, and gives them back.
#[cfg(feature = "gpu")]
fn with_places<R>(places: Vec<Place>, function: impl FnOnce() -> R) -> (R, Vec<Place>) {
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            PLACES.set(None);
        }
    }
    let _reset = Reset;
    PLACES.set(Some(places));
    let result = function();
    (result, PLACES.take().unwrap_or_default())
}
