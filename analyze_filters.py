"""Task 2: what the network's filters have learned, and what they do to a digit.

Prints and draws the filters, filters a digit with them, compares them with classical operators and
with chance, and shows which parts of one image speak for the network's answer. Leaves the figures
2a to 2d.
"""

from collections import Counter

from network import cli


def parse_options():
    parser = cli.Parser(
        "Task 2: draws the network's filters, what they make of a digit, which classical operators "
        "they are like, and what in an image speaks for the network's answer."
    )
    parser.add_shared("data-dir", "models-dir", "figures-dir", "device", "seed", "weights")
    add = parser.add_argument
    add(
        "--layer",
        choices=("conv1", "conv2"),
        default="conv1",
        help="conv2: figure 2a has a kernel for each filter and feature map of conv1, 2b what the "
        "filters make of these maps; all kernels are compared, without figure 2c",
    )
    add("--image", type=cli.path_name, help="picture for figure 2d (default: the ninth test image)")
    parser.add_dataset("to look at")
    return parser.parse_args()


if __name__ == "__main__":
    options = parse_options()

with cli.loading():  # takes seconds, too long for --help or a mistyped option
    import numpy as np
    import torch
    import torch.nn.functional as F

    from network import datasets, plots
    from network.files import Problem, require_writable
    from network.filters import figures, operators
    from network.filters.edges import count_edge_detectors
    from network.filters.occlusion import COVERS, PATCH, occlude
    from network.model import network_input, parameter_count
    from network.photos import read_character, transform_of
    from network.weights import class_names, load_network

NINTH = 8  # the test image that the report calls ambiguous: a 5 much like a 6


def main(options):
    require_writable(options.figures_dir)
    device = cli.choose_device(options.device)
    network, facts = load_network(cli.weights_path(options), device)
    names = class_names(network, facts)
    clothes = names == datasets.CLOTHES
    first = "FashionMNIST" if clothes else "MNIST"
    dataset = datasets.find_dataset(options.dataset, options.data_dir, first)
    drawn = "drawn" if dataset == "drawn digits" else None
    # The names of figures say if the network or the digits are not those that ship.
    options.suffix = cli.suffix(options.weights, drawn)
    image = datasets.load(dataset, options.data_dir, train=True, count=1).images[0]  # (28, 28)

    print(network)
    print(f"{parameter_count(network):,} parameters\n")
    what = f"the first training image of {dataset}"
    look = look_at_first_layer if options.layer == "conv1" else look_at_second_layer
    drawn = look(network, image, what, options.seed)  # 2a to 2c
    written = plots.save(drawn, options.figures_dir, options.suffix)
    options.transform = transform_of(names, facts)
    status, paths = look_at_answer(network, names, dataset, options)  # 2d
    cli.print_files(written + paths)
    return status


def look_at_first_layer(network, image, what, seed):
    """2a to 2c for conv1: figures by name."""
    weights, bias = parameters(network.conv1)  # (10, 1, 5, 5), (10,)
    print_filters(weights, bias)
    seen = network_input(image[None])[0].numpy()  # (1, 28, 28)
    responses = operators.respond(seen, weights) + bias[:, None, None]
    kernels = weights[:, 0]
    count = f"{cli.count_of(len(kernels), 'filter')} of conv1"
    title = f"The {count}, and what each makes of {what} (valid part, with bias, before pooling)"
    drawn = {
        "2a_filters": figures.filter_panels(kernels, f"The {count}"),
        "2b_responses": figures.filters_and_responses(image, kernels, responses, title),
        "2c_operators": compare_with_operators(kernels),
    }
    count_edge_detectors(kernels, "filters of conv1", seed)
    return drawn


def look_at_second_layer(network, image, what, seed):
    """2a and 2b for conv2, and all its kernels judged: figures by name."""
    weights, bias = parameters(network.conv2)  # (20, 10, 5, 5), (20,)
    print(f"conv2.weight {list(weights.shape)}: too many to print, see figure 2a\n")
    with torch.inference_mode():
        x = network_input(image[None]).to(network.conv1.weight.device)
        maps = F.relu(network.pool1(network.conv1(x)))[0].cpu().numpy()  # (10, 12, 12)
    responses = operators.respond(maps, weights) + bias[:, None, None]
    of = f"The {weights.shape[0]} × {weights.shape[1]} kernels of conv2"
    title = (
        f"What conv2 sees of {what}: feature maps of conv1 after pooling and ReLU (grey), and what "
        "its filters make of them, with bias, before pooling (colour)"
    )
    kernels = weights.reshape(-1, *weights.shape[2:])  # (200, 5, 5)
    names, *_ = operators.best_matches(kernels)
    print(f"best matches of the {len(kernels)} kernels:")
    for family, count in Counter(name.split()[0] for name in names).most_common():
        print(f"  {family:9} {count:4}")
    count_edge_detectors(kernels, "kernels of conv2", seed)
    return {
        "2a_filters_conv2": figures.filter_table(weights, of),
        "2b_responses_conv2": figures.maps_and_responses(maps, responses, title),
    }


