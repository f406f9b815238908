"""Task 3 and extension 2: from digits to Greek letters, by a new last layer.

The digit network stays as it is, but for its last layer, which is made anew with one output for
each letter and learns from a few pictures. Leaves models/greek_network.pth and the figures 3_…;
with --extended, eight letters instead of three, models/greek_extended_network.pth and ext2_….
"""

import dataclasses
import sys
import time

from network import cli


def parse_options():
    parser = cli.Parser(
        "Task 3 and extension 2: teaches the digit network Greek letters through a new last layer."
    )
    parser.add_folders("models", "figures")
    parser.add_device()
    parser.add_seed()
    add = parser.add_argument
    parser.add_pictures("pictures of one letter each, to recognise after the training")
    add("--extended", action="store_true", help="eight letters instead of three; figures ext2_…")
    add(
        "--train-dir",
        type=cli.path_name,
        help="letters to learn, one folder each; the shipped data/greek_train (--extended: "
        "data/greek_extended) if None",
    )
    add(
        "--test-dir",
        type=cli.path_name,
        help="letters to test on; the shipped data/greek_test if None",
    )
    parser.add_weights()
    add(
        "--transform",
        choices=("mnist", "report"),
        default="mnist",
        help="how pictures become 28×28: as MNIST was made, or by the report's resizing",
    )
    add(
        "--unfreeze",
        action="store_true",
        help="then let all layers learn, at a small rate; files are named …unfrozen…",
    )
    options = parser.parse_args()
    shipped = cli.HOME / "data"
    options.train_dir = options.train_dir or (
        shipped / ("greek_extended" if options.extended else "greek_train")
    )
    options.test_dir = options.test_dir or shipped / "greek_test"
    return options


if __name__ == "__main__":
    options = parse_options()

with cli.loading():  # takes seconds, too long for --help or a mistyped option
    import torch
    from torch import nn
    from tqdm import tqdm

    from network import plots
    from network.files import Problem
    from network.letters import figures
    from network.letters.folders import are_drawn, letter_names, read_letters, source
    from network.model import network_input, parameter_count, save_network
    from network.photos import image_files, normalise, read_character, report_transform
    from network.training import REPORT, evaluate, measures, predict, random_affine, train
    from network.weights import load_digit_network, set_aside_better

TRANSFORMS = {"mnist": normalise, "report": report_transform}
COPIES = 20  # distorted copies of each letter, beside the letter as it is
# The report's plain SGD: AdamW gives features that are seldom active as much weight as others, and
# read letters of other hands worse. Few epochs, for the same reason.
FROZEN = dataclasses.replace(REPORT, epochs=10, batch_size=32, momentum=0.9, one_cycle=True)
# The longer the features are as vectors, the smaller a step the last layer bears.
RATE = 2  # the peak of the learning rate, times the features' mean squared norm
UNFROZEN = dataclasses.replace(
    FROZEN, epochs=5, optimizer="adamw", learning_rate=1e-3, augment=True
)
SURE = 0.9  # below this probability a figure shows the second guess, too
SHOWN = 25  # most pictures in the figure of letters


def main(options):
    device = cli.choose_device(options.device)
    network = load_digit_network(cli.weights_path(options), device)
    letters, test = get_letters(options)
    torch.manual_seed(options.seed)
    replace_last_layer(network, len(letters.names))
    written = [look_at_features(network, letters, test, options)]
    history = learn(network, letters, test, options)
    written.append(figure_path("training", options))
    accuracy, paths = weigh(network, test, options)
    status = recognise(network, letters.names, options)
    weights = keep(network, letters.names, history, accuracy, options)
    cli.print_files([*written, *paths, weights])
    return status


def get_letters(options):
    """The letters to learn and those to test on, as a pair of `Letters`."""
    names = letter_names(options.train_dir)
    if len(names) == 1:
        raise Problem(
            f"{options.train_dir} has one letter only, {names[0]}, and nothing to tell it from; "
            "add a folder of another"
        )
    tested = letter_names(options.test_dir)
    unknown = [name for name in tested if name not in names]
    if len(unknown) == len(tested):
        raise Problem(
            f"{options.test_dir} has no letter that is learned ({', '.join(names)}); "
            "name another folder with --test-dir"
        )
    transform = TRANSFORMS[options.transform]
    letters = read_letters(options.train_dir, names, transform)
    test = read_letters(options.test_dir, names, transform)
    tell_counts("training", letters, options.train_dir)
    tell_counts("test", test, options.test_dir)
    if unknown:
        folder = cli.short(options.test_dir)
        cli.notice(f"left out of {folder}, not learned: {', '.join(unknown)}")
    for name, count in zip(names, letters.counts, strict=True):
        if count == 1:
            cli.notice(f"there is one picture of {name} only; it may be learned badly")
    return letters, test


