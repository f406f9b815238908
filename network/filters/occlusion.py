"""Which parts of an image speak for a network's answer."""

import numpy as np
import torch

from network.training import predict

PATCH = 5  # pixels along each side of the square that covers a part of the image
COVERS = {"ink covered by paper": 0, "paper covered by ink": 255}  # grey values


def occlude(network, image):
    """Occlusion maps: covers an image (28, 28) uint8 part by part and sees what the network, which
    gives log-probabilities, makes of the rest.

    What is lost of a class's log-probability is what the covered part said for it (Zeiler and
    Fergus 2014, "Visualizing and Understanding Convolutional Networks").

    Returns:
        The probabilities of the whole image, (classes,); and the losses in nats of the answer, of
        the runner-up, and of the margin between them: (covers, 3, 28, 28), a pixel for the middle
        of each square.
    """
    height, width = image.shape
    copies = [image]
    for value in COVERS.values():
        for row, column in np.ndindex(height, width):
            copy = image.copy()
            top, left = max(0, row - PATCH // 2), max(0, column - PATCH // 2)
            copy[top : row + PATCH // 2 + 1, left : column + PATCH // 2 + 1] = value
            copies.append(copy)
    batch = torch.from_numpy(np.stack(copies)).to(next(network.parameters()).device)
    log_p = predict(network, batch).cpu().numpy()  # (1 + covers * 784, classes)
    best = np.argsort(-log_p[0])[:2]
    losses = (log_p[0] - log_p[1:])[:, best].reshape(len(COVERS), height, width, 2)
    answer, second = np.moveaxis(losses, -1, 0)  # (covers, 28, 28) each
    return np.exp(log_p[0]), np.stack([answer, second, answer - second], axis=1)
