"""Task 1.E and 1.F: read the network back, run the test set, recognise new handwriting.

Without arguments it does both, with the ten pen-drawn digits of data/digits as new handwriting.
With pictures it recognises these alone. Leaves the figures 1e and 1f.
"""

import re
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
    return parser.parse_args()


if __name__ == "__main__":
    options = parse_options()

with cli.loading():  # takes seconds, too long for --help or a mistyped option
    import torch
    from tqdm import tqdm

    from network import datasets
    from network.files import Problem
    from network.model import load_digit_network
    from network.pen import DIGITS
    from network.photos import NoInk, read_character
    from network.pictures import image_files, thumbnail
    from network.training import predict

SURE = 0.9  # below this probability a figure shows the second guess, too
SHOWN = 30  # most pictures in figure 1f


def main(options):
    device = cli.choose_device(options.device)
    network = load_digit_network(cli.weights_path(options), device)
    written = []
    if not options.pictures:
        written += run_test_set(network, device, options)  # 1.E
    status, paths = recognise(network, device, options)  # 1.F
    cli.print_files(written + paths)
    return status


def run_test_set(network, device, options):
    """1.E: tests on all test images; returns the paths of the plots."""
    dataset = datasets.find_digits(options.dataset, options.data_dir)
    test = datasets.load(dataset, options.data_dir, train=False)
    outputs = predict(network, test.images.to(device)).cpu()  # (10000, 10)
    print_outputs(outputs[:10], test)
    print_accuracy(outputs, test)
    return draw_results(outputs.exp(), test, options.figures_dir)


def print_outputs(outputs, test):
    """What the network says of the first images: its outputs, its answer and the truth."""
    print(f"the first {len(outputs)} test images of {test.dataset}:")
    print(" ".join(f"{name:>7}" for name in test.class_names), "  largest  label")
    for output, label in zip(outputs, test.labels, strict=False):
        print(" ".join(f"{value:7.2f}" for value in output), f"{output.argmax():9} {label:6}")


def print_accuracy(outputs, test):
    """The share of right answers, in all and by digit."""
    right = outputs.argmax(1) == test.labels
    print(f"\naccuracy: {right.sum()}/{len(right)} = {right.float().mean():.2%}")
    for label, name in enumerate(test.class_names):
        of_digit = right[test.labels == label]
        if len(of_digit):
            share = of_digit.float().mean()
            print(f"  digit {name}: {of_digit.sum()}/{len(of_digit)} = {share:.2%}")
    print(flush=True)


def draw_results(probabilities, test, folder):
    """The figures 1e; returns their paths."""
    from network import plots  # slow to import: results are printed before

    answers = probabilities.argmax(1)
    mistakes = (answers != test.labels).nonzero().flatten()
    worst = mistakes[probabilities[mistakes].amax(1).argsort(descending=True)][:24]
    counts = torch.zeros(len(DIGITS), len(DIGITS), dtype=torch.int64)
    counts.index_put_((test.labels, answers), torch.tensor(1), accumulate=True)
    total = f"{len(mistakes)} mistakes in {len(answers):,} test images of {test.dataset}"
    results = {
        "1e_predictions": plots.image_grid(
            test.images[:9],
            [guesses(row) for row in probabilities[:9]],
            3,
            f"The first nine test images of {test.dataset} as the network reads them",
        ),
        "1e_confusion": plots.confusion(counts, test.class_names, total),
        "1e_mistakes": plots.image_grid(
            test.images[worst],
            [
                f"{label} read as {row.argmax()}\n{row.max():.0%} sure"
                for row, label in zip(probabilities[worst], test.labels[worst], strict=True)
            ],
            6,
            f"{len(worst)} most confident of the {total}",
        ),
    }
    paths = [folder / f"{name}.png" for name in results]
    for path, figure in zip(paths, results.values(), strict=True):
        plots.save(figure, path)
    return paths


def guesses(probabilities):
    """The answer and its probability; where the network is not sure, the next best as well."""
    (first, second), (best, next_best) = (row.tolist() for row in probabilities.topk(2))
    answer = f"{best} ({first:.1%})"
    return answer if first >= SURE else f"{answer}\nor {next_best} ({second:.1%})"


def recognise(network, device, options):
    """1.F: recognises pictures; returns the exit status and the paths of the plots."""
    own = cli.short(cli.HOME / "data" / "digits")
    paths = image_files(options.pictures or [own])
    status, right, pairs = 0, [], []
    for path in tqdm(paths, desc="recognising", leave=False, disable=None):
        label = true_label(path)
        try:
            picture, image = read_character(path)
        except Problem as problem:
            cli.complain(problem)
            status = max(status, problem.status)
            if isinstance(problem, NoInk) and label is not None:
                right.append(False)  # no answer is not right
            continue
        probabilities = predict(network, torch.from_numpy(image)[None].to(device))[0].exp()
        answer = int(probabilities.argmax())
        line = f"{path}: {answer} ({probabilities[answer]:.1%})"
        if label is not None:
            right.append(answer == label)
            line += f", true {label}"
        tqdm.write(line, file=sys.stdout)
        if len(pairs) < SHOWN:
            from network import plots

            colour = plots.INK if label is None else plots.GREEN if right[-1] else plots.RED
            caption = guesses(probabilities)
            if colour == plots.RED:
                caption += f", true {label}"
            pairs.append((thumbnail(picture), image, caption, colour))
    if right:
        print(f"accuracy: {sum(right)}/{len(right)} = {sum(right) / len(right):.2%}")
    if not pairs:
        return status, []
    what = "New digits" if options.pictures else "Digits drawn by network/pen.py"
    title = f"{what}: as given, and as the network sees them"
    if len(paths) > len(pairs):
        title += f" ({len(pairs)} of {len(paths)})"
    path = options.figures_dir / "1f_new_digits.png"
    plots.save(plots.pictures_as_seen(*zip(*pairs, strict=True), title), path)
    return status, [path]


def true_label(path):
    """The digit that a picture shows, where its folder or its name says so, else None.

    The folder is named by one digit; or the name has one digit (`7.png`, `digit_7.png`); or it is
    the digit and a running number (`7_2.jpg`).
    """
    if path.parent.name in DIGITS:
        return int(path.parent.name)
    found = re.findall("[0-9]", path.stem)
    counted = re.fullmatch(r"(?:digit[ _-]?)?([0-9])[ _-]\(?[0-9]+\)?", path.stem)
    if len(found) == 1:
        return int(found[0])
    return int(counted[1]) if counted else None


if __name__ == "__main__":
    cli.run(main, options)
