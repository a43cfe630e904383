"""Tests of `billing.cli`: what each command prints and does."""
