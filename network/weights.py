"""Weights on disk: this project's own, and what other people's programs leave.

Nothing in a file is ever run: tensors and plain values are read, all else is refused in one line.
"""

import argparse
import contextlib
import hashlib
import itertools
import os
import re
import warnings
import zipfile
from pathlib import Path

import numpy as np
import torch

from network.cli import notice, short
from network.files import Problem, name_beside, whole_file
from network.model import MyNetwork

DIGITS = tuple("0123456789")
ADVICE = "choose weights that this project's network was trained to"
SAVE = "where it comes from, save its weights alone: torch.save(model.state_dict(), FILE)"
MAX_BYTES = 500_000_000  # of an .npz unpacked: twice the largest ResNet
# How a file begins that is something else, and what to say of it.
OTHERS = (
    (b"\x89HDF", "is an HDF5 file, as Keras writes them, and no PyTorch weights"),
    (b"\x1f\x8b", "is packed by gzip; unpack it first"),
    (b"7z\xbc\xaf", "is packed by 7-Zip; unpack it first"),
    (b"<", "is a web page and no weights; download the file itself"),
    (b"version https://git-lfs", "only points at the weights, which Git LFS keeps: git lfs pull"),
    (b"\x93NUMPY", "is a single array and no weights"),
)
TORCH_1_5 = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # so torch.save began files up to then
# Under which keys weights lie beside an epoch's number and the like, and what wrapped models
# (DataParallel, torch.compile, Lightning and averages of weights) put before their names.
KEYS = ("state_dict", "model_state_dict", "model", "net", "network", "weights")
PREFIXES = re.compile(r"^((module|_orig_mod|model|net|network)\.)+")


def load_network(path, device="cpu"):
    """Reads the weights of a `MyNetwork`: a checkpoint of this project, or a state_dict.

    The layers may have other names where their order and shapes fit in one way only; a line on
    standard error then says so.

    Returns:
        The network on `device`, in eval mode, and a dict of what the checkpoint says besides
        (empty for a bare state_dict).

    Raises:
        Problem: as `read_weights`, or the file holds the weights of another network.
    """
    content = read_weights(path)
    state = find_state(content)
    if not state or not all(map(_is_plain, state.values())):
        raise Problem(f"{path} holds no state_dict of floating-point numbers; {ADVICE}")
    facts = content if isinstance(content, dict) and "state_dict" in content else {}
    facts = {str(name): value for name, value in facts.items() if name != "state_dict"}
    sizes = facts.pop("network", {})
    dropout = sizes.get("dropout", 0.25) if isinstance(sizes, dict) else 0.25
    if not (isinstance(dropout, (int, float)) and 0 <= dropout <= 1):
        raise Problem(f"{path} names a dropout of {dropout!r}; {ADVICE}")
    named = state if "conv1.weight" in state else _renamed(state) or state
    named = {name: value.float().contiguous() for name, value in named.items()}
    try:
        if not all(value.numel() for value in named.values()):
            raise ValueError("no weights at all")
        network = MyNetwork.from_state_dict(named, dropout)
    except (KeyError, RuntimeError, TypeError, ValueError):
        found = [f"{name} {list(state[name].shape)}" for name in state if "bias" not in name]
        listed = ", ".join(found[:6]) + (", …" if len(found) > 6 else "")
        raise Problem(
            f"{path} holds weights of another network ({listed}; this project's are "
            f"conv1.weight [10, 1, 5, 5], [20, 10, 5, 5], [50, 320], [10, 50]); {ADVICE}"
        ) from None
    if not all(value.isfinite().all() for value in named.values()):
        raise Problem(f"{path} holds weights that are no finite numbers; train it anew")
    if named.keys() != state.keys():
        notice(
            f"{path}: layers of other names ({', '.join(list(state)[:2])}, …), taken for this "
            "network's by their order and shapes"
        )
    return network.to(device), facts


def load_digit_network(path, device="cpu"):
    """As `load_network`, the network alone; a Problem, too, if it learned anything but digits."""
    network, facts = load_network(path, device)
    require_digits(path, class_names(network, facts))
    return network


def require_digits(path, names):
    """Raises a Problem unless the classes of the network in a file are the ten digits."""
    if names != DIGITS:
        listed = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
        raise Problem(
            f"{path} tells {len(names)} classes apart ({listed}), not the ten digits; choose a "
            "digit network's weights"
        )


def class_names(network, facts):
    """What a network's outputs stand for, a text each: the names that a checkpoint gives, else
    their numbers from 0 on; of ten outputs these are the digits."""
    count = network.fc2.out_features
    names = facts.get("class_names")
    if isinstance(names, (list, tuple)) and len(names) == count:
        return tuple(" ".join(str(name).split()) for name in names)
    return tuple(map(str, range(count)))


