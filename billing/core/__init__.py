"""What the figures are; knows no HTTP and no terminal."""
