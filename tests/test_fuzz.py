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

import cv2
import numpy as np
import PIL.Image
import pytest
import torch
from conftest import HOME

from network.datasets import read_idx
from network.files import Problem
from network.model import MyNetwork
from network.photos import read_character
from network.weights import load_network

pytestmark = pytest.mark.filterwarnings("error")

PICTURE = np.full((60, 50, 3), 230, np.uint8)
cv2.line(PICTURE, (20, 10), (30, 50), (20, 20, 20), 4)


def pillow(kind, mode="RGB", **options):
    file = io.BytesIO()
    PIL.Image.fromarray(PICTURE).convert(mode).save(file, kind, **options)
    return file.getvalue()


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
    "tiff, float": opencv(".tiff", np.float32(PICTURE) / 255),
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


def with_checksums(content):
    """A PNG's checksums made right again, so that the damage gets past them."""
    fixed, at = content[:8], 8
    while at + 12 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        if at + 12 + length > len(content):
            break
        body = content[at + 4 : at + 8 + length]
        fixed += content[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + length
    return fixed + content[at:]


def outcome(read, path, content):
    """What `read` makes of a file of these bytes; None where it refuses them in one line."""
    path.write_bytes(content)
    try:
        return read(path)
    except Problem as problem:
        assert str(path) in str(problem) and "\n" not in str(problem)
        return None
    except BaseException as error:
        raise AssertionError(f"{type(error).__name__} for the bytes {content!r}") from error


@pytest.mark.parametrize("kind", IMAGES)
def test_images(tmp_path, kind, capfd):
    rng = np.random.default_rng(list(kind.encode()))
    path = tmp_path / "picture"
    assert outcome(read_character, path, IMAGES[kind]) is not None
    refused = 0
    for _ in range(60 if kind.startswith("png") else 200):  # a PNG of few bytes can be large
        content = damaged(IMAGES[kind], rng)
        if content.startswith(b"\x89PNG") and rng.random() < 0.7:
            content = with_checksums(content)
        result = outcome(read_character, path, content)
        if result is None:
            refused += 1
            continue
        picture, image = result
        assert picture.ndim == 3 and picture.shape[2] == 3 and picture.dtype == np.uint8
        assert image.shape == (28, 28) and image.dtype == np.uint8 and image.max() == 255
    assert refused > 10
    assert capfd.readouterr().err == ""  # decoders' own words are kept away


def idx(array):
    header = struct.pack(f">i{array.ndim}i", 0x800 + array.ndim, *array.shape)
    return header + array.tobytes()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("shape", [(5, 28, 28), (40,)])
def test_idx_files(tmp_path, shape, packed):
    rng = np.random.default_rng(len(shape))
    array = rng.integers(0, 256, shape).astype(np.uint8)
    pack = gzip.compress if packed else bytes
    name = tmp_path / "idx"
    path = tmp_path / ("idx.gz" if packed else "idx")

    def read(_):
        return read_idx(name, shape[1:])

    path.write_bytes(pack(idx(array)))
    np.testing.assert_array_equal(read(name), array)
    refused = 0
    for number in range(400):
        # Damage to what was packed gets past the checksum of the packing.
        inside = number % 2 == 0
        content = pack(damaged(idx(array), rng, 16)) if inside else damaged(pack(idx(array)), rng)
        try:
            path.write_bytes(content)
            result = read(name)
        except Problem as problem:
            assert str(path) in str(problem) and "\n" not in str(problem)
            refused += 1
        else:
            assert result.shape[1:] == shape[1:] and len(result) and result.dtype == np.uint8
    assert refused > 100


def checkpoints():
    torch.manual_seed(0)
    small = MyNetwork(filters=(2, 3), hidden=4, classes=5)
    new, old = io.BytesIO(), io.BytesIO()
    content = {"state_dict": small.state_dict(), "network": small.sizes, "class_names": ["α"]}
    torch.save(content, new)
    torch.save(content, old, _use_new_zipfile_serialization=False)
    return {"zip": new.getvalue(), "before torch 1.6": old.getvalue()}


@pytest.mark.parametrize("kind", ["zip", "before torch 1.6"])
def test_checkpoints(tmp_path, kind, capfd):
    whole = checkpoints()[kind]
    rng = np.random.default_rng(list(kind.encode()))
    path = tmp_path / "weights.pth"
    assert outcome(load_network, path, whole)[1] == {"class_names": ["α"]}
    image = torch.zeros(1, 1, 28, 28)
    refused = 0
    for number in range(500):
        # Tensors are most of a file; what says how to read them is near one of its ends.
        start, end = [(0, 1500), (len(whole) - 1500, len(whole)), (0, len(whole))][number % 3]
        content = whole[:start] + damaged(whole[start:end], rng) + whole[end:]
        result = outcome(load_network, path, content)
        if result is None:
            refused += 1
            continue
        network, facts = result
        assert all(value.isfinite().all() for value in network.state_dict().values())
        assert all(value.dtype == torch.float32 for value in network.state_dict().values())
        assert network(image).shape == (1, network.fc2.out_features)
        assert isinstance(facts, dict)
    assert refused > 40
    assert capfd.readouterr().err == ""


def forged(**changes):
    """A state_dict of the digit network with other values in it; names have _ for their dot."""
    changes = {name.replace("_", "."): value for name, value in changes.items()}
    return {**MyNetwork().state_dict(), **changes}


ONE = torch.zeros(1)


@pytest.mark.parametrize(
    "content",
    [
        forged(conv1_weight=ONE.expand(10**9, 1, 5, 5)),  # one number in the file
        forged(conv1_weight=torch.zeros(10**9, 1, 5, 5, device="meta")),  # none
        forged(conv1_weight=torch.zeros(5000, 1, 5, 5), conv2_weight=torch.zeros(90_000, 1, 1, 1)),
        forged(fc2_bias=torch.zeros(10).to_sparse()),
        forged(fc2_bias=torch.zeros(10, dtype=torch.int64)),
        forged(fc2_bias=torch.zeros(10, dtype=torch.complex64)),
        forged(fc2_bias=torch.full((10,), torch.inf)),
        forged(fc2_bias=[0.0] * 10),
        {3: ONE, "conv1.weight": ONE},
        {"state_dict": None},
        *({"network": {"dropout": p}, "state_dict": forged()} for p in (torch.nan, "1", ONE, None)),
        ONE,
        None,
        "weights",
    ],
)
@pytest.mark.filterwarnings("ignore:.*sparse")
def test_weights_that_are_no_digit_networks(tmp_path, content):
    path = tmp_path / "forged.pth"
    torch.save(content, path)
    with pytest.raises(Problem) as caught:
        load_network(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_weights_of_other_precision_are_read(tmp_path):
    path = tmp_path / "weights.pth"
    whole = MyNetwork().eval()
    image = torch.rand(1, 1, 28, 28)
    for dtype in (torch.float64, torch.bfloat16):
        torch.save({name: value.to(dtype) for name, value in whole.state_dict().items()}, path)
        network, _ = load_network(path)
        assert network.fc2.weight.dtype == torch.float32 and network.fc2.weight.requires_grad
        torch.testing.assert_close(network(image), whole(image), atol=0.05, rtol=0)


def png(width, height, colour, lines):
    """A PNG of a colour type, 8 bits a channel, with these bytes as its image data."""

    def chunk(name, body):
        crc = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + crc

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0))
    image = chunk(b"IDAT", zlib.compress(lines, 1))
    return b"\x89PNG\r\n\x1a\n" + header + image + chunk(b"IEND", b"")


