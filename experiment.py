"""Task 4: vary the network, weigh the hypotheses.

Three dimensions of one baseline are varied one at a time, each setting with several seeds. Leaves
models/experiment.jsonl, models/experiment_network.pth and the figures 4.
"""

import argparse
import contextlib
import itertools
import math
import os
import sys
from dataclasses import asdict, replace

from network import cli


def parse_options():
    parser = cli.Parser(
        "Task 4: varies filters, dropout and batch size of the report's network, and weighs the "
        "report's hypotheses. A run that was stopped goes on where it was. Trials run on the CPU, "
        "one thread each."
    )
    parser.add_folders("data", "models", "figures")
    parser.add_seed()
    add = parser.add_argument
    add(
        "--dataset",
        choices=("auto", "fashion", "mnist", "drawn"),
        default="auto",
        help="what to learn; auto: Fashion-MNIST from disk, else downloaded, else MNIST, else "
        "digits drawn by network/pen.py",
    )
    whole = cli.whole_number(1)
    add("--epochs", type=whole, default=5, help="passes over the training images")
    add("--seeds", type=whole, default=3, help="trials of each setting, the first from --seed")
    add("--train-size", type=whole, help="training images to learn from; all when left out")
    for option, kind, default, purpose in (
        ("--filters", cli.whole_number(1), "5,10,15,20", "in the first layer; second: twice"),
        ("--dropout", cli.number(0, below=1), "0.1,0.25,0.5", "share of feature maps"),
        ("--batch-size", cli.whole_number(1), "32,64,128,256", "images in a training step"),
    ):
        add(option, type=listed(kind), default=default, metavar="A,B,…", help=purpose)
    add("--grid", action="store_true", help="also all combinations of the three lists, ranked")
    add(
        "--scale-lr",
        action="store_true",
        help="also each batch size with a learning rate in proportion to it",
    )
    add("--workers", type=whole, default=cores(), help="processes; one for each core")
    add("--cluster", metavar="ADDRESS", help="run on the Dask cluster of this scheduler instead")
    add("--fresh", action="store_true", help="start over; earlier results are kept beside")
    return parser.parse_args()


def listed(kind):
    """An argparse type: values of a kind, with commas between them, each once."""

    def parse(text):
        values = [kind(value.strip()) for value in text.split(",")]
        twice = {value for value in values if values.count(value) > 1}
        if twice:
            raise argparse.ArgumentTypeError(f"{min(twice)} is there twice")
        return sorted(values)

    return parse


