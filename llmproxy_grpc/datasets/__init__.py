"""Records as lines of datasets: pure code, which knows neither stores nor sockets.

    Example ──► conversation.turns ──► formats/* ──► one line, or why there is none
                                                        └──► redaction ──► a line that may leave

The ingester writes the OPENAI_CHAT line of a record when it stores it; an export sends such lines as they are where its
options ask for nothing else, and renders the rest.
"""
