"""The steps of a delivery's life: each reads, composes pure functions, writes, and can be repeated at any time."""
