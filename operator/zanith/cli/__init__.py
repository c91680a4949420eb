"""`zanith migrate ...` and `zanith recover ...`: the same manifests on a DSN, no Kubernetes needed."""
