"""Extension 1: the same look at a ResNet's first layer.

Prints the network, draws the 64 colour filters of its first convolution and what they make of an
image, and measures what each is tuned to: beside the digit network's filters and beside chance.
With --train it learns these filters first. Leaves the figures ext1.
"""

import dataclasses

from network import cli


def parse_options():
    parser = cli.Parser(
        "Extension 1: draws the first filters of a ResNet, what they make of an image, and "
        "measures what each is tuned to."
    )
    parser.add_folders("data", "models", "figures")
    parser.add_device()
    parser.add_seed()
    add = parser.add_argument
    add(
        "--model",
        choices=("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
        help="which ResNet; the one that the weights are of if None, of ImageNet's resnet50",
    )
    add(
        "--weights",
        type=cli.path_name,
        default="auto",
        metavar="auto|imagenet|cifar10|FILE",
        help="imagenet: torchvision's, from its cache, else downloaded; cifar10: the first layer "
        "that ships in MODELS_DIR; auto: imagenet, else cifar10; or a file with a state_dict",
    )
    add(
        "--image",
        type=cli.path_name,
        help="any picture; CIFAR-10's first test image, from DATA_DIR, else downloaded, else a "
        "drawn scene, if None",
    )
    add("--full", action="store_true", help="print all layers of the network")
    add(
        "--train",
        action="store_true",
        help="first learn the filters that ship anew: a ResNet (resnet18 if --model is None) on "
        "CIFAR-10, from DATA_DIR, else downloaded; an hour or so on two cores, and it goes on "
        "where it was stopped",
    )
    add("--epochs", type=cli.whole_number(1), default=12, help="of --train")
    return parser.parse_args()


if __name__ == "__main__":
    options = parse_options()

with cli.loading():  # takes seconds, too long for --help or a mistyped option
    import numpy as np

    from network import datasets, plots
    from network.files import Problem
    from network.filters import gratings, operators
    from network.model import parameter_count
    from network.photos import read_image, thumbnail
    from network.resnet import figures, layers
    from network.resnet.learn import RECIPE, learn_first_layer
    from network.resnet.scene import draw_scene
    from network.weights import load_digit_network

FIRST = "CIFAR-10's first test image"
LONGEST = 224  # pixels of the longer side of a picture: what ImageNet's networks were made for


def main(options):
    device = cli.choose_device(options.device)
    written = []
    if options.train:
        model = options.model or "resnet18"
        recipe = dataclasses.replace(RECIPE, epochs=options.epochs)
        written += learn_first_layer(model, recipe, device, options)
        options.weights = "cifar10"
    picture, what = find_image(options)
    layer = layers.first_layer(options.weights, options.model, options.models_dir)
    print(layers.describe(layer.network, options.full))
    print(f"{layer.model}: {parameter_count(layer.network):,} parameters")
    print(
        f"\nfilters: conv1 of {layer.source} ({layer.details})\n"
        f"image: {what}, {picture.shape[1]}×{picture.shape[0]} pixels"
    )

    tuning = gratings.measure(layer.filters_on_rgb)
    order = by_family(tuning)
    print(LEGEND)
    print_table(tuning, order)
    digits = digit_kernels(options)
    rows = compare(layer.filters_on_rgb, tuning, digits, options.seed)
    print_findings(tuning, rows)

    seen = layer.normalise(picture)  # (3, H, W)
    responses = np.stack([operators.respond(seen, kernels, True) for kernels in layer.filters])
    drawn = {
        "filters": figures.colour_filters(
            *(layer.filters, order, tuning.kind, gratings.KINDS),
            f"The 64 filters of conv1 by family, on one scale, grey = zero ({layer.source})",
        ),
        "responses": figures.colour_filters_and_responses(
            *(layer.filters, responses, order, tuning.kind, gratings.KINDS),
            f"Each filter of conv1 ({layer.source}) beside {what} as filtered by it (red positive, "
            "blue negative), each on a scale of its own",
        ),
        "image": figures.image_channels(
            picture, seen, f"As given and as the network sees it: {what}"
        ),
        "analysis": figures.tuning_overview(
            *(tuning, rows[ALIKE], rows.get(DIGITS), counts(rows), gratings.KINDS),
            f"What the filters of conv1 are tuned to ({layer.source})",
        ),
    }
    paths = [options.figures_dir / f"ext1_{name}.png" for name in drawn]
    for path, figure in zip(paths, drawn.values(), strict=True):
        plots.save(figure, path)
    cli.print_files(written + paths)


def find_image(options):
    """The picture to filter, (H, W, 3) uint8 RGB, and what it is in words."""
    if options.image:
        picture = read_image(options.image)
        height, width = picture.shape[:2]
        picture = thumbnail(picture, LONGEST)
        if max(height, width) > LONGEST:
            cli.notice(f"{options.image}: scaled down from {width}×{height} pixels")
        return picture, options.image.name
    try:
        first = datasets.load_cifar10(options.data_dir, train=False, count=1).images[0]
        # That file may have CIFAR-10's images in an order of its own.
        packed = (options.data_dir / datasets.CIFAR_JPEG).is_file()
        what = f"the first test image of {datasets.CIFAR_JPEG}" if packed else FIRST
        return first.permute(1, 2, 0).numpy(), what
    except Problem as problem:
        cli.notice(
            f"NOTICE: {problem}\nNOTICE: going on with a DRAWN scene, made by network/scene.py."
        )
        return draw_scene(), "a drawn scene"


def by_family(tuning):
    """The indices of the filters (F,): grey before colour, edges by angle, blobs by colour."""
    family = np.array([0, 2, 1, 3, 4])[tuning.kind]
    # The middle of a blob is bright or dark, red or green: its colour with the pattern's sign.
    middle = tuning.colour * np.sign(tuning.gabors.values.sum((1, 2)))[:, None]
    red, green, blue = np.broadcast_to(middle, (len(middle), 3)).T
    hue = np.rad2deg(np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue)) % 360
    # Within a family: each of the kinds has what tells its filters apart best.
    inner = np.choose(
        tuning.kind, [tuning.angle, tuning.angle, -middle.sum(1), hue, -tuning.weight]
    )
    return np.lexsort((inner, family))


