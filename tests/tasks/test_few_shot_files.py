"""The few-shot task on drawings: what is read, and what a sequence is made of."""

from pathlib import Path

import pytest
import torch
from PIL import Image

import train
from tasks.few_shot import FewShot
from tasks.few_shot_files import drawn, read

SIDE = 4


def write(folder: Path, characters: int = 3, pictures: int = 4) -> str:
    """Pictures of which pixel 0 is the character and pixel 1 the picture, in shades of ink."""
    for number in range(characters):
        place = folder / f"alphabet{number % 2}" / f"character{number}"
        place.mkdir(parents=True)
        for one in range(pictures):
            picture = Image.new("L", (SIDE, SIDE), 255)
            picture.putpixel((0, 0), 255 - 10 * (number + 1))
            picture.putpixel((1, 0), 255 - 10 * (one + 1))
            picture.save(place / f"{one}.png")
    return str(folder)


def upright(pixels: torch.Tensor) -> tuple[int, int, int]:
    """The character, the picture and the turn of a sample."""
    for turn in range(4):
        back = (255 / 10 * pixels.view(SIDE, SIDE).rot90(-turn, (0, 1))).round()
        if back[0, 0] and back[0, 1]:
            return int(back[0, 0]) - 1, int(back[0, 1]) - 1, turn
    raise AssertionError(pixels)


def test_pictures_are_read_as_ink_character_by_character(tmp_path):
    drawings = read(write(tmp_path), SIDE)
    assert drawings.counts.tolist() == [4, 4, 4]
    assert drawings.starts.tolist() == [0, 4, 8]
    found = [upright(picture) for picture in drawings.pictures]
    assert found == [(number, one, 0) for number in (0, 2, 1) for one in range(4)]  # by alphabet
    assert float(drawings.pictures[0, 1:].abs().max()) == 0  # paper


def test_a_picture_is_made_smaller_by_means(tmp_path):
    picture = Image.new("L", (8, 8), 255)
    picture.paste(0, (0, 0, 2, 1))
    picture.save(tmp_path / "one.png")
    small = read(str(tmp_path), SIDE).pictures
    assert small.shape == (1, SIDE, SIDE)
    assert float(small[0, 0, 0]) == pytest.approx(0.5, abs=1 / 255)
    assert float(small.sum()) == float(small[0, 0, 0])


def test_a_sequence_has_its_classes_each_one_character_in_one_turn(tmp_path):
    task = FewShot(classes=2, shots=3, folder=write(tmp_path), side=SIDE)
    batch = task.sample(40, torch.Generator().manual_seed(0))
    assert batch.inputs.shape == (6, 40, task.input_size) == (6, 40, SIDE**2 + 2)
    turns, characters = set(), set()
    for row in range(40):
        labels = [*batch.inputs[1:, row, -2:].argmax(-1).tolist(), None]
        seen: dict[int, list[tuple[int, int, int]]] = {0: [], 1: []}
        for step, label in enumerate(labels[:-1]):
            seen[label].append(upright(batch.inputs[step, row, : SIDE**2]))
            if batch.mask[step, row]:
                assert int(batch.targets[step, row].argmax()) == label
        kinds = [{(one[0], one[2]) for one in of} for of in seen.values()]
        assert [len(kind) for kind in kinds] == [1, 1]
        first, second = (next(iter(kind)) for kind in kinds)
        assert first[0] != second[0]
        assert all(len({one[1] for one in of}) == len(of) for of in seen.values())
        turns |= {first[1], second[1]}
        characters |= {first[0], second[0]}
    assert turns == {0, 1, 2, 3}
    assert characters == {0, 1, 2}
    again = task.sample(40, torch.Generator().manual_seed(0))
    assert torch.equal(again.inputs, batch.inputs)


def test_a_character_with_more_pictures_shows_any_of_them(tmp_path):
    write(tmp_path / "few", characters=1, pictures=2)
    write(tmp_path / "many", characters=1, pictures=5)
    labels = torch.tensor([[0, 1, 0, 1]]).T.expand(4, 200)
    found = drawn(read(str(tmp_path), SIDE), labels, torch.Generator().manual_seed(0))
    pictures = {upright(one)[1] for one in found.flatten(0, 1)}
    assert pictures == {0, 1, 2, 3, 4}


def test_characters_never_seen_are_evaluated(tmp_path):
    folder, other = write(tmp_path / "one"), write(tmp_path / "other")
    task = FewShot(classes=2, shots=2, folder=folder, unseen=other, side=SIDE)
    assert task.evaluations()["unseen"] == FewShot(classes=2, shots=2, folder=other, side=SIDE)
    assert "unseen" not in FewShot().evaluations()


def test_it_trains(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = write(tmp_path / "drawings", characters=4, pictures=20)
    words = f"--task few_shot --task.folder {folder} --task.classes 2 --task.shots 2 --task.side 4"
    sizes = "--model ntm --model.memory-size 4 --model.word-size 3 --run.sequences 16"
    assert train.main([*words.split(), *sizes.split(), "--wandb", "disabled"]) == 0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"dimensions": 8}, "dimensions=8 has no effect beside folder='x': leave it out"),
        ({"noise_percent": 10}, "noise_percent=10 has no effect beside folder='x'"),
        ({"folder": "", "side": 8}, "side=8 has no effect beside no folder of drawings"),
        ({"folder": "", "unseen": "y"}, "unseen='y' has no effect beside no folder of drawings"),
        ({"folder": 3}, "folder must be a path, got 3: pass it as text"),
    ],
)
def test_settings_that_have_no_effect(settings, said):
    with pytest.raises(ValueError, match=said):
        FewShot(**{"folder": "x", **settings})


def test_what_is_missing_is_said(tmp_path):
    one = torch.Generator()
    with pytest.raises(ValueError, match=r"no pictures below .*nowhere: pass as --task.folder"):
        FewShot(folder=str(tmp_path / "nowhere")).sample(1, one)
    folder = write(tmp_path)
    with pytest.raises(ValueError, match=r"5 classes with 2 shots need .* there are 3 characters"):
        FewShot(folder=folder, shots=2, side=SIDE).sample(1, one)
    with pytest.raises(ValueError, match=r"2 classes with 10 shots .* one with 4 pictures"):
        FewShot(folder=folder, classes=2, side=SIDE).sample(1, one)
    with pytest.raises(ValueError, match="vectors of signs to be told apart, but they are draw"):
        FewShot(folder=folder).solve(torch.zeros(1, 1, 405))
