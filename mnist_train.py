"""Task 1.A to 1.D: look at MNIST, draw the network, train it, save it.

Leaves models/mnist_network.pth and the figures 1a to 1c; of drawn digits, files whose names say so.
A training that was stopped goes on where it was when the same command is given again.
"""

import argparse
import dataclasses
import math
import sys

from network import cli


def parse_options():
    parser = cli.Parser("Tasks 1.A to 1.D: trains the digit network and draws how it went.")
    parser.add_shared("data-dir", "models-dir", "figures-dir", "device", "seed")
    parser.add_dataset("to learn")
    parser.add_argument(
        "--recipe",
        choices=("default", "report"),
        default="default",
        help="report: SGD as in the report; the options below change single points of a recipe",
    )
    # Absent unless given: what is not given comes from the recipe.
    given = parser.add_argument_group("recipe", argument_default=argparse.SUPPRESS).add_argument
    given("--epochs", type=cli.number(int, 1), help="passes over the training images")
    given("--batch-size", type=cli.number(int, 1), help="below 256: a lower learning rate")
    given("--optimizer", choices=("adamw", "sgd"), help="brings its own learning rate")
    given("--learning-rate", type=cli.number(float, 0), help="its peak, where it follows a cycle")
    given("--momentum", type=cli.number(float, 0, below=1), help="of sgd")
    given("--weight-decay", type=cli.number(float, 0), help="pulls weights towards zero")
    switch = argparse.BooleanOptionalAction
    given("--one-cycle", action=switch, help="the learning rate rises and falls")
    given("--augment", action=switch, help="turn, shear, scale and shift the training images")
    given("--curriculum", action=switch, help="dropout and augmentation grow first, later fade")
    given("--average", action=switch, help="keep a moving average of the weights")
    return parser.parse_args()


if __name__ == "__main__":
    options = parse_options()

with cli.loading():  # takes seconds, too long for --help or a mistyped option
    import torch
    from tqdm import tqdm

    from network import datasets, plots
    from network.digits import additions, figures, nodigits
    from network.digits.doubt import Doubtful, WithOthers, calibrate, doubt_limit, learn_doubts
    from network.files import Problem, require_writable
    from network.model import MyNetwork, network_input, parameter_count, save_network, write
    from network.training import REPORT, Recipe, evaluate, measures, train
    from network.weights import set_aside_better, unfinished_training

CHECKED = 10_000  # training images whose accuracy is measured after each epoch


def main(options):
    with_drawn = options.dataset == "auto" and options.recipe == "default"
    options.recipe = chosen_recipe(options)
    device = cli.choose_device(options.device)
    require_writable(options.models_dir, options.figures_dir)
    dataset = datasets.find_dataset(options.dataset, options.data_dir)
    training = datasets.load(dataset, options.data_dir, train=True).to(device)
    test = datasets.load(dataset, options.data_dir, train=False).to(device)

    # Drawn digits never take the place of MNIST, in figures or weights.
    suffix, name = ("_drawn", "drawn") if dataset == "drawn digits" else ("", "mnist")
    options.path = options.models_dir / f"{name}_network.pth"
    title = f"The first six test images of {test.dataset}"
    captions = [test.class_names[label] for label in test.labels[:6]]
    drawn = {"1a_examples": figures.image_grid(test.images[:6].cpu(), captions, 3, title)}
    written = plots.save(drawn, options.figures_dir, suffix)  # 1.A
    torch.manual_seed(options.seed)
    network = MyNetwork().to(device)
    lessons, learner = training, network
    if dataset == "MNIST" and with_drawn:  # and what is no digit, in classes of its own
        lessons = additions.with_drawn(training, options.seed)
        learner = WithOthers(network, len(nodigits.CLASSES)).to(device)
    print(network)  # 1.B
    print(f"{parameter_count(network):,} parameters\n", flush=True)
    history, unfinished = learn(network, learner, training, lessons, test, options)  # 1.C
    doubts = settle_doubts(network, training, lessons, options) if learner is not network else {}
    drawn = draw_curves(history, lessons, options)
    print_accuracies(network, training, test)
    image = network_input(test.images[:1])  # 1.B, now that there is something to see
    drawn["1b_network"] = figures.network_diagram(network, image, test.class_names)
    written += plots.save(drawn, options.figures_dir, suffix)
    written.append(save(network, lessons, history, doubts, options))  # 1.D
    unfinished.unlink(missing_ok=True)
    cli.print_files(written)


def chosen_recipe(options):
    """The recipe that was named, with the changes that the options make."""
    fields = {field.name for field in dataclasses.fields(Recipe)}
    changes = {name: value for name, value in vars(options).items() if name in fields}
    recipe = REPORT if options.recipe == "report" else Recipe()
    if recipe != REPORT or changes.get("optimizer", "sgd") != "sgd":
        changes = {"learning_rate": None, **changes}  # the new recipe's own, unless given
    return dataclasses.replace(recipe, **changes)


