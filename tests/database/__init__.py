"""Tests of `billing.database`: connections, tables, drivers, replicas."""
