"""The orders in which a route's targets are tried: one file a strategy, and the table that names them."""
