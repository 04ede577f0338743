"""What operators see: metrics and logs, as observers of calls."""
