#!/usr/bin/env bash
# A run as a job of SLURM that is ended and goes on until it is done:
#
#   sbatch examples/cluster/slurm.sh imagenet.ron
#
# One task with all cores of a node; slurm-ranks.sh has several. Two minutes before its time is over, SLURM
# sends SIGUSR1: the run writes a checkpoint and ends, and the job is put into the queue again. So it is if its
# node fails, or another job takes its place.
#SBATCH --job-name=vitral
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=16
#SBATCH --time=04:00:00
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -uo pipefail

srun --cpus-per-task="$SLURM_CPUS_PER_TASK" vitral train "$1" --resume-if-any
code=$?
# 128 and the number of SIGUSR1.
[ $code -eq 138 ] && exec scontrol requeue "$SLURM_JOB_ID"
exit $code
