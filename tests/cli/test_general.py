"""`experiments.general` on a small teacher and text, in this process."""

import dataclasses
import json
import shutil

import huggingface_hub
import jax
import numpy as np
import pytest
import transformers
from small_general import STUDENT, TEACHER, write_inputs

from tinybert_jax.cli import general as program
from tinybert_jax.cli.general import Options
from tinybert_jax.distillation.term_choice import TermOptions
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig, config_to_dict, family_defaults
from tinybert_jax.models.encoder import Encoder
from tinybert_jax.models.pretrained import Pretrained, load_pretrained, load_tokenizer
from tinybert_jax.pipeline import figures
from tinybert_jax.pipeline.general import by_term
from tinybert_jax.pipeline.lock import only_run
from tinybert_jax.training.hosts import Hosts


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  """One finished run on all devices, made once."""
  root = tmp_path_factory.mktemp("general")
  write_inputs(root)
  options = Options(
    corpus=(str(root / "text.txt"),),
    held_out=0.1,
    cache=root / "cache",
    pretrained=str(root / "teacher"),
    student=str(root / "student.json"),
    out=root / "out",
    max_length=32,
    epochs=2,
    batch_size=16,
    learning_rate=1e-2,
    log_every=4,
    evaluate_every=2,
    checkpoint_every=2,
    dtype="float32",
  )
  program.main(options)
  return options


def changed(options, **changes):
  return dataclasses.replace(options, **changes)


def history(options):
  return [json.loads(line) for line in (options.out / "model" / "training" / "log.jsonl").read_text().splitlines()]


def test_a_run_ends_with_a_student_its_losses_and_their_picture(made):
  config = transformers.AutoConfig.from_pretrained(made.out / "model")
  assert (config.hidden_size, config.num_hidden_layers) == (STUDENT.hidden_size, STUDENT.num_hidden_layers)
  model = transformers.AutoModel.from_pretrained(made.out / "model")
  assert set(dict(model.named_parameters())) > {"encoder.layer.0.attention.self.query.weight"}
  assert not load_pretrained(made.out / "model", Encoder).initialized
  rows = history(made)
  terms = {"embedding", "hidden_1", "attention_1"}
  assert any(terms <= row.keys() for row in rows)
  measured = [row for row in rows if "held_out_loss" in row]
  assert measured[-1]["held_out_loss"] < 0.7 * measured[0]["held_out_loss"]
  assert measured[-1]["held_out_loss"] == pytest.approx(sum(measured[-1][f"held_out_{term}"] for term in terms))
  assert json.loads((made.out / "metrics.json").read_text())["held_out_loss"] == measured[-1]["held_out_loss"]
  options = json.loads((made.out / "config.json").read_text())
  assert (options["learning_rate"], options["corpus"]) == (made.learning_rate, list(made.corpus))
  assert (made.out / "losses.png").stat().st_size > 5000
  card = huggingface_hub.ModelCard.load(made.out / "model" / "README.md")
  assert card.data.base_model == "teacher" and card.data.eval_results[0].dataset_name == "text.txt"
  assert "| general | " in card.text and str(made.out.parent) not in card.text


def test_teacher_and_student_of_the_corpus_own_vocabulary(made, tmp_path, capsys):
  program.main(changed(made, vocabulary=48, steps=2, out=tmp_path / "out"))
  assert "tokens   48 of 49 are kept; of 2 held-out texts" in capsys.readouterr().out
  loaded, reader = load_pretrained(tmp_path / "out" / "model"), load_tokenizer(tmp_path / "out" / "model")
  assert loaded.config.vocab_size == len(reader.get_vocab()) == 48 and "fox" in reader.get_vocab()


def test_the_same_command_again_and_with_other_options(made, capsys):
  before = (made.out / "model" / "model.safetensors").read_bytes()
  program.main(made)
  assert f"model         reused from {made.out / 'model'}" in capsys.readouterr().out
  assert (made.out / "model" / "model.safetensors").read_bytes() == before
  with only_run(made.out), pytest.raises(InputError, match="another run is at work there"):
    program.main(made)
  other = changed(made, out=made.out.parent / "again", steps=2)
  shutil.copytree(made.out, other.out)
  wider = made.out.parent / "wider.json"
  wider.write_text(json.dumps(config_to_dict(dataclasses.replace(STUDENT, intermediate_size=48))))
  program.main(changed(other, student=str(wider), learning_rate=2e-2))
  said = capsys.readouterr().out
  assert "done again: epochs was 2 and is None, learning rate was 0.01 and is 0.02, steps was None and is 2, " in said
  assert "student changed" in said
  assert load_pretrained(other.out / "model", Encoder).config.intermediate_size == 48


def test_a_run_of_an_older_version_is_kept(made, tmp_path):
  options = changed(made, out=tmp_path)
  (tmp_path / "training" / "checkpoints").mkdir(parents=True)
  with pytest.raises(InputError, match=r"training: holds a run of version 0.1, which this one does not go on with"):
    program.main(options)


@pytest.mark.parametrize(
  "changes", [{"shard_params": True, "accumulate": 2}, {"parallel": "pmap"}], ids=["sharded", "pmap"]
)
def test_other_forms_give_the_same_student(made, tmp_path, changes):
  options = changed(made, out=tmp_path / "out", **changes)
  program.main(options)
  ours, theirs = (load_pretrained(each.out / "model", Encoder).params for each in (options, made))
  for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-5 * max(np.abs(b).max(), 1e-6))


