"""Broken bytes: whatever a file holds, it is read or refused with a Problem, soon and in bounds.

Seeded, so that a failure can be repeated; the bytes that failed are in the assertion's text.
"""

import gzip
import io
import struct
import subprocess
import sys
import zipfile
import zlib
from functools import partial

import cv2
import numpy as np
import PIL.Image
import pytest
import torch
from conftest import HOME, refusal

from network.files import Problem
from network.mnist import read_idx
from network.model import MyNetwork
from network.photos import read_character
from network.weights import load_network

pytestmark = pytest.mark.filterwarnings("error")

PICTURE = np.full((60, 50, 3), 230, np.uint8)
cv2.line(PICTURE, (20, 10), (30, 50), (20, 20, 20), 4)


def bytes_of(write):
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def pillow(kind, mode="RGB", **options):
    image = PIL.Image.fromarray(PICTURE).convert(mode)
    return bytes_of(lambda file: image.save(file, kind, **options))


def opencv(suffix, picture=PICTURE):
    return cv2.imencode(suffix, picture)[1].tobytes()


MORE = {"save_all": True, "append_images": [PIL.Image.fromarray(255 - PICTURE)]}
IMAGES = {
    "png": opencv(".png"),
    "png, transparent": opencv(".png", np.dstack([PICTURE, PICTURE[..., 0]])),
    "png, 16 bits": opencv(".png", PICTURE.astype(np.uint16) * 257),
    "png, palette": pillow("PNG", "P"),
    "png, animated": pillow("PNG", **MORE),
    "jpeg": opencv(".jpg"),
    "jpeg, progressive": pillow("JPEG", progressive=True),
    "jpeg, CMYK": pillow("JPEG", "CMYK"),
    "gif": pillow("GIF", "P"),
    "gif, animated": pillow("GIF", **MORE),
    "bmp": opencv(".bmp"),
    "tiff": opencv(".tiff"),
    "tiff, float": pillow("TIFF", "F"),
    "tiff, LZW": pillow("TIFF", compression="tiff_lzw"),
    "webp": opencv(".webp"),
    "webp, lossless": pillow("WEBP", lossless=True),
    "pgm": opencv(".pgm", PICTURE[..., 0]),
    "ppm": opencv(".ppm"),
    "pbm": opencv(".pbm", np.where(PICTURE[..., 0] > 99, np.uint8(255), np.uint8(0))),
}


