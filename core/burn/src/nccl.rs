//! NCCL, NVIDIA's library by which GPUs exchange values directly: through NVLink, PCIe or the network, without a copy on
//! the host.
//!
//! Only bytes are moved here. What is added, and in which order, is decided by who calls this, so that a sum does not
//! depend on the number of GPUs. NCCL is opened where a program runs. `cudarc` has bindings for it, but does not find
//! `libnccl.so.2`, the only name under which NVIDIA's packages install it for those who do not compile with it.

mod functions;

use std::{
    cell::Cell,
    ffi::{c_int, c_void},
    ops::Range,
    ptr::null_mut,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use burn::tensor::Tensor;
use burn_cubecl::{CubeBackend, kernel::into_contiguous, tensor::CubeTensor};
use cubecl::{Device as CubeDevice, cuda::CudaRuntime, future::block_on};
use cubecl_runtime::runtime::Runtime;
use cudarc::driver::{
    result::{DriverError, ctx, device, primary_ctx, stream},
    sys::{CUcontext, CUresult, CUstream, cuStreamQuery},
};
use libloading::Library;

use self::functions::{BYTES, Communicator, Functions, SUCCESS};
use crate::{cuda::CudaError, kernels::values_on_gpu};

/// The names of NCCL's library: that of its second version's interface, and that which compilers look for.
const NAMES: [&str; 2] = ["libnccl.so.2", "libnccl.so"];
/// How long an exchange may take, which all ranks have come to.
const PATIENCE: Duration = Duration::from_secs(120);

/// Why GPUs cannot exchange values by NCCL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NcclError {
    /// No library.
    #[error(
        "NCCL, by which GPUs exchange gradients, cannot be opened ({0}): install NVIDIA's `libnccl2`, or PyPI's \
         `nvidia-nccl-cu12` and put its `lib` on LD_LIBRARY_PATH"
    )]
    NotInstalled(String),
    /// A library that lacks what is needed.
    #[error("NCCL lacks the function `{0}`: install version 2.7 or newer")]
    Old(String),
    /// A call failed.
    #[error("NCCL's `{call}` failed: {reason}")]
    Failed {
        /// The function.
        call: &'static str,
        /// What NCCL says.
        reason: String,
    },
    /// The driver failed.
    #[error("{0}")]
    Driver(String),
    /// A tensor is elsewhere.
    #[error("NCCL exchanges values of NVIDIA GPUs alone")]
    NotCuda,
}

impl From<DriverError> for NcclError {
    fn from(error: DriverError) -> Self {
        Self::Driver(CudaError::from(error).to_string())
    }
}

/// What one rank makes and all ranks of a job need to find each other.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Id(pub [u8; Self::BYTES]);

impl Id {
    /// Its size.
    pub const BYTES: usize = 128;
}

/// A GPU that a rank can join a job with.
pub struct Gpu {
    /// What tells it from any other, whatever its number is for this process.
    pub uuid: String,
    context: CUcontext,
    stream: CUstream,
}

impl Gpu {
    /// That of this number.
    ///
    /// # Errors
    /// The driver fails.
    pub fn open(number: usize) -> Result<Self, NcclError> {
        let gpu = device::get(c_int::try_from(number).unwrap_or(c_int::MAX))?;
        let uuid = device::get_uuid(gpu)?.bytes.map(|byte| format!("{byte:02x}")).concat();
        // SAFETY: the GPU is one that the driver has named. Its context is kept, since Burn computes in the same one.
        let context = unsafe { primary_ctx::retain(gpu) }?;
        // SAFETY: it was retained above.
        unsafe { ctx::set_current(context) }?;
        Ok(Self { uuid, context, stream: stream::create(stream::StreamKind::NonBlocking)? })
    }
}

/// NCCL's library, opened.
#[derive(Clone)]
pub struct Nccl {
    functions: Arc<Functions>,
}

