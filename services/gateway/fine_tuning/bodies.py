"""Fine-tuning jobs and their checkpoints, as answers of the API show them."""

from __future__ import annotations

from typing import Any

from services.database.tables import Checkpoint, Job


def tuning_body(job: Job) -> dict[str, Any]:
    """OpenAI's `fine_tuning.job`. Fields of our own: stage, progress, ETA and reason, and `asked`, the number of the
    gate's questions by where they come from.
    """
    asked, made = job.request, job.result
    failed = job.status == "failed"
    error = {"code": "job_failed", "message": job.reason or "", "param": None} if failed else None
    hyperparameters, method = asked["hyperparameters"], asked.get("method", "supervised")
    finish = job.heartbeat_at.timestamp() + job.eta_seconds if job.eta_seconds and job.heartbeat_at else None
    return {
        "id": job.id,
        "object": "fine_tuning.job",
        "created_at": int(job.created_at.timestamp()),
        "finished_at": int(job.finished_at.timestamp()) if job.finished_at else None,
        "model": asked["model"],
        "fine_tuned_model": made.get("version"),
        "organization_id": job.workspace_id,
        "result_files": made.get("result_files", []),
        "status": job.status,
        "training_file": asked["training_file"],
        "validation_file": asked.get("validation_file"),
        "trained_tokens": made.get("trained_tokens"),
        "hyperparameters": hyperparameters,
        "method": {"type": method, method: {"hyperparameters": hyperparameters}},
        "seed": asked["seed"],
        "metadata": asked.get("metadata"),
        "integrations": [],
        "error": error,
        "estimated_finish": int(finish) if finish and job.status == "running" else None,
        "stage": job.stage,
        "progress": round(job.progress, 4),
        "eta_seconds": job.eta_seconds,
        "reason": job.reason,
        "live": made.get("live"),
        "asked": made.get("asked"),
    }


def checkpoint_body(checkpoint: Checkpoint, job: Job) -> dict[str, Any]:
    """OpenAI's `fine_tuning.job.checkpoint`. A run can continue from it, but its name does not answer questions."""
    measured, asked = checkpoint.metrics, job.request
    base = asked["model"].split(":")[1] if asked.get("from_version") else asked["model"]
    return {
        "id": checkpoint.id,
        "object": "fine_tuning.job.checkpoint",
        "created_at": int(checkpoint.created_at.timestamp()),
        "fine_tuning_job_id": job.id,
        "fine_tuned_model_checkpoint": f"ft:{base}:{asked['suffix']}:{job.id}:ckpt-step-{checkpoint.step}",
        "step_number": checkpoint.step,
        "metrics": {
            "step": checkpoint.step,
            "train_loss": measured["train_loss"],
            "train_mean_token_accuracy": measured["train_accuracy"],
            "valid_loss": measured["valid_loss"],
            "valid_mean_token_accuracy": measured["valid_accuracy"],
        },
    }