def damaged(content, rng, header=40):
    """The bytes with one kind of damage: flips, a cut, an insertion, zeros, a loss, a header."""
    content = bytearray(content)
    at = int(rng.integers(len(content)))
    few = int(rng.integers(1, 60))
    match rng.integers(6):
        case 0:
            for place in rng.integers(len(content), size=1 + few // 8):
                content[place] = rng.integers(256)
        case 1:
            del content[at:]
        case 2:
            content[at:at] = rng.bytes(few)
        case 3:
            content[at : at + few] = bytes(len(content[at : at + few]))
        case 4:
            del content[at : at + few]
        case 5:
            at = int(rng.integers(min(header, len(content))))
            content[at : at + 4] = rng.bytes(4)
    return bytes(content)


def chunk(kind, body):
    crc = struct.pack(">I", zlib.crc32(kind + body))
    return struct.pack(">I", len(body)) + kind + body + crc


def with_checksums(content):
    """A PNG's checksums made right again, so that the damage gets past them."""
    fixed, at = content[:8], 8
    while at + 12 <= len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        if end > len(content):
            break
        fixed += chunk(content[at + 4 : at + 8], content[at + 8 : end - 4])
        at = end
    return fixed + content[at:]


def read_picture(path):
    """Reads a picture as the programs do, and sees that what comes of it is in order."""
    picture, image, _ = read_character(path)
    assert picture.ndim == 3 and picture.shape[2] == 3 and picture.dtype == np.uint8
    assert image.shape == (28, 28) and image.dtype == np.uint8 and image.max() == 255


def read_items(path, shape=(28, 28)):
    array = read_idx(path, shape)
    assert array.shape[1:] == shape and len(array) and array.dtype == np.uint8


def read_checkpoint(path):
    network, facts = load_network(path)
    for value in network.state_dict().values():
        assert value.isfinite().all() and value.dtype == torch.float32
    assert network(torch.zeros(1, 1, 28, 28)).shape == (1, network.fc2.out_features)
    assert isinstance(facts, dict)


def idx(*shape):
    array = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    return struct.pack(f">i{len(shape)}i", 0x800 + len(shape), *shape) + array.tobytes()


torch.manual_seed(0)
SMALL = MyNetwork(filters=(2, 3), hidden=4, classes=5)
CHECKPOINT = {"state_dict": SMALL.state_dict(), "network": SMALL.sizes, "class_names": ["α"]}
ARRAYS = {name: value.numpy() for name, value in SMALL.state_dict().items()}
# What is damaged: the bytes of a whole file, and what reads them.
FILES = {name: (content, read_picture) for name, content in IMAGES.items()} | {
    "idx images": (idx(5, 28, 28), read_items),
    "idx labels": (idx(40), partial(read_items, shape=())),
    "idx packed": (gzip.compress(idx(5, 28, 28)), read_items),
    "weights": (bytes_of(lambda file: torch.save(CHECKPOINT, file)), read_checkpoint),
    "weights, before torch 1.6": (
        bytes_of(lambda file: torch.save(CHECKPOINT, file, _use_new_zipfile_serialization=False)),
        read_checkpoint,
    ),
    "weights, npz": (bytes_of(lambda file: np.savez(file, **ARRAYS)), read_checkpoint),
}


@pytest.mark.parametrize("kind", FILES)
def test_damaged_files(tmp_path, kind, capfd):
    whole, read = FILES[kind]
    rng = np.random.default_rng(list(kind.encode()))
    path = tmp_path / "file"
    path.write_bytes(whole)
    read(path)
    refused = 0
    count = 120 if read is read_checkpoint else 20 if kind.startswith("png") else 40
    for number in range(count):
        start, end = 0, len(whole)
        if read is read_checkpoint:  # mostly tensors; what says how to read them is near an end
            start, end = [(0, 1500), (end - 1500, end), (0, end)][number % 3]
        content = whole[:start] + damaged(whole[start:end], rng) + whole[end:]
        if content.startswith(b"\x89PNG") and rng.random() < 0.7:
            content = with_checksums(content)
        if kind == "idx packed" and number % 2:  # damage that the packing's checksum does not see
            content = gzip.compress(damaged(idx(5, 28, 28), rng, 16))
        path.write_bytes(content)
        try:
            read(path)
        except Problem as problem:
            assert str(path) in str(problem) and "\n" not in str(problem)
            refused += 1
        except BaseException as error:
            raise AssertionError(f"{type(error).__name__} for the bytes {content!r}") from error
    assert refused > count // 12
    if not kind.startswith("tiff"):  # libtiff has a word of its own on what it reads
        assert capfd.readouterr().err == ""


ONE, STATE = torch.zeros(1), MyNetwork().state_dict()  # of a digit network


@pytest.mark.parametrize(
    "content",
    [
        STATE | {"conv1.weight": ONE.expand(10**9, 1, 5, 5)},  # one number in the file
        STATE | {"conv1.weight": torch.zeros(10**9, 1, 5, 5, device="meta")},  # none
        STATE
        | {
            "conv1.weight": torch.zeros(5000, 1, 5, 5),
            "conv2.weight": torch.zeros(90_000, 1, 1, 1),
        },
        STATE | {"fc2.bias": torch.zeros(10).to_sparse()},
        STATE | {"fc2.bias": torch.zeros(10, dtype=torch.int64)},
        STATE | {"fc2.bias": torch.zeros(10, dtype=torch.complex64)},
        STATE | {"fc2.bias": torch.full((10,), torch.inf)},
        STATE | {"fc2.bias": [0.0] * 10},
        {3: ONE, "conv1.weight": ONE},
        {"state_dict": None},
        *({"network": {"dropout": p}, "state_dict": STATE} for p in (torch.nan, "1", ONE, None)),
        ONE,
        None,
        "weights",
    ],
)
@pytest.mark.filterwarnings("ignore:.*sparse")
def test_weights_that_are_no_digit_networks(tmp_path, content):
    path = tmp_path / "forged.pth"
    torch.save(content, path)
    refusal(load_network, path)


def png(width, height, colour, lines):
    """A PNG of a colour type, 8 bits a channel, with these bytes as its image data."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0))
    image = chunk(b"IDAT", zlib.compress(lines, 1))
    return b"\x89PNG\r\n\x1a\n" + header + image + chunk(b"IEND", b"")


MEGABYTES = 600
READ_AND_WEIGH = """
import resource, sys, time
from pathlib import Path
from network.mnist import read_idx
from network.files import Problem
from network.weights import load_network
from network.pictures import read_image

def most():
    scale = 1 if sys.platform == "darwin" else 1024  # bytes there, else kilobytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6

readers = {".pth": load_network, ".gz": lambda path: read_idx(path, (28, 28))}
for path in sorted(Path(sys.argv[1]).iterdir()):
    before, start = most(), time.perf_counter()
    try:
        readers.get(path.suffix, read_image)(path)
        result = "read"
    except Problem:
        result = "refused"
    print(path.name, result, int(most() - before), round(time.perf_counter() - start))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no way to ask for the most memory used")
def test_small_files_that_speak_of_gigabytes(tmp_path):
    large = struct.pack(">HH", 60_000, 60_000)
    files = {
        "60000.png": png(60_000, 60_000, 2, bytes(100)),
        "real.png": png(6000, 6000, 6, bytes(6000 * (1 + 4 * 6000))),  # 144 MB in truth
        "60000.gif": IMAGES["gif"][:6] + struct.pack("<HH", 60_000, 60_000) + IMAGES["gif"][10:],
        "30000.ppm": b"P6 30000 30000 255\n" + bytes(100),
        "30000.bmp": IMAGES["bmp"][:18] + struct.pack("<ii", 30_000, 30_000) + IMAGES["bmp"][26:],
        "60000.jpg": IMAGES["jpeg"].replace(struct.pack(">HH", 60, 50), large),
        "idx.gz": 8 * gzip.compress(bytes(100_000_000), 1),  # members of one file: 800 MB
    }
    assert files["60000.jpg"] != IMAGES["jpeg"]
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    saved = io.BytesIO(bytes_of(lambda file: torch.save({"state_dict": torch.zeros(10_000)}, file)))
    with (
        zipfile.ZipFile(saved) as archive,
        zipfile.ZipFile(tmp_path / "packed.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in archive.namelist():
            content = bytes(700_000_000) if name.endswith("data/0") else archive.read(name)
            packed.writestr(name, content, compresslevel=1)
    command = [sys.executable, "-c", READ_AND_WEIGH, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, cwd=HOME, check=True)
    assert done.stderr == ""
    found = [line.split() for line in done.stdout.splitlines()]
    assert len(found) == len(files) + 1
    for name, result, megabytes, seconds in found:
        assert result == ("read" if name == "real.png" else "refused"), name
        assert int(megabytes) < MEGABYTES and int(seconds) < 60, (name, megabytes, seconds)