impl Nccl {
    /// Opens it.
    ///
    /// # Errors
    /// It is not installed, or too old.
    pub fn open() -> Result<Self, NcclError> {
        let mut reason = String::new();
        let library = NAMES.iter().find_map(|name| {
            // SAFETY: NCCL does nothing when it is opened, and is not closed again.
            let opened = unsafe { Library::new(*name) };
            opened.inspect_err(|error| reason = error.to_string()).ok()
        });
        let library = library.ok_or(NcclError::NotInstalled(reason))?;
        // SAFETY: it has NCCL's name.
        let functions = unsafe { Functions::of(&library) };
        std::mem::forget(library);
        Ok(Self { functions: Arc::new(functions?) })
    }

    /// Its version, as in 2.27.3.
    ///
    /// # Errors
    /// It does not say.
    pub fn version(&self) -> Result<String, NcclError> {
        let mut version = 0;
        // SAFETY: it writes a number, which outlives the call.
        let code = unsafe { (self.functions.version)(&mut version) };
        self.functions.check("ncclGetVersion", code)?;
        // As NCCL counts since 2.9; before, 2.7.8 was 2708.
        let unit = if version < 10_000 { 1000 } else { 10_000 };
        Ok(format!("{}.{}.{}", version / unit, version % unit / 100, version % 100))
    }

    /// A new job's identifier, which its first rank makes. That rank's process has to live as long as the job.
    ///
    /// # Errors
    /// No network interface can be used.
    pub fn id(&self) -> Result<Id, NcclError> {
        let mut id = Id([0; Id::BYTES]);
        // SAFETY: it writes an identifier, which outlives the call.
        let code = unsafe { (self.functions.id)(&mut id) };
        self.functions.check("ncclGetUniqueId", code).map(|()| id)
    }

    /// Joins a job as one of so many ranks. Returns once all ranks have joined.
    ///
    /// # Errors
    /// They do not reach each other.
    pub fn join(&self, id: Id, rank: usize, size: usize, gpu: Gpu) -> Result<Gpus, NcclError> {
        let number = |count: usize| c_int::try_from(count).unwrap_or(c_int::MAX);
        let mut communicator = null_mut();
        // SAFETY: it writes a pointer, which outlives the call; the context is that of the rank's GPU.
        let code = unsafe {
            ctx::set_current(gpu.context)?;
            (self.functions.join)(&mut communicator, number(size), id, number(rank))
        };
        self.functions.check("ncclCommInitRank", code)?;
        let (functions, communicator) =
            (Arc::clone(&self.functions), Cell::new(Some(communicator)));
        Ok(Gpus { functions, communicator, gpu, patience: Cell::new(PATIENCE), rank, size })
    }
}

/// One rank's GPU among those of a job. All ranks make the same calls in the same order, each on the thread that has
/// joined, and a call returns once the values are there.
pub struct Gpus {
    functions: Arc<Functions>,
    /// None after a failure.
    communicator: Cell<Option<Communicator>>,
    gpu: Gpu,
    patience: Cell<Duration>,
    rank: usize,
    size: usize,
}

impl Gpus {
    /// Which rank this is.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// How many ranks there are.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Has what `exchange` does end after so long, in place of two minutes.
    pub fn within<R>(&self, patience: Duration, exchange: impl FnOnce(&Self) -> R) -> R {
        self.patience.set(patience);
        let done = exchange(self);
        self.patience.set(PATIENCE);
        done
    }

    /// Gives each rank its own values, of any type: `counts[r]` of `send`, `[n]`, in the order of ranks, go to rank
    /// `r`, and `from[r]` values come from it.
    ///
    /// # Errors
    /// A rank or the network fails, or the tensor is on another device.
    pub fn all_to_all(
        &self,
        send: Tensor<1>,
        counts: &[usize],
        from: &[usize],
    ) -> Result<Tensor<1>, NcclError> {
        let options = (&send.device(), send.dtype());
        let received = Tensor::<1>::empty([room(from)], options);
        let [send, into] = self.buffers([send, received.clone()])?;
        self.at_once(|nccl| {
            let (outgoing, incoming) = (send.pieces(counts), into.pieces(from));
            for (peer, (outgoing, incoming)) in outgoing.into_iter().zip(incoming).enumerate() {
                nccl.send(&outgoing, peer)?;
                nccl.receive(&incoming, peer)?;
            }
            Ok(())
        })?;
        Ok(received)
    }

