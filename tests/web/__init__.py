"""Tests of `billing.web`: requests in, bodies and headers out, without a server."""
