"""Tests of the image of the Dockerfile, built and run; `make image-test`."""