    /// The values of all ranks, `[n]`, in their order, of which rank `r` has `counts[r]`.
    ///
    /// # Errors
    /// As [`all_to_all`](Self::all_to_all).
    pub fn all_gather(&self, own: Tensor<1>, counts: &[usize]) -> Result<Tensor<1>, NcclError> {
        let options = (&own.device(), own.dtype());
        let gathered = Tensor::<1>::empty([room(counts)], options);
        let [own, into] = self.buffers([own, gathered.clone()])?;
        // A broadcast of each: the counts may differ.
        self.at_once(|nccl| {
            let mut pieces = into.pieces(counts).into_iter().enumerate();
            pieces.try_for_each(|(root, piece)| nccl.broadcast(own.start, &piece, root))
        })?;
        Ok(gathered)
    }

    /// Where the values of tensors lie, whose computation has ended when this returns.
    fn buffers<const N: usize>(&self, tensors: [Tensor<1>; N]) -> Result<[Buffer; N], NcclError> {
        let mut buffers = Vec::with_capacity(N);
        for tensor in tensors {
            buffers.push(Buffer::of(tensor)?);
        }
        // Their kernels are with the driver, on streams of Burn's own.
        // SAFETY: the context was retained when the job was joined.
        unsafe { ctx::set_current(self.gpu.context) }?;
        ctx::synchronize()?;
        let Ok(buffers) = buffers.try_into() else { unreachable!("as many as there are tensors") };
        Ok(buffers)
    }

    /// Has all that `calls` asks for be done at once, and waits for it.
    fn at_once(&self, calls: impl FnOnce(&Self) -> Result<(), NcclError>) -> Result<(), NcclError> {
        self.done_at_once(calls).inspect_err(|_| {
            // What is still under way ends, before the memory that it reads and writes is another's.
            self.leave();
        })
    }

    fn done_at_once(
        &self,
        calls: impl FnOnce(&Self) -> Result<(), NcclError>,
    ) -> Result<(), NcclError> {
        // SAFETY: it takes nothing.
        self.functions.check("ncclGroupStart", unsafe { (self.functions.group_start)() })?;
        let asked = calls(self);
        // SAFETY: the group was started above.
        let ended = self.functions.check("ncclGroupEnd", unsafe { (self.functions.group_end)() });
        asked.and(ended)?;
        self.wait()
    }

    fn communicator(&self) -> Result<Communicator, NcclError> {
        let left = || NcclError::Failed { call: "exchange", reason: "it has failed before".into() };
        self.communicator.get().ok_or_else(left)
    }

    /// Leaves the job at once. To leave in good order would be to wait for ranks that are perhaps no more.
    fn leave(&self) {
        if let Some(communicator) = self.communicator.take() {
            // SAFETY: the communicator is this one's, and is not used again.
            unsafe { (self.functions.leave)(communicator) };
        }
    }

    /// Waits until the stream is done, or NCCL finds that it will never be.
    fn wait(&self) -> Result<(), NcclError> {
        // A rank that is waited for is most often a little late: the first looks follow each other.
        let (begin, mut rest) = (Instant::now(), Duration::ZERO);
        loop {
            // SAFETY: the stream was created when the job was joined, and lives as long.
            match unsafe { cuStreamQuery(self.gpu.stream) } {
                CUresult::CUDA_SUCCESS => return Ok(()),
                CUresult::CUDA_ERROR_NOT_READY => {}
                code => return Err(DriverError(code).into()),
            }
            let mut code = SUCCESS;
            // SAFETY: the communicator is this one's; it writes a number, which outlives the call.
            let asked = unsafe { (self.functions.async_error)(self.communicator()?, &mut code) };
            self.functions.check("ncclCommGetAsyncError", asked)?;
            self.functions.check("exchange", code)?;
            if begin.elapsed() > self.patience.get() {
                let reason = format!("it is not done after {} s", self.patience.get().as_secs());
                return Err(NcclError::Failed { call: "exchange", reason });
            }
            thread::sleep(rest);
            rest = (rest + Duration::from_micros(1)).min(Duration::from_micros(100));
        }
    }

