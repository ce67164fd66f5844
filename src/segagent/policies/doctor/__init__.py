"""What a model's coordinates mean, found out by asking it about pictures whose answer is known."""

from segagent.policies.doctor.examination import Diagnosis, examine

__all__ = ["Diagnosis", "examine"]
