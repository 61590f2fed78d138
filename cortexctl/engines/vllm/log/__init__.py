"""Reads the lines of a log: the messages without everything that daemons, collectors and loggers put before them."""
