"""Task 3 and extension 2: from digits to Greek letters, by a new last layer.

The digit network stays as it is, but for its last layer, which is made anew with one output for
each letter and learns from pictures of letters. Leaves models/greek_network.pth and the figures
3_…; with --extended, eight letters instead of three, models/greek_extended_network.pth and ext2_…;
with letters of your own, files that are named after their folders.
"""

import dataclasses
import time

from network import cli

TEST_LETTERS = cli.HOME / "data" / "greek_test"


def parse_options():
    parser = cli.Parser(
        "Task 3 and extension 2: teaches the digit network Greek letters through a new last layer."
    )
    parser.add_shared("models-dir", "figures-dir", "device", "seed", "weights")
    add = parser.add_argument
    parser.add_pictures("pictures of one letter each, to recognise after the training")
    add("--extended", action="store_true", help="eight letters instead of three; figures ext2_…")
    add(
        "--alphabet",
        action="store_true",
        help="all 24 small letters, drawn by network/pen.py at each run; figures ext2_alphabet_…",
    )
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
    options = parser.parse_mixed()
    if options.alphabet and (options.extended or options.train_dir):
        parser.error("--alphabet goes without --extended and --train-dir")
    if options.train_dir is None and not options.alphabet:
        shipped = "greek_extended" if options.extended else "greek_train"
        options.train_dir = cli.HOME / "data" / shipped
        options.test_dir = options.test_dir or TEST_LETTERS
    return options


if __name__ == "__main__":
    options = parse_options()

with cli.loading():  # takes seconds, too long for --help or a mistyped option
    import torch

    from network import plots
    from network.files import Problem, require_writable
    from network.letters import figures, folders, learning, results
    from network.model import parameter_count, save_network
    from network.pen import ALPHABET
    from network.photos import normalise, read_character, report_transform
    from network.pictures import image_files, thumbnail
    from network.training import predict, train
    from network.views import Views
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
    written = look_at_features(network, letters, test, options)
    history, paths = learn(network, letters, test, options)
    written += paths
    accuracy, paths = test_network(network, test, options)
    written += paths
    status, paths = recognise(network, letters.names, options)
    written += paths
    written.append(save(network, letters.names, history, accuracy, options))
    cli.print_files(written)
    return status


def get_letters(options):
    """The letters to learn and those to test on, as a pair of `Letters`."""
    transform = TRANSFORMS[options.transform]
    if options.alphabet:
        # Learned are 600 more by other hands, as of the letters that ship.
        letters = folders.draw_letters(ALPHABET, 30, 2**32, transform)
        test = folders.draw_letters(ALPHABET, 6, 2**33, transform)
        test_source = "drawn by network/pen.py"
        results.print_counts("training", letters, test_source)
    else:
        letters, test = read_training_letters(options)
        test_source = f"every fourth of {cli.short(options.train_dir)}, not learned"
    if options.test_dir or not test:
        test = read_test_letters(letters.names, options)
    else:
        results.print_counts("test", test, test_source)
    return letters, test


def read_training_letters(options):
    """The letters to learn and, of the user's own, those held out to test on, else None."""
    files, transform = folders.find_letters(options.train_dir), TRANSFORMS[options.transform]
    names = tuple(files)
    if len(names) == 1:
        raise Problem(
            f"{options.train_dir} has one letter only, {names[0]}, and nothing to tell it from; "
            "add a folder of another"
        )
    learned, held_out = (files, {}) if options.test_dir else folders.hold_out(files)
    letters = folders.read_letters(learned, names, transform)
    results.print_counts("training", letters, source(options.train_dir))
    for name, count in zip(names, letters.counts, strict=True):
        if not count:
            raise Problem(f"no picture in {learned[name][0].parent} is of use; see above")
        if count == 1:
            cli.notice(f"there is one picture of {name} only; it may be learned badly")
    return letters, folders.read_letters(held_out, names, transform) if held_out else None


def read_test_letters(names, options):
    """The letters of --test-dir that are learned, by default those that ship."""
    options.test_dir = options.test_dir or TEST_LETTERS
    files = folders.find_letters(options.test_dir)
    unknown = [name for name in files if name not in names]
    if len(unknown) == len(files):
        raise Problem(
            f"{options.test_dir} has no letter that is learned ({', '.join(names)}); "
            "name another folder with --test-dir"
        )
    test = folders.read_letters(files, names, TRANSFORMS[options.transform])
    results.print_counts("test", test, source(options.test_dir))
    if unknown:
        folder = cli.short(options.test_dir)
        cli.notice(f"left out of {folder}, not learned: {', '.join(unknown)}")
    return test


def source(folder):
    """A folder's name with what a reader must know of it."""
    drawn = " (drawn by network/pen.py)" if folders.are_drawn(folder) else ""
    return f"{cli.short(folder)}{drawn}"


def look_at_features(network, letters, test, options):
    """Are the letters separable by the frozen features at all? Returns the figure's path."""
    images = torch.cat([letters.images, test.images]).to(network.fc1.weight.device)
    points = predict(network, images, see=network.features).cpu()
    labels = torch.cat([letters.labels, test.labels])
    is_test = torch.arange(len(labels)) >= len(letters.labels)
    centred = points - points.mean(0)
    # pca_lowrank draws random vectors; as many of them as there are dimensions make it exact.
    _, spread, axes = torch.pca_lowrank(centred, q=min(centred.shape))
    shares = (spread**2 / spread.square().sum()).tolist()
    plane = centred @ axes[:, :2]  # (N, 2)
    results.print_neighbours(points, labels, f"the {points.shape[1]} frozen features")
    results.print_neighbours(plane, labels, "their plane")
    print(f"their plane shows {sum(shares[:2]):.0%} of the features' variance\n", flush=True)
    title = f"The frozen features of {letters_of(options)}, in their plane"
    names = list(map(plots.brief, letters.names))
    figure = figures.feature_plane(plane, labels, is_test, names, shares[:2], title)
    return save_figures({"features": figure}, options)


