//! Ranks on NVIDIA GPUs, connected by NCCL where all of them can be.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use vitral_burn::nccl::{Gpu, Gpus, Id, Nccl, NcclError, gpu_of};
use vitral_model::device::is_cpu;

use super::*;

/// How long others wait for a rank that joins them: NCCL looks for ways between all GPUs.
const JOINING: Duration = Duration::from_secs(180);

/// How long a first exchange may take, of a few bytes.
const TRYING: Duration = Duration::from_secs(60);

impl DeviceExchange for Gpus {
    fn rank(&self) -> usize {
        self.rank()
    }

    fn size(&self) -> usize {
        self.size()
    }

    fn all_to_all(
        &self,
        send: Tensor<1>,
        counts: &[usize],
        from: &[usize],
    ) -> Result<Tensor<1>, String> {
        self.all_to_all(send, counts, from).map_err(|error| error.to_string())
    }

    fn all_gather(&self, own: Tensor<1>, counts: &[usize]) -> Result<Tensor<1>, String> {
        self.all_gather(own, counts).map_err(|error| error.to_string())
    }
}

/// What a rank has to exchange values by.
#[derive(Clone, Serialize, Deserialize)]
struct Found {
    /// What tells its GPU from any other; none if it is not NVIDIA's.
    gpu: Option<String>,
    /// NCCL's version, or why there is none.
    nccl: Result<String, String>,
}

pub(crate) fn connect(ranks: &Ranks, device: &Device) -> Result<Connection, Error> {
    if ranks.size() < 2 {
        return Ok((None, None));
    }
    let failed = |error: NcclError| Error::Message(error.to_string());
    let number = (!is_cpu(device)).then(|| gpu_of(Tensor::zeros([1], device))).flatten();
    let gpu = ranks.all_succeed(number.map(Gpu::open).transpose().map_err(failed))?;
    let nccl = Nccl::open().and_then(|nccl| Ok((nccl.version()?, nccl)));
    let found = Found {
        gpu: gpu.as_ref().map(|gpu| gpu.uuid.clone()),
        nccl: nccl.as_ref().map(|(version, _)| version.clone()).map_err(ToString::to_string),
    };
    let all = ranks.gather(found)?;
    if all.iter().all(|found| found.gpu.is_none()) {
        return Ok((None, None));
    }
    if let Some(reason) = obstacle(ranks, &all) {
        let told = format!(
            "warning: gradients are exchanged through the memory of hosts, which is slower than from GPU to GPU: \
             {reason}"
        );
        return Ok((None, Some(told)));
    }
    let (Ok((version, nccl)), Some(gpu)) = (nccl, gpu) else {
        return Err(Error::Message("ranks do not agree on what they have".into()));
    };
    let id = ranks.is_first().then(|| nccl.id().map(|id| id.0.to_vec())).transpose();
    let id = ranks.all_succeed(id.map_err(failed))?;
    let id: Vec<u8> = ranks.decide(id.unwrap_or_default())?;
    let id = <[u8; Id::BYTES]>::try_from(id)
        .map_err(|_| Error::Message("the first rank's NCCL identifier has another size".into()));
    let id = ranks.all_succeed(id)?;
    // One that cannot join leaves the others within NCCL, from where they do not come back.
    ranks.begin(format_args!("joining the other ranks by NCCL"), Some(JOINING));
    let joined = nccl.join(Id(id), ranks.rank(), ranks.size(), gpu).map_err(failed);
    if let Err(error) = &joined {
        tracing::error!("{} cannot join the other ranks: {error}", ranks.name(ranks.rank()));
    }
    let gpus = ranks.all_succeed(joined)?;
    ranks.all_succeed(gpus.within(TRYING, |gpus| try_out(gpus, device)))?;
    ranks.begin(format_args!("starting"), None);
    Ok((Some(Rc::new(gpus)), Some(format!("gradients are exchanged by NCCL {version}"))))
}

/// Why ranks cannot exchange values by NCCL, in a sentence that is the same on all of them.
fn obstacle(ranks: &Ranks, all: &[Found]) -> Option<String> {
    for (rank, found) in all.iter().enumerate() {
        let name = ranks.name(rank);
        if found.gpu.is_none() {
            return Some(format!("{name} does not train on an NVIDIA GPU"));
        }
        match (&found.nccl, &all[0].nccl) {
            (Err(missing), _) => return Some(format!("on {name}: {missing}")),
            (Ok(own), Ok(first)) if own != first => {
                return Some(format!("{name} has NCCL {own}, and {} {first}", ranks.name(0)));
            }
            _ => {}
        }
        if all[..rank].iter().any(|other| other.gpu == found.gpu) {
            return Some(format!(
                "{name} shares its GPU with another rank, which NCCL does not allow; start one rank for each GPU"
            ));
        }
    }
    None
}

/// Has ranks tell each other their numbers, so that a connection that brings something else is found before the
/// first step.
fn try_out(gpus: &Gpus, device: &Device) -> Result<(), Error> {
    let of_rank = |count| Tensor::<1>::from_floats(&vec![gpus.rank() as f32; count][..], device);
    let counts = vec![1; gpus.size()];
    let failed = |error: NcclError| Error::Message(error.to_string());
    let sent = gpus.all_to_all(of_rank(gpus.size()), &counts, &counts).map_err(failed)?;
    let gathered = gpus.all_gather(of_rank(1), &counts).map_err(failed)?;
    for found in [sent, gathered] {
        let found = crate::flat::values_of(&found)?;
        let expected: Vec<f32> = (0..gpus.size()).map(|rank| rank as f32).collect();
        if found != expected {
            return Err(Error::Message(format!(
                "NCCL brought {found:?} where ranks sent {expected:?}: set NCCL_DEBUG=INFO to see how it connects \
                 the GPUs"
            )));
        }
    }
    Ok(())
}