def tell_counts(part, letters, folder):
    """Prints how many pictures of which letters there are, and where they come from."""
    counts = zip(letters.names, letters.counts, strict=True)
    listed = ", ".join(f"{name} {count}" for name, count in counts if count)
    print(f"{len(letters.labels)} {part} letters, {source(folder)}: {listed}", flush=True)


def replace_last_layer(network, classes):
    """Freezes the network and gives it a fresh last layer, the only one that learns."""
    network.requires_grad_(False)
    fresh = nn.Linear(network.fc2.in_features, classes)
    # From so few pictures a random start would not be unlearned: it stays in the answers.
    nn.init.zeros_(fresh.weight)
    nn.init.zeros_(fresh.bias)
    network.fc2 = fresh.to(network.fc1.weight.device)
    print(f"\n{network}")
    print(
        f"{parameter_count(network.fc2):,} of {parameter_count(network):,} parameters learn, "
        "those of fc2\n",
        flush=True,
    )


@torch.no_grad()
def features(network, images):
    """What the last layer sees of images (N, 28, 28): (N, 50), on the network's device."""
    images = images.to(network.fc1.weight.device)
    return torch.cat([network.features(network_input(batch)) for batch in images.split(2000)])


def whiten(points, labels):
    """Makes features vary alike in all directions among pictures of one letter.

    Then a last layer that starts from zero first takes the directions in which letters differ by
    more than hands do: Fisher's linear discriminant (1936). Half of the covariance is taken to be
    the same in all directions, since few pictures measure it badly (Friedman 1989, "Regularized
    Discriminant Analysis").

    Args:
        points: (N, F), the features of letters.
        labels: (N,), every label from 0 on at least once.

    Returns:
        The features' centre (F,) and a symmetric matrix (F, F): use `(points - centre) @ matrix`.
    """
    device, points, labels = points.device, points.cpu(), labels.cpu()  # MPS has no eigh
    means = torch.stack([points[labels == label].mean(0) for label in range(labels.max() + 1)])
    within = points - means[labels]
    covariance = within.T @ within / len(points)
    even = covariance.trace() / len(covariance) * torch.eye(len(covariance))
    values, axes = torch.linalg.eigh((covariance + even) / 2)
    matrix = axes * values.clamp(min=1e-9).rsqrt() @ axes.T
    return points.mean(0).to(device), matrix.to(device)


def look_at_features(network, letters, test, options):
    """Are the letters separable by the frozen features at all? Returns the figure's path."""
    points = torch.cat([features(network, part.images) for part in (letters, test)]).cpu()
    labels = torch.cat([letters.labels, test.labels])
    is_test = torch.arange(len(labels)) >= len(letters.labels)
    centred = points - points.mean(0)
    # pca_lowrank draws random vectors; as many of them as there are dimensions make it exact.
    _, spread, axes = torch.pca_lowrank(centred, q=min(centred.shape))
    shares = (spread**2 / spread.square().sum()).tolist()
    plane = centred @ axes[:, :2]  # (N, 2)
    for what, x in ((f"the {points.shape[1]} frozen features", points), ("their plane", plane)):
        distances = torch.cdist(x, x).fill_diagonal_(float("inf"))
        alike = labels[distances.argmin(1)] == labels
        print(
            f"in {what}, the nearest other letter is of the same kind for "
            f"{alike.sum()} of {len(alike)}"
        )
    print(f"their plane shows {sum(shares[:2]):.0%} of the features' variance\n", flush=True)
    path = figure_path("features", options)
    title = f"The frozen features of {letters_of(options)}, in their plane"
    figure = figures.feature_plane(plane, labels, is_test, letters.names, shares[:2], title)
    plots.save(figure, path)
    return path


