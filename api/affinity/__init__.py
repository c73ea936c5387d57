"""Shard affinity between processes: a command is sent to the process that holds its shard's lease, over one WebSocket for each pair.

It is speed only. What certainly was not sent is run here; what was sent and not answered is an unknown outcome, as it is with the store itself.
"""
