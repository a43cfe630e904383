"""What the tests start: one file for each kind of server."""