    /// Asks for one message: `call`, of a piece's first byte, its length, and what it goes through. Nothing is asked
    /// for where there are no bytes.
    fn ask(
        &self,
        name: &'static str,
        piece: &Range<u64>,
        call: impl FnOnce(u64, usize, Communicator, CUstream) -> c_int,
    ) -> Result<(), NcclError> {
        match (piece.end - piece.start) as usize {
            0 => Ok(()),
            bytes => {
                let code = call(piece.start, bytes, self.communicator()?, self.gpu.stream);
                self.functions.check(name, code)
            }
        }
    }

    fn send(&self, piece: &Range<u64>, peer: usize) -> Result<(), NcclError> {
        self.ask("ncclSend", piece, |start, bytes, through, stream| {
            let (from, peer) = (start as *const c_void, peer as c_int);
            // SAFETY: the buffer is on the device, and is held until the stream is done.
            unsafe { (self.functions.send)(from, bytes, BYTES, peer, through, stream) }
        })
    }

    fn receive(&self, piece: &Range<u64>, peer: usize) -> Result<(), NcclError> {
        self.ask("ncclRecv", piece, |start, bytes, through, stream| {
            let (to, peer) = (start as *mut c_void, peer as c_int);
            // SAFETY: the buffer is on the device, nobody else has it, and it is held until the stream is done.
            unsafe { (self.functions.receive)(to, bytes, BYTES, peer, through, stream) }
        })
    }

    /// Has a rank's own values, which lie there on that rank, be in this piece on all of them.
    fn broadcast(&self, own: u64, piece: &Range<u64>, root: usize) -> Result<(), NcclError> {
        self.ask("ncclBroadcast", piece, |start, bytes, through, stream| {
            let (from, to, root) = (own as *const c_void, start as *mut c_void, root as c_int);
            // SAFETY: as in `receive`; what is sent is read on the root alone.
            unsafe { (self.functions.broadcast)(from, to, bytes, BYTES, root, through, stream) }
        })
    }
}

impl Drop for Gpus {
    fn drop(&mut self) {
        // Each call has waited for its end. Of a panic others hear from the process, and not from NCCL.
        if !thread::panicking() {
            self.leave();
        }
    }
}

/// How many values a tensor needs that takes so many: GPUs have no tensors without values.
fn room(counts: &[usize]) -> usize {
    counts.iter().sum::<usize>().max(1)
}

/// Values in a GPU's memory, which stays theirs as long as this lives.
struct Buffer {
    start: u64,
    width: usize,
    _held: Box<dyn Send>,
}

impl Buffer {
    /// Those of a tensor. A tensor that has just been created empty has no others than these.
    fn of(tensor: Tensor<1>) -> Result<Self, NcclError> {
        let values = values_on_gpu(tensor);
        let client = values.client.clone();
        let values = into_contiguous(client.resolve_tensor_float::<CubeBackend>(values));
        let CubeTensor { client, handle, device, dtype, .. } = &values;
        if !matches!(device, CubeDevice::Cuda(_)) {
            return Err(NcclError::NotCuda);
        }
        let failed = |error: &dyn std::fmt::Debug| NcclError::Driver(format!("{error:?}"));
        let resource = client
            .get_resource::<<CudaRuntime as Runtime>::Server>(handle.clone())
            .map_err(|error| failed(&error))?;
        block_on(client.sync()).map_err(|error| failed(&error))?;
        let start = resource.resource().ptr;
        let width = dtype.size();
        // Memory is released once neither the tensor nor this has it.
        Ok(Self { start, width, _held: Box::new((values, resource)) })
    }

    /// Pieces of so many values each, one after the other.
    fn pieces(&self, counts: &[usize]) -> Vec<Range<u64>> {
        let mut end = self.start;
        let piece = |count: &usize| {
            let start = end;
            end += (count * self.width) as u64;
            start..end
        };
        counts.iter().map(piece).collect()
    }
}

/// The number of the GPU on which a tensor of NVIDIA's lies.
pub fn gpu_of(tensor: Tensor<1>) -> Option<usize> {
    let values = values_on_gpu(tensor);
    let client = values.client.clone();
    match client.resolve_tensor_float::<CubeBackend>(values).device {
        CubeDevice::Cuda(device) => Some(device.index),
        _ => None,
    }
}
