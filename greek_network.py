"""Task 3 and extension 2: from digits to Greek letters, by a new last layer.

The digit network stays as it is, but for its last layer, which is made anew with one output for
each letter and learns from pictures of letters. Leaves models/greek_network.pth and the figures
3_…; with --extended, eight letters instead of three, models/greek_extended_network.pth and ext2_…;
with letters of your own, files that are named after their folders.
"""

import dataclasses
import sys
import time

from network import cli

TEST_LETTERS = cli.HOME / "data" / "greek_test"


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
        help="letters to learn: a folder for each, or pictures named alpha_001.png and so on "
        "(default: those that ship, data/greek_train or data/greek_extended, and more that "
        "network/pen.py draws)",
    )
    add(
        "--test-dir",
        type=cli.path_name,
        help="letters to test on (default: data/greek_test; every fourth picture of --train-dir)",
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
    if options.train_dir is None:
        shipped = "greek_extended" if options.extended else "greek_train"
        options.train_dir = cli.HOME / "data" / shipped
        options.test_dir = options.test_dir or TEST_LETTERS
    return options


if __name__ == "__main__":
    options = parse_options()

with cli.loading():  # takes seconds, too long for --help or a mistyped option
    import torch
    from tqdm import tqdm

    from network import plots
    from network.files import Problem, require_writable
    from network.letters import figures, learning
    from network.letters.folders import are_drawn, find_letters, hold_out, read_letters
    from network.model import parameter_count, save_network
    from network.photos import normalise, read_character, report_transform
    from network.pictures import image_files, thumbnail
    from network.training import evaluate, measures, predict, train
    from network.weights import load_digit_network, set_aside_better

TRANSFORMS = {"mnist": normalise, "report": report_transform}


def main(options):
    device = cli.choose_device(options.device)
    network = load_digit_network(cli.weights_path(options), device)
    require_writable(options.models_dir, options.figures_dir)
    letters, test = get_letters(options)
    torch.manual_seed(options.seed)
    learning.replace_last_layer(network, len(letters.names))
    print(f"\n{network}")
    print(
        f"{parameter_count(network.fc2):,} of {parameter_count(network):,} parameters learn, "
        "those of fc2\n",
        flush=True,
    )
    written = [look_at_features(network, letters, test, options)]
    history = learn(network, letters, test, options)
    written.append(figure_path("training", options))
    accuracy, paths = test_network(network, test, options)
    written += paths
    status, paths = recognise(network, letters.names, options)
    written += paths
    written.append(save(network, letters.names, history, accuracy, options))
    cli.print_files(written)
    return status


def get_letters(options):
    """The letters to learn and those to test on, as a pair of `Letters`."""
    folder = options.train_dir
    files = find_letters(folder)
    names = list(files)
    if len(names) == 1:
        raise Problem(
            f"{folder} has one letter only, {names[0]}, and nothing to tell it from; "
            "add a folder of another"
        )
    if options.test_dir is None:
        learned, test_files = hold_out(files)
        test_source = f"every fourth of {cli.short(folder)}, not learned"
        if test_files:
            files = learned
        else:  # too few
            options.test_dir = TEST_LETTERS
    if options.test_dir is not None:
        test_files, test_source = find_letters(options.test_dir), source(options.test_dir)
    unknown = [name for name in test_files if name not in names]
    if len(unknown) == len(test_files):
        raise Problem(
            f"{options.test_dir} has no letter that is learned ({', '.join(names)}); "
            "name another folder with --test-dir"
        )
    transform = TRANSFORMS[options.transform]
    letters = read_letters(files, names, transform)
    test = read_letters(test_files, names, transform)
    print_counts("training", letters, source(folder))
    print_counts("test", test, test_source)
    if unknown:
        name = cli.short(options.test_dir)
        cli.notice(f"left out of {name}, not learned: {', '.join(unknown)}")
    for name, count in zip(names, letters.counts, strict=True):
        if count == 1:
            cli.notice(f"there is one picture of {name} only; it may be learned badly")
    return letters, test


def print_counts(part, letters, where):
    """Prints how many pictures of which letters there are, and where they come from."""
    counts = zip(letters.names, letters.counts, strict=True)
    listed = ", ".join(f"{name} {count}" for name, count in counts if count)
    print(f"{len(letters.labels)} {part} letters, {where}: {listed}", flush=True)


def source(folder):
    """A folder's name with what a reader must know of it."""
    return f"{cli.short(folder)}" + (" (drawn by network/pen.py)" if are_drawn(folder) else "")


def look_at_features(network, letters, test, options):
    """Are the letters separable by the frozen features at all? Returns the figure's path."""
    points = torch.cat([learning.features(network, part.images) for part in (letters, test)]).cpu()
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
    images, labels = letters.images, letters.labels
    if are_drawn(options.train_dir):
        print(f"{learning.DRAWN} more of each letter are drawn by network/pen.py", flush=True)
        more = learning.draw_letters(letters.names, learning.DRAWN, options.seed)
        images, labels = torch.cat([images, more[0]]), torch.cat([labels, more[1]])
    images, labels = images.to(device), labels.to(device)
    # Such small steps are hardly faster when cores share them, and many times slower where other
    # programs keep these cores busy.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    training = learning.train_last_layer(network, images, labels)
    epochs = follow(training, network, letters, test)
    print_first_right(epochs)
    recipes = [learning.FROZEN]
    if options.unfreeze:
        print("\nnow all layers learn, at a small rate")
        recipes.append(learning.UNFROZEN)
        network.requires_grad_(True)
        frozen = epochs[-1]["test_accuracy"]
        times = max(1, learning.EXAMPLES // len(images))
        training = train(
            network, images.repeat(times, 1, 1), labels.repeat(times), learning.UNFROZEN
        )
        epochs += follow(training, network, letters, test, len(epochs))
        added = 100 * (epochs[-1]["test_accuracy"] - frozen)
        print(f"that adds {added:+.2f} percentage points of test accuracy")
    torch.set_num_threads(threads)
    print(f"training took {time.perf_counter() - start:.1f} s\n", flush=True)
    frozen_epochs = learning.FROZEN.epochs if options.unfreeze else None
    title = f"Learning {letters_of(options)}"
    plots.save(
        figures.training_curves(epochs, title, frozen_epochs), figure_path("training", options)
    )
    return {"recipes": [dataclasses.asdict(recipe) for recipe in recipes], "epochs": epochs}


def follow(training, network, letters, test, before=0):
    """Runs a training and prints accuracy by epoch; returns a dict for each epoch.

    Args:
        training: a generator such as `train` returns.
        network: what it trains.
        letters, test: `Letters` on which it is evaluated, as they are.
        before: epochs that went before.
    """
    device = network.fc1.weight.device
    history = []
    for epoch in training:
        epoch = dataclasses.replace(epoch, number=before + epoch.number)
        parts = [
            evaluate(network, part.images.to(device), part.labels.to(device))
            for part in (letters, test)
        ]
        known = measures(epoch, parts[0], parts[1])
        line = (
            f"epoch {epoch.number:2}: training accuracy {known['train_accuracy']:7.2%}, "
            f"loss {known['train_loss']:.3f}; test accuracy {known['test_accuracy']:7.2%}, "
            f"loss {known['test_loss']:.3f}"
        )
        tqdm.write(line, file=sys.stdout)  # goes above the progress bar
        history.append(known)
    return history


def print_first_right(epochs):
    """Prints from which epoch on all training letters are read right."""
    wrong = [epoch["epoch"] for epoch in epochs if epoch["train_accuracy"] < 1]
    first = 1 + max(wrong, default=0)
    if first <= len(epochs):
        print(f"all training letters stay right from epoch {first} on")
    else:
        print(f"not all training letters are right after {len(epochs)} epochs")


def test_network(network, test, options):
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
    mistakes = (answers != test.labels).nonzero().flatten().tolist()
    if mistakes:
        print("misread:")
    for index in mistakes:
        answer, label = int(answers[index]), int(test.labels[index])
        print(
            f"  {cli.short(test.files[index])}: {test.names[answer]} "
            f"({probabilities[index, answer]:.1%}), true {test.names[label]}"
        )
    tested = writers(options.test_dir or options.train_dir)
    title = f"{len(mistakes)} mistakes in {len(answers)} test letters, {tested}"
    paths = [figure_path("confusion", options), figure_path("letters", options)]
    plots.save(plots.confusion(counts, test.names, title), paths[0])
    title = f"Test letters, {tested}: as given, and as the network sees them"
    plots.save(figures.read_letters(test, probabilities, title), paths[1])
    return right / total, paths


def recognise(network, names, options):
    """Recognises the pictures that were named; returns the exit status and the figure's path."""
    status, pictures, images, captions = 0, [], [], []
    for index, path in enumerate(image_files(options.pictures)):
        if index == 0:
            print()
        try:
            picture, image = read_character(path, TRANSFORMS[options.transform])
        except Problem as problem:
            cli.complain(problem)
            status = max(status, problem.status)
            continue
        batch = torch.from_numpy(image)[None].to(network.fc1.weight.device)
        probabilities = predict(network, batch)[0].exp().cpu()
        answer = int(probabilities.argmax())
        print(f"{path}: {names[answer]} ({probabilities[answer]:.1%})")
        if len(images) < figures.SHOWN:
            pictures.append(thumbnail(picture))
            images.append(image)
            captions.append(figures.guesses(probabilities, names))
    if not images:
        return status, []
    title = f"New letters: as given, and as the network sees them ({len(images)})"
    path = figure_path("new_letters", options, options.pictures)
    colours = [plots.INK] * len(images)
    plots.save(plots.pictures_as_seen(pictures, images, captions, colours, title), path)
    return status, [path]


def save(network, names, history, accuracy, options):
    """Saves the network with its letters' names and returns its path."""
    extended = "_extended" if options.extended else ""
    path = options.models_dir / f"greek{extended}{variant(options)}{own(options)}_network.pth"
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


def figure_path(name, options, pictures=()):
    """Where a figure goes; its name says whose letters and pictures it shows."""
    task = "ext2" if options.extended else "3"
    name = f"{task}{variant(options)}_{name}{own(options, pictures)}.png"
    return options.figures_dir / name


def variant(options):
    """What file names say of a run that is there to compare with the usual one."""
    unfrozen = "_unfrozen" if options.unfreeze else ""
    return unfrozen + ("_report" if options.transform == "report" else "")


def own(options, pictures=()):
    """What file names say of a run on the user's own input."""
    folders = [options.train_dir, options.test_dir]
    folders = [folder for folder in folders if folder and not are_drawn(folder)]
    return cli.suffix(options.weights, *folders, *pictures)


def writers(folder):
    """Whose letters these are, for the figures' titles."""
    return "drawn by network/pen.py" if are_drawn(folder) else f"of {folder.resolve().name}"


def letters_of(options):
    """Whose letters are learned and tested, for the figures' titles."""
    learned = writers(options.train_dir)
    tested = writers(options.test_dir or options.train_dir)
    return f"letters {learned}" + (f", tested on letters {tested}" if tested != learned else "")


if __name__ == "__main__":
    cli.run(main, options)
