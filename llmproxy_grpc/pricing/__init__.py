"""What calls cost: the price table that ships, what the operator puts over it, and the arithmetic."""
