"""Judges SQL that somebody wrote, statement by statement: locks, work, risks, and the schema it leaves behind.

Pure: a parse tree and what is known of the database in, a verdict out. The rules are those of the typed kinds; what
each statement locks and rewrites is held against PostgreSQL 15 and 18 by `tests/integration/test_classifier_corpus.py`.

What cannot be seen into, and what these rules do not know, is rated high and said to be so: they fail closed.
"""
