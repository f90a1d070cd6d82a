//! Which cores of its host a rank computes on.

use std::io;

use crate::peers::Peers;

/// Shares the cores out that several ranks of a host may use: each keeps to its own from now on, as do the threads
/// that it makes. Where a launcher has given each its own already, they stay; where there are fewer cores than
/// ranks, some have one together. `hosts` are those of the ranks.
///
/// # Errors
/// The system does not say, or does not allow it.
#[cfg(target_os = "linux")]
pub fn take_cores(peers: &(impl Peers + ?Sized), hosts: &[String]) -> io::Result<()> {
    let mut own = own_cores();
    // What a container may use at once can be less than what it may run on.
    if let (Ok(own), Ok(most)) = (&mut own, std::thread::available_parallelism()) {
        own.truncate(most.get());
    }
    // All take part, whatever a system says.
    let told: Vec<u8> = own.iter().flatten().flat_map(|core| core.to_le_bytes()).collect();
    let all = peers.all_gather(&told);
    let own = own?;
    let rank = peers.rank();
    let is_sharer = |other: &usize| all[*other] == all[rank] && hosts[*other] == hosts[rank];
    let sharers: Vec<usize> = (0..peers.size()).filter(is_sharer).collect();
    let number = sharers.iter().filter(|sharer| **sharer < rank).count();
    match sharers.len() {
        1 => Ok(()),
        sharers => keep_to(&share(&own, number, sharers)),
    }
}

/// Others leave it to the system.
#[cfg(not(target_os = "linux"))]
pub fn take_cores(_: &(impl Peers + ?Sized), _: &[String]) -> io::Result<()> {
    Ok(())
}

/// The cores of one of several that share them.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
fn share(cores: &[u32], number: usize, sharers: usize) -> Vec<u32> {
    let own = crate::reduce::segment(number, sharers, cores.len());
    match own.is_empty() {
        true => cores.get(number * cores.len() / sharers).copied().into_iter().collect(),
        false => cores[own].to_vec(),
    }
}

#[cfg(target_os = "linux")]
fn own_cores() -> io::Result<Vec<u32>> {
    // SAFETY: zeros are a set of no cores.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is as large as is said.
    if unsafe { libc::sched_getaffinity(0, size_of_val(&set), &mut set) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let most = libc::CPU_SETSIZE as u32;
    // SAFETY: all of these are within the set.
    Ok((0..most).filter(|core| unsafe { libc::CPU_ISSET(*core as usize, &set) }).collect())
}

#[cfg(target_os = "linux")]
fn keep_to(cores: &[u32]) -> io::Result<()> {
    // SAFETY: zeros are a set of no cores.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for core in cores {
        // SAFETY: it was in such a set.
        unsafe { libc::CPU_SET(*core as usize, &mut set) };
    }
    // SAFETY: the set is as large as is said.
    match unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn each_rank_has_cores_of_its_own_as_far_as_there_are_any() {
        let cores = [2, 3, 5, 8];
        let of = |sharers: usize| -> Vec<Vec<u32>> {
            (0..sharers).map(|number| share(&cores, number, sharers)).collect()
        };
        assert_eq!(of(1), [cores.to_vec()]);
        assert_eq!(of(2), [vec![2, 3], vec![5, 8]]);
        assert_eq!(of(3).concat(), cores);
        assert!(of(8).iter().all(|own| own.len() == 1));
        let mut all = of(8).concat();
        all.dedup();
        assert_eq!(all, cores);
    }
}