def learn(network, letters, test, options):
    """Trains the last layer, then all if wanted; draws and returns how it went."""
    start = time.perf_counter()
    device = network.fc1.weight.device
    images, labels = letters.images.to(device), letters.labels.to(device)
    test_images, test_labels = test.images.to(device), test.labels.to(device)
    # Frozen layers make the same of an image in every epoch: once is enough.
    seen, test_seen = features(network, images), features(network, test_images)  # (N, 50) each
    copies = [features(network, random_affine(images)) for _ in range(COPIES)]
    learned, learned_labels = torch.cat([seen, *copies]), labels.repeat(1 + COPIES)
    centre, whitening = whiten(learned, learned_labels)
    learned, seen, test_seen = ((x - centre) @ whitening for x in (learned, seen, test_seen))
    once = time.perf_counter() - start
    recipe = dataclasses.replace(
        FROZEN, learning_rate=RATE / learned.square().sum(1).mean().clamp(min=1e-9).item()
    )
    head = nn.Sequential(network.fc2, nn.LogSoftmax(dim=1))
    # Such small steps are hardly faster when cores share them, and many times slower where other
    # programs keep these cores busy.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    epochs = follow(
        train(head, learned, learned_labels, recipe, nn.Identity()),
        lambda: evaluate(head, seen, labels, nn.Identity()),
        lambda: evaluate(head, test_seen, test_labels, nn.Identity()),
    )
    tell_when_right(epochs)
    with torch.no_grad():  # from now on, fc2 takes the features as they are
        network.fc2.weight.copy_(network.fc2.weight @ whitening)
        network.fc2.bias.sub_(network.fc2.weight @ centre)
    if options.unfreeze:
        print("\nnow all layers learn, at a small rate")
        network.requires_grad_(True)
        frozen = epochs[-1]["test_accuracy"]
        epochs += follow(
            train(network, images.repeat(COPIES, 1, 1), labels.repeat(COPIES), UNFROZEN),
            lambda: evaluate(network, images, labels),
            lambda: evaluate(network, test_images, test_labels),
            len(epochs),
        )
        added = 100 * (epochs[-1]["test_accuracy"] - frozen)
        print(f"that adds {added:+.2f} percentage points of test accuracy")
    torch.set_num_threads(threads)
    print(
        f"training took {time.perf_counter() - start:.1f} s, of these {once:.1f} s for the frozen "
        f"features of {len(labels) * (1 + COPIES):,} images\n",
        flush=True,
    )
    figure = figures.training_curves(
        epochs, f"Learning {letters_of(options)}", FROZEN.epochs if options.unfreeze else None
    )
    plots.save(figure, figure_path("training", options))
    recipes = [recipe, UNFROZEN] if options.unfreeze else [recipe]
    return {"recipes": [dataclasses.asdict(recipe) for recipe in recipes], "epochs": epochs}


def follow(training, evaluate_training, evaluate_test, before=0):
    """Runs a training and prints accuracy by epoch; returns a dict for each epoch.

    Args:
        training: the generator that `train` returns.
        evaluate_training, evaluate_test: give loss and accuracy of the letters as they are.
        before: epochs that went before.
    """
    history = []
    for epoch in training:
        epoch = dataclasses.replace(epoch, number=before + epoch.number)
        known = measures(epoch, evaluate_training(), evaluate_test())
        line = (
            f"epoch {epoch.number:2}: training accuracy {known['train_accuracy']:7.2%}, "
            f"loss {known['train_loss']:.3f}; test accuracy {known['test_accuracy']:7.2%}, "
            f"loss {known['test_loss']:.3f}"
        )
        tqdm.write(line, file=sys.stdout)  # goes above the progress bar
        history.append(known)
    return history


def tell_when_right(epochs):
    """Prints from which epoch on all training letters are read right."""
    wrong = [epoch["epoch"] for epoch in epochs if epoch["train_accuracy"] < 1]
    first = 1 + max(wrong, default=0)
    if first <= len(epochs):
        print(f"all training letters stay right from epoch {first} on")
    else:
        print(f"not all training letters are right after {len(epochs)} epochs")


