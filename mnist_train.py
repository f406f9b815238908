"""Task 1.A to 1.D: look at MNIST, draw the network, train it, save it.

Leaves models/mnist_network.pth and the figures 1a to 1c.
"""

import argparse
import dataclasses
import math
import sys

from network import cli


def parse_options():
    parser = cli.Parser("Tasks 1.A to 1.D: trains the digit network and draws how it went.")
    parser.add_folders("data", "models", "figures")
    parser.add_device()
    parser.add_seed()
    parser.add_dataset("to learn")
    parser.add_argument(
        "--recipe",
        choices=("default", "report"),
        default="default",
        help="report: SGD as in the report; the options below change single points of a recipe",
    )
    # Absent unless given: what is not given comes from the recipe.
    given = parser.add_argument_group("recipe", argument_default=argparse.SUPPRESS).add_argument
    given("--epochs", type=cli.whole_number(1), help="passes over the training images")
    given("--batch-size", type=cli.whole_number(1), help="images in a training step")
    given("--optimizer", choices=("adamw", "sgd"), help="brings its own learning rate")
    given("--learning-rate", type=cli.number(0), help="its peak, where it follows a cycle")
    given("--momentum", type=cli.number(0, below=1), help="of sgd")
    given("--weight-decay", type=cli.number(0), help="pulls weights towards zero")
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
    from network.digits import figures
    from network.files import Problem
    from network.model import (
        MyNetwork,
        network_input,
        parameter_count,
        save_network,
        set_aside_better,
    )
    from network.training import REPORT, Recipe, evaluate, measures, train

RECIPES = {"default": Recipe(), "report": REPORT}


def main(options):
    options.recipe = chosen_recipe(options)
    device = cli.choose_device(options.device)
    dataset = datasets.find_digits(options.dataset, options.data_dir)
    training = datasets.load(dataset, options.data_dir, train=True).to(device)
    test = datasets.load(dataset, options.data_dir, train=False).to(device)

    look(test, options.figures_dir)  # 1.A
    torch.manual_seed(options.seed)
    network = MyNetwork().to(device)
    print(network)  # 1.B
    print(f"{parameter_count(network):,} parameters\n", flush=True)
    history = learn(network, training, test, options)  # 1.C
    weigh(network, training, test)
    draw_network(network, test, options.figures_dir)  # 1.B, now that there is something to see
    path = keep(network, training, history, options)  # 1.D
    names = ("1a_examples", "1b_network", "1c_accuracy", "1c_loss")
    cli.print_files([options.figures_dir / f"{name}.png" for name in names] + [path])


def chosen_recipe(options):
    """The recipe that was named, with the changes that the options make."""
    changes = {
        field.name: getattr(options, field.name)
        for field in dataclasses.fields(Recipe)
        if hasattr(options, field.name)
    }
    recipe = RECIPES[options.recipe]
    if changes.get("optimizer", recipe.optimizer) != recipe.optimizer:
        changes = {"learning_rate": None, **changes}  # the other optimizer's own, unless given
    return dataclasses.replace(recipe, **changes)


def look(test, folder):
    """1.A: the first six test images and their labels."""
    captions = [test.class_names[label] for label in test.labels[:6]]
    title = f"The first six test images of {test.dataset}"
    figure = plots.image_grid(test.images[:6].cpu(), captions, 3, title)
    plots.save(figure, folder / "1a_examples.png")


def draw_network(network, test, folder):
    """1.B: the network as a diagram, with the first test image on its way through it."""
    image = network_input(test.images[:1])
    figure = figures.network_diagram(network, image, test.class_names)
    plots.save(figure, folder / "1b_network.png")


def learn(network, training, test, options):
    """1.C: trains, tests after each epoch and draws the curves; returns the history."""
    sample = training.images[:10_000], training.labels[:10_000]  # enough for a curve
    history = {"batch_losses": [], "epochs": []}
    unfinished = weights_path(training.dataset, options, "_unfinished")
    save_network(unfinished, network)  # shows before the training that it can be written
    try:
        for epoch in train(network, training.images, training.labels, options.recipe):
            if not all(map(math.isfinite, epoch.losses)):
                raise Problem(
                    f"the loss grew beyond all numbers in epoch {epoch.number}; choose a lower "
                    f"--learning-rate than {options.recipe.learning_rate:g}"
                )
            history["batch_losses"] += epoch.losses
            known = measures(
                epoch, evaluate(network, *sample), evaluate(network, test.images, test.labels)
            )
            history["epochs"].append(known)
            line = (
                f"epoch {epoch.number:2}/{options.recipe.epochs}: training accuracy "
                f"{known['train_accuracy']:.2%}, test accuracy {known['test_accuracy']:.2%}, "
                f"{epoch.seconds:.1f} s"
            )
            tqdm.write(line, file=sys.stdout)  # goes above the progress bar
            sys.stdout.flush()
            save_network(unfinished, network, **facts(training, history, options))
    except KeyboardInterrupt:
        save_network(unfinished, network, **facts(training, history, options))
        raise KeyboardInterrupt(
            f"what was learned in {len(history['epochs'])} epochs is kept in "
            f"{cli.short(unfinished)}; other weights are as they were"
        ) from None
    of = f"the digit network on {training.dataset}"
    figure = figures.accuracy_curves(history["epochs"], f"Accuracy of {of}")
    plots.save(figure, options.figures_dir / "1c_accuracy.png")
    size = options.recipe.batch_size
    tests = [(e["epoch"] * len(training.images), e["test_loss"]) for e in history["epochs"]]
    figure = figures.loss_curves(history["batch_losses"], size, tests, f"Loss of {of}")
    plots.save(figure, options.figures_dir / "1c_loss.png")
    return history


def weigh(network, training, test):
    """Is there overfitting? Prints both accuracies and what lies between them."""
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


def keep(network, training, history, options):
    """1.D: saves the network and returns its path; weights that tested better are not lost."""
    path = weights_path(training.dataset, options)
    known = facts(training, history, options)
    cli.notice(set_aside_better(path, known["test_accuracy"], known["dataset"]))
    save_network(path, network, **known)
    weights_path(training.dataset, options, "_unfinished").unlink(missing_ok=True)
    return path


def weights_path(dataset, options, suffix=""):
    """Where weights go: drawn digits never take the place of those learned from MNIST."""
    name = "mnist_network" if dataset == "MNIST" else "drawn_network"
    return options.models_dir / f"{name}{suffix}.pth"


def facts(training, history, options):
    """What a checkpoint says of itself besides weights and sizes."""
    epochs = history["epochs"]
    return {
        "dataset": training.dataset,
        "class_names": list(training.class_names),
        "seed": options.seed,
        "recipe": dataclasses.asdict(options.recipe),
        "history": history,
        "test_accuracy": epochs[-1]["test_accuracy"] if epochs else None,
    }


if __name__ == "__main__":
    cli.run(main, options)
