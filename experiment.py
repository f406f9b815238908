"""Task 4: vary the network, test the hypotheses.

Three dimensions of one baseline are varied one at a time, each setting with several seeds. Leaves
models/experiment.jsonl, models/experiment_network.pth and the figures 4.
"""

import argparse
import os
import sys
from dataclasses import asdict, replace

from network import cli
from network.cli import count_of


def parse_options():
    parser = cli.Parser(
        "Task 4: varies filters, dropout and batch size of the report's network, and tests the "
        "report's hypotheses. A run that was stopped goes on where it was. Trials run on the CPU, "
        "one thread each."
    )
    parser.add_shared("data-dir", "models-dir", "figures-dir", "seed")
    add = parser.add_argument
    add(
        "--dataset",
        choices=("auto", "fashion", "mnist", "drawn"),
        default="auto",
        help="what to learn; auto: Fashion-MNIST from disk, else downloaded, else MNIST, else "
        "digits drawn by network/pen.py",
    )
    whole = cli.number(int, 1)
    add("--epochs", type=whole, default=5, help="passes over the training images")
    add("--seeds", type=whole, default=3, help="trials of each setting, the first from --seed")
    add("--train-size", type=whole, help="training images to learn from; all when left out")
    for option, kind, default, purpose in (
        ("--filters", cli.number(int, 1), "5,10,15,20", "in the first layer; second: twice"),
        ("--dropout", cli.number(float, 0, below=1), "0.1,0.25,0.5", "share of feature maps"),
        ("--batch-size", cli.number(int, 1), "32,64,128,256", "images in a training step"),
    ):
        add(option, type=listed(kind), default=default, metavar="A,B,…", help=purpose)
    add("--grid", action="store_true", help="also all combinations of the three lists, ranked")
    add(
        "--scale-lr",
        action="store_true",
        help="also each batch size with a learning rate in proportion to it",
    )
    # Some systems cannot tell which cores this process may use.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    add("--workers", type=whole, default=cores or 1, help="processes; one for each core")
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


if __name__ == "__main__":
    options = parse_options()

with cli.loading():  # takes seconds, too long for --help or a mistyped option
    import torch
    from tqdm import tqdm

    from network.experiment import report, trials
    from network.experiment.hypotheses import cpu_seconds
    from network.experiment.report import mean_accuracy
    from network.experiment.results import Results, identity, split
    from network.experiment.settings import Settings, describe, in_order
    from network.experiment.statistics import binomial_interval
    from network.files import Problem, require_writable
    from network.model import MyNetwork, save_network
    from network.training import count_answers, predict
    from network.weights import load_network, set_aside_better

# Data sets and figures are imported where they are used: this file is read by every worker
# process, which needs neither.


