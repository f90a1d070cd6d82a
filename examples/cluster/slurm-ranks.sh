#!/usr/bin/env bash
# A run in several tasks of SLURM, one for each GPU, that goes on until it is done:
#
#   sbatch examples/cluster/slurm-ranks.sh imagenet.ron
#
# The program was built with `--features mpi`, against an MPI that this SLURM can start (`srun --mpi=list`).
# `accum_steps` of the experiment is a multiple of the number of tasks. Two minutes before its time is over, SLURM
# sends SIGUSR1 to all tasks: the run writes a checkpoint and ends, and the job is put into the queue again. So it is
# if a node fails, or another job takes its place.
#SBATCH --job-name=vitral
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=12
#SBATCH --time=04:00:00
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -uo pipefail

srun --mpi=pmix --cpus-per-task="$SLURM_CPUS_PER_TASK" vitral train "$1" --resume-if-any
code=$?
# 128 and the number of SIGUSR1.
[ $code -eq 138 ] && exec scontrol requeue "$SLURM_JOB_ID"
exit $code