def set_aside_better(path, accuracy, dataset, names=None):
    """Copies a checkpoint to another name if what is about to take its place may be worse.

    What tested better goes to …_best, unless what is there is better still. What nobody knows a
    test of, or what learned other data or classes, goes to …_before1, …_before2, and so on.

    The checkpoint may be missing. The new one tested `accuracy`, 0 to 1, and learned `dataset`, to
    tell classes of these names apart.

    Returns:
        A line that says what became of it and why, or None.

    Raises:
        Problem: the copy cannot be written.
    """
    if not path.is_file():
        return None
    before, learned, classes = _tested(path)
    were, aside = f"the weights that were in {path}", name_beside(path)
    if before is None:
        reason = "they do not say how well they tested"
    elif learned not in (None, dataset):
        reason = f"they learned {learned}"
    elif names and classes not in (None, list(names)):
        reason = "they tell other classes apart"
    elif before <= accuracy:
        return None
    else:
        reason = f"they tested better ({before:.2%}, now {accuracy:.2%})"
        aside = path.with_stem(f"{path.stem}_best")
        best, *_ = _tested(aside)
        if best is not None and best >= before:
            return (
                f"{were} are replaced, although {reason}; the best so far ({best:.2%}) are in "
                f"{aside.name}"
            )
    # Read before it is written: were this another run's by then, that run has taken the name.
    content = path.read_bytes()
    with whole_file(aside) as file:
        file.write(content)
    return f"{were} are kept as {aside.name}: {reason}"


def _tested(path):
    """The test accuracy in a checkpoint, the data and the classes that it learned; None for what it
    does not say."""
    try:
        facts = read_weights(path)
        if isinstance(facts["test_accuracy"], float):
            return facts["test_accuracy"], facts.get("dataset"), facts.get("class_names")
    except (Problem, LookupError, TypeError):  # it may hold anything
        pass
    return None, None, None


def unfinished_training(path, settings):
    """Where a training keeps itself until its weights go to `path`, and what a stopped one left.

    Each training has a file of its own, named after its settings, so that none is in another's way.

    Returns:
        The path; and a dict that has the settings as "settings", or None.
    """
    mark = hashlib.sha256(repr(settings).encode()).hexdigest()[:8]
    path = path.with_stem(f"{path.stem}_{mark}_unfinished")
    if not path.is_file():
        return path, None
    with contextlib.suppress(Problem):
        state = read_weights(path)
        if isinstance(state, dict) and state.get("settings") == settings:
            notice(f"going on from {short(path)}, where a training was stopped")
            return path, state
    notice(f"{short(path)}, which a stopped training left, is damaged; it begins anew")
    return path, None


def read_weights(path):
    """What is in a file of weights: of torch, an .npz of NumPy, or .safetensors.

    Raises:
        Problem: the file is missing, damaged, no weights file, or would run code.
    """
    path = Path(path)
    if not os.path.isfile(path):
        raise Problem(f"no weights file {path}; train the network first or name another file")
    with open(path, "rb") as file:
        start = file.read(200)
    for beginning, what in OTHERS:
        if start.startswith(beginning):
            raise Problem(f"{path} {what}")
    if not start:
        raise Problem(f"{path} is empty; fetch or train it anew")
    if path.suffix == ".onnx" or (start[:1] == b"\x08" and b"pytorch" in start):
        raise Problem(f"{path} is an ONNX model, which this program does not read; {SAVE}")
    try:
        if start[8:9] == b"{":
            return _read_safetensors(path)
        if start[:2] == b"PK":
            return _read_zip(path)
        if start.startswith(TORCH_1_5):
            return _torch_load(path)
    except (Problem, MemoryError):
        raise
    except Exception as error:  # broken bytes make libraries raise almost anything
        found = re.search(r"(?:GLOBAL|Unsupported class) ([\w.]+)", str(error))  # torch's words
        if found:
            raise Problem(
                f"{path} holds more than weights ({found[1]}; perhaps a whole model), and reading "
                f"that could run code; {SAVE}"
            ) from None
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:100]
        raise Problem(f"{path} is cut off or damaged ({reason}); fetch or train it anew") from None
    if start[:1] == b"\x80":
        raise Problem(f"{path} is a plain pickle, and reading it could run code; {SAVE}")
    raise Problem(f"{path} is no weights file; train the network first or name another file")