def cores():
    """How many cores this process may use; some systems cannot tell."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


if __name__ == "__main__":
    options = parse_options()

with cli.loading():  # takes seconds, too long for --help or a mistyped option
    import numpy as np
    import torch
    from tqdm import tqdm

    from network.experiment import hypotheses, trials
    from network.experiment.hypotheses import accuracy, cpu_seconds, mean_interval, wall_seconds
    from network.experiment.trials import Trial
    from network.files import Problem
    from network.model import MyNetwork, save_network
    from network.weights import load_network, set_aside_better

# Data sets and figures are imported where they are used: this file is read by every worker
# process, which needs neither.

BASELINE = Trial()
DIMENSIONS = {"filters": "filters", "dropout": "dropout", "batch_size": "batch size"}


def main(options):
    if options.device not in ("auto", "cpu"):
        raise Problem(
            f"trials run on the CPU, one thread each, so that their times can be compared; leave "
            f"--device {options.device} out"
        )
    from network import datasets

    dataset = datasets.find_fashion_or_digits(options.dataset, options.data_dir)
    training = datasets.load(dataset, options.data_dir, train=True)
    test = datasets.load(dataset, options.data_dir, train=False)
    data = trials.split(training, test, options.train_size)
    run = trials.run_identity(dataset, data, options.epochs)
    results = trials.Results(options.models_dir / "experiment.jsonl", run, options.fresh)
    settings = choose_settings(options)
    seeds = range(options.seed, options.seed + options.seeds)
    print(
        f"{dataset}: {run['train_images']:,} images to learn from, {run['validation_images']:,} "
        f"held out to validate on, {run['test_images']:,} to test; "
        f"{count_of(options.epochs, 'epoch')}\n"
        f"{count_of(len(settings), 'setting')}, {count_of(options.seeds, 'seed')} each; settings "
        "that several dimensions share are run once",
        flush=True,
    )
    # All settings once, then with the next seed: what slows the machine for a while slows all of
    # them. What takes longest goes first: at the end nobody waits long for the last one.
    wanted = [replace(setting, seed=seed) for seed in seeds for setting in settings]
    wanted.sort(key=lambda t: (t.seed, t.batch_size, -t.filters))
    with place_of_trials(options, data) as place:
        failed = complete(wanted, results, place)
        found = {s: finished for s in settings if (finished := of_setting(s, seeds, results))}
        if not found:
            raise Problem(f"all {len(wanted)} trials failed; mend what is said above and run again")
        dimensions = {
            name: {getattr(s, name): found[s] for s in along(name, options) if s in found}
            for name in DIMENSIONS
        }
        show(found, dimensions, options)
        failed += retrain(choose_best(found), results, place, options, training)
    paths = draw(found, dimensions, options, dataset)
    cli.print_files([results.path, network_path(options), *paths])
    return 1 if failed else 0


def show(found, dimensions, options):
    """Prints the tables and the hypotheses."""
    combined = {s: r for s, r in found.items() if s.learning_rate == BASELINE.learning_rate}
    ones = [s for name in DIMENSIONS for s in along(name, options)]
    ones = [BASELINE, *ones, *(s for s in found if s not in combined)]
    print_table({s: found[s] for s in dict.fromkeys(ones) if s in found}, options.seeds)
    if options.grid:
        print("\nall combinations, ranked by validation accuracy:")
        ranked = sorted(combined, key=lambda s: -np.mean([accuracy(r) for r in found[s]]))
        print_table({setting: found[setting] for setting in ranked}, options.seeds)
    print("\naccuracies below are on the validation images, ± is a 95 % interval over seeds")
    for number, hypothesis in enumerate(hypotheses.weigh(dimensions), 1):
        print_hypothesis(number, hypothesis, options.seeds)
    if options.scale_lr:
        scaled = {s.batch_size: found[s] for s in scaled_rates(options) if s in found}
        print_scaled(dimensions["batch_size"], scaled)


def place_of_trials(options, data):
    """Where the trials run."""
    if options.cluster:
        return trials.Cluster(options.cluster, data, options.epochs)
    return trials.Processes(options.workers, data, options.epochs)


def along(dimension, options):
    """The settings along one dimension: the baseline in all else."""
    return [replace(BASELINE, **{dimension: value}) for value in getattr(options, dimension)]


def scaled_rates(options):
    """The settings along the batch size with the learning rate in proportion to it."""
    return [
        replace(s, learning_rate=s.learning_rate * s.batch_size / BASELINE.batch_size)
        for s in along("batch_size", options)
    ]


def choose_settings(options):
    """All settings to run, each once."""
    settings = [BASELINE]
    for dimension in DIMENSIONS:
        settings += along(dimension, options)
    if options.scale_lr:
        settings += scaled_rates(options)
    if options.grid:
        product = itertools.product(options.filters, options.dropout, options.batch_size)
        settings += [Trial(*values) for values in product]
    return list(dict.fromkeys(settings))


def of_setting(setting, seeds, results):
    """The results of a setting's seeds, as far as there are any, each with its "seed"."""
    trials_of_setting = {seed: replace(setting, seed=seed) for seed in seeds}
    return [
        {**results.finished[trial], "seed": seed}
        for seed, trial in trials_of_setting.items()
        if trial in results.finished
    ]


def complete(wanted, results, place, keep_weights=None):
    """Runs those trials that have no result yet; returns how many failed."""
    todo = [trial for trial in wanted if trial not in results.finished]
    done = len(wanted) - len(todo)
    if done:
        print(f"{done} of {len(wanted)} trials have run before", flush=True)
    bar = tqdm(
        total=len(wanted),
        initial=done,
        **{"desc": "trials", "unit": " trials", "leave": False, "disable": None},
    )
    try:
        with bar, contextlib.closing(trials.run_all(todo, place)) as ending:
            for trial, outcome in ending:
                bar.update()
                if isinstance(outcome, Exception):
                    reason = " ".join(f"{type(outcome).__name__}: {outcome}".split())
                    with bar.external_write_mode(sys.stderr):
                        cli.complain(f"a trial failed: {trial}: {reason}")
                    continue
                if trial.final:
                    keep_weights(trial, outcome)
                results.add(trial, outcome)
                done += 1
                if bar.disable:
                    measure = "test" if trial.final else "validation"
                    cli.notice(
                        f"{done}/{len(wanted)}: {trial}: {measure} accuracy "
                        f"{outcome[f'{measure}_accuracy']:.2%}, {cpu_seconds(outcome):.2f} CPU s "
                        "an epoch"
                    )
    except (KeyboardInterrupt, Problem) as stop:
        kept = (
            f"{done} of {len(wanted)} trials are done and kept in {cli.short(results.path)}, "
            "the same command goes on from there"
        )
        raise type(stop)("; ".join(filter(None, (str(stop), kept)))) from None
    return len(wanted) - done


