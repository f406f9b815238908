"""Task 1.E and 1.F: read the network back, run the test set, recognise new handwriting.

Without arguments it does both, with the ten pen-drawn digits of data/digits as new handwriting.
With pictures it recognises these alone. Leaves the figures 1e and 1f; where weights, data or
pictures are the user's own, the figures' names say so.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from network import cli


def parse_options():
    parser = cli.Parser(
        "Tasks 1.E and 1.F: tests the trained network and recognises new handwriting."
    )
    parser.add_shared("data-dir", "models-dir", "figures-dir", "device", "weights")
    parser.add_pictures(
        "pictures of one digit each, to recognise these alone; without any, the test set is "
        "run, then the digits in data/digits"
    )
    parser.add_dataset("to test on")
    parser.add_argument(
        "--no-labels",
        dest="labels",
        action="store_false",
        help="do not take folders named by a digit, 7.png, digit_7.png, 7_2.jpg, or a page's "
        "readings.tsv for the truth",
    )
    pages = parser.add_argument_group("pages of many digits")
    pages.add_argument(
        "--page",
        action="store_true",
        help="the pictures show many digits each, read row by row; without any picture, those in "
        "data/pages",
    )
    pages.add_argument(
        "--turn",
        type=int,
        choices=(0, 90, 180, 270),
        help="degrees by which to turn the pictures clockwise first (default: as they read best)",
    )
    pages.add_argument(
        "--json", type=cli.path_name, metavar="FILE", help="what was read, and where"
    )
    options = parser.parse_mixed()
    if not options.page and (options.turn is not None or options.json):
        parser.error("--turn and --json go with --page")
    return options


if __name__ == "__main__":
    options = parse_options()

if __name__ != "__mp_main__":  # a process of `read_all` needs none of these
    with cli.loading():  # takes seconds, too long for --help or a mistyped option
        import numpy as np
        import torch
        from tqdm import tqdm

        from network import datasets
        from network.digits import labels
        from network.digits.doubt import entropy, with_doubts
        from network.files import Problem, require_writable
        from network.pages.reader import count_at_a_glance
        from network.pages.report import read_pages
        from network.photos import NoInk, transform_of, try_to_read
        from network.pictures import image_files, thumbnail
        from network.training import predict
        from network.weights import DIGITS, class_names, load_network, require_digits

SHOWN = 30  # most pictures in figure 1f
TOGETHER = 8  # pictures read at once, as many ahead; more would fill the memory with photographs
MANY = 200  # pictures for which it pays to start processes


def main(options):
    device = cli.choose_device(options.device)
    weights = cli.weights_path(options)
    require_writable(options.figures_dir, *([options.json.parent] if options.json else []))
    network, facts = load_network(weights, device)
    names = class_names(network, facts)
    reader, limit = with_doubts(network, facts)
    status, written, paths = 0, [], []
    if options.page:
        require_digits(weights, names)
        status, written = read_pages(reader, limit, device, options)
    else:
        if not options.pictures:
            written = run_test_set(network, names, device, options)  # 1.E
        if options.pictures or names == DIGITS:
            status, paths = recognise(reader, names, facts, limit, device, options)  # 1.F
    cli.print_files(written + paths)
    return status


def run_test_set(network, names, device, options):
    """1.E: tests on all test images; returns the paths of the plots."""
    if names == DIGITS:
        dataset = datasets.find_dataset(options.dataset, options.data_dir)
    elif names == datasets.CLOTHES and options.dataset == "auto":
        dataset = datasets.find_dataset("fashion", options.data_dir)
    else:
        raise Problem(
            f"{cli.weights_path(options)} tells {', '.join(names)} apart, and there is no test set "
            "of these here; name pictures to recognise"
        )
    test = datasets.load(dataset, options.data_dir, train=False)
    outputs = predict(network, test.images.to(device)).cpu()  # (10000, 10)
    print_outputs(outputs[:10], test)
    print_accuracy(outputs, test)
    suffix = cli.suffix(options.weights, "drawn" if dataset == "drawn digits" else None)
    with cli.loading():  # slow: results are printed before
        from network import plots
        from network.digits import figures

    return plots.save(figures.test_results(outputs.exp(), test), options.figures_dir, suffix)


def print_outputs(outputs, test):
    """What the network says of the first images: its outputs, its answer and the truth."""
    names = test.class_names
    wide = [max(7, len(name) + 1) for name in names]
    last = max(9, *wide)
    print(f"the first {len(outputs)} test images of {test.dataset}:")
    print(" ".join(f"{name:>{width}}" for name, width in zip(names, wide, strict=True)), end=" ")
    print(f"{'largest':>{last}} {'label':>{last - 3}}")
    for output, label in zip(outputs, test.labels, strict=False):
        print(" ".join(f"{v:{width}.2f}" for v, width in zip(output, wide, strict=True)), end=" ")
        print(f"{names[output.argmax()]:>{last}} {names[label]:>{last - 3}}")


def print_accuracy(outputs, test):
    """The share of right answers, in all and by class."""
    right = outputs.argmax(1) == test.labels
    print(f"\naccuracy: {right.sum()}/{len(right)} = {right.float().mean():.2%}")
    what = "digit " if test.class_names == DIGITS else ""
    for label, name in enumerate(test.class_names):
        of_class = right[test.labels == label]
        if len(of_class):
            share = of_class.float().mean()
            print(f"  {what}{name}: {of_class.sum()}/{len(of_class)} = {share:.2%}")
    print(flush=True)


def recognise(network, names, facts, limit, device, options):
    """1.F: recognises pictures; returns the exit status and the paths of the plots."""
    own = cli.short(cli.HOME / "data" / "digits")
    paths = image_files(options.pictures or [own])
    transform = transform_of(names, facts)
    status, answers, shown = 0, [], {"mistakes": [], "others": []}
    looks = read_all(paths, transform, network, device)
    for path, seen, outputs in tqdm(looks, "recognising", len(paths), leave=False, disable=None):
        label = labels.true_label(path, names) if options.labels else None
        if isinstance(seen, Problem):
            cli.complain(seen)
            status = max(status, seen.status)
            if isinstance(seen, NoInk):
                answers.append(labels.Answer(path, label, None, "no ink"))  # that is not right
            continue
        picture, image, marks = seen
        probabilities = outputs.exp()
        index = int(probabilities.argmax())
        text = f"{names[index]} ({probabilities[index]:.1%})"
        doubted = bool(limit and entropy(outputs[None]) > limit)
        if doubted:
            text += ", perhaps no digit"
        answer = labels.Answer(path, label, index, text, doubted)
        answers.append(answer)
        tqdm.write(f"{path}: {text}{answer.truth(names)}", file=sys.stdout)
        # What is doubted may be several digits: those that touch are wide, a page of them is large.
        wide = image.any(0).sum() > image.any(1).sum() or max(picture.shape) > 300
        if names == DIGITS and (marks > 1 or (doubted and wide)):
            several = count_at_a_glance(picture, network, device)
            if several:
                cli.notice(f"{path} seems to hold {several} digits; --page reads them")
        pairs = shown["mistakes" if answer.is_mistake else "others"]
        if len(pairs) < SHOWN:
            pairs.append((answer, thumbnail(picture), image, probabilities))
    if options.labels:
        print_accuracy_of_known(answers, names)
    if not any(shown.values()):
        return status, []
    return status, draw_pictures(shown, answers, names, options)


def read_all(paths, transform, network, device):
    """Reads pictures, some at a time: finds their ink on all cores, and asks the network.

    Yields:
        Each path with what `read_character` returns of it, or the `Problem` that there was, and
        the network's outputs (classes,), which of a `Problem` mean nothing.
    """
    nothing = np.zeros((28, 28), np.uint8)

    parts = [paths[start : start + TOGETHER] for start in range(0, len(paths), TOGETHER)]
    look_at = partial(try_to_read, transform=transform)
    if len(paths) < MANY:
        pool = ThreadPoolExecutor()
    else:  # of Python's threads only one works at a time
        pool = cli.processes(TOGETHER)
        torch.set_num_threads(1)  # others would wait, busily, for the cores that processes have
    with pool:
        ahead = pool.map(look_at, parts[0])
        for part, after in zip(parts, [*parts[1:], []], strict=True):
            # Those after are read while the network is asked.
            looks, ahead = ahead, pool.map(look_at, after)
            seen = list(looks)
            images = [nothing if isinstance(look, Problem) else look[1] for look in seen]
            batch = torch.from_numpy(np.stack(images)).to(device)  # (TOGETHER, 28, 28)
            yield from zip(part, seen, predict(network, batch).cpu(), strict=True)


def print_accuracy_of_known(answers, names):
    """The accuracy of pictures whose truth is known, and once more which were misread."""
    if names == DIGITS:
        for why in labels.forget_numbers(answers):
            cli.notice(f"{why}: they seem to count the pictures, and are not taken for the truth")
    known = [answer for answer in answers if answer.label is not None]
    if not known:
        return
    mistakes = [answer for answer in known if answer.is_mistake]
    right = len(known) - len(mistakes)
    print(f"accuracy: {right}/{len(known)} = {right / len(known):.2%}")
    if mistakes and len(known) > 1:
        print("misread:")
        for answer in mistakes:
            print(f"  {answer.path}: {answer.text}{answer.truth(names)}")


def draw_pictures(shown, answers, names, options):
    """Figure 1f: pictures as given and as seen, mistakes first where not all have a place."""
    with cli.loading():  # slow: results are printed before
        from network import plots
        from network.digits import figures

    pairs = (shown["mistakes"] + shown["others"])[:SHOWN]
    what = "New digits" if names == DIGITS else "New pictures"
    what = what if options.pictures else "Digits drawn by network/pen.py"
    title = f"{what}: as given, and as the network sees them"
    read = sum(answer.answer is not None for answer in answers)
    if read > len(pairs):
        first = ", mistakes first" if shown["mistakes"] else ""
        title += f" ({len(pairs)} of {read:,}{first})"
    else:
        pairs.sort(key=lambda pair: answers.index(pair[0]))  # as they were given
    suffix = cli.suffix(*options.pictures, options.weights)
    drawn = {"1f_new_digits": figures.recognised(pairs, names, title)}
    return plots.save(drawn, options.figures_dir, suffix)


if __name__ == "__main__":
    cli.run(main, options)
