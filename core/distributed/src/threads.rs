//! Ranks that are threads of one process, for tests.

use std::{
    sync::{Barrier, Mutex},
    thread,
};

use crate::peers::Peers;

/// What the ranks have put down for each other.
struct Table {
    barrier: Barrier,
    bytes: Mutex<Vec<Vec<u8>>>,
    /// What each rank has for each other one.
    values: Mutex<Vec<Vec<Vec<f32>>>>,
}

/// One of the ranks.
pub(crate) struct Rank<'a> {
    rank: usize,
    size: usize,
    table: &'a Table,
}

/// Has all ranks of a job do something at the same time, and gives what came of it.
pub(crate) fn ranks<R: Send>(size: usize, act: impl Fn(&Rank<'_>) -> R + Sync) -> Vec<R> {
    let table = Table {
        barrier: Barrier::new(size),
        bytes: Mutex::new(vec![Vec::new(); size]),
        values: Mutex::new(vec![Vec::new(); size]),
    };
    let (table, act) = (&table, &act);
    thread::scope(|scope| {
        let start = |rank| scope.spawn(move || act(&Rank { rank, size, table }));
        let all: Vec<_> = (0..size).map(start).collect();
        all.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

impl Rank<'_> {
    fn exchange(&self, own: Vec<Vec<f32>>) -> Vec<f32> {
        self.table.values.lock().unwrap()[self.rank] = own;
        self.barrier();
        let all = self.table.values.lock().unwrap().clone();
        self.barrier();
        all.into_iter().flat_map(|mut of_rank| of_rank.swap_remove(self.rank)).collect()
    }
}

impl Peers for Rank<'_> {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn barrier(&self) {
        self.table.barrier.wait();
    }

    fn broadcast(&self, from: usize, bytes: &mut Vec<u8>) {
        *bytes = self.all_gather(bytes).swap_remove(from);
    }

    fn all_gather(&self, own: &[u8]) -> Vec<Vec<u8>> {
        self.table.bytes.lock().unwrap()[self.rank] = own.to_vec();
        self.barrier();
        let all = self.table.bytes.lock().unwrap().clone();
        self.barrier();
        all
    }

    fn all_to_all(&self, send: &[f32], counts: &[usize], from: &[usize]) -> Vec<f32> {
        assert_eq!(send.len(), counts.iter().sum::<usize>());
        let mut rest = send;
        let own = counts.iter().map(|count| {
            let (one, others) = rest.split_at(*count);
            rest = others;
            one.to_vec()
        });
        let received = self.exchange(own.collect());
        assert_eq!(received.len(), from.iter().sum::<usize>());
        received
    }

    fn all_gather_values(&self, own: &[f32], counts: &[usize]) -> Vec<f32> {
        assert_eq!(own.len(), counts[self.rank]);
        let gathered = self.exchange(vec![own.to_vec(); self.size]);
        assert_eq!(gathered.len(), counts.iter().sum::<usize>());
        gathered
    }
}