def learn(network, learner, training, lessons, test, options):
    """1.C: trains and tests after each epoch.

    The network learns `lessons`: the training images, and drawn ones where these are added. What
    was learned is kept after each epoch and at Ctrl-C, for the same command to go on from.

    Returns:
        The history; the path of the file that kept what was learned, for the caller to remove.
    """
    sample = training.images[:CHECKED], training.labels[:CHECKED]  # enough for a curve
    recipe = options.recipe
    settings = {"dataset": lessons.dataset, "images": len(lessons.labels)}
    settings |= {"seed": options.seed, "recipe": dataclasses.asdict(recipe)}
    unfinished, saved = unfinished_training(options.path, settings)
    history = saved["history"] if saved else {"batch_losses": [], "epochs": []}

    def save(state):
        write(unfinished, {"settings": settings, "history": history, **state})

    epochs = train(learner, lessons.images, lessons.labels, recipe, save=save, saved=saved)
    if learner is not network:
        print(
            f"learning {len(training.labels):,} images of {training.dataset} and, drawn by "
            f"network/pen.py, {additions.DRAWN_DIGITS:,} digits and {additions.DRAWN_OTHERS:,} "
            "images of what is no digit"
        )
    print(
        f"accuracy by epoch: of {training.dataset}'s first {len(sample[1]):,} training images and "
        f"of all its {len(test.labels):,} test images",
        flush=True,
    )
    try:
        for epoch in epochs:
            if not all(map(math.isfinite, epoch.losses)):
                unfinished.unlink(missing_ok=True)  # nothing to go on from
                raise Problem(
                    f"the loss grew beyond all numbers in epoch {epoch.number}; choose a lower "
                    f"--learning-rate than {recipe.learning_rate:g}"
                )
            history["batch_losses"] += epoch.losses
            known = measures(
                epoch, evaluate(network, *sample), evaluate(network, test.images, test.labels)
            )
            history["epochs"].append(known)
            line = (
                f"epoch {epoch.number:2}/{recipe.epochs}: training accuracy "
                f"{known['train_accuracy']:.2%}, test accuracy {known['test_accuracy']:.2%}, "
                f"{epoch.seconds:.1f} s"
            )
            tqdm.write(line, file=sys.stdout)  # goes above the progress bar
            sys.stdout.flush()
    except KeyboardInterrupt:
        if not unfinished.is_file():
            raise
        raise KeyboardInterrupt(
            f"what was learned is kept in {cli.short(unfinished)}, and the same command goes on "
            "from there; other weights are as they were"
        ) from None
    return history, unfinished


def settle_doubts(network, training, lessons, options):
    """Calibrates the network; returns what its checkpoint needs for doubts.

    These are the weights that tell what is no digit, and the entropy above which an answer is
    perhaps none.
    """
    print("learning to doubt what is no digit", flush=True)
    some = additions.to_calibrate(training, options.seed)
    calibrate(network, some.images, some.labels)
    lessons = additions.to_doubt(lessons, options.seed)
    doubts = learn_doubts(network, lessons.images, lessons.labels)
    limit = doubt_limit(Doubtful(network, doubts), training.images)
    weights = {name: value.cpu() for name, value in doubts.state_dict().items()}
    return {"doubts": {"limit": limit, "weights": weights}}


def draw_curves(history, training, options):
    """1.C: accuracy and loss in the course of the training."""
    images, epochs = len(training.labels), history["epochs"]
    of = f"the digit network, learning {training.dataset}"
    checked, size = min(CHECKED, images), options.recipe.batch_size
    tests = [(epoch["epoch"] * images, epoch["test_loss"]) for epoch in epochs]
    losses = history["batch_losses"]
    return {
        "1c_accuracy": figures.accuracy_curves(epochs, checked, f"Accuracy of {of}"),
        "1c_loss": figures.loss_curves(losses, size, images, tests, f"Loss of {of}"),
    }


def print_accuracies(network, training, test):
    """Is there overfitting? Prints both accuracies and what lies between."""
    accuracies = []
    for part, name in ((training, "training"), (test, "test")):
        _, accuracy = evaluate(network, part.images, part.labels)
        total = len(part.labels)
        print(f"{name} accuracy: {round(accuracy * total)}/{total} = {accuracy:.2%}")
        accuracies.append(accuracy)
    gap = accuracies[0] - accuracies[1]
    # Two standard errors of a share measured on so many test images.
    chance = 2 * (accuracies[1] * (1 - accuracies[1]) / len(test.labels)) ** 0.5
    verdict = "overfitting" if gap > chance else "no overfitting beyond chance"
    print(
        f"gap: {100 * gap:+.2f} percentage points, {verdict} (the test set's size alone makes "
        f"±{100 * chance:.2f}); both in eval mode, images not augmented"
    )


def save(network, training, history, doubts, options):
    """1.D: saves the network and returns its path; weights that tested better are not lost."""
    accuracy = history["epochs"][-1]["test_accuracy"]
    cli.notice(set_aside_better(options.path, accuracy, training.dataset))
    save_network(
        options.path,
        network,
        dataset=training.dataset,
        class_names=list(training.class_names),
        seed=options.seed,
        recipe=dataclasses.asdict(options.recipe),
        history=history,
        test_accuracy=accuracy,
        **doubts,
    )
    return options.path


if __name__ == "__main__":
    cli.run(main, options)
