"""The training loop and the evaluation."""

import dataclasses
import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from network import datasets, pen, training
from network.digits import doubt
from network.model import MyNetwork, network_input
from network.training import REPORT, Recipe, evaluate, predict, random_affine, train
from network.views import VIEWS, Views, views


@pytest.fixture(scope="module")
def digits():
    images, labels = pen.drawn_digits(3000, seed=5)
    return torch.from_numpy(images), torch.from_numpy(labels)


def trained(images, labels, recipe, seed=0):
    torch.manual_seed(seed)
    network = MyNetwork()
    epochs = list(train(network, images, labels, recipe, progress=False))
    return network, epochs


@pytest.mark.parametrize(
    ("recipe", "floor"),
    [
        (Recipe(epochs=8, batch_size=64), 0.7),
        (REPORT, 0.5),
        (Recipe(optimizer="adamw", epochs=4, batch_size=64), 0.5),  # at SGD's rate it stays at 0.1
    ],
)
def test_it_learns(digits, recipe, floor):
    images, labels = digits
    network, epochs = trained(images[:2500], labels[:2500], recipe)
    assert evaluate(network, images[2500:], labels[2500:])[1] > floor  # guessing gives 0.1
    assert [epoch.number for epoch in epochs] == list(range(1, recipe.epochs + 1))
    assert all(len(epoch.losses) == 40 for epoch in epochs)  # the last batch is a short one
    assert sum(epochs[-1].losses) < 0.7 * sum(epochs[0].losses)
    assert not network.training


def test_labels_that_mean_nothing_are_not_learned(digits):
    images, labels = digits
    shuffled = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]
    network, _ = trained(images[:2500], shuffled[:2500], Recipe(epochs=3))
    assert evaluate(network, images[2500:], labels[2500:])[1] < 0.3


def test_a_seed_repeats_and_another_differs(digits):
    images, labels = digits[0][:600], digits[1][:600]
    runs = [trained(images, labels, Recipe(epochs=2), seed) for seed in (3, 3, 4)]
    (first, one), (again, two), (other, _) = runs
    assert [epoch.losses for epoch in one] == [epoch.losses for epoch in two]
    for a, b, c in zip(first.parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b) and not torch.equal(a, c)


def test_dropout_is_what_it_was_after_training_and_after_an_interruption(digits):
    images, labels = digits[0][:600], digits[1][:600]
    network = MyNetwork(dropout=0.4)
    steps = train(network, images, labels, Recipe(epochs=4, average=False), progress=False)
    for _ in range(4):
        next(steps)
    assert network.dropout.p < 0.1  # it has faded
    steps.close()
    assert network.dropout.p == 0.4


def test_frozen_layers_stay_bit_for_bit(digits):
    images, labels = digits
    network = MyNetwork()
    network.conv1.requires_grad_(False)
    before = [p.clone() for p in network.parameters()]
    list(train(network, images[:500], labels[:500], Recipe(epochs=1), progress=False))
    same = [torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True)]
    assert same == [True, True] + [False] * 6


def test_any_classifier_of_any_input_can_be_trained():
    torch.manual_seed(0)
    x = torch.randn(400, 3)
    labels = (x[:, 0] > 0).long()
    head = nn.Sequential(nn.Linear(3, 2), nn.LogSoftmax(dim=1))
    recipe = Recipe(epochs=20, batch_size=32, augment=False)
    list(train(head, x, labels, recipe, prepare=lambda batch: batch, progress=False))
    assert evaluate(head, x, labels, prepare=lambda batch: batch)[1] > 0.97


def test_what_is_no_digit_is_answered_undecided(digits):
    images, labels = digits
    torch.manual_seed(0)
    noise = torch.randint(0, 256, (500, 28, 28), dtype=torch.uint8)
    network = MyNetwork()
    lessons = torch.cat([images[:2000], noise[:400]])
    classes = torch.cat([labels[:2000], torch.full((400,), 10)])
    recipe = Recipe(epochs=8, batch_size=64)
    *_, last = train(doubt.WithOthers(network, 1), lessons, classes, recipe, progress=False)
    assert 0.4 < last.running_accuracy <= 1
    before = predict(network, images[2000:])
    doubts = doubt.learn_doubts(network, lessons, classes)
    reader = doubt.Doubtful(network, doubts)
    of_noise, of_digits = predict(reader, noise[400:]), predict(reader, images[2000:])
    assert of_noise.shape == (100, 10)
    torch.testing.assert_close(of_noise.exp().sum(1), torch.ones(100))
    assert doubt.entropy(of_noise).mean() > 2 > 1.3 > doubt.entropy(of_digits).mean()
    # The digit network by itself is as it was, with the same answers; a checkpoint doubts alike.
    assert torch.equal(predict(network, images[2000:]), before)
    assert torch.equal(before.argmax(1), of_digits.argmax(1))
    known = {"doubts": {"limit": 1.5, "weights": doubts.state_dict()}}
    again, limit = doubt.with_doubts(network, known)
    assert torch.equal(predict(again, noise[400:]), predict(Views(reader), noise[400:]))
    assert limit == 1.5 and doubt.with_doubts(network, {}) == (network, None)


def test_views_are_the_image_and_slight_distortions_whose_mean_answer_counts(digits):
    images = network_input(digits[0][:50])
    seen = views(images).unflatten(0, (len(VIEWS), 50))
    assert seen.shape == (len(VIEWS), 50, 1, 28, 28) and torch.equal(seen[0], images)
    for view in seen[1:]:  # each still much like the image, and none like another
        alike = F.cosine_similarity(view.flatten(1), images.flatten(1))
        assert 0.6 < alike.median() < 0.99
    assert (seen - images).abs().amax((1, 2, 3, 4))[1:].min() > 0.1
    torch.manual_seed(0)
    network = MyNetwork().eval()
    wanted = torch.stack([network(view) for view in seen]).mean(0).softmax(1)
    torch.testing.assert_close(Views(network)(images).exp(), wanted)


