"""What the programs share."""

import os

# The largest phone cameras' pictures, in pixels. OpenCV reads it when it is imported; else a file
# of a few bytes whose header says so gets gigabytes of memory.
MAX_PIXELS = 200_000_000
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PIXELS))