def _read_safetensors(path):
    try:
        from safetensors.torch import load_file
    except ImportError:
        raise Problem(
            f"to read {path}, install safetensors: python -m pip install safetensors"
        ) from None
    return load_file(path)


def _read_zip(path):
    """A zip is what torch.save and numpy.savez write, but also TorchScript and archives."""
    with zipfile.ZipFile(path) as archive:
        sizes = {part.filename: part.file_size for part in archive.infolist()}
    names = [name.partition("/")[2] or name for name in sizes]
    if any(name.startswith("code/") or name == "constants.pkl" for name in names):
        raise Problem(f"{path} is a TorchScript model, which this program does not read; {SAVE}")
    if all(name.endswith(".npy") for name in sizes) and sum(sizes.values()) < MAX_BYTES:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    if "data.pkl" not in names:
        listed = ", ".join(list(sizes)[:3])
        raise Problem(f"{path} is a zip file without weights ({listed}); unpack it first")
    # torch.save packs nothing: what unpacks to more than the file has is made to fill memory.
    if sum(sizes.values()) > path.stat().st_size:
        raise Problem(f"{path} is no weights file: it unpacks to more than torch would write")
    return _torch_load(path)


def _torch_load(path):
    with warnings.catch_warnings(), _plain_values():
        warnings.simplefilter("ignore")  # about files that are refused anyway
        return torch.load(path, map_location="cpu", weights_only=True)


def _plain_values():
    """Lets torch read what is often kept beside weights and can do no harm, where it knows how."""
    if torch.__version__ < "2.6":  # knows no safe globals of two names
        return contextlib.nullcontext()
    multiarray = (getattr(np, "_core", None) or np.core).multiarray
    functions = multiarray.scalar, multiarray._reconstruct
    # NumPy 1 and 2 have other names for the same functions.
    old_names = [(function, f"numpy.core.multiarray.{function.__name__}") for function in functions]
    kinds = [type(np.dtype(kind)) for kind in "?bBhHiIlLqQefd"]
    safe = [argparse.Namespace, np.dtype, np.ndarray, *functions, *old_names, *kinds]
    return torch.serialization.safe_globals(safe)


def find_state(content):
    """The weights in what a file holds, however deep: a dict of name to tensor, or None.

    Names lose what wrapped models put before them. A list's tensors are numbered.
    """
    if isinstance(content, (list, tuple)):
        content = {str(number): value for number, value in enumerate(content)}
    if not isinstance(content, dict):
        return None
    values = {}
    for name, value in content.items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            value = torch.from_numpy(value)
        if str(name) != "n_averaged":  # of torch.optim.swa_utils.AveragedModel
            values[PREFIXES.sub("", str(name))] = value
    tensors = {name: value for name, value in values.items() if torch.is_tensor(value)}
    if len(tensors) == len(values) > 0 or len(tensors) > 4:  # an epoch's number may lie between
        return tensors
    inner = [content[key] for key in KEYS if isinstance(content.get(key), dict)]
    return next(filter(None, map(find_state, inner)), None)


def _renamed(state):
    """The tensors under `MyNetwork`'s names, if order and shapes fit in one way only, else None."""
    matrices = {name: value for name, value in state.items() if value.ndim > 1}
    rest = [value for name, value in state.items() if name not in matrices]
    if len(matrices) != 4 or len(rest) != 4:
        return None
    # A bias has its layer's name; in a list, it comes in its layer's place.
    biases = [state.get(name.removesuffix("weight") + "bias") for name in matrices]
    biases = rest if any(bias is None for bias in biases) else biases
    layers = zip(matrices.values(), biases, strict=True)
    found = [order for order in itertools.permutations(layers) if _fit(*order)]
    names = [f"{x}.{y}" for x in ("conv1", "conv2", "fc1", "fc2") for y in ("weight", "bias")]
    return dict(zip(names, itertools.chain(*found[0]), strict=True)) if len(found) == 1 else None


def _fit(*layers):
    """Whether layers, (weight, bias) each, are two convolutions and two others in sequence."""
    first, second, third, fourth = (weight.shape for weight, _ in layers)
    dimensions = len(first), len(second), len(third), len(fourth)
    follow = first[1] == 1 and second[1] == first[0] and fourth[1] == third[0]
    return dimensions == (4, 4, 2, 2) and follow


def _is_plain(value):
    """Whether it is a tensor of floating-point numbers that are all in memory, as many as it has.

    A file of a few bytes may hold tensors of any size: one number again and again, or none.
    """
    return (
        torch.is_tensor(value)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and value.is_floating_point()
        and value.numel() * value.element_size() <= value.untyped_storage().nbytes()
    )
