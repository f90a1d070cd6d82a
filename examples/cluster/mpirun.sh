#!/usr/bin/env bash
# A run on several machines that a hostfile names, until it is done:
#
#   examples/cluster/mpirun.sh hosts imagenet.ron
#
# A line of the hostfile is `node1 slots=8`: as many ranks as it has GPUs, or one for each of a processor's sockets. The
# program was built with `--features mpi`; it, the experiment, the data and the run's folder are at the same
# place on all machines. `accum_steps` of the experiment is a multiple of all slots together.
#
# A job that has lost a rank ends with its name. It is started again, and goes on from its last checkpoint, five
# times at most.
set -uo pipefail

hostfile=$1 experiment=$2
# Time for a checkpoint after Ctrl-C and SIGTERM, in seconds; without it a rank has one.
export OMPI_MCA_odls_base_sigkill_timeout=120
for attempt in 1 2 3 4 5; do
    mpirun --hostfile "$hostfile" --map-by slot --bind-to none \
        vitral train "$experiment" --resume-if-any
    code=$?
    # Done, wrong usage, or somebody has ended it.
    case $code in 0 | 2 | 129 | 130 | 138 | 143) exit $code ;; esac
    echo "ended with code $code, attempt $attempt" >&2
    sleep 10
done
exit $code
