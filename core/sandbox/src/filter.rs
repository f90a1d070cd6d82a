//! The filter of Linux that a thread puts before its calls.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp,
    SeccompCondition, SeccompFilter, SeccompRule, apply_filter,
};

use SeccompCmpArgLen::{Dword, Qword};

use crate::Leave;
use crate::calls::{COMPUTE, READ, READ_OLD};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// `PAGEMAP_SCAN` of `linux/fs.h`: which pages were written to. wasmtime asks for it to clear no others.
const PAGEMAP_SCAN: u64 = 0xc060_6610;

pub(crate) fn apply(leave: Leave) -> Result<(), Error> {
    let rules = rules(leave).map_err(Error::Backend)?;
    let arch = std::env::consts::ARCH.try_into().map_err(Error::Backend)?;
    // An error, as of a system that lacks the call, so that whoever can do without does.
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    let filter = SeccompFilter::new(rules, refuse, SeccompAction::Allow, arch);
    let program = filter.and_then(BpfProgram::try_from).map_err(Error::Backend)?;
    apply_filter(&program)
}

/// What is let through. Flags are an `int`, whose upper half in a register means nothing.
fn rules(leave: Leave) -> Result<Rules, BackendError> {
    let mut rules: Rules = COMPUTE.iter().map(|&call| (call, Vec::new())).collect();
    // Limits can be asked for, and not be set: the third argument is the new one.
    rules.insert(libc::SYS_prlimit64, only_if(2, Qword, SeccompCmpOp::Eq, 0)?);
    if leave == Leave::ReadAndCompute {
        rules.extend([READ, READ_OLD].concat().iter().map(|&call| (call, Vec::new())));
        // What would write has another way of access, or makes or empties a file.
        let changes = (libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC) as u64;
        let reads = SeccompCmpOp::MaskedEq(changes);
        rules.insert(libc::SYS_openat, only_if(2, Dword, reads.clone(), libc::O_RDONLY as u64)?);
        #[cfg(target_arch = "x86_64")]
        rules.insert(libc::SYS_open, only_if(1, Dword, reads, libc::O_RDONLY as u64)?);
        rules.insert(libc::SYS_ioctl, only_if(1, Dword, SeccompCmpOp::Eq, PAGEMAP_SCAN)?);
    }
    Ok(rules)
}

/// Lets a call through whose argument, counted from 0, compares so.
fn only_if(
    argument: u8,
    length: SeccompCmpArgLen,
    how: SeccompCmpOp,
    with: u64,
) -> Result<Vec<SeccompRule>, BackendError> {
    let condition = SeccompCondition::new(argument, length, how, with)?;
    Ok(vec![SeccompRule::new(vec![condition])?])
}