def weigh(network, test, options):
    """Tests the network; returns the accuracy and the figures' paths."""
    probabilities = predict(network, test.images.to(network.fc1.weight.device)).exp().cpu()
    answers = probabilities.argmax(1)
    counts = torch.zeros(len(test.names), len(test.names), dtype=torch.int64)
    counts.index_put_((test.labels, answers), torch.tensor(1), accumulate=True)
    totals = test.counts + test.no_ink  # no answer is not right
    right, total = int(counts.trace()), int(totals.sum())
    print(f"accuracy: {right}/{total} = {right / total:.2%}")
    for name, correct, of in zip(test.names, counts.diagonal(), totals, strict=True):
        if of:
            print(f"  {name}: {correct}/{of} = {correct / of:.2%}")
    title = f"{len(answers) - right} mistakes in {len(answers)} test letters,"
    figure = plots.confusion(counts, test.names, f"{title} {hand(options.test_dir)}")
    paths = [figure_path("confusion", options), figure_path("letters", options)]
    plots.save(figure, paths[0])
    plots.save(draw_letters(probabilities, test, options), paths[1])
    return right / total, paths


def draw_letters(probabilities, test, options):
    """Test letters as given and as seen; where they are too many, mistakes before others."""
    wrong = probabilities.argmax(1) != test.labels
    mistakes, others = wrong.nonzero().flatten()[:SHOWN], (~wrong).nonzero().flatten()
    room = min(len(others), SHOWN - len(mistakes))
    spread = torch.linspace(0, len(others) - 1, room).round().long()  # over all letters
    shown = torch.cat([mistakes, others[spread]]).sort().values.tolist()
    captions, colours = [], []
    for row, label in zip(probabilities[shown], test.labels[shown].tolist(), strict=True):
        best, second = row.topk(2).indices.tolist()
        lines = [f"{test.names[best]} ({row[best]:.1%})"]
        if best != label:
            lines.append(f"true {test.names[label]} ({row[label]:.1%})")
        elif row[best] < SURE:
            lines.append(f"or {test.names[second]} ({row[second]:.1%})")
        captions.append("\n".join(lines))
        colours.append(plots.GREEN if best == label else plots.RED)
    title = f"Test letters, {hand(options.test_dir)}: as given, and as the network sees them"
    if len(shown) < len(test.labels):
        title += f" ({len(shown)} of {len(test.labels)}, with the mistakes)"
    pictures = [test.pictures[index] for index in shown]
    return plots.pictures_as_seen(pictures, test.images[shown].numpy(), captions, colours, title)


def recognise(network, names, options):
    """Recognises the pictures that were named; returns the exit status."""
    status = 0
    for index, path in enumerate(image_files(options.pictures)):
        if index == 0:
            print()
        try:
            _, image = read_character(path, TRANSFORMS[options.transform])
        except Problem as problem:
            cli.complain(problem)
            status = max(status, problem.status)
            continue
        batch = torch.from_numpy(image)[None].to(network.fc1.weight.device)
        probabilities = predict(network, batch)[0].exp()
        answer = int(probabilities.argmax())
        print(f"{path}: {names[answer]} ({probabilities[answer]:.1%})")
    return status


def keep(network, names, history, accuracy, options):
    """Saves the network with its letters' names and returns its path."""
    extended = "_extended" if options.extended else ""
    path = options.models_dir / f"greek{extended}{variant(options)}_network.pth"
    data = options.train_dir.resolve().name
    cli.notice(set_aside_better(path, accuracy, data))
    save_network(
        path,
        network,
        dataset=data,
        class_names=list(names),
        transform=options.transform,
        seed=options.seed,
        history=history,
        test_accuracy=accuracy,
    )
    return path


def figure_path(name, options):
    """Where a figure goes."""
    task = "ext2" if options.extended else "3"
    return options.figures_dir / f"{task}{variant(options)}_{name}.png"


def variant(options):
    """What file names say of a run that is there to compare with the usual one."""
    unfrozen = "_unfrozen" if options.unfreeze else ""
    return unfrozen + ("_report" if options.transform == "report" else "")


def hand(folder):
    """Whose letters these are, for the figures' titles."""
    return "drawn by network/pen.py" if are_drawn(folder) else f"of {folder.resolve().name}"


def letters_of(options):
    """Whose letters are learned and tested, for the figures' titles."""
    learned, tested = hand(options.train_dir), hand(options.test_dir)
    return f"letters {learned}" + (f", tested on letters {tested}" if tested != learned else "")


if __name__ == "__main__":
    cli.run(main, options)
