"""Tests of the client, run with `python3 -m unittest` in the folder above. They speak over real sockets."""
