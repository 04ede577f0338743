"""Hides personal data and secrets in lines that are about to leave, as far as patterns find them."""

from llmproxy_grpc.datasets.redaction.detectors import CLASSES
from llmproxy_grpc.datasets.redaction.redactor import Redacted, RedactionMode, Redactor

__all__ = ["CLASSES", "Redacted", "RedactionMode", "Redactor"]
