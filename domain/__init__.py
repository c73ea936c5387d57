"""The write side: commands, deciders, events and the log that keeps them."""
