"""The five tables in the application's own database: their shape, every query on them, and what is told from them."""
