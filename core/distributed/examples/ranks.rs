//! What `tests/mpi/run` has several ranks do: sums, agreement, and one that is lost.
//!
//!     mpirun -n 4 ranks sums | agree | pause | {kill | stop | panic | fail | late | hang | leave} RANK

use std::{
    process::{Command, ExitCode},
    thread,
    time::Duration,
};

use vitral_distributed::{
    Exchange as _, Limits, Peers as _, Segments, TreeSum, Wire, World, all_gather, all_reduce,
    check_agreement, parts_of, reduce_scatter,
};

const PARTS: usize = 8;
/// More than a bucket, and a multiple of nothing.
const VALUES: usize = 7_000_003;
/// The rank that has other data.
const OTHER: usize = 1;

fn main() -> ExitCode {
    let what = std::env::args().nth(1).unwrap_or_default();
    let limits = match what.as_str() {
        "late" => Limits { late: Duration::from_secs(3), ..Limits::default() },
        _ => Limits { silent: Duration::from_secs(5), ..Limits::default() },
    };
    let world = match World::start(limits, |lost| eprintln!("error: {lost}")) {
        Ok(world) => world,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    match what.as_str() {
        "sums" => sums(&world),
        "agree" => agree(&world),
        "pause" => pause(&world),
        // As an error that is handed on has it.
        "leave" if world.rank() == 1 => return ExitCode::SUCCESS,
        _ => {
            let rank = std::env::args().nth(2).and_then(|rank| rank.parse().ok());
            lose(&world, &what, rank.unwrap_or(0));
        }
    }
    world.finish();
    ExitCode::SUCCESS
}

/// Prints a digest of a sum that must be the same for any number of ranks.
fn sums(world: &World) {
    let own = parts_of(world.rank(), world.size(), PARTS);
    let mut sum = TreeSum::new(PARTS);
    for part in own {
        // The same on every machine, and of a sum that depends on its order.
        let value = |at: usize| {
            let mixed = (part * 7919 + at).wrapping_mul(2_654_435_761) % 1_000_003;
            (mixed as f32 - 5e5) * [1e-6, 1.0, 1e6][mixed % 3]
        };
        sum.add(part, (0..VALUES).map(value).collect());
    }
    let whole = all_reduce(world, &sum, Wire::F32).expect("the rank's own parts");
    let segments = Segments::even(world.size(), VALUES);
    let own = reduce_scatter(world, &sum, &segments, Wire::F32).expect("the rank's own parts");
    assert!(own == whole[segments.of(world.rank())]);
    assert!(all_gather(world, &own, &segments) == whole);
    let digest = whole.iter().fold(0_u64, |digest, value| {
        digest.rotate_left(5).wrapping_mul(0x0100_0000_01b3) ^ u64::from(value.to_bits())
    });
    let mut firsts = digest.to_le_bytes().to_vec();
    world.broadcast(0, &mut firsts);
    assert_eq!(firsts, digest.to_le_bytes(), "ranks have other sums");
    let local: Vec<usize> = world
        .all_gather(&[world.local_rank() as u8])
        .concat()
        .into_iter()
        .map(usize::from)
        .collect();
    assert_eq!(local, (0..world.size()).collect::<Vec<_>>(), "all are on this host");
    if world.rank() == 0 {
        println!("{digest:016x}");
    }
}

fn agree(world: &World) {
    let images = |rank: usize| format!("{} images", 36 - usize::from(rank == OTHER));
    check_agreement(world, &[("version", "1".into())]).expect("all have one version");
    let things = [("version", "1".into()), ("data.train", images(world.rank()))];
    let found = check_agreement(world, &things).expect_err("one has other images");
    if world.rank() == 0 {
        println!("{found}");
    }
}

/// Meets the others, where all are stopped on the way for longer than a rank may be silent, and go on.
fn pause(world: &World) {
    let pid = std::process::id();
    let pausing = format!("kill -STOP {pid} && sleep 8 && kill -CONT {pid}");
    world.barrier();
    let mut pausing = Command::new("sh").args(["-c", &pausing]).spawn().expect("there is `sh`");
    let mut is_paused = true;
    while is_paused {
        is_paused = pausing.try_wait().expect("it was started").is_none();
        thread::sleep(Duration::from_millis(20));
        // All meet until the last one goes on.
        is_paused = world.all_gather(&[u8::from(is_paused)]).concat().contains(&1);
    }
    pausing.wait().expect("it was started");
}

/// Meets the others until one of them is lost.
fn lose(world: &World, how: &str, lost: usize) {
    for meeting in 0.. {
        if world.rank() == lost && meeting == 20 {
            let signal = |name: &str| {
                let pid = std::process::id().to_string();
                Command::new("kill").args([name, &pid]).status().expect("there is `kill`");
            };
            match how {
                "kill" => signal("-KILL"),
                "stop" => signal("-STOP"),
                "panic" => panic!("on purpose"),
                "fail" => world.fail("cannot go on: the disk is full"),
                "late" => thread::sleep(Duration::from_secs(3600)),
                "hang" => {
                    world.begin("computing step 21", Some(Duration::from_secs(3)));
                    thread::sleep(Duration::from_secs(3600));
                }
                _ => world.fail(&format!("does not know what to do for `{how}`")),
            }
        }
        world.barrier();
        thread::sleep(Duration::from_millis(20));
    }
}
