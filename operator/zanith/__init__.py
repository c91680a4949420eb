"""Zanith: history-as-data schema migrations for PostgreSQL on Kubernetes."""

__version__ = "0.1.0"