def print_table(rows, seeds):
    """Settings with what was measured, one line each.

    Args:
        rows: for each setting the results of its seeds.
        seeds: how many there should be.
    """
    print(
        "\nfilters  dropout  batch    rate    validation accuracy      test  CPU s/epoch      "
        "wall s/epoch  seeds"
    )
    for setting, found in rows.items():
        best, half = mean_interval([accuracy(result) for result in found])
        test = np.mean([result["test_accuracy"] for result in found])
        seconds, seconds_half = mean_interval([cpu_seconds(result) for result in found])
        wall = np.mean([wall_seconds(result) for result in found])
        few = "" if len(found) == seeds else f" of {seeds}"
        print(
            f"{setting.filters:7}  {setting.dropout:7g}  {setting.batch_size:5}  "
            f"{setting.learning_rate:6g}    {best:7.2%} {plus_minus(100 * half):9}  {test:9.2%}  "
            f"{seconds:6.2f} {plus_minus(seconds_half):9}  {wall:9.2f}  {len(found):5}{few}"
            + ("  baseline" if setting == BASELINE else "")
        )


def count_of(number, noun):
    """A number with its noun, "1 seed" or "3 seeds"."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def plus_minus(half):
    """Half the width of an interval as text; nothing where there is none."""
    return f"± {half:.2f}" if math.isfinite(half) else ""


def print_hypothesis(number, hypothesis, seeds):
    """A hypothesis, the quantities that were measured for it, and its verdict."""
    print(f"\nhypothesis {number}: {hypothesis.text}")
    for part in hypothesis.parts:
        verdict = "" if part.estimate is None else f": {part.verdict}"
        print(f"  {part}{verdict}")
    print(f"  verdict: {hypothesis.verdict} at {count_of(seeds, 'seed')}")


def print_scaled(fixed, scaled):
    """How much of what large batches lose comes back with a learning rate in proportion.

    Args:
        fixed, scaled: for each batch size the results of its seeds, at the baseline's rate and at
            one in proportion to the batch.
    """
    print("\nbatch size with the learning rate in proportion to it:")
    means = [
        {size: np.mean([accuracy(result) for result in found]) for size, found in side.items()}
        for side in (fixed, scaled)
    ]
    for size in sorted(set(means[0]) & set(means[1])):
        at_fixed, at_scaled = means[0][size], means[1][size]
        print(f"  batch {size:4}: validation accuracy {at_fixed:.2%} at the fixed rate", end="")
        print(f", {at_scaled:.2%} at the scaled one ({100 * (at_scaled - at_fixed):+.2f} points)")
    both = set(fixed) & set(scaled)
    if len(both) < 2:
        return
    least, most = min(both), max(both)
    changes = [side[most] - side[least] for side in means]
    print(
        f"  from batch {least} to {most} accuracy changes by {100 * changes[0]:+.2f} points at the "
        f"fixed rate, by {100 * changes[1]:+.2f} at the scaled one",
        end="",
    )
    if changes[0] < 0:
        print(f": {1 - changes[1] / changes[0]:.0%} of the loss vanishes", end="")
    print()


def choose_best(found):
    """The setting of the best mean accuracy on the validation images."""
    # A setting that lacks seeds would have it easier to be lucky.
    most = max(len(results) for results in found.values())
    complete_ones = [setting for setting, results in found.items() if len(results) == most]
    return max(complete_ones, key=lambda s: np.mean([accuracy(result) for result in found[s]]))


def retrain(best, results, place, options, training):
    """Trains the best setting once on all training images and keeps the network.

    Returns:
        How many trials failed, 0 or 1.
    """
    trial = replace(best, seed=options.seed, final=True)
    path = network_path(options)

    def keep(trial, outcome):
        network = MyNetwork(filters=(trial.filters, 2 * trial.filters), dropout=trial.dropout)
        weights = outcome.pop("weights")
        network.load_state_dict({name: torch.from_numpy(w) for name, w in weights.items()})
        cli.notice(set_aside_better(path, outcome["test_accuracy"], training.dataset))
        save_network(
            path,
            network,
            **{"dataset": training.dataset, "class_names": list(training.class_names)},
            **{"run": results.run, "trial": asdict(trial)},
            test_accuracy=outcome["test_accuracy"],
        )

    if not is_kept(trial, path, results):
        results.finished.pop(trial, None)  # without its weights it is not done
    name = str(replace(best, seed=options.seed)).rpartition(", seed")[0]
    print(f"\nbest setting by mean validation accuracy: {name}", flush=True)
    if failed := complete([trial], results, place, keep):
        return failed
    total = results.run["test_images"]
    share = results.finished[trial]["test_accuracy"]
    right = round(share * total)
    low, high = hypotheses.binomial_interval(right, total)
    images = results.run["train_images"] + results.run["validation_images"]
    print(
        f"retrained on all {images:,} images to learn from and validate on, seed {options.seed}:\n"
        f"test accuracy: {right}/{total} = {share:.2%} (so many test images leave "
        f"{low:.2%} to {high:.2%})"
    )
    return 0


def is_kept(trial, path, results):
    """Whether a file holds the weights of that trial of this run."""
    try:
        _, facts = load_network(path)
    except Problem:
        return False
    return facts.get("run") == results.run and facts.get("trial") == asdict(trial)


def network_path(options):
    """Where the weights of the best setting go."""
    return options.models_dir / "experiment_network.pth"


def draw(found, dimensions, options, dataset):
    """The figures 4; returns their paths."""
    from network import plots
    from network.experiment import figures

    drawn = {}
    of = f"{dataset}, {count_of(options.epochs, 'epoch')}"
    for name, words in DIMENSIONS.items():
        series = {"mean and 95 % interval": dimensions[name]}
        if name == "batch_size" and options.scale_lr:
            scaled = {s.batch_size: found[s] for s in scaled_rates(options) if s in found}
            series = {
                f"learning rate {BASELINE.learning_rate:g}": dimensions[name],
                "in proportion to the batch": scaled,
            }
        drawn[f"4_{name}"] = figures.setting_curves(
            {
                label: {
                    value: ([accuracy(r) for r in results], [cpu_seconds(r) for r in results])
                    for value, results in of_series.items()
                }
                for label, of_series in series.items()
            },
            getattr(BASELINE, name),
            words,
            f"Accuracy and training time by {words}: {of}",
            log=name == "batch_size",
            straight=name == "filters",
        )
    points = [
        (
            describe(setting),
            np.mean([cpu_seconds(result) for result in results]),
            *mean_interval([accuracy(result) for result in results]),
        )
        for setting, results in found.items()
    ]
    title = f"What accuracy costs, all {len(points)} settings: {of}"
    drawn["4_summary"] = figures.cost_and_accuracy(points, title)
    if options.grid:
        table = np.full(
            (len(options.dropout), len(options.filters), len(options.batch_size)), math.nan
        )
        for place, values in zip(
            np.ndindex(table.shape),
            itertools.product(options.dropout, options.filters, options.batch_size),
            strict=True,
        ):
            dropout, filters, size = values
            results = found.get(Trial(filters, dropout, size))
            if results:
                table[place] = np.mean([accuracy(result) for result in results])
        drawn["4_grid"] = figures.accuracy_tables(
            table,
            [f"dropout {dropout:g}" for dropout in options.dropout],
            (options.filters, "filters"),
            (options.batch_size, "batch size"),
            f"Mean validation accuracy of all combinations: {of}",
        )
    paths = [options.figures_dir / f"{name}.png" for name in drawn]
    for path, figure in zip(paths, drawn.values(), strict=True):
        plots.save(figure, path)
    return paths


def describe(setting):
    """In what a setting differs from the baseline."""
    parts = []
    if setting.filters != BASELINE.filters:
        parts.append(f"{setting.filters} filters")
    if setting.dropout != BASELINE.dropout:
        parts.append(f"dropout {setting.dropout:g}")
    if setting.batch_size != BASELINE.batch_size:
        parts.append(f"batch {setting.batch_size}")
    if setting.learning_rate != BASELINE.learning_rate:
        parts.append(f"rate {setting.learning_rate:g}")
    return ", ".join(parts) or "baseline"


if __name__ == "__main__":
    cli.run(main, options)
