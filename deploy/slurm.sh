#!/bin/sh
#SBATCH --job-name=mnist-cnn
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=04:00:00
# A search on four nodes of a Slurm cluster:
#
#     sbatch deploy/slurm.sh
#
# The project and its .venv must be on a disk that all nodes share, as home folders are on most
# clusters. First type there
#
#     make setup
#     .venv/bin/uv pip install --python .venv --no-deps --require-hashes -r requirements-cluster.lock
#
# The search runs on the first node. When the job's time is over, submit it again: the same study
# goes on.
set -eu

first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
# Starts Ray on all nodes, runs the command on the first, then stops Ray.
srun .venv/bin/ray symmetric-run \
    --address "$first:6379" --min-nodes "$SLURM_JOB_NUM_NODES" --num-cpus "$SLURM_CPUS_PER_TASK" \
    -- make search WORKERS=ray:64
