"""The tests; `tests.servers` starts the real servers that they speak to."""
