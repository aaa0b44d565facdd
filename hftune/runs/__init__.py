"""Run directories: the one thing that everything downstream of training reads.

layout (names of files), events (kinds and fields), state, writer, reader, lock, launch.
"""
