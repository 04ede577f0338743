"""Where a call goes: models, targets, and the loop of attempts."""
