"""What holds for every suite: generated examples have no deadline of their own.

A machine that runs the suites beside other work is slow for moments; a test that hangs is ended by its time limit.
"""

from hypothesis import settings

settings.register_profile("suite", deadline=None)
settings.load_profile("suite")
