"""The kinds of plugins, and what they may ask for."""

import json
import random as _random

from .parameters import Parameter


class Refused(Exception):
    """What users read where a plugin cannot do what it is asked to: `raise Refused("heads must be even")`."""


class Plugin:
    """What every plugin has."""

    #: Lower-case words joined by `-`.
    name = ""
    #: A semantic version.
    version = "0.1.0"
    #: One line.
    summary = ""
    #: Documented configurations, which `vitral plugin check` tries: titles, and what differs from the defaults.
    examples = {}

    @classmethod
    def parameters(cls):
        """The parameters, by name, in the order in which the class has them."""
        found = {}
        for base in reversed(cls.__mro__):
            found.update({name: it for name, it in vars(base).items() if isinstance(it, Parameter)})
        return found

    def configured(self):
        """Called once all parameters have their values; may refuse them."""


class ImageAugmentation(Plugin):
    """Changes one image in a data worker."""

    def augment(self, image, sample):
        """The changed image, or None if it stays as it is.

        `image` has `width`, `height`, `channels` (1 or 3) and `pixels`, a bytearray: rows from top to bottom, pixels
        from left to right, channels innermost. `sample.random()` is the only source of randomness.
        """
        raise NotImplementedError


class BatchAugmentation(Plugin):
    """Changes a batch, as a tensor program."""

    def trace(self, batch, images, targets):
        """Images, `f32[B,height,width,channels]`, and targets, `f32[B,classes]`, to the same."""
        raise NotImplementedError


class Attention(Plugin):
    """A layer's attention, as a tensor program."""

    def trace(self, layer, query, key, value):
        """Queries, keys and values, `f32[B,heads,tokens,head_width]`, to the same."""
        raise NotImplementedError


class Monitor(Plugin):
    """Hears of what happens in a run. A method that has something to ask for gives it, or a list."""

    #: It hears of every so manieth step; 0 is never.
    every_steps = 0
    #: It hears of every parameter's statistics at every so manieth step; 0 is never.
    every_layers = 0

    def __init__(self):
        #: What a resumed run needs to go on as if it had never stopped: whatever JSON can hold.
        self.state = {}

    def on_started(self, run):
        """Training starts, or goes on."""

    def on_stepped(self, step):
        """A step was made. `step.figures` are known on the steps that are logged, else None."""

    def on_layers(self, layers):
        """Statistics of every parameter."""

    def on_evaluated(self, evaluation):
        """The model was evaluated."""

    def on_saved(self, checkpoint):
        """A checkpoint was written."""

    def on_ended(self, reason):
        """The run ends."""

    def on_data(self, report):
        """What the data path has done."""

    def on_rolled_back(self, report):
        """The run went back to an earlier checkpoint."""

    def on_experiment(self, configuration):
        """The experiment, each time that training starts or goes on: `configuration.run` is the name of the run's
        folder, and `configuration.fields` has a `name` and a `value`, as JSON, of every field."""

    def save(self):
        """The state as bytes."""
        return json.dumps(self.state, sort_keys=True).encode()

    def restore(self, state):
        """Takes up a saved state."""
        self.state = json.loads(state) if state else {}


class Image:
    """An image; its pixels are rows from top to bottom, channels innermost."""

    def __init__(self, width, height, channels, pixels):
        self.width = width
        self.height = height
        self.channels = channels
        self.pixels = pixels if isinstance(pixels, bytearray) else bytearray(pixels)


class Sample:
    """One image's place in a run."""

    def __init__(self, seed, epoch, size):
        self.seed = seed
        self.epoch = epoch
        self.size = size

    def random(self):
        """A generator from the sample's seed: the same sample gives the same numbers."""
        return _random.Random(self.seed)


def metric(name, value):
    """A figure for the run's metrics."""
    return ("Metric", name, value)


def warn(message):
    """Shown to the user."""
    return ("Warn", message)


def scale_learning_rate(factor, reason):
    """Multiplies the learning rate from the next step on."""
    return ("ScaleLearningRate", factor, reason)


def save(reason):
    """Saves a checkpoint now."""
    return ("Save", reason)


def roll_back(factor, reason):
    """Goes back to the last checkpoint, with the learning rate scaled."""
    return ("RollBack", factor, reason)


def stop(reason):
    """Ends the run after this step."""
    return ("Stop", reason)


def log(message, level="info"):
    """A message for the user: at `debug`, `info`, `warn` or `error`."""
    from wit_world.imports import logging as wit

    wit.log(getattr(wit.Level, level.upper()), str(message))
