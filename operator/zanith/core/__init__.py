"""The words everyone uses: errors, risk, statements, the schema graph. Pure: no I/O, no clock, no environment."""
