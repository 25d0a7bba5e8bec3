"""The subject: the model under test, as local weights or as a remote server, behind one small protocol."""

from evaluator.subject.protocol import Scored, Subject

__all__ = ["Scored", "Subject"]
