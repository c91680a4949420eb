"""Kubernetes: objects as plain data, built by pure functions, and few typed calls. The one border to its client."""
