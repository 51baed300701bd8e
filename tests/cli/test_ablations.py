"""`experiments.ablations`: each variant differs from its base in what its name says, and shares the rest with it."""

import dataclasses
import json

import pytest
from small_glue import STUDENT, TEACHER, write_config

from tinybert_jax.cli import ablations
from tinybert_jax.cli.ablation_variants import BASE, VARIANTS
from tinybert_jax.cli.ablations_options import Options, VariantName
from tinybert_jax.distillation.term_choice import TermOptions
from tinybert_jax.errors import InputError, RunStopped
from tinybert_jax.pipeline import task
from tinybert_jax.tasks.glue import TASKS

DEEP = dataclasses.replace(TEACHER, num_hidden_layers=4)
SHALLOW = dataclasses.replace(STUDENT, num_hidden_layers=2)


@pytest.fixture
def base(tmp_path):
  """Options with a student that has weights; nothing but shapes is read of either model."""
  for name, config in (("teacher", DEEP), ("general", SHALLOW)):
    (tmp_path / name).mkdir()
    write_config(tmp_path / name / "config.json", config)
  return Options(
    pretrained=str(tmp_path / "teacher"),
    student=str(tmp_path / "general"),
    tasks=("rte",),
    dtype="float32",
    out=tmp_path / "out",
  )


def planned(options, task="RTE"):
  """The options of each variant that differ from the base's, and why others are left out."""
  runs, left_out = ablations.plan(options, [TASKS[task]])
  settings = {run.name: dataclasses.asdict(run.settings) for run in runs}
  of_base = settings.pop(BASE)
  changes = {
    name: {key: value for key, value in values.items() if value != of_base[key] and key != "out"}
    for name, values in settings.items()
  }
  return of_base, changes, {name: why[task] for name, why in left_out.items()}


def test_variants_differ_from_the_base_in_what_their_names_say(base):
  given = dataclasses.replace(
    base, intermediate=TermOptions(term_weights=("hidden=0.5", "attention=2")), intermediate_steps=7, sweep=True
  )
  of_base, changes, left_out = planned(given)
  assert (of_base["layer_map"], of_base["augment"], of_base["no_augment"]) == ("2,4", True, False)
  assert (of_base["intermediate_steps"], of_base["leaderboard"]) == (7, False)
  shape = f"{base.student}/config.json"

  def terms(*names, weights=()):
    return {"intermediate": {**dataclasses.asdict(given.intermediate), "terms": names, "term_weights": weights}}

  assert changes == {
    "without-general": {"student": shape, "student_from": "random"},
    "without-task": {"stages": ("teacher", "labels")},
    "without-augmentation": {"augment": False, "no_augment": True},
    "without-embedding": terms("hidden", "attention", weights=("hidden=0.5", "attention=2")),
    "without-prediction": {"prediction_targets": "labels", "sweep": False},
    "without-attention": terms("embedding", "hidden", weights=("hidden=0.5",)),
    "without-hidden": terms("embedding", "attention", weights=("attention=2",)),
    "without-layers": terms("embedding"),
    "top-map": {"layer_map": "3,4"},
    "bottom-map": {"layer_map": "1,2"},
    "inherited": {"student": shape, "student_from": "teacher"},
    "random-start": {"student": shape, "student_from": "random"},
    "relations": terms("embedding", "relations"),
    "bfloat16": {"dtype": "bfloat16"},
    "trimmed-vocabulary": {"vocabulary": 8000},
  }
  assert set(left_out) == {"uniform-map", "float32", "whole-vocabulary"}
  assert set(left_out.values()) == {"it is the base itself"}
  assert set(VariantName.__args__) == set(VARIANTS) == set(changes) | set(left_out)


def test_variants_that_do_not_apply_are_left_out_with_the_reason(base, tmp_path):
  shape = write_config(tmp_path / "shape.json", dataclasses.replace(SHALLOW, num_hidden_layers=3))
  terms = TermOptions(terms=("hidden", "relations"))
  other = dataclasses.replace(
    base, student=shape, student_from="teacher", intermediate=terms, vocabulary=5, layer_map="1, 2, 3"
  )
  _, changes, left_out = planned(other, "STS-B")
  assert left_out == {
    "without-general": f"--student {shape} has no weights of general distillation",
    "without-augmentation": "the base is not augmented",
    "without-embedding": "the base does not compare embeddings",
    "without-attention": "the base does not compare attention scores",
    "without-layers": "the base does not compare attention scores",
    "uniform-map": "no such map fits the two models' numbers of layers",
    "bottom-map": "it is the base itself",
    "inherited": "it is the base itself",
    "relations": "the base compares relations itself",
    "float32": "it is the base itself",
    "trimmed-vocabulary": "the base has --vocabulary 5 itself",
  }
  assert changes["whole-vocabulary"] == {"vocabulary": None} and changes["random-start"] == {"student_from": "random"}
  alone = dataclasses.replace(base, intermediate=TermOptions(terms=("hidden",)), variants=("without-hidden",))
  assert planned(alone)[1:] == ({}, {"without-hidden": "the base compares nothing else"})