MEGABYTES = 600
READ_AND_WEIGH = """
import resource, sys, time
from pathlib import Path
from network.datasets import read_idx
from network.files import Problem
from network.weights import load_network
from network.photos import read_image

def most():
    scale = 1 if sys.platform == "darwin" else 1024  # bytes there, else kilobytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6

for path in sorted(Path(sys.argv[1]).iterdir()):
    before, start = most(), time.perf_counter()
    try:
        if path.suffix == ".pth":
            load_network(path)
        elif path.suffix == ".gz":
            read_idx(path.with_suffix(""), (28, 28))
        else:
            read_image(path)
        result = "read"
    except Problem:
        result = "refused"
    print(path.name, result, int(most() - before), round(time.perf_counter() - start))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no way to ask for the most memory used")
def test_small_files_that_speak_of_gigabytes(tmp_path):
    folder = tmp_path / "bombs"
    folder.mkdir()
    large = struct.pack("<HH", 60_000, 60_000)
    files = {
        "60000.png": png(60_000, 60_000, 2, bytes(100)),
        "14000.png": png(14_000, 14_000, 6, bytes(100)),
        "real.png": png(6000, 6000, 6, bytes(6000 * (1 + 4 * 6000))),  # 144 MB in truth
        "60000.gif": IMAGES["gif"][:6] + large + IMAGES["gif"][10:],
        "30000.ppm": b"P6 30000 30000 255\n" + bytes(100),
        "30000.bmp": IMAGES["bmp"][:18] + struct.pack("<ii", 30_000, 30_000) + IMAGES["bmp"][26:],
        "60000.jpg": IMAGES["jpeg"].replace(
            struct.pack(">HH", 60, 50), struct.pack(">HH", 60_000, 60_000)
        ),
        "idx.gz": 8 * gzip.compress(bytes(100_000_000), 1),  # members of one file: 800 MB
    }
    assert files["60000.jpg"] != IMAGES["jpeg"]
    for name, content in files.items():
        (folder / name).write_bytes(content)
    saved = io.BytesIO()
    torch.save({"state_dict": torch.zeros(10_000)}, saved)
    with (
        zipfile.ZipFile(saved) as archive,
        zipfile.ZipFile(folder / "packed.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in archive.namelist():
            content = bytes(700_000_000) if name.endswith("data/0") else archive.read(name)
            packed.writestr(name, content, compresslevel=1)
    done = subprocess.run(
        [sys.executable, "-c", READ_AND_WEIGH, folder],
        capture_output=True,
        text=True,
        cwd=HOME,
        check=True,
    )
    assert done.stderr == ""
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == len(files) + 1
    for name, result, megabytes, seconds in lines:
        assert result == ("read" if name == "real.png" else "refused"), name
        assert int(megabytes) < MEGABYTES and int(seconds) < 60, (name, megabytes, seconds)
