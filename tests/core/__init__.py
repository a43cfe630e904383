"""Tests of `billing.core`: the figures, over every gateway and database."""