def main(options):
    with cli.loading():
        from network import datasets, plots
    from network.experiment import figures

    require_writable(options.models_dir, options.figures_dir)
    dataset = datasets.find_dataset(options.dataset, options.data_dir, "FashionMNIST")
    training = datasets.load(dataset, options.data_dir, train=True)
    test = datasets.load(dataset, options.data_dir, train=False)
    data = split(training, test, options.train_size)
    run = identity(dataset, data, options.epochs)
    results = Results(options.models_dir / "experiment.jsonl", run, options.fresh)
    if results.of_other_code:
        cli.notice(
            f"NOTICE: {count_of(results.of_other_code, 'trial')} of other code or another torch "
            f"in {cli.short(results.path)} are left alone"
        )
    network_path = options.models_dir / "experiment_network.pth"
    settings = Settings(options.filters, options.dropout, options.batch_size)
    wanted = settings.choose(options.scale_lr, options.grid)
    seeds = range(options.seed, options.seed + options.seeds)
    print(
        f"{dataset}: {run['train_images']:,} images to learn from, {run['validation_images']:,} "
        f"held out to validate on, {run['test_images']:,} to test; "
        f"{count_of(options.epochs, 'epoch')}\n"
        f"{count_of(len(wanted), 'setting')}, {count_of(options.seeds, 'seed')} each; settings "
        "that several dimensions share are run once",
        flush=True,
    )
    where = trials.Cluster if options.cluster else trials.Processes
    with where(options.cluster or options.workers, data, options.epochs) as place:
        failed = complete(in_order(wanted, seeds), results, place)
        found = {s: finished for s in wanted if (finished := results.of_setting(s, seeds))}
        if not found:
            raise Problem("all trials failed; mend what is said above and run again")
        dimensions = settings.dimensions(found)
        scaled = settings.scaled(found) if options.scale_lr else {}
        ones = {s: found[s] for s in settings.choose(options.scale_lr) if s in found}
        report.print_table(ones, options.seeds)
        report.print_hypotheses(dimensions, options.seeds)
        if options.scale_lr:
            report.print_scaled(dimensions["batch_size"], scaled)
        if options.grid:
            combined = {s: found[s] for s in settings.combinations() if s in found}
            report.print_grid(combined, dimensions, options.seeds)
        # A setting that lacks seeds would have it easier to be lucky.
        best = max(found, key=lambda setting: (len(found[setting]), mean_accuracy(found[setting])))
        best = replace(best, seed=options.seed, final=True)
        failed += retrain(best, results, place, network_path, training)
    of = (
        f"{dataset}, {count_of(run['train_images'], 'image')}, {count_of(options.seeds, 'seed')}, "
        f"{count_of(options.epochs, 'epoch')}"
    )
    drawn = figures.draw_all(found, dimensions, scaled, of)
    if options.grid:
        drawn["4_grid"] = figures.grid(found, settings, of)
    if not failed:
        answers = predict(load_network(network_path)[0], test.images).argmax(1)
        counts = count_answers(test.labels, answers, len(test.class_names)).numpy()
        report.print_confused(counts, test.class_names)
        wrong = f"{counts.sum() - counts.trace():,} mistakes in {len(test.labels):,} test images"
        title = f"The best setting ({describe(best)}), retrained\n{wrong} of {dataset}"
        drawn["4_confusion"] = plots.confusion(counts, test.class_names, title)
    paths = plots.save(drawn, options.figures_dir)
    cli.print_files([results.path, network_path, *paths])
    return 1 if failed else 0


def complete(wanted, results, place, keep_weights=None):
    """Runs those trials that have no result yet; returns how many failed."""
    todo = [trial for trial in wanted if trial not in results.finished]
    done = len(wanted) - len(todo)
    if done:
        print(f"{done} of {len(wanted)} trials have run before", flush=True)
    bar = tqdm(
        total=len(wanted), initial=done, desc="trials", unit=" trials", leave=False, disable=None
    )
    try:
        with bar:
            for trial, outcome in trials.run_all(todo, place):
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


def retrain(trial, results, place, path, training):
    """Trains the best setting once on all training images and keeps the network; returns how many
    trials failed, 0 or 1."""

    def keep(trial, outcome):
        weights = {name: torch.from_numpy(w) for name, w in outcome.pop("weights").items()}
        network = MyNetwork.from_state_dict(weights, trial.dropout)
        cli.notice(set_aside_better(path, outcome["test_accuracy"], training.dataset))
        save_network(
            path,
            network,
            dataset=training.dataset,
            class_names=list(training.class_names),
            run=results.run,
            trial=asdict(trial),
            test_accuracy=outcome["test_accuracy"],
        )

    try:
        _, facts = load_network(path)
    except Problem:
        facts = {}
    if (facts.get("run"), facts.get("trial")) != (results.run, asdict(trial)):
        results.finished.pop(trial, None)  # without its weights it is not done
    name = str(trial).rpartition(", seed")[0]
    print(f"\nbest setting by mean validation accuracy: {name}", flush=True)
    if failed := complete([trial], results, place, keep):
        return failed
    total = results.run["test_images"]
    share = results.finished[trial]["test_accuracy"]
    right = round(share * total)
    low, high = binomial_interval(right, total)
    images = results.run["train_images"] + results.run["validation_images"]
    print(
        f"retrained on all {images:,} images to learn from and validate on, seed {trial.seed}:\n"
        f"test accuracy: {right}/{total} = {share:.2%} (so many test images leave "
        f"{low:.2%} to {high:.2%})"
    )
    return 0


if __name__ == "__main__":
    cli.run(main, options)
