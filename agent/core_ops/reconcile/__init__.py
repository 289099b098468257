"""The pure core: values in, values out. Nothing here performs I/O, reads a clock, logs or draws a random number."""