LEGEND = """
Weight: norm, 1 is the layer's root mean square. Grey: share of energy along the grey axis. Colour:
what one colour times one pattern explains, and that colour (red green blue). Angle (0° to the
right, 90° down), frequency and width at half height in octaves: of the grating that the filter
answers best; across: what it answers to that grating turned by 90°. Gabor: what this colour times
the best-fitting Gabor explains of the filter, and that Gabor's angle, frequency, σ along and across
its wave (up to the size of the filter), phase.
"""


def print_table(tuning, order):
    """What each filter is tuned to, family by family."""
    print(
        "filter  kind              weight  grey  colour                 angle cycles/px octaves "
        "across  Gabor"
    )
    gabors = tuning.gabors
    for i in order:
        colour = " ".join(f"{value:+.2f}" for value in tuning.colour[i])
        flat = tuning.frequency[i] == 0
        angle = "   –" if flat else f"{round(tuning.angle[i]) % 180:3}°"
        octaves = "  –" if np.isnan(tuning.bandwidth[i]) else f"{tuning.bandwidth[i]:.1f}"
        print(
            f"{i:6}  {gratings.KINDS[tuning.kind[i]]:16}  {tuning.weight[i]:6.2f}  "
            f"{tuning.grey[i]:4.0%}  {tuning.one_colour[i]:4.0%} ({colour:17})  {angle}     "
            f"{tuning.frequency[i]:.3f}     {octaves}   {tuning.crosswise[i]:4.0%}   "
            f"{tuning.form[i]:4.0%}: {round(gabors.angle[i]) % 180:3}° {gabors.frequency[i]:.3f} "
            f"{gabors.along[i]:.1f}×{gabors.across[i]:.1f} {gabors.phase[i]:+4.0f}°"
        )


def digit_kernels(options):
    """The filters of the digit network, (10, 1, 5, 5), or None if it is not there."""
    try:
        network = load_digit_network(options.models_dir / "mnist_network.pth")
    except Problem as problem:
        cli.notice(f"NOTICE: {problem}\nNOTICE: going on without the digit network beside.")
        return None
    return network.conv1.weight.detach().numpy()