def test_tables_and_variants_choose(base):
  assert list(planned(dataclasses.replace(base, tables=("paper-4",)))[1]) == ["top-map", "bottom-map"]
  assert list(planned(dataclasses.replace(base, variants=("relations", "without-task")))[1]) == [
    "without-task", "relations"
  ]  # fmt: skip


@pytest.mark.parametrize(
  ("changes", "said"),
  [
    ({"tasks": ("rte", "RTE")}, "--tasks RTE RTE: one is named twice"),
    ({"seeds": (1, 1)}, "--seeds 1 1: one is named twice"),
    ({"seeds": ()}, "--seeds names none"),
    ({"seeds": (0, -1)}, "--seeds -1: it must be at least 0"),
    ({"tasks": ("rte", "cola"), "teacher": "some/where"}, "--teacher is fine-tuned for one task, and --tasks names 2"),
    ({"tasks": ("squad",)}, "squad: no such task"),
    ({"trimmed_to": 0}, "--trimmed-to 0: it must be at least 1"),
  ],
)
def test_bad_options(base, changes, said):
  with pytest.raises(InputError, match=said):
    ablations.main(dataclasses.replace(base, **changes))
  assert not base.out.exists()


def test_the_variants_are_listed(base, capsys):
  ablations.main(dataclasses.replace(base, list=True))
  said = capsys.readouterr().out
  assert all(f"  {name} " in said for name in VARIANTS) and "Table 3 of the paper: the losses" in said


@pytest.mark.drill
def test_runs_share_what_they_can_and_go_on_after_a_failure(made, options, tmp_path, monkeypatch, capsys):
  of_glue = {field.name: getattr(options, field.name) for field in dataclasses.fields(type(options))}
  kept = {name: value for name, value in of_glue.items() if name in Options.__dataclass_fields__}
  hidden = ("task", "stages", "seed", "leaderboard")
  given = Options(
    **{name: value for name, value in kept.items() if name not in hidden},
    tasks=("rte",),
    variants=("without-task", "without-prediction"),
  )
  make_labels = task.make_labels

  def fail(run, *arguments, **more):
    if more.get("name") == "prediction":
      raise FloatingPointError("no luck")
    return make_labels(run, *arguments, **more)

  monkeypatch.setattr(task, "make_labels", fail)
  with pytest.raises(RunStopped, match=r"1 of 3 runs failed.*RTE, seed 0, without-prediction \(FloatingPointError: no"):
    ablations.main(given)
  said = capsys.readouterr().out
  # One teacher for all, and the intermediate stage that two of them have in common.
  assert said.count("\nteacher       …") == 1 and said.count("\nintermediate  …") == 1
  page = (given.out / "ablations.md").read_text()
  assert "| without the prediction loss | – |" in page and "FloatingPointError: no luck" in page
  # The base is what `glue` makes of the same options.
  weights = "prediction/model.safetensors"
  assert (given.out / "seed-0/base/RTE" / weights).read_bytes() == (made.out / "RTE" / weights).read_bytes()

  monkeypatch.setattr(task, "make_labels", make_labels)
  ablations.main(given)
  said = capsys.readouterr().out
  assert said.count("score.json") == 2 and "\nprediction    …" in said and "\nintermediate  reused" in said
  assert "\nteacher       …" not in said and "–" not in (given.out / "ablations.md").read_text().split("##")[1]
  known = json.loads((given.out / "ablations.json").read_text())
  assert len(known["runs"]) == 3 and not known["failed"] and (given.out / "ablations.png").is_file()
  # A student that changed in its place is seen, and what does not depend on it stays.
  write_config(tmp_path / "other.json", STUDENT)
  changed = dataclasses.replace(given, student=str(tmp_path / "other.json"), variants=("without-task",))
  ablations.main(changed)
  said = capsys.readouterr().out
  assert "score.json" not in said and "\nteacher       reused" in said and "\nlabels        reused" in said