def test_pairs_and_a_student_to_go_on_from(made, tmp_path):
  options = changed(
    made, segments="pair", student=str(made.out / "model"), out=tmp_path / "out", steps=6, batch_size_per_device=2
  )
  program.main(options)
  first = next(row for row in history(options) if "held_out_loss" in row)
  fresh = next(row for row in history(made) if "held_out_loss" in row)
  assert first["held_out_hidden_1"] < fresh["held_out_hidden_1"]


def test_text_is_prepared_without_a_teacher_in_memory(made, tmp_path, capsys, monkeypatch):
  monkeypatch.setattr(program, "load_pretrained", None)
  program.main(changed(made, prepare=True, cache=tmp_path / "cache"))
  assert "corpus   documents" in capsys.readouterr().out
  assert list((tmp_path / "cache").glob("*/corpus.json"))


@pytest.mark.parametrize(
  ("changes", "sentence"),
  [
    ({"batch_size": 12}, r"--batch-size 12: it must be a multiple of 8, the number of devices \(8\) times"),
    ({"parallel": "pmap", "shard_params": True}, "--shard-params goes with --parallel mesh"),
    ({"hosts": Hosts(tpu=True)}, r"--tpu: there is none that JAX can use; it found 8 cpu devices"),
    ({"hosts": Hosts(tpu=True, gpu=True)}, "--tpu and --gpu: one of them at most"),
    ({"hosts": Hosts(coordinator="localhost:1")}, "--coordinator, --num-processes and --process-id go together"),
    (
      {"hosts": Hosts(coordinator="localhost:1", num_processes=2, process_id=2)},
      "--process-id 2: with --num-processes 2 it must be 0 to 1",
    ),
    ({"corpus": ("nowhere.txt",)}, "nowhere.txt"),
    ({"weights": (1.0, 2.0)}, "--weights: 2 of them, and 1 are in --corpus"),
    ({"weights": (0.0,)}, "a weight of 0"),
    ({"max_length": 100}, "--max-length 100: the student has positions for 64 tokens only"),
    ({"layer_map": "3"}, "--layer-map 3"),
    ({"student": "nobody"}, "--student nobody: no such preset"),
    ({"pretrained": "nobody"}, "nobody"),
    ({"learning_rate": 0.0}, "--learning-rate 0.0: it must be above 0 and below 1"),
    ({"steps": 0}, "--steps 0: it must be at least 1"),
    ({"held_out": 0.7}, "--held-out 0.7: it must be from 0 to 0.5"),
  ],
)
def test_options_that_cannot_be(made, tmp_path, changes, sentence):
  with pytest.raises(InputError, match=sentence):
    program.main(changed(made, **{"out": tmp_path / "out", **changes}))
  assert not (tmp_path / "out").exists()


def test_a_student_with_other_heads_or_tokens(made, tmp_path):
  for change, sentence in (
    ({"num_attention_heads": 3}, "3 attention heads, and the teacher has 2"),
    ({"vocab_size": 50}, f"its vocabulary has 50 tokens, and the teacher's {TEACHER.vocab_size}"),
  ):
    path = tmp_path / "student.json"
    path.write_text(json.dumps(config_to_dict(dataclasses.replace(STUDENT, **change))))
    with pytest.raises(InputError, match=sentence):
      program.main(changed(made, student=str(path), out=tmp_path / "out"))


def test_a_student_of_other_heads_learns_relations(made, tmp_path, capsys, monkeypatch):
  monkeypatch.setattr(figures, "general_losses", lambda *_: None)
  (tmp_path / "student.json").write_text(
    json.dumps(config_to_dict(dataclasses.replace(STUDENT, num_attention_heads=3)))
  )
  terms = TermOptions(terms=("relations", "pooled"), term_weights=("pooled=2",), relation_heads=2)
  options = changed(made, student=str(tmp_path / "student.json"), intermediate=terms, steps=2)
  program.main(changed(options, out=tmp_path / "out", log_every=1))
  assert "compared relations of 2 heads in the teacher's layer" in capsys.readouterr().out
  rows = history(changed(options, out=tmp_path / "out"))
  names = {"relations_queries", "relations_keys", "relations_values", "pooled_1"}
  assert names <= rows[0].keys() and not {"embedding", "hidden_1"} & rows[0].keys()
  assert rows[-1]["held_out_loss"] == pytest.approx(sum(rows[-1][f"held_out_{name}"] for name in names))
  card = (tmp_path / "out" / "model" / "README.md").read_text()
  assert "'s relations of 2 heads in the teacher's layer" in card and "first tokens × 2, distilled over" in card


def test_held_out_losses_do_not_depend_on_the_batches(made):
  corpus = program.pack(made, program.load_tokenizer(made.pretrained))
  assert len(corpus.held_out) > 10
  options = changed(made, steps=1, out=made.out.parent / "other", log_every=1)
  rows = []
  for batch_size in (8, 16):
    each = changed(options, batch_size=batch_size, out=made.out.parent / f"of-{batch_size}", learning_rate=1e-30)
    program.main(each)
    rows.append(history(each)[-1])
  assert rows[0]["held_out_loss"] == pytest.approx(rows[1]["held_out_loss"], rel=1e-5)
  assert by_term(rows[0]).startswith("embedding ")


def test_fused_attention_is_refused_for_a_family_whose_scores_are_not_of_queries_and_keys_alone():
  fields = {**family_defaults("modernbert"), "vocab_size": 50, "pad_token_id": 0}
  teacher = Pretrained(EncoderConfig(**fields), {}, ())
  options = Options(student="tinybert-4l-312d", attention="fused")
  with pytest.raises(InputError, match=r"--attention fused: .* the attention of a ModernBERT is rotary; use plain"):
    program.load_student(options, teacher, tokenizer=None)
