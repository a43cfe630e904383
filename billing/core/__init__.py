"""What the figures are; knows no HTTP and no terminal."""

# Before a module of this package imports Peewee: with it come no drivers.
from billing import database as database
