"""What a component exports, by way of the plugin's class."""

import traceback

# What is not imported while the component is made cannot be imported later.
import wit_world.imports.logging  # noqa: F401
from componentize_py_types import Err
from wit_world.exports import description as wit

from vitral import plugin as kinds
from vitral.tensor import given, lent

_BASES = {
    "image-augmentation": kinds.ImageAugmentation,
    "batch-augmentation": kinds.BatchAugmentation,
    "attention": kinds.Attention,
    "monitor": kinds.Monitor,
}

_class = None
_plugin = None


def begin(module, kind):
    """Finds the plugin's class in its module."""
    global _class
    base = _BASES[kind]
    found = [it for it in vars(module).values() if isinstance(it, type) and issubclass(it, base)]
    # Not what the module imports.
    found = [it for it in found if it.__module__ == module.__name__]
    if len(found) != 1:
        raise SystemExit(f"{module.__name__}.py needs one class of {base.__name__}, and has {len(found)}")
    _class = found[0]


def _told(error):
    """An exception in words for users, with its place for authors."""
    if isinstance(error, kinds.Refused):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)
    where = f" ({place[-1].filename.rsplit('/', 1)[-1]}, line {place[-1].lineno})" if place else ""
    return f"{type(error).__name__}: {error}{where}"


def _calling(function):
    """Has a call fail with the words of an exception."""

    def call(*arguments):
        try:
            return function(*arguments)
        except MemoryError:
            # The instance is of no use any more; the host takes a new one.
            raise
        except Exception as error:
            raise Err(_told(error)) from error

    return call


def _value(kind, value):
    if kind == "boolean":
        return wit.Value_Boolean(value)
    if kind == "integer":
        return wit.Value_Integer(value)
    if kind == "number":
        return wit.Value_Number(float(value))
    if kind == "integers":
        return wit.Value_Integers(list(value))
    if kind == "numbers":
        return wit.Value_Numbers([float(item) for item in value])
    return wit.Value_Text(value)


def _type(it):
    if it.kind == "integer":
        return wit.ParameterType_Integer(wit.IntegerRange(it.min, it.max))
    if it.kind == "integers":
        return wit.ParameterType_Integers(wit.IntegerRange(it.min, it.max))
    if it.kind == "number":
        return wit.ParameterType_Number(wit.NumberRange(float(it.min), float(it.max)))
    if it.kind == "numbers":
        return wit.ParameterType_Numbers(wit.NumberRange(float(it.min), float(it.max)))
    if it.kind == "choice":
        return wit.ParameterType_Choice(list(it.choices))
    return wit.ParameterType_Text() if it.kind == "text" else wit.ParameterType_Boolean()


class Description:
    def describe(self):
        parameters = _class.parameters()
        examples = [
            wit.Example(
                title,
                [wit.Setting(name, _value(parameters[name].kind, value)) for name, value in settings.items()],
            )
            for title, settings in _class.examples.items()
        ]
        described = [
            wit.Parameter(
                name, it.doc, _type(it), None if it.default is None else _value(it.kind, it.default)
            )
            for name, it in parameters.items()
        ]
        return wit.Description(_class.name, _class.version, _class.summary, described, examples)


class _Configured:
    @_calling
    def configure(self, settings):
        global _plugin
        made = _class()
        for setting in settings:
            setattr(made, setting.name, setting.value.value)
        made.configured()
        _plugin = made


class ImageAugmentations(_Configured):
    @_calling
    def augment(self, image, sample):
        from wit_world.exports import image_augmentations

        seen = kinds.Image(image.width, image.height, image.channels, image.pixels)
        made = _plugin.augment(seen, kinds.Sample(sample.seed, sample.epoch, sample.size))
        if made is None:
            return None
        return image_augmentations.Image(made.width, made.height, made.channels, bytes(made.pixels))


class Attentions(_Configured):
    @_calling
    def trace(self, layer, query, key, value):
        made = _plugin.trace(layer, lent(query), lent(key), lent(value))
        return given([made])[0]


class BatchAugmentations(_Configured):
    @_calling
    def trace(self, batch, images, targets):
        from wit_world.exports import batch_augmentations

        made = _plugin.trace(batch, lent(images), lent(targets))
        return batch_augmentations.Changed(*given(list(made)))


def _actions(made):
    from wit_world.exports import monitors

    asked = [] if made is None else [made] if isinstance(made, tuple) else list(made)
    actions = []
    for action in asked:
        name, *fields = action
        if name == "Metric":
            value = monitors.Metric(fields[0], float(fields[1]))
        elif name in ("ScaleLearningRate", "RollBack"):
            value = monitors.RateChange(float(fields[0]), fields[1])
        else:
            value = fields[0]
        actions.append(getattr(monitors, f"Action_{name}")(value))
    return actions


class Monitors(_Configured):
    @_calling
    def configure(self, settings):
        from wit_world.exports import monitors

        _Configured.configure(self, settings)
        return monitors.Interests(_plugin.every_steps, _plugin.every_layers)

    @_calling
    def observe(self, event):
        name = type(event).__name__.removeprefix("Event_").lower()
        return _actions(getattr(_plugin, f"on_{name}")(event.value))

    def save(self):
        return _plugin.save()

    @_calling
    def restore(self, state):
        _plugin.restore(state)


class DataMonitors:
    @_calling
    def observe_data(self, report):
        return _actions(_plugin.on_data(report))


class RollBackMonitors:
    @_calling
    def observe_roll_back(self, report):
        return _actions(_plugin.on_rolled_back(report))


class ConfigurationMonitors:
    @_calling
    def observe_configuration(self, report):
        return _actions(_plugin.on_experiment(report))


__all__ = [
    "begin",
    "Description",
    "ImageAugmentations",
    "BatchAugmentations",
    "Attentions",
    "Monitors",
    "DataMonitors",
    "RollBackMonitors",
    "ConfigurationMonitors",
]
