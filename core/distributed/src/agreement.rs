//! What all ranks have to have in common before they start.

use std::fmt;

use crate::peers::Peers;

/// Behind each name and each value, in which it is no character of a text.
const END: char = '\0';

/// What a rank has that is not as rank 0 has it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Disagreement {
    /// What differs, in the order in which it was named: the rank, the thing, what it is there, and what it is
    /// on rank 0.
    pub differences: Vec<(usize, String, String, String)>,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (rank, name, there, first)) in self.differences.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(
                f,
                "{end}rank {rank} has a different {name} from rank 0: {there} instead of {first}"
            )?;
        }
        Ok(())
    }
}

/// Compares named things with those of all ranks: versions, digests, counts, each as a text. All ranks get the same
/// answer.
///
/// # Errors
/// What differs.
pub fn check_agreement<N: AsRef<str>>(
    peers: &(impl Peers + ?Sized),
    things: &[(N, String)],
) -> Result<(), Disagreement> {
    let own: String =
        things.iter().map(|(name, value)| format!("{}{END}{value}{END}", name.as_ref())).collect();
    let all = peers.all_gather(own.as_bytes());
    let all: Vec<Vec<(String, String)>> = all.iter().map(|bytes| read(bytes)).collect();
    let first = &all[0];
    let missing = || "nothing of that name".to_owned();
    let find = |list: &[(String, String)], name: &str| {
        list.iter()
            .find(|(other, _)| other == name)
            .map_or_else(missing, |(_, value)| value.clone())
    };
    let mut differences = Vec::new();
    for (rank, theirs) in all.iter().enumerate() {
        let names = first
            .iter()
            .chain(theirs.iter().filter(|(name, _)| first.iter().all(|(other, _)| other != name)));
        for (name, _) in names {
            let (there, here) = (find(theirs, name), find(first, name));
            if there != here {
                differences.push((rank, name.clone(), there, here));
            }
        }
    }
    if differences.is_empty() { Ok(()) } else { Err(Disagreement { differences }) }
}

fn read(bytes: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(bytes);
    let mut words = text.split(END).map(str::to_owned);
    std::iter::from_fn(|| Some((words.next()?, words.next()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{peers::Exchange as _, threads::ranks};

    #[test]
    fn what_differs_is_named_with_its_rank_on_all_of_them() {
        let things = |rank: usize| {
            let images = if rank == 2 { "35 images" } else { "36 images" };
            let mut things = vec![("version", "1.0".to_owned()), ("data.train", images.to_owned())];
            if rank == 1 {
                things.push(("plugin window", "1.0.0".to_owned()));
            }
            things
        };
        for found in ranks(3, |peers| check_agreement(peers, &things(peers.rank()))) {
            assert_eq!(
                found.unwrap_err().to_string(),
                "rank 1 has a different plugin window from rank 0: 1.0.0 instead of nothing of \
                 that name\n\
                 rank 2 has a different data.train from rank 0: 35 images instead of 36 images"
            );
        }
        let same = ranks(3, |peers| check_agreement(peers, &things(0)));
        assert!(same.iter().all(Result::is_ok));
    }
}
