"""Picture files and folders of them, read by Pillow.

paths = image_files(["my_digits"])  # a folder, or any number of files
picture = read_image(paths[0])      # (H, W, 3) uint8 RGB
"""

import math
import os
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from network.cli import notice
from network.files import Problem

# Kinds that are looked for in folders; a file named singly may be of any kind that Pillow reads.
KINDS = "avif bmp gif heic heif ico jfif jp2 jpe jpeg jpg pbm pgm png ppm tif tiff webp"
SUFFIXES = {f".{kind}" for kind in KINDS.split()}
NOT_THEIRS = {"__macosx", "thumbs.db", "desktop.ini", "readings.tsv"}  # what systems leave, truth
MAX_PIXELS = 200_000_000  # the largest phone cameras' pictures
Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow refuses what has more than twice as many
LARGE = 8_000_000  # pixels; transparent pictures, which take more memory, are shrunk to it
# Brands of the container that iPhones write (ISO/IEC 23008-12); AVIF's is another.
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")


def image_files(paths):
    """The files named, and in place of a folder all image files in it and below it, sorted.

    What else lies in a folder is named in one line on standard error.

    Raises:
        Problem: a folder has no image file, or cannot be read.
    """
    found = []
    for path in map(Path, paths):
        # Unlike path.is_dir(), this is false, no error, of what cannot be looked at.
        if not os.path.isdir(path):
            found.append(path)  # whether it is there is found out when it is read
            continue
        inside, others = [], []
        for file in filter(Path.is_file, sorted(path.rglob("*"))):
            parts = [part.lower() for part in file.relative_to(path).parts]
            if not any(part.startswith(".") or part in NOT_THEIRS for part in parts):
                (inside if file.suffix.lower() in SUFFIXES else others).append(file)
        if not inside:
            raise Problem(f"no image files in the folder {path}; put some there or name others")
        if others:
            listed = ", ".join(file.name for file in others[:3])
            more = f" and {len(others) - 3} more" if len(others) > 3 else ""
            notice(f"left out of {path}, no pictures: {listed}{more}")
        found += inside
    return found


def read_image(path):
    """Reads a picture of any kind that Pillow knows, as (H, W, 3) uint8 RGB.

    It is turned as its camera was held. Of more than 8 bits the brightest value becomes 255;
    transparent pictures are laid on white or black; of several frames the last is taken.

    Raises:
        Problem: the file is missing, a folder, empty, no image, cut off, or absurdly large.
    """
    path = Path(path)
    if os.path.isdir(path):
        raise Problem(f"{path} is a folder; name an image file in it")
    try:
        with open(path, "rb") as file:
            start = file.read(12)
    except (FileNotFoundError, ValueError):  # a name with a zero byte is a ValueError
        raise Problem(f"{path} does not exist; check the name") from None
    except OSError as error:
        raise Problem(f"cannot read {path}: {error.strerror or error}; check the file") from None
    if not start:
        raise Problem(f"{path} is empty; copy or save it again")
    if start[4:8] == b"ftyp" and start[8:] in HEIC_BRANDS:
        try:  # to teach Pillow the pictures of iPhones, by a package that need not be there
            from pillow_heif import register_heif_opener
        except ImportError:
            raise Problem(
                f"{path} is a HEIC picture; python -m pip install pillow-heif, or save it as JPEG"
            ) from None
        register_heif_opener()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about sizes
            with Image.open(path) as image:
                return _as_rgb(image)
    except UnidentifiedImageError:
        pass
    except Image.DecompressionBombError:
        raise Problem(
            f"{path} has more than {MAX_PIXELS / 1e6:.0f} million pixels; scale it down"
        ) from None
    # Damaged bytes make decoders raise almost anything, and all of it means the same to the user.
    except Exception as error:
        if "truncated" in str(error).lower():
            raise Problem(f"{path} is cut off; copy or save it again") from None
    raise Problem(f"{path} is no image, or a damaged one; save it as PNG or JPEG")


def _as_rgb(image):
    """An open Pillow image as (H, W, 3) uint8 RGB."""
    # What is drawn before the viewer's eyes, or fades in, is whole in the last frame.
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format in ("GIF", "PNG", "WEBP"):
        image.seek(frames - 1)
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):  # 16 bits and more
        values = np.nan_to_num(np.float32(image), posinf=0, neginf=0).clip(0)
        grey = np.uint8(values * (255 / max(values.max(), 1e-6)))
        return np.repeat(grey[..., None], 3, axis=2)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        factor = math.ceil((image.width * image.height / LARGE) ** 0.5)
        return composite(np.asarray(image.reduce(factor)))
    return np.array(image.convert("RGB"))


def composite(picture):
    """Lays a transparent (H, W, 4) uint8 picture on what leaves its ink visible: (H, W, 3).

    If all that is visible has about one brightness, it is ink, and the paper is what contrasts with
    it, white or black. Else ink and paper are both visible, and what is transparent becomes paper.
    """
    colour, alpha = picture[..., :3], picture[..., 3:] / 255
    grey, weights = colour.mean(2), alpha[..., 0] + 1e-6
    mean = np.average(grey, weights=weights)
    one_colour = np.average(np.abs(grey - mean), weights=weights) < 30
    paper = 255 if (mean < 128) == one_colour else 0
    return np.uint8(colour * alpha + paper * (1 - alpha) + 0.5)


def thumbnail(picture, side=200):
    """A picture made to fit into side×side pixels; smaller ones stay as they are."""
    return shrunk(picture, side / max(picture.shape[:2]))


def shrunk(picture, scale):
    """A picture made smaller by a factor, if that is below 1."""
    if scale >= 1:
        return picture
    size = [max(1, round(side * scale)) for side in picture.shape[1::-1]]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
