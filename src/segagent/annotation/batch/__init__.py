"""Whole data sets: audit, refine and annotate them into a run folder that outlives every crash."""

from segagent.annotation.batch.accept import Decision, decide
from segagent.annotation.batch.choosing import Only
from segagent.annotation.batch.config import Job, RunConfig
from segagent.annotation.batch.folder import Run, guidelines_of, open_run
from segagent.annotation.batch.likely_error import ERROR_LABELS, LikelyError, audit_score, likely_error
from segagent.annotation.batch.models import Models, make_models
from segagent.annotation.batch.records import ObjectRecord
from segagent.annotation.batch.run import run_job
from segagent.annotation.batch.summary import summarise_run, unfinished, warnings_of
from segagent.core.budget import Budget
from segagent.runs.progress import Progress

__all__ = [
    "ERROR_LABELS",
    "Budget",
    "Decision",
    "Job",
    "LikelyError",
    "Models",
    "ObjectRecord",
    "Only",
    "Progress",
    "Run",
    "RunConfig",
    "audit_score",
    "decide",
    "guidelines_of",
    "likely_error",
    "make_models",
    "open_run",
    "run_job",
    "summarise_run",
    "unfinished",
    "warnings_of",
]
