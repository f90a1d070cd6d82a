//! The functions of NCCL's interface that are called, as `nccl.h` declares them.

use std::ffi::{CStr, c_char, c_int, c_void};

use cudarc::driver::sys::CUstream;
use libloading::Library;

use super::{Id, NcclError};

/// NCCL's name for bytes.
pub(super) const BYTES: c_int = 1;
/// What NCCL returns where all is well.
pub(super) const SUCCESS: c_int = 0;
/// And where it is not done.
const IN_PROGRESS: c_int = 7;

/// A rank's place in a job.
pub(super) type Communicator = *mut c_void;

/// Declares the functions of NCCL that are called, each once.
macro_rules! functions {
    ($($field:ident: $name:literal => fn($($argument:ty),*),)*) => {
        /// NCCL's functions.
        pub(super) struct Functions {
            $(pub(super) $field: unsafe extern "C" fn($($argument),*) -> c_int,)*
            error_string: unsafe extern "C" fn(c_int) -> *const c_char,
        }

        impl Functions {
            /// Looks them up.
            ///
            /// # Errors
            /// One is missing.
            ///
            /// # Safety
            /// The library is NCCL.
            pub(super) unsafe fn of(library: &Library) -> Result<Self, NcclError> {
                let old = |name: &str| NcclError::Old(name.into());
                // SAFETY: these are the signatures of `nccl.h`, which have been the same since version 2.7.
                unsafe {
                    Ok(Self {
                        $($field: *library.get($name.as_bytes()).map_err(|_| old($name))?,)*
                        error_string: *library
                            .get(b"ncclGetErrorString")
                            .map_err(|_| old("ncclGetErrorString"))?,
                    })
                }
            }
        }
    };
}

functions! {
    version: "ncclGetVersion" => fn(*mut c_int),
    id: "ncclGetUniqueId" => fn(*mut Id),
    join: "ncclCommInitRank" => fn(*mut Communicator, c_int, Id, c_int),
    leave: "ncclCommAbort" => fn(Communicator),
    async_error: "ncclCommGetAsyncError" => fn(Communicator, *mut c_int),
    group_start: "ncclGroupStart" => fn(),
    group_end: "ncclGroupEnd" => fn(),
    send: "ncclSend" => fn(*const c_void, usize, c_int, c_int, Communicator, CUstream),
    receive: "ncclRecv" => fn(*mut c_void, usize, c_int, c_int, Communicator, CUstream),
    broadcast: "ncclBroadcast" => fn(*const c_void, *mut c_void, usize, c_int, c_int, Communicator, CUstream),
}

impl Functions {
    /// # Errors
    /// The code is that of a failure, which NCCL explains.
    pub(super) fn check(&self, call: &'static str, code: c_int) -> Result<(), NcclError> {
        if code == SUCCESS || code == IN_PROGRESS {
            return Ok(());
        }
        // SAFETY: NCCL's texts are static and end with a NUL.
        let reason = unsafe { CStr::from_ptr((self.error_string)(code)) };
        Err(NcclError::Failed { call, reason: reason.to_string_lossy().into_owned() })
    }
}
