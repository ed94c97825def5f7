"""Draw what the heads of a trained layer do over a sequence (needs matplotlib)."""

from importlib.util import find_spec

if find_spec("matplotlib") is None:  # here, and not in the middle of somebody's figure
    raise ModuleNotFoundError(
        "memnets.inspect.plots draws with matplotlib, which is not installed: "
        "pip install 'memnets[train]'",
        name="matplotlib",
    )

from memnets.inspect.plots.animation import save_animation
from memnets.inspect.plots.contents import link_figure, memory_figure
from memnets.inspect.plots.heads import heads_figure, slots_in_focus
from memnets.inspect.plots.sequence import pixels, sequence_figure

__all__ = [
    "heads_figure",
    "link_figure",
    "memory_figure",
    "pixels",
    "save_animation",
    "sequence_figure",
    "slots_in_focus",
]
