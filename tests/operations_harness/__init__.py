"""The harness every operation kind goes through: cases as data, and what is done with each on a real PostgreSQL."""
