#!/usr/bin/env bash
# `recstack train` on several nodes, as one training; the folder it is submitted from is shared by all nodes.
#
#   sbatch --nodes=2 deploy/training/slurm.sh --config recstack.toml
#
#SBATCH --job-name=recstack-train
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --requeue
set -euo pipefail

# One worker a node. A training that is ended by the scheduler goes on from its last checkpoint when it is queued again.
WORKERS=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed 's/.*/"&:2222"/' | paste -sd,)
export WORKERS
exec srun bash -euc '
    task="{\"type\": \"worker\", \"index\": $SLURM_PROCID}"
    export TF_CONFIG="{\"cluster\": {\"worker\": [$WORKERS]}, \"task\": $task}"
    exec recstack train "$@" --strategy multi_worker_mirrored
' recstack-train "$@"
