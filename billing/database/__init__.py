"""How tables are read and written; knows no Flask and no settings."""