def learn(network, letters, test, options):
    """Trains the last layer, then all if wanted; returns how it went and the figure's path."""
    start = time.perf_counter()
    device = network.fc1.weight.device
    images, labels, noise = letters.images, letters.labels, learning.NOISE
    if folders.are_drawn(options.train_dir):
        print(f"{learning.DRAWN} more of each letter are drawn by network/pen.py", flush=True)
        noise = 0
        transform = TRANSFORMS[options.transform]
        more = folders.draw_letters(letters.names, learning.DRAWN, options.seed, transform)
        images = torch.cat([images, more.images])
        labels = torch.cat([labels, more.labels])
    images, labels = images.to(device), labels.to(device)
    # Such small steps are hardly faster when cores share them, and many times slower where other
    # programs keep these cores busy.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    training = learning.train_last_layer(network, images, labels, noise)
    epochs = results.follow(training, network, letters, test)
    results.print_first_right(epochs)
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
        epochs += results.follow(training, network, letters, test, len(epochs))
        added = 100 * (epochs[-1]["test_accuracy"] - frozen)
        print(f"that adds {added:+.2f} percentage points of test accuracy")
    torch.set_num_threads(threads)
    print(f"training took {time.perf_counter() - start:.1f} s\n", flush=True)
    frozen_epochs = learning.FROZEN.epochs if options.unfreeze else None
    figure = figures.training_curves(epochs, f"Learning {letters_of(options)}", frozen_epochs)
    history = {"recipes": [dataclasses.asdict(recipe) for recipe in recipes], "epochs": epochs}
    return history, save_figures({"training": figure}, options)


def test_network(network, test, options):
    """Tests the network; returns the accuracy and the figures' paths."""
    images = test.images.to(network.fc1.weight.device)
    probabilities = predict(Views(network), images).exp().cpu()
    accuracy, counts = results.print_accuracy(test, probabilities)
    mistakes = int(counts.sum() - counts.trace())
    tested = writers(options.test_dir or options.train_dir)
    letters = cli.count_of(int(counts.sum()), "test letter")
    title = f"{cli.count_of(mistakes, 'mistake')} in {letters}, {tested}"
    drawn = {"confusion": plots.confusion(counts, test.names, title)}
    title = f"Test letters, {tested}: as given, and as the network sees them"
    drawn["letters"] = figures.read_letters(test, probabilities, title)
    return accuracy, save_figures(drawn, options)


def recognise(network, names, options):
    """Recognises the pictures that were named; returns the exit status and the figure's path."""
    status, shown = 0, []
    for index, path in enumerate(image_files(options.pictures)):
        if index == 0:
            print()
        try:
            picture, image, _ = read_character(path, TRANSFORMS[options.transform])
        except Problem as problem:
            cli.complain(problem)
            status = max(status, problem.status)
            continue
        batch = torch.from_numpy(image)[None].to(network.fc1.weight.device)
        probabilities = predict(Views(network), batch)[0].exp().cpu()
        answer = int(probabilities.argmax())
        print(f"{path}: {names[answer]} ({probabilities[answer]:.1%})")
        if len(shown) < figures.SHOWN:
            shown.append((thumbnail(picture), image, plots.guesses(probabilities, names)))
    if not shown:
        return status, []
    title = f"New letters: as given, and as the network sees them ({len(shown)})"
    columns = zip(*shown, strict=True)
    figure = plots.pictures_as_seen(*columns, [plots.INK] * len(shown), title)
    return status, save_figures({"new_letters": figure}, options, options.pictures)


def save(network, names, history, accuracy, options):
    """Saves the network with its letters' names and returns its path."""
    letters = "_extended" if options.extended else "_alphabet" if options.alphabet else ""
    path = options.models_dir / f"greek{letters}{variant(options)}{own(options)}_network.pth"
    data = options.train_dir.resolve().name if options.train_dir else "drawn letters"
    cli.notice(set_aside_better(path, accuracy, data, names))
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


def save_figures(drawn, options, pictures=()):
    """Saves figures, a dict by name, under names that say whose letters and pictures they show."""
    task = "ext2" if options.extended else "ext2_alphabet" if options.alphabet else "3"
    named = {f"{task}{variant(options)}_{name}": figure for name, figure in drawn.items()}
    return plots.save(named, options.figures_dir, own(options, pictures))


def variant(options):
    """What file names say of a run that is there to compare with the usual one."""
    unfrozen = "_unfrozen" if options.unfreeze else ""
    return unfrozen + ("_report" if options.transform == "report" else "")


def own(options, pictures=()):
    """What file names say of a run on the user's own input."""
    named = [options.train_dir, options.test_dir]
    if options.test_dir:  # else even letters that ship are tested otherwise than by default
        named = [folder for folder in named if not folders.are_drawn(folder)]
    return cli.suffix(options.weights, *named, *pictures)


def writers(folder):
    """Whose letters these are, for the figures' titles."""
    return "drawn by network/pen.py" if folders.are_drawn(folder) else f"of {folder.resolve().name}"


def letters_of(options):
    """Whose letters are learned and tested, for the figures' titles."""
    learned = writers(options.train_dir)
    tested = writers(options.test_dir or options.train_dir)
    return f"letters {learned}" + (f", tested on letters {tested}" if tested != learned else "")


if __name__ == "__main__":
    cli.run(main, options)
