"""What the service costs and takes, measured beside other programs."""
