"""Picture files are read or refused in one line, and folders tell what they hold besides."""

import math
import sys
import zlib

import cv2
import numpy as np
import pytest
from conftest import refusal
from PIL import Image, features
from test_photos import FIVE, draw_five, on_paper, save, unlike

from network import pictures
from network.photos import normalise
from network.pictures import composite, image_files, read_image


@pytest.mark.parametrize("kind", [".png", ".bmp", ".tiff", ".webp", ".jpg"])
def test_reads_colours_in_order_of_red_green_blue(tmp_path, kind):
    picture = np.full((40, 50, 3), (200, 100, 30), np.uint8)
    read = read_image(save(tmp_path / f"β 7{kind}", picture[..., ::-1]))
    assert read.shape == (40, 50, 3) and read.dtype == np.uint8
    assert np.abs(read.astype(int) - picture).max() <= 4


def test_reads_any_depth_alike(tmp_path):
    paper = np.where(draw_five() > 0.5, 0, 255).astype(np.uint8)
    files = [
        save(tmp_path / "grey.png", paper),
        save(tmp_path / "deep.png", paper.astype(np.uint16) * 257),
        save(tmp_path / "twelve bits.png", paper.astype(np.uint16) * 16),
        save(tmp_path / "one bit.png", paper, cv2.IMWRITE_PNG_BILEVEL, 1),
        save(tmp_path / "float.tiff", paper.astype(np.float32) / 255),
    ]
    for file in files:
        picture = read_image(file)
        assert picture.shape == (*paper.shape, 3) and picture.dtype == np.uint8
        np.testing.assert_array_equal(normalise(picture), normalise(paper), err_msg=file.name)
    for mode, name in (("P", "palette.png"), ("1", "bits.bmp"), ("CMYK", "cmyk.jpg")):
        Image.fromarray(paper).convert(mode).save(tmp_path / name, quality=95)
        assert unlike(normalise(paper), normalise(read_image(tmp_path / name))) < 0.1, name


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (40, 30, 200)])
def test_ink_on_nothing_gets_paper_that_shows_it(tmp_path, colour):
    ink = draw_five()
    picture = np.dstack([np.full((*ink.shape, 3), colour, np.uint8), np.uint8(ink * 255)])
    assert unlike(FIVE, normalise(read_image(save(tmp_path / "five.png", picture)))) < 0.1


def test_sheet_on_nothing_is_continued():
    sheet = np.dstack([on_paper(draw_five()), np.full((320, 320), 255, np.uint8)])
    sheet[:, :40] = 0  # transparent
    assert (composite(sheet)[:, :40] == 255).all()


def test_orientation_of_the_camera(tmp_path):
    upright = on_paper(draw_five())
    path, exif = tmp_path / "held sideways.jpg", Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    Image.fromarray(upright).save(path, exif=exif, quality=95)
    assert np.abs(read_image(path).astype(int) - np.rot90(upright, -1)).mean() < 3


def test_refuses_what_is_no_image(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "notes.png").write_text("seven")
    says = {"": "is a folder", "missing.png": "does not exist"}
    says |= {"empty.png": "is empty", "notes.png": "is no image"}
    for name, text in says.items():
        assert text in refusal(read_image, tmp_path / name)


@pytest.mark.parametrize("kind", [".png", ".jpg", ".bmp", ".webp"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_refuses_halves(tmp_path, kind, share):
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    path = save(tmp_path / f"half{kind}", noise)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    refusal(read_image, path)


@pytest.mark.parametrize("kind", [".png", ".jpg"])
def test_more_behind_the_end_is_left_alone(tmp_path, kind):
    path = save(tmp_path / f"seven{kind}", on_paper(draw_five()))
    path.write_bytes(path.read_bytes() + b"what some cameras append")
    assert read_image(path).shape == (320, 320, 3)


def test_a_jpeg_with_a_fill_byte_before_a_marker(tmp_path):
    path = save(tmp_path / "seven.jpg", on_paper(draw_five()))
    wanted = read_image(path)
    path.write_bytes(path.read_bytes().replace(b"\xff\xdb", b"\xff\xff\xdb", 1))
    np.testing.assert_array_equal(read_image(path), wanted)


@pytest.mark.parametrize("kind", ["avif", "jp2", "ico", "jfif", "tga"])
def test_other_kinds(tmp_path, kind):
    if not features.check({"avif": "avif", "jp2": "jpg_2000"}.get(kind, "pil")):
        pytest.skip(f"this Pillow reads no {kind}")
    path = tmp_path / f"five.{kind}"
    format = {"jfif": "jpeg", "jp2": "jpeg2000"}.get(kind, kind)
    Image.fromarray(on_paper(draw_five())).save(path, format=format)
    assert unlike(FIVE, normalise(read_image(path))) < 0.15


def test_the_last_frame_of_several(tmp_path):
    blank = Image.new("RGB", (320, 320), "white")
    five = Image.fromarray(on_paper(draw_five()))
    blank.save(tmp_path / "five.gif", save_all=True, append_images=[five])
    assert unlike(FIVE, normalise(read_image(tmp_path / "five.gif"))) < 0.1


def test_heic_without_its_package_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    path = tmp_path / "IMG_0001.HEIC"
    path.write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    assert "pip install pillow-heif" in refusal(read_image, path)


def test_a_folder_names_what_it_does_not_read(tmp_path, capfd):
    for name in ("a/7.png", "b.JPG", "notes.txt", ".hidden.txt", "__MACOSX/7.png", "Thumbs.db"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert image_files([tmp_path]) == [tmp_path / "a" / "7.png", tmp_path / "b.JPG"]
    assert capfd.readouterr().err == f"left out of {tmp_path}, no pictures: notes.txt\n"


@pytest.mark.parametrize("kind", [".png", ".jpg"])
def test_refuses_absurd_sizes_before_decoding(tmp_path, kind):
    path = save(tmp_path / f"bomb{kind}", np.zeros((8, 8, 3), np.uint8))
    side = math.isqrt(pictures.MAX_PIXELS) + 1
    data = bytearray(path.read_bytes())
    if kind == ".png":
        data[16:24] = side.to_bytes(4, "big") * 2
        data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    else:
        at = data.index(b"\xff\xc0")
        data[at + 5 : at + 9] = side.to_bytes(2, "big") * 2
    path.write_bytes(data)
    assert "scale it down" in refusal(read_image, path)


def test_large_transparent_pictures_are_shrunk(tmp_path, monkeypatch):
    transparent = np.dstack([on_paper(draw_five()), np.full((320, 320), 255, np.uint8)])
    path = save(tmp_path / "large.png", transparent)
    whole = read_image(path)
    monkeypatch.setattr(pictures, "LARGE", 320 * 320 // 4)
    small = read_image(path)
    assert small.shape == (160, 160, 3)
    assert unlike(normalise(small), normalise(whole)) < 0.1
