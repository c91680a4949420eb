"""One file per family of operations, one frozen class per kind: the whole story of that kind."""
