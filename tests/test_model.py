"""The network, and its weights on disk."""

import signal
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from conftest import HOME, refusal

from network import datasets
from network.model import MyNetwork, network_input, parameter_count, save_network
from network.weights import load_network

PRINTED = """\
MyNetwork(
  (conv1): Conv2d(1, 10, kernel_size=(5, 5), stride=(1, 1))
  (pool1): MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
  (conv2): Conv2d(10, 20, kernel_size=(5, 5), stride=(1, 1))
  (dropout): Dropout2d(p=0.25, inplace=False)
  (fc1): Linear(in_features=320, out_features=50, bias=True)
  (fc2): Linear(in_features=50, out_features=10, bias=True)
)"""


@pytest.fixture
def network():
    torch.manual_seed(0)
    return MyNetwork().eval()


def test_prints_as_in_the_report(network):
    assert str(network) == PRINTED
    assert parameter_count(network) == 21_840


def test_computes_what_the_report_describes(network):
    x = torch.randn(4, 1, 28, 28)
    y = x
    for conv in (network.conv1, network.conv2):
        y = F.relu(F.max_pool2d(F.conv2d(y, conv.weight, conv.bias), 2))
    y = F.relu(F.linear(y.reshape(4, 320), network.fc1.weight, network.fc1.bias))
    y = F.log_softmax(F.linear(y, network.fc2.weight, network.fc2.bias), 1)
    torch.testing.assert_close(network(x), y)
    torch.testing.assert_close(network(x).exp().sum(1), torch.ones(4))


def test_dropout_leaves_out_whole_feature_maps(network):
    x = torch.randn(50, 1, 28, 28)
    maps = network.train().dropout(network.conv2(network.pool1(network.conv1(x))))
    empty = (maps == 0).flatten(2).all(2).float().mean().item()
    assert 0.2 < empty < 0.3
    assert (maps == 0).float().mean().item() == pytest.approx(empty, abs=1e-6)


def test_sizes_follow_the_arguments():
    network = MyNetwork(filters=(3, 7), hidden=11, classes=5, dropout=0.5)
    assert network(torch.zeros(2, 1, 28, 28)).shape == (2, 5)
    assert MyNetwork(**network.sizes).state_dict().keys() == network.state_dict().keys()
    assert network.sizes == {"filters": [3, 7], "hidden": 11, "classes": 5, "dropout": 0.5}


def test_network_input_is_mnist_normalisation_and_leaves_its_argument():
    images = torch.full((2, 28, 28), 255.0)
    x = network_input(images)
    assert x.shape == (2, 1, 28, 28)
    assert x[0, 0, 0, 0].item() == pytest.approx((1 - 0.1307) / 0.3081)
    assert images.min() == 255
    assert torch.equal(network_input(images.byte()), x)


def test_network_input_of_mnist_has_zero_mean_and_unit_variance(mnist_dir):
    x = network_input(datasets.load("MNIST", mnist_dir, train=True).images)
    assert x.mean().item() == pytest.approx(0, abs=1e-3)
    assert x.std().item() == pytest.approx(1, abs=1e-3)


def test_a_checkpoint_comes_back_whole(tmp_path):
    torch.manual_seed(1)
    network = MyNetwork(filters=(4, 6), hidden=9, classes=3, dropout=0.1)
    network = network.to(memory_format=torch.channels_last).eval()
    path = tmp_path / "new folder" / "β.pth"
    save_network(path, network, class_names=["α", "β", "γ"], seed=7, history={"losses": [0.5]})
    again, facts = load_network(path)
    assert facts == {"class_names": ["α", "β", "γ"], "seed": 7, "history": {"losses": [0.5]}}
    assert again.sizes == network.sizes and not again.training
    x = torch.randn(5, 1, 28, 28)
    torch.testing.assert_close(again(x), network(x))
    assert [p.name for p in path.parent.iterdir()] == ["β.pth"]  # no leftovers


def test_a_bare_state_dict_is_read(tmp_path, network):
    torch.save(network.state_dict(), tmp_path / "bare.pth")
    again, facts = load_network(tmp_path / "bare.pth")
    assert facts == {}
    x = torch.randn(5, 1, 28, 28)
    assert torch.equal(again(x), network(x))


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.9, 0.999])
def test_cut_off_weights(tmp_path, network, share):
    path = tmp_path / "cut.pth"
    save_network(path, network)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert "cut off" in refusal(load_network, path)


def test_weights_of_other_networks_are_named_with_their_shapes(tmp_path, network):
    path, state = tmp_path / "other.pth", network.state_dict()
    for name, shape, says in (
        ("fc1.weight", (50, 321), "[50, 321]"),
        ("fc1.weight", (50,), "conv1.weight [10, 1, 5, 5]"),
        ("conv3.weight", (1,), "conv3.weight"),
    ):
        torch.save({**state, name: torch.zeros(shape)}, path)
        text = refusal(load_network, path)
        assert "another network" in text and says in text
    torch.save({"network": {"dropout": 7.0}, "state_dict": state}, path)
    assert "dropout" in refusal(load_network, path)


@pytest.fixture
def saved(tmp_path, network):
    path = tmp_path / "weights.pth"
    save_network(path, network, seed=1)
    return path


def test_a_killed_save_leaves_the_old_file(saved):
    half_written = (
        "import sys, time; from network.files import whole_file\n"
        "with whole_file(sys.argv[1]) as file:\n"
        "    file.write(b'half'); file.flush(); print('writing', flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", half_written, saved]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=HOME) as writer:
        assert writer.stdout.readline().strip() == b"writing"
        writer.kill()
    assert load_network(saved)[1] == {"seed": 1}


def test_a_failed_save_leaves_the_old_file_and_no_leftovers(saved, network, monkeypatch):
    before = saved.read_bytes()
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left")))
    assert "No space left" in refusal(save_network, saved, network)
    assert saved.read_bytes() == before
    assert [*saved.parent.iterdir()] == [saved]


def test_ctrl_c_waits_until_weights_are_written(network, tmp_path, monkeypatch):
    real = torch.save

    def interrupted(*arguments):
        signal.raise_signal(signal.SIGINT)
        real(*arguments)

    monkeypatch.setattr(torch, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_network(tmp_path / "weights.pth", network)
    again, _ = load_network(tmp_path / "weights.pth")
    assert torch.equal(again.fc2.weight, network.fc2.weight)
