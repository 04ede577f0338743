"""What surrounds every call, from the outside in: one interceptor a file."""