def parameters(layer):
    """A convolution's weights (F, C, n, n) and biases (F,) as float32 arrays."""
    return layer.weight.detach().cpu().numpy(), layer.bias.detach().cpu().numpy()


def print_filters(weights, bias):
    """The weights of filters (F, 1, n, n), two filters side by side."""
    print(f"conv1.weight {list(weights.shape)}")
    for first in range(0, len(weights), 2):
        pair = range(first, min(first + 2, len(weights)))
        head = (f"filter {index} (bias {bias[index]:.3f})" for index in pair)
        print("\n" + "    ".join(f"{text:>35}" for text in head))
        for row in range(weights.shape[2]):
            rows = ("".join(f"{value:7.3f}" for value in weights[i, 0, row]) for i in pair)
            print("    ".join(rows))


def compare_with_operators(kernels):
    """2c: each filter (F, n, n) against the classical operators; returns the figure."""
    names, cosine, matches = operators.best_matches(kernels)
    share, direction = operators.sobel_fit(kernels)
    angle, slope = operators.gradient(kernels)
    mean = operators.mean_share(kernels)
    print(
        "\nAngles: the direction of change, 0° to the right, 90° down. Gradient: of the plane that "
        "fits the\nweights best, per pixel. Energy: the sum of squares of the weights. Sobel pair: "
        "what share of the\nenergy around the mean Sobel x and y together make up, and their best "
        "direction. Mean: its share\nof the whole energy.\n"
    )
    print(f"filter  {'best match':27} cosine      gradient      Sobel pair   mean")
    captions = []  # of three panels each
    for i, name in enumerate(names):
        print(
            f"{i:6}  {name:27} {cosine[i]:6.2f}  {angle[i]:4.0f}° {slope[i]:7.3f}"
            f"  {share[i]:4.0%} at {direction[i]:3.0f}°  {mean[i]:5.0%}"
        )
        match = f"{figures.in_two_lines(name)} ({cosine[i]:+.2f})"
        gradient, pair = f"filter {i}\ngradient {angle[i]:.0f}°", f"Sobel pair\n{share[i]:.0%}"
        captions.append((gradient, match, pair))
    trios = np.stack(
        [
            operators.to_unit_norm(kernels, operators.have_mean(matches)[:, None, None]),
            matches * np.where(cosine < 0, -1, 1)[:, None, None],
            operators.sobel_direction(kernels.shape[-1], direction) * share[:, None, None] ** 0.5,
        ],
        axis=1,
    )
    title = (
        "The filters of conv1 with their gradients (the longer, the steeper), each beside the "
        "classical operator most like it (cosine) and its part in the Sobel pair (share of energy)"
    )
    return figures.likenesses(trios, captions, angle, slope, title)


def look_at_answer(network, names, dataset, options):
    """2d: what in an image speaks for the answer; returns the exit status and the figure's path."""
    if options.image is None:
        test = datasets.load(dataset, options.data_dir, train=False, count=NINTH + 1)
        image = test.images[NINTH].numpy()
        what = f"the ninth test image of {dataset}"
    else:
        try:
            _, image, _ = read_character(options.image, options.transform)
        except Problem as problem:
            cli.complain(problem)
            return problem.status, []
        what = "the picture"
    probabilities, maps = occlude(network, image)
    answer, second = np.argsort(-probabilities)[:2]
    first_name, second_name = names[answer], names[second]
    ahead = np.log(probabilities[answer] / probabilities[second])
    told = options.image.name if options.image else what
    print(
        f"\n{told}: {first_name} ({probabilities[answer]:.1%}), then {second_name} "
        f"({probabilities[second]:.1%}), {ahead:.2f} nats apart (in log-probability)"
    )
    for cover, margin in zip(COVERS, maps[:, 2], strict=True):
        print(f"  {cover}, a square of {PATCH}×{PATCH}:")
        for sign, one, other in ((1, first_name, second_name), (-1, second_name, first_name)):
            row, column = np.unravel_index(np.argmax(sign * margin), margin.shape)
            print(
                f"    around row {row}, column {column} the image speaks most for {one} "
                f"against {other}: by {sign * margin[row, column]:.2f} nats"
            )
    names = list(map(plots.brief, names))
    one, other = names[answer], names[second]
    captions = f"for {one}", f"for {other}", f"for {one} against {other}"
    title = f"What in {what} speaks for {first_name}, and what for {second_name}"
    figure = figures.occlusion_maps(
        image, names, probabilities, maps, captions, list(COVERS), title
    )
    suffix = options.suffix + cli.suffix(options.image)
    return 0, plots.save({"2d_occlusion": figure}, options.figures_dir, suffix)


if __name__ == "__main__":
    cli.run(main, options)
