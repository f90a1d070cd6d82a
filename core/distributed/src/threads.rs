//! Ranks that are threads of one process, for tests.

use std::{
    sync::{Arc, Barrier, Mutex, PoisonError},
    thread,
};

use crate::peers::{Exchange, Peers};

/// What the ranks have put down for each other.
struct Table {
    barrier: Barrier,
    bytes: Mutex<Vec<Vec<u8>>>,
    /// What each rank has for each other one.
    values: Mutex<Vec<Vec<Vec<f32>>>>,
}

/// One of the ranks.
#[derive(Clone)]
pub struct Rank {
    rank: usize,
    size: usize,
    table: Arc<Table>,
    /// That of other threads of these ranks.
    beside: Option<Arc<Table>>,
}

/// Has all ranks of a job do something at the same time, and gives what came of it.
///
/// # Panics
/// One of them does.
pub fn ranks<R: Send>(size: usize, act: impl Fn(&Rank) -> R + Sync) -> Vec<R> {
    let table = || {
        Arc::new(Table {
            barrier: Barrier::new(size),
            bytes: Mutex::new(vec![Vec::new(); size]),
            values: Mutex::new(vec![Vec::new(); size]),
        })
    };
    let (act, table, beside) = (&act, table(), table());
    thread::scope(|scope| {
        let start = |rank| {
            let (table, beside) = (Arc::clone(&table), Some(Arc::clone(&beside)));
            let own = Rank { rank, size, table, beside };
            scope.spawn(move || act(&own))
        };
        let all: Vec<_> = (0..size).map(start).collect();
        let ended = all.into_iter().map(|rank| rank.join());
        ended.map(|ended| ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

impl Rank {
    fn exchange(&self, own: Vec<Vec<f32>>) -> Vec<f32> {
        put(&self.table.values, self.rank, own);
        self.table.barrier.wait();
        let all = all_of(&self.table.values);
        self.table.barrier.wait();
        all.into_iter().flat_map(|mut of_rank| of_rank.swap_remove(self.rank)).collect()
    }
}

fn put<T>(table: &Mutex<Vec<T>>, rank: usize, own: T) {
    table.lock().unwrap_or_else(PoisonError::into_inner)[rank] = own;
}

fn all_of<T: Clone>(table: &Mutex<Vec<T>>) -> Vec<T> {
    table.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

impl Exchange for Rank {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
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

impl Peers for Rank {
    fn beside(&self) -> Option<Arc<dyn Exchange + Send + Sync>> {
        let table = Arc::clone(self.beside.as_ref()?);
        Some(Arc::new(Self { table, beside: None, ..*self }))
    }

    fn barrier(&self) {
        self.table.barrier.wait();
    }

    fn broadcast(&self, from: usize, bytes: &mut Vec<u8>) {
        *bytes = self.all_gather(bytes).swap_remove(from);
    }

    fn all_gather(&self, own: &[u8]) -> Vec<Vec<u8>> {
        put(&self.table.bytes, self.rank, own.to_vec());
        self.barrier();
        let all = all_of(&self.table.bytes);
        self.barrier();
        all
    }
}
