"""What surrounds every call, from the outside in: one async context manager a file."""
