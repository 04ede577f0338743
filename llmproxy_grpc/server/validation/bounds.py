"""The table of what is too much: generous, so that providers' own limits decide and this one only guards the proxy.

Lengths are in characters, durations in seconds. The size of a whole message is the server's limit
(`grpc.max_receive_bytes`), so text that goes to the model has no bound of its own.
"""

from typing import NamedTuple


class Range(NamedTuple):
    """From the smallest to the largest value that is allowed, both included."""

    low: float
    high: float


# How much an answer to a wrong request says: the whole Status has to stay under 4 KiB.
MAX_VIOLATIONS = 50
MAX_VIOLATION_BYTES = 2560
MAX_SHOWN_KEY = 40

# Names.
MAX_MODEL = 256
MAX_PROVIDER = 128
MAX_NAME = 128
MAX_ID = 256
MAX_IDEMPOTENCY_KEY = 128

# The conversation.
MAX_MESSAGES = 10_000
MAX_PARTS = 20_000
MAX_URI = 8192
MAX_FILE_ID = 512
MAX_MEDIA_TYPE = 255
MAX_FILENAME = 255
CACHE_TTL = Range(1, 30 * 86_400)

# All parts of a request together: each takes some microseconds, and as few as two bytes.
MAX_CITATIONS = 10_000

# JSON: values in all Structs of a request together, and characters in one schema.
MAX_STRUCT_VALUES = 20_000
MAX_SCHEMA = 1_048_576

# Tools.
MAX_TOOLS = 1024

# Generation. What a provider allows may be less; it says so itself.
NUMBERS = {
    "max_output_tokens": Range(1, 2**31 - 1),
    "temperature": Range(0, 2),
    "top_p": Range(0, 1),
    "top_k": Range(0, 2**31 - 1),
    "presence_penalty": Range(-2, 2),
    "frequency_penalty": Range(-2, 2),
    "candidate_count": Range(1, 128),
    "top_logprobs": Range(0, 20),
}
MAX_STOP_SEQUENCES = 16
MAX_STOP_SEQUENCE = 1024
MAX_LOGIT_BIASES = 10_000
LOGIT_BIAS = Range(-100, 100)
MAX_MODALITIES = 16

# Vectors.
MAX_INPUTS = 4096
DIMENSIONS = Range(1, 16_384)

# The call.
MAX_LABELS = 16
MAX_LABEL_KEY = 64
MAX_LABEL_VALUE = 256
MAX_PROVIDER_OPTIONS = 32
MAX_PROVIDERS = 64
MAX_FALLBACK_MODELS = 16
ATTEMPT_TIMEOUT = Range(0.001, 86_400)

# Feedback.
MAX_COMMENT = 65_536

# The stream.
COALESCE = Range(0, 10)
HEARTBEAT = Range(0.1, 3600)

# Exports.
MAX_FILTER_VALUES = 10_000
MAX_CONDITIONS = 64  # on labels, judgements and numbers
MAX_SOUGHT_TEXTS = 64
MAX_SOUGHT_TEXT = 4096
MAX_PLAN_ID = 128
MAX_RESUME_TOKEN = 8192
# Few exports run at a time: one that trickles would keep the place of others without end.
EXPORT_BYTES_PER_SECOND = Range(65_536, 2**40)
