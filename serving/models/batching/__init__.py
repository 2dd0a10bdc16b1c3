"""Batching: runs concurrent calls of one signature as one batch, by TensorFlow Serving's rules.

Handing a call over between Python threads costs about as much as a small model's whole run, so batching pays only where
a run is expensive (a large model, a GPU). Off by default, as in the real server.
"""
