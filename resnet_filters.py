"""Extension 1: the same look at a ResNet's first layer.

Prints the network, draws the 64 colour filters of its first convolution and what they make of an
image, and measures what each is tuned to: beside the digit network's filters and beside chance.
With --train it learns these filters first. Leaves the figures ext1.
"""

from network import cli


def parse_options():
    parser = cli.Parser(
        "Extension 1: draws the first filters of a ResNet, what they make of an image, and "
        "measures what each is tuned to."
    )
    parser.add_shared("data-dir", "models-dir", "figures-dir", "seed")
    add = parser.add_argument
    add(
        "--weights",
        type=cli.path_name,
        default="auto",
        metavar="auto|imagenet|cifar10|FILE",
        help="imagenet: torchvision's, from its cache, else downloaded (resnet50: 98 MB); cifar10: "
        "the first layer that ships in MODELS_DIR; auto: imagenet, else cifar10; or a file with a "
        "state_dict",
    )
    add(
        "--model",
        choices=("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
        help="which of ImageNet's ResNets (default: resnet50), or which to train (default: "
        "resnet18); a file's weights are of one",
    )
    add(
        "--image",
        type=cli.path_name,
        help="any picture (default: CIFAR-10's first test image, if that is in DATA_DIR, else the "
        "photograph that comes with matplotlib)",
    )
    add("--full", action="store_true", help="print all layers of the network")
    group = parser.add_argument_group("to learn the filters first")
    group.add_argument(
        "--train",
        type=cli.path_name,
        nargs="?",
        const=True,  # CIFAR-10
        metavar="FOLDER",
        help="from a folder that has a folder of pictures for each class; without FOLDER from "
        "CIFAR-10, in DATA_DIR, else downloaded (170 MB), which takes an hour or so on two cores. "
        "The same command goes on where it was stopped",
    )
    group.add_argument(
        "--epochs", type=cli.number(int, 1), help="passes over the pictures (default: 12)"
    )
    group.add_argument(
        "--device", help="cuda, mps, cpu, or auto, the first of these there is (default: auto)"
    )
    options = parser.parse_args()
    if not options.train and (options.epochs or options.device):
        parser.error("--epochs and --device are for --train alone")
    return options


if __name__ == "__main__":
    options = parse_options()

with cli.loading():  # takes seconds, too long for --help or a mistyped option
    from network import plots
    from network.files import Problem, require_writable
    from network.filters import operators
    from network.model import parameter_count
    from network.resnet import figures, findings, layers
    from network.resnet.learn import learn_first_layer
    from network.resnet.pictures import find_picture
    from network.weights import load_digit_network


def main(options):
    require_writable(options.figures_dir)
    written = []
    if options.train:
        written = learn_first_layer(options, cli.choose_device(options.device or "auto"))
        options.weights = written[1]  # the whole network
    picture = find_picture(options.image, options.data_dir)
    layer = layers.first_layer(options.weights, options.model, options.models_dir)
    print(layer.network if options.full else layers.describe(layer.network))
    print(f"{layer.model}: {parameter_count(layer.network):,} parameters")
    print(f"\nfilters: the first layer of a {layer.words} ({layer.details})")
    height, width = picture.pixels.shape[:2]
    print(f"image: {picture.words}, {width}×{height} pixels")

    rows = findings.measure_all(layer.filters_on_rgb, digit_filters(options), options.seed)
    print(findings.LEGEND)
    findings.print_table(rows[findings.LAYER])
    if findings.DIGITS in rows:
        print("\nthe digit network's filters, which know no colour:")
        findings.print_table(rows[findings.DIGITS])
    findings.print_counts(rows)
    findings.print_findings(rows)
    cli.print_files(written + draw(layer, picture, rows, options.figures_dir))


def digit_filters(options):
    """The filters of the digit network, (10, 1, 5, 5), or None if it is not there."""
    try:
        network = load_digit_network(options.models_dir / "mnist_network.pth")
    except Problem as problem:
        cli.notice(f"NOTICE: {problem}\nNOTICE: going on without the digit network beside.")
        return None
    return network.conv1.weight.detach().numpy()


def draw(layer, picture, rows, folder):
    """Draws the four figures; returns their paths."""
    tuning = rows[findings.LAYER]
    order = findings.by_family(tuning)
    seen = layer.normalise(picture.pixels)  # (3, H, W)
    # The whole layer at stride 1, so that responses are as large as the picture: (64, H, W)
    responses = operators.respond(seen, layer.filters, padded=True)
    of = f"the first layer of a {layer.words}"
    drawn = {
        f"ext1_filters{layer.suffix}": figures.colour_filters(
            layer.filters, tuning, order, f"The 64 filters of {of}, by family; grey is zero"
        ),
        f"ext1_analysis{layer.suffix}": figures.tuning_overview(
            rows, f"What the filters of {of} are tuned to"
        ),
        f"ext1_image{layer.suffix}{picture.suffix}": figures.image_channels(
            picture.pixels, seen, f"As given, and as a {layer.words} takes it: {picture.words}"
        ),
        f"ext1_responses{layer.suffix}{picture.suffix}": figures.colour_filters_and_responses(
            layer.filters,
            responses,
            tuning,
            order,
            f"Each filter of {of}, and {picture.words} filtered by it (red positive, blue "
            "negative), each on a scale of its own",
        ),
    }
    return plots.save(drawn, folder)


if __name__ == "__main__":
    cli.run(main, options)
