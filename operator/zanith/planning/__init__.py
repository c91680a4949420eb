"""Spec + graph + live facts -> Plan. Pure: the same input gives the same plan and the same hash."""
