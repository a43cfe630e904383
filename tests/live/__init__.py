"""Tests that speak only HTTP, and process signals, to real servers."""