LAYER, ALIKE, RANDOM = "conv1", "random,\nas smooth", "random"
DIGITS, DIGITS_ALIKE, DIGITS_RANDOM = "digit network", "5×5 random,\nas smooth", "5×5 random"


def compare(kernels, tuning, digits, seed):
    """Prints how many filters are of which kind, beside chance and beside the digit network.

    Returns:
        A dict of label to `gratings.Tuning`.
    """
    rng = np.random.default_rng(seed)
    rows = {LAYER: tuning}
    rows |= chances(kernels, rng, ALIKE, RANDOM)
    if digits is not None:
        rows[DIGITS] = gratings.measure(digits)
        print("\nthe digit network's filters, which know no colour:")
        print_table(rows[DIGITS], by_family(rows[DIGITS]))
        rows |= chances(digits, rng, DIGITS_ALIKE, DIGITS_RANDOM)
    print(
        f"\nOriented: answers the grating across at most {gratings.CROSSWISE:.0%}. Colour: less "
        f"than {gratings.GREY:.0%} of the energy along the grey\naxis. Nothing: colour times Gabor "
        f"explains less than {gratings.FORM:.0%}, or hardly any weight. As smooth: random, but\n"
        "neighbouring weights and channels correlate as the network's.\n"
    )
    names = "".join(f"  {name:>16}" for name in gratings.KINDS)
    print(f"{'':24}{'of':>4}{names}  Gabor (median)")
    for label, row in rows.items():
        total = len(row.kind)
        numbers = np.bincount(row.kind, minlength=len(gratings.KINDS))
        cells = "".join(f"  {f'{number} ({number / total:.0%})':>16}" for number in numbers)
        name = label.replace("\n", " ")
        print(f"{name:24}{total:4}{cells}  {np.median(row.form):13.0%}")
    return rows


def chances(kernels, rng, alike, random):
    """What random filters like these score, by label: as smooth, and wholly random."""
    return {
        label: gratings.measure(gratings.chance_filters(kernels, rng, like))
        for label, like in ((alike, True), (random, False))
    }


def counts(rows):
    """How many filters are of each kind, for each row."""
    return {
        label: np.bincount(row.kind, minlength=len(gratings.KINDS)) for label, row in rows.items()
    }


def print_findings(tuning, rows):
    """One line of what the numbers say."""
    kinds = np.bincount(tuning.kind, minlength=5)
    wanted = [0, 1, 3]  # oriented, or colour blobs
    share = {label: np.isin(row.kind, wanted).mean() for label, row in rows.items()}
    found = [
        f"{kinds[wanted].sum()} of {len(tuning.kind)} filters are oriented or colour blobs "
        f"({share[LAYER]:.0%}), of random ones as smooth {share[ALIKE]:.0%}, of wholly random ones "
        f"{share[RANDOM]:.0%}"
    ]
    oriented, colour = np.isin(tuning.kind, (0, 1)), np.isin(tuning.kind, (1, 3))
    if oriented.any():
        low, middle, high = np.percentile(tuning.frequency[oriented], (25, 50, 75))
        found.append(
            f"oriented ones prefer {middle:.2f} cycles per pixel (half of them {low:.2f} to "
            f"{high:.2f})"
        )
        if not np.isnan(tuning.bandwidth[oriented]).all():
            found[-1] += f" over {np.nanmedian(tuning.bandwidth[oriented]):.1f} octaves"
    if colour.any():
        flat = np.sum(tuning.frequency[colour] == 0)
        found.append(f"{flat} of the {colour.sum()} in colour prefer flat light")
    found.append(
        f"colour times Gabor explains {np.median(tuning.form):.0%} of a filter, of chance as "
        f"smooth {np.median(rows[ALIKE].form):.0%}"
    )
    if DIGITS in rows:
        found.append(
            f"of the digit network's filters {share[DIGITS]:.0%} are oriented, of chance as smooth "
            f"{share[DIGITS_ALIKE]:.0%}"
        )
    print(f"\nfindings: {'; '.join(found)}")


if __name__ == "__main__":
    cli.run(main, options)
