"""The strategies compared without a network: the real router over simulated providers, in a time that does not pass."""