def test_calibrated_probabilities_mean_what_they_say(digits):
    images, labels = digits
    network, _ = trained(images[:2000], labels[:2000], Recipe(epochs=8, batch_size=64))
    answers = predict(network, images[2000:]).argmax(1)
    with torch.no_grad():
        network.fc2.weight *= 1.9  # far too sure
        network.fc2.bias *= 1.9
    doubt.calibrate(network, images[2000:], labels[2000:])
    outputs = predict(network, images[2000:])
    assert torch.equal(outputs.argmax(1), answers)
    right = (answers == labels[2000:]).float().mean().item()
    assert outputs.exp().amax(1).mean().item() == pytest.approx(right, abs=0.04)
    limit = doubt.doubt_limit(network, images[2000:])
    doubts = doubt.entropy(predict(Views(network), images[2000:]))
    assert (doubts > limit).float().mean().item() == pytest.approx(1 - doubt.KEPT, abs=0.002)


def test_random_affine_moves_but_keeps_the_digit(digits):
    images = digits[0][:200]
    torch.testing.assert_close(random_affine(images, strength=0), images.float(), atol=0.01, rtol=0)
    torch.manual_seed(0)
    moved = random_affine(images)
    assert moved.shape == images.shape and moved.dtype == torch.float32
    assert moved.min() >= 0 and moved.max() < 255.01
    assert not torch.equal(moved[0], random_affine(images)[0])
    ink = moved.sum((1, 2)) / images.float().sum((1, 2))
    assert ink.min() > 0.7 and ink.max() < 1.4  # scaled by at most 12 % either way

    def centre(images):  # from left to right
        return (images.sum(1) @ torch.arange(28.0)) / images.sum((1, 2))

    drift = centre(moved) - centre(images.float())
    assert 1 < drift.abs().max() < 6  # pixels; 12 % of 28 and what turning adds
    assert drift.mean().abs() < 0.5


def test_predict_and_evaluate(digits):
    images, labels = digits
    network = MyNetwork()
    torch.manual_seed(0)
    outputs = predict(network.train(), images)  # eval mode whatever it was
    torch.testing.assert_close(outputs, network.eval()(network_input(images)))
    loss, accuracy = evaluate(network, images, labels)
    assert loss == pytest.approx(-outputs[range(3000), labels].mean().item(), rel=1e-5)
    assert accuracy == pytest.approx((outputs.argmax(1) == labels).double().mean().item())


def test_the_reports_recipe_learns_mnist(mnist_dir):
    learned, test = (datasets.load("MNIST", mnist_dir, part) for part in (True, False))
    torch.manual_seed(0)
    network = MyNetwork()
    next(train(network, learned.images, learned.labels, REPORT, progress=False))
    assert evaluate(network, test.images, test.labels)[1] > 0.94  # after one epoch


def test_an_optimizer_brings_its_own_learning_rate():
    assert Recipe().learning_rate == 0.15 and Recipe(learning_rate=1).learning_rate == 1
    assert Recipe(batch_size=64).learning_rate == 0.15 / 4
    assert Recipe(optimizer="adamw", batch_size=64).learning_rate == 0.001


@pytest.mark.parametrize("recipe", [Recipe(epochs=3), Recipe(epochs=3, optimizer="adamw"), REPORT])
@pytest.mark.parametrize("stop", [3, 5, 7])  # within an epoch, at its end
def test_a_stopped_training_takes_the_same_steps(digits, recipe, stop, tmp_path):
    images, labels = digits[0][:150], digits[1][:150]
    recipe = dataclasses.replace(recipe, epochs=3, batch_size=32)  # 5 steps in an epoch
    whole, epochs = trained(images, labels, recipe)
    torch.manual_seed(0)
    path, steps, losses = tmp_path / "state.pth", itertools.count(), []

    def prepare(batch):
        if next(steps) == stop:
            raise KeyboardInterrupt
        return network_input(batch)

    def save(state):
        torch.save(state, path)

    with pytest.raises(KeyboardInterrupt):
        for epoch in train(MyNetwork(), images, labels, recipe, prepare, save=save):
            losses.append(epoch.losses)
    # Whatever has been drawn at random since then.
    network, saved = MyNetwork(), torch.load(path, weights_only=True)
    losses += [epoch.losses for epoch in train(network, images, labels, recipe, saved=saved)]
    assert losses == [epoch.losses for epoch in epochs]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, network.state_dict()[name]), name


def test_a_training_saves_itself_within_an_epoch(digits, monkeypatch):
    monkeypatch.setattr(training, "SAVE_EVERY", 0)
    states = []
    recipe = Recipe(epochs=1, batch_size=1000)
    list(train(MyNetwork(), *digits, recipe, save=lambda state: states.append(state["done"])))
    assert states == [1, 2, 3, 3]


def test_views_go_on_beyond_the_frame_without_asking_mps_for_what_it_lacks(monkeypatch):
    sample = F.grid_sample

    def as_mps(*arguments, padding_mode="zeros", **others):
        assert padding_mode == "zeros"
        return sample(*arguments, **others)

    monkeypatch.setattr(F, "grid_sample", as_mps)
    torch.testing.assert_close(views(torch.ones(2, 1, 28, 28)), torch.ones(10, 1, 28, 28))
