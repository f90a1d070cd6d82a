//! Launches that a device repeats on its own: a CUDA graph or, on other devices, what CubeCL has in its place. A step
//! of hundreds of launches then costs the host as much as one.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use burn::backend::{
    Backend, BackendTypes,
    fusion::custom::{CustomOpIr, HandleContainer, OperationFn, OperationIr, StreamId, TensorId},
    tensor::Device,
};
use burn_cubecl::{Cube, CubeBackend, fusion::CubeFusionHandle, tensor::CubeTensor};

use crate::{many::Values, optimizer};

/// What was recorded: a function of tensors that stay where they are, and its result.
pub struct Recorded<T> {
    graph: <Cube as BackendTypes>::GraphPrimitive,
    device: Device<Cube>,
    /// Where all that a graph reads and writes must be queued.
    stream: StreamId,
    /// What the function reads, and the memory that it reads there.
    inputs: Vec<(Values, CubeTensor)>,
    result: T,
}

/// Runs before the recorded one, which finds what these have fused and tuned, and the memory that they have left.
const WARM_UPS: usize = 3;

impl<T> Recorded<T> {
    /// Records what `function` launches. It must only depend on `inputs` and on what never changes, and must not wait
    /// for the device. `inputs` must have memory of their own, which [`Recorded::write`] changes under all who hold
    /// them.
    ///
    /// # Errors
    /// Why it cannot be recorded; the device can be used on.
    ///
    /// # Panics
    /// If there are no inputs.
    pub fn new(inputs: Vec<Values>, mut function: impl FnMut() -> T) -> Result<Self, String> {
        let client = inputs[0].client.clone();
        let device = client.device().clone();
        let held = caught(|| {
            let in_memory = |tensor: Values| {
                let held = client.resolve_tensor_float::<CubeBackend>(tensor.clone());
                held.is_contiguous().then_some((tensor, held)).ok_or("an input is not contiguous")
            };
            let held = inputs.into_iter().map(in_memory).collect::<Result<Vec<_>, _>>()?;
            check(held.iter().map(|(_, memory)| memory))?;
            Cube::graph_prepare(&device).map_err(|error| error.to_string())?;
            Ok(held)
        })?;
        let result = caught(|| {
            for _ in 0..WARM_UPS {
                // What is dropped before the queue is empty is not computed.
                let result = function();
                Cube::sync(&device).map_err(|error| error.to_string())?;
                drop(result);
            }
            Cube::graph_start_capture(&device).map_err(|error| error.to_string())?;
            Ok(function())
        });
        // Ends what was prepared, whatever has become of it.
        let graph = caught(|| Cube::graph_stop_capture(&device).map_err(|error| error.to_string()));
        let result = result?;
        Ok(Self { graph: graph?, device, stream: StreamId::current(), inputs: held, result })
    }

    /// Whether these are its inputs, from the `first` on.
    pub fn reads(&self, first: usize, tensors: &[Values]) -> bool {
        let ids = |tensors: &[Values]| tensors.iter().map(|of| of.id).collect::<Vec<TensorId>>();
        let known = self.inputs.get(first..first + tensors.len());
        let known = known.map(|known| known.iter().map(|(of, _)| of.id).collect::<Vec<_>>());
        known.is_some_and(|known| known == ids(tensors)) && self.stream == StreamId::current()
    }

    /// Gives its inputs, from the `first` on, these values.
    ///
    /// # Errors
    /// They are more, of another type or length than the inputs; or the device has not computed them.
    pub fn write(&self, first: usize, values: Vec<Values>) -> Result<(), String> {
        let Some(inputs) = self.inputs.get(first..first + values.len()) else {
            return Err("there are fewer inputs".into());
        };
        let elements = |tensor: &Values| (tensor.shape.num_elements(), tensor.dtype);
        if !inputs.iter().zip(&values).all(|((input, _), new)| elements(input) == elements(new)) {
            return Err("inputs are of another type or length".into());
        }
        let Some((tensor, _)) = inputs.first() else { return Ok(()) };
        let client = tensor.client.clone();
        let memory: Vec<CubeTensor> = inputs.iter().map(|(_, memory)| memory.clone()).collect();
        // Fusion may change the order of what does not seem to belong together, and does not know what is written; nor
        // has what gives no tensor a place to tell that it failed.
        let is_written = Arc::new(AtomicBool::new(false));
        caught(|| {
            client.sync(|| ());
            let sources: Vec<_> = values.into_iter().map(Values::into_ir).collect();
            let description = CustomOpIr {
                id: "write".into(),
                inputs: sources.clone(),
                outputs: Vec::new(),
                scalars: Vec::new(),
            };
            let told = is_written.clone();
            let write = OperationFn(move |handles: &mut HandleContainer<CubeFusionHandle>| {
                let sources = sources.iter().map(|of| handles.get_float_tensor::<CubeBackend>(of));
                optimizer::write(sources.collect(), &memory);
                told.store(true, Ordering::Release);
                Ok(())
            });
            client.register(StreamId::current(), OperationIr::Custom(description), write);
            client.sync(|| ());
            Ok(())
        })?;
        match is_written.load(Ordering::Acquire) {
            true => check(inputs.iter().map(|(_, memory)| memory)),
            false => Err("what is to be written was not computed".into()),
        }
    }

    /// Computes the result again, from the values that its inputs have now, in the memory that it has.
    ///
    /// # Errors
    /// The device fails, or the caller's queue is not the one that it was recorded in.
    pub fn repeat(&self) -> Result<&T, String> {
        if self.stream != StreamId::current() {
            return Err("steps are recorded on the thread that repeats them".into());
        }
        // SAFETY: `inputs` and `result` hold what is read and given, the graph's own pages hold the rest; all of it is
        // used in this one queue.
        unsafe { Cube::graph_replay(&self.device, &self.graph) }
            .map_err(|error| error.to_string())?;
        Ok(&self.result)
    }
}

/// Whether tensors have the values that they should have, as far as a device knows without waiting.
fn check<'a>(tensors: impl Iterator<Item = &'a CubeTensor>) -> Result<(), String> {
    let tensors: Vec<&CubeTensor> = tensors.collect();
    let Some(first) = tensors.first() else { return Ok(()) };
    let handles = tensors.iter().map(|tensor| &tensor.handle);
    first.client.check(handles).map_err(|error| error.to_string())
}

/// What a function gives, and a panic, by which Burn tells failures of a device, as an error.
fn caught<R>(function: impl FnOnce() -> Result<R, String>) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(function)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.into()));
        Err(text.unwrap_or_default())
    })
}
