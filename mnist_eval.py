"""Task 1.E and 1.F: read the network back, run the test set, recognise new handwriting.

Without arguments it does both, with the ten pen-drawn digits of data/digits as new handwriting.
With pictures it recognises these alone. Leaves the figures 1e and 1f; where weights, data or
pictures are the user's own, the figures' names say so.
"""

import sys

from network import cli


def parse_options():
    parser = cli.Parser(
        "Tasks 1.E and 1.F: tests the trained network and recognises new handwriting."
    )
    parser.add_folders("data", "models", "figures")
    parser.add_device()
    parser.add_pictures(
        "pictures of one digit each, to recognise these alone; without any, the test set is "
        "run, then the digits in data/digits"
    )
    parser.add_weights()
    parser.add_dataset("to test on")
    parser.add_argument(
        "--no-labels",
        dest="labels",
        action="store_false",
        help="do not take folders named by a digit, or 7.png, digit_7.png, 7_2.jpg, for the truth",
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
    options = parser.parse_args()
    if not options.page and (options.turn is not None or options.json):
        parser.error("--turn and --json go with --page")
    return options


if __name__ == "__main__":
    options = parse_options()

with cli.loading():  # takes seconds, too long for --help or a mistyped option
    import cv2
    import numpy as np
    import torch
    from tqdm import tqdm

    from network import datasets
    from network.digits import labels
    from network.digits.doubt import entropy
    from network.files import Problem, require_writable
    from network.pages.reader import count_at_a_glance
    from network.photos import NoInk, normalise, read_character
    from network.pictures import image_files, thumbnail
    from network.training import predict
    from network.weights import DIGITS, class_names, load_digit_network, load_network

SURE = 0.9  # below this probability a figure shows the second guess, too
SHOWN = 30  # most pictures in figure 1f


def main(options):
    device = cli.choose_device(options.device)
    weights = cli.weights_path(options)
    require_writable(options.figures_dir)
    network, facts = load_network(weights, device)
    if options.page:
        from network.pages.report import read_pages

        network = load_digit_network(weights, device)
        status, written = read_pages(network, facts.get("doubt_limit"), device, options)
        cli.print_files(written)
        return status
    names = class_names(network, facts)
    written = []
    if not options.pictures:
        written += run_test_set(network, names, device, options)  # 1.E
    status = 0
    if options.pictures or names == DIGITS:
        status, paths = recognise(network, names, facts, device, options)  # 1.F
        written += paths
    cli.print_files(written)
    return status


def find_test_set(names, options):
    """The name of the data set that has these classes, its files in place.

    Raises:
        Problem: there is none, or it is not to be had.
    """
    if names == DIGITS:
        return datasets.find_digits(options.dataset, options.data_dir)
    dataset = next((d for d in ("FashionMNIST",) if datasets.CLASS_NAMES[d] == names), None)
    if dataset is None or options.dataset != "auto":
        raise Problem(
            f"{cli.weights_path(options)} tells {', '.join(names)} apart, and there is no test set "
            "of these here; name pictures to recognise"
        )
    datasets.find_or_download(dataset, options.data_dir)
    return dataset


def run_test_set(network, names, device, options):
    """1.E: tests on all test images; returns the paths of the plots."""
    dataset = find_test_set(names, options)
    test = datasets.load(dataset, options.data_dir, train=False)
    outputs = predict(network, test.images.to(device)).cpu()  # (10000, 10)
    print_outputs(outputs[:10], test)
    print_accuracy(outputs, test)
    suffix = cli.suffix(options.weights, "drawn" if dataset == "drawn digits" else None)
    return draw_results(outputs.exp(), test, options.figures_dir, suffix)


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


def draw_results(probabilities, test, folder, suffix):
    """The figures 1e; returns their paths."""
    from network import plots  # slow to import: results are printed before

    names = test.class_names
    answers = probabilities.argmax(1)
    mistakes = (answers != test.labels).nonzero().flatten()
    worst = mistakes[probabilities[mistakes].amax(1).argsort(descending=True)][:24]
    counts = torch.zeros(len(names), len(names), dtype=torch.int64)
    counts.index_put_((test.labels, answers), torch.tensor(1), accumulate=True)
    total = f"{len(mistakes)} mistakes in {len(answers):,} test images of {test.dataset}"
    results = {
        "1e_predictions": plots.image_grid(
            test.images[:9],
            [guesses(row, names) for row in probabilities[:9]],
            3,
            f"The first nine test images of {test.dataset} as the network reads them",
        ),
        "1e_confusion": plots.confusion(counts, names, total),
        "1e_mistakes": plots.image_grid(
            test.images[worst],
            [
                f"{names[label]} read as {names[row.argmax()]}\n{row.max():.0%} sure"
                for row, label in zip(probabilities[worst], test.labels[worst], strict=True)
            ],
            6,
            f"{len(worst)} most confident of the {total}",
        ),
    }
    paths = [folder / f"{name}{suffix}.png" for name in results]
    for path, figure in zip(paths, results.values(), strict=True):
        plots.save(figure, path)
    return paths


def guesses(probabilities, names):
    """The answer and its probability; where the network is not sure, the next best as well."""
    (first, second), (best, next_best) = (row.tolist() for row in probabilities.topk(2))
    answer = f"{names[best]} ({first:.1%})"
    return answer if first >= SURE else f"{answer}\nor {names[next_best]} ({second:.1%})"


def recognise(network, names, facts, device, options):
    """1.F: recognises pictures; returns the exit status and the paths of the plots."""
    own = cli.short(cli.HOME / "data" / "digits")
    paths = image_files(options.pictures or [own])
    transform = whole_picture if names == datasets.CLASS_NAMES["FashionMNIST"] else normalise
    limit = facts.get("doubt_limit")  # see network/digits/doubt.py; not all weights have one
    status, results, shown = 0, [], {"mistakes": [], "others": []}
    for path in tqdm(paths, desc="recognising", leave=False, disable=None):
        label = labels.true_label(path, names) if options.labels else None
        try:
            picture, image = read_character(path, transform)
        except Problem as problem:
            cli.complain(problem)
            status = max(status, problem.status)
            if isinstance(problem, NoInk):
                results.append((path, label, None, "no ink"))  # no answer is not right
            continue
        outputs = predict(network, torch.from_numpy(image)[None].to(device))  # (1, 10)
        probabilities = outputs[0].exp()
        answer = int(probabilities.argmax())
        line = f"{names[answer]} ({probabilities[answer]:.1%})"
        if limit and entropy(outputs) > limit:
            line += ", perhaps no digit"
        tqdm.write(f"{path}: {line}{of_truth(label, names)}", file=sys.stdout)
        several = count_at_a_glance(picture, network, device) if names == DIGITS else 0
        if several:
            cli.notice(f"{path} seems to hold {several} digits; --page reads them")
        results.append((path, label, answer, line))
        pairs = shown["others" if label in (None, answer) else "mistakes"]
        if len(pairs) < SHOWN:
            caption = guesses(probabilities, names)
            pairs.append((len(results), thumbnail(picture), image, caption, label, answer))
    if options.labels:
        print_right_answers(results, names)
    if not any(shown.values()):
        return status, []
    return status, [draw_pictures(shown, len(paths), names, options)]


def of_truth(label, names):
    """The truth behind an answer, where it is known."""
    return "" if label is None else f", true {names[label]}"


def whole_picture(picture):
    """A picture (H, W, 3) uint8 as Fashion-MNIST has them: (28, 28) uint8, whole, light on dark."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    if np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])) > 127:
        grey = 255 - grey
    height, width = grey.shape
    square = np.zeros((max(height, width),) * 2, np.uint8)
    top, left = (len(square) - height) // 2, (len(square) - width) // 2
    square[top : top + height, left : left + width] = grey
    return cv2.resize(square, (28, 28), interpolation=cv2.INTER_AREA)


def print_right_answers(results, names):
    """The accuracy of pictures whose truth is known, and once more which were misread.

    Args:
        results: path, true label or None, answer or None, and what was printed, of each picture.
        names: of the classes.
    """
    numbered = {}
    if names == DIGITS:
        answered = [(path, answer) for path, _, answer, _ in results if answer is not None]
        numbered = labels.find_numbered(answered)
        for why in numbered.values():
            cli.notice(f"{why}: they seem to count the pictures, and are not taken for the truth")
    known = [
        (path, label, answer, line)
        for path, label, answer, line in results
        if label is not None and path.parent not in numbered
    ]
    if not known:
        return
    mistakes = [result for result in known if result[1] != result[2]]
    right = len(known) - len(mistakes)
    print(f"accuracy: {right}/{len(known)} = {right / len(known):.2%}")
    if mistakes and len(known) > 1:
        print("misread:")
        for path, label, _, line in mistakes:
            print(f"  {path}: {line}{of_truth(label, names)}")


def draw_pictures(shown, total, names, options):
    """Figure 1f: pictures as given and as seen, mistakes first where not all have a place."""
    from network import plots  # slow to import: results are printed before

    pairs = (shown["mistakes"] + shown["others"])[:SHOWN]
    title = "New digits" if options.pictures else "Digits drawn by network/pen.py"
    title = (
        f"{title if names == DIGITS else 'New pictures'}: as given, and as the network sees them"
    )
    if total > len(pairs):
        title += f" ({len(pairs)} of {total}, mistakes first)"
    else:
        pairs.sort(key=lambda pair: pair[0])  # as they were given
    _, pictures, images, captions, truths, answers = zip(*pairs, strict=True)
    colours, full_captions = [], []
    for caption, label, answer in zip(captions, truths, answers, strict=True):
        wrong = label not in (None, answer)
        colours.append(plots.RED if wrong else plots.INK if label is None else plots.GREEN)
        full_captions.append(caption + (of_truth(label, names) if wrong else ""))
    path = (
        options.figures_dir / f"1f_new_digits{cli.suffix(*options.pictures, options.weights)}.png"
    )
    plots.save(plots.pictures_as_seen(pictures, images, full_captions, colours, title), path)
    return path


if __name__ == "__main__":
    cli.run(main, options)
