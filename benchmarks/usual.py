"""The usual way to train on MNIST, as tutorials show it, to compare with."""

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Subset
from torchvision import transforms
from torchvision.datasets import MNIST

from network.model import MEAN, STD
from network.training import REPORT


def usual_loader(data_dir, images=60_000, batch_size=REPORT.batch_size):
    """A shuffling DataLoader of the first so many training images, normalised one by one."""
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((MEAN,), (STD,))])
    training = Subset(MNIST(data_dir, train=True, transform=transform), range(images))
    return DataLoader(training, batch_size=batch_size, shuffle=True)


def usual_optimizer(network):
    """The report's SGD."""
    return torch.optim.SGD(network.parameters(), lr=REPORT.learning_rate, momentum=REPORT.momentum)


def usual_epoch(network, loader, optimizer):
    """One epoch with the report's recipe."""
    network.train()
    for x, y in loader:
        optimizer.zero_grad()
        loss = F.nll_loss(network(x), y)
        loss.backward()
        optimizer.step()
