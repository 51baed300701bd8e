"""A table of inputs that no program can use, a row a line: program, options, what the one sentence holds, and files."""

from typing import Any, NamedTuple

from small_inputs import changed_config, cut, packed, table


class BadInput(NamedTuple):
  """A command that must be refused.

  Attributes:
    program: its name; files are those of `small_inputs`, in the folder that it runs in.
    options: as in a shell; without --out, which is `out`, a folder that holds a file.
    says: a part of the sentence.
    files: what is written there first, by path: text, bytes, None to remove it, or a function of the file's path.
  """

  program: str
  options: str
  says: str
  files: dict[str, Any] = {}  # noqa: RUF012


LEARN = "--pretrained encoder --student-layers 1 --student-width 12 --train"
TEACH = "--teacher teacher --student-layers 1 --student-width 12 --unlabelled more.csv"
RTE = "--task rte --data glue --pretrained encoder --student student.json --no-augment"
GENERAL = "--pretrained mlm --student general.json --corpus corpus.txt --max-length 32"
TOKENS = "--kind tokens --pretrained encoder --train"
SPANS = "--kind spans --pretrained encoder --train"
EMBEDDINGS = "--kind embeddings --teacher sentences"
RANKING = "--kind ranking --teacher scorer"
PREDICT = "--model teacher --out out/new.csv --data"
MLM = "--pretrained encoder --max-length 16 --text"
AUGMENT = "--text lines.txt --mlm mlm"
TRIM = "--model mlm --text sentences.txt"

JSON = '{"review": "hello world", "topic": "greets"}\n'
ARTICLE = '{"version": "1", "data": [{"title": "", "paragraphs": [{"context": "hello world", "qas": [%s]}]}]}'

TABLES = [
  BadInput("distil", f"{LEARN} no.csv", "no.csv: no such file or directory"),
  BadInput("distil", f"{LEARN} a.csv", "a.csv: empty", {"a.csv": "\n\n"}),
  BadInput("distil", f"{LEARN} a.csv", "byte 0xe9 is not UTF-8 text", {"a.csv": table([]).encode() + b"caf\xe9,not\n"}),
  BadInput("distil", f"{LEARN} a.csv --encoding utf-99", "utf-99", {"a.csv": table([])}),
  BadInput("distil", f"{LEARN} a.csv --encoding ascii", "a.csv, line 14", {"a.csv": table(["café,not"])}),
  BadInput("distil", f"{LEARN} a.csv", "a.csv", {"a.csv": table(['"hello world,not'])}),
  BadInput("distil", f"{LEARN} a.csv", "a.csv, line 14", {"a.csv": table(["hello,world,not,more"])}),
  BadInput("distil", f"{LEARN} train.csv --delimiter ,,", "--delimiter"),
  BadInput("distil", f"{LEARN} train.csv --quote ab", "--quote"),
  BadInput("distil", f"{LEARN} train.csv --text body", "--text body: train.csv has no such column"),
  BadInput("distil", f"{LEARN} train.csv --label sort", "--label sort: train.csv has no such column"),
  BadInput("distil", f"{LEARN} train.csv --text review --pair review", "review"),
  BadInput("distil", f"{LEARN} train.csv --text topic --label topic", "topic"),
  BadInput("distil", f"{LEARN} a.jsonl", "a.jsonl, line 2", {"a.jsonl": JSON + '{"review": "hello", "topic":\n' + JSON}),
  BadInput("distil", f"{LEARN} a.jsonl", "a.jsonl, line 2", {"a.jsonl": JSON + '["hello", "not"]\n' + JSON}),
  BadInput("distil", f"{LEARN} a.json", "a.json", {"a.json": '{"data": 3}'}),
  BadInput("distil", f"{LEARN} a.parquet", "a.parquet: ", {"a.parquet": b"PAR1 and no more"}),
  BadInput("distil", f"{LEARN} a.arrow", "a.arrow: ", {"a.arrow": b"ARROW1\0\0 and no more"}),
  BadInput("distil", f"{LEARN} a.csv.gz", "a.csv.gz: damaged or cut off", {"a.csv.gz": packed(table([]))[:-9]}),
  BadInput("distil", f"{LEARN} a.csv.zst", "a.csv.zst: ", {"a.csv.zst": table([])}),
  BadInput("distil", f"{LEARN} a.xlsx", "a.xlsx: ", {"a.xlsx": b"PK\x03\x04"}),
  BadInput("distil", f"{LEARN} a.csv", "a.csv: no row has a label", {"a.csv": "text,label\nhello,\nworld,\n"}),
  BadInput("distil", f"{LEARN} *.nothing", "*.nothing: no file matches"),
  BadInput("distil", f"{LEARN} train.csv --test train.csv --dev glue", "files that are read together need the same columns"),
]  # fmt: skip
LABELS = [
  BadInput("distil", f"{LEARN} train.csv --kind regression", "train.csv, row 1: the label is"),
  BadInput("distil", f"{LEARN} several.csv --label a b --kind classification", "several columns of labels"),
  BadInput("distil", f"{LEARN} a.csv --label a b", "0 or 1 is needed", {"a.csv": "text,a,b\n" + "hello,0,1\nworld,2,1\n" * 8}),
  BadInput("distil", f"{LEARN} train.csv --label-names names.txt", "names.txt: no such file"),
  BadInput("distil", f"{LEARN} train.csv --label-names names.txt", "label", {"names.txt": "a\nb\n"}),
  BadInput("distil", f"{LEARN} a.csv --label-names names.txt", "7", {"names.txt": "a\nb\n", "a.csv": "text,label\n" + "hello,0\nworld,1\nhello,7\n" * 5}),
  BadInput("distil", f"{LEARN} a.csv --label-names names.txt", "stands there twice", {"names.txt": "a\na\n", "a.csv": "text,label\n" + "hello,0\nworld,1\n" * 5}),
  BadInput("distil", f"{LEARN} train.csv --separator ;", "--separator"),
  BadInput("distil", f"{LEARN} train.csv --threshold tuned", "--threshold tuned goes with several labels"),
  BadInput("distil", f"{LEARN} train.csv --dev a.csv", "a.csv: labels 'maybe' are not among the known classes", {"a.csv": "review,topic\nhello,maybe\n"}),
  BadInput("distil", f"{LEARN} numbers.csv --prediction-loss soft", "--prediction-loss"),
  BadInput("distil", f"{LEARN} a.csv --kind regression", "a.csv, row 13: the label is", {"a.csv": "text,score\n" + "hello world,1.5\nworld,2.5\n" * 6 + "hello,1e999\n"}),
  BadInput("distil", f"{LEARN} train.csv --target-columns greets not", "--target-columns greets not: train.csv has no such column"),
  BadInput("distil", "--pretrained encoder --unlabelled a.csv --target-columns x x --student-layers 1", "--target-columns x x: a column is named twice", {"a.csv": "text,x,y\n" + "hello,1,0\n" * 8}),
  BadInput("distil", "--pretrained encoder --unlabelled a.csv --target-columns x z --student-layers 1", "z", {"a.csv": "text,x,y\nhello,1,0\n"}),
]  # fmt: skip
MODELS = [
  BadInput("distil", "--train train.csv", "who teaches?"),
  BadInput("distil", f"{TEACH} --teacher-weights 1 2", "--teacher-weights: 2 weights for 1 teachers"),
  BadInput("distil", f"{TEACH} --teacher-labels a", "teacher: its classifier has 2 classes, not 1"),
  BadInput("distil", "--teacher teacher three --unlabelled more.csv", "three: its classes are a, b, c"),
  BadInput("distil", TEACH, "teacher: ", {"teacher/model.safetensors": None}),
  BadInput("distil", TEACH, "not a readable safetensors file", {"teacher/model.safetensors": cut}),
  BadInput("distil", TEACH, "not a readable safetensors file", {"teacher/model.safetensors": b""}),
  BadInput("distil", TEACH, "a pointer of Git LFS", {"teacher/model.safetensors": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"}),
  BadInput("distil", TEACH, "teacher/config.json: cannot be read as JSON", {"teacher/config.json": cut}),
  BadInput("distil", TEACH, "the weights do not fit config.json", {"teacher/config.json": changed_config(hidden_size=18)}),
  BadInput("distil", TEACH, "num_attention_heads", {"teacher/config.json": changed_config(num_attention_heads=3)}),
  BadInput("distil", TEACH, "model_type is 'llama'", {"teacher/config.json": changed_config(model_type="llama")}),
  BadInput("distil", TEACH, "num_hidden_layers", {"teacher/config.json": changed_config(num_hidden_layers=None)}),
  BadInput("distil", TEACH, "hidden_act", {"teacher/config.json": changed_config(hidden_act="swish9")}),
  BadInput("distil", TEACH, "layer_norm_eps", {"teacher/config.json": changed_config(layer_norm_eps=2.0)}),
  BadInput("distil", TEACH, "id2label", {"teacher/config.json": changed_config(id2label={"0": "greets", "2": "not"})}),
  BadInput("distil", TEACH, "tokenizer", {"teacher/tokenizer.json": "{}"}),
  BadInput("distil", TEACH, "tokenizer", {"teacher/tokenizer.json": cut}),
  BadInput("distil", "--teacher train.csv --unlabelled more.csv", "train.csv: a file, and a model is a directory"),
  BadInput("distil", "--teacher nobody/has-this --unlabelled more.csv", "nobody/has-this: not a local directory"),
  BadInput("distil", f"{TEACH} --student encoder", "--student names a shape; --smaller, --faster and --student-width"),
  BadInput("distil", "--teacher teacher --unlabelled more.csv --student mlm", "mlm: "),
  BadInput("distil", "--teacher teacher --unlabelled more.csv --student student.json", "student.json", {"student.json": "[]"}),
  BadInput("distil", f"{TEACH} --layer-map 2,1", "--layer-map 2,1"),
  BadInput("distil", f"{TEACH} --terms hidden --term-weights cosine=1", "--term-weights cosine=1: the term is not among"),
  BadInput("distil", f"{TEACH} --vocabulary 3", "a vocabulary of 3 tokens: its special tokens"),
]  # fmt: skip
OPTIONS = [
  BadInput("distil", f"{TEACH} --max-length 200", "--max-length 200: teacher has positions for 128 tokens only"),
  BadInput("distil", f"{TEACH} --temperature 2 --prediction-loss logits", "--temperature 2 is of --prediction-loss soft"),
  BadInput("distil", f"{TEACH} --augment", "--augment needs --mlm"),
  BadInput("distil", f"{TEACH} --stages labels", "the stage labels trains on labels"),
  BadInput("glue", f"{RTE} --stages evaluate", "run that stage first"),
  BadInput("distil", f"{TEACH} --temperature nan", "--temperature nan: it must be above 0"),
  BadInput("distil", f"{TEACH} --prediction-learning-rate inf", "--prediction-learning-rate inf: it must be above 0 and below 1"),
  BadInput("distil", f"{TEACH} --seed 99999999999", "--seed 99999999999: it must be at"),
  BadInput("distil", f"{TEACH} --doc-stride 4", "--doc-stride goes with --kind tokens or spans"),
  BadInput("distil", f"{TEACH} --ranking-losses mse", "--kind ranking"),
  BadInput("distil", f"{TEACH} --tpu --gpu", "--tpu and --gpu: one of them at most"),
  BadInput("distil", f"{TEACH} --num-processes 2", "--coordinator, --num-processes and --process-id go together"),
  BadInput("search", "--pretrained encoder --train train.csv", "search needs one --teacher"),
  BadInput("search", "--teacher teacher --train train.csv --rounds 0", "--rounds 0: it must be at least 1"),
  BadInput("search", "--teacher teacher --train train.csv --latency-ms 1 --faster 2", "--latency-ms and --faster"),
]  # fmt: skip
KINDS = [
  BadInput("distil", f"{TOKENS} a.conll", "a.conll", {"a.conll": "hello B-NAME\nworld\n\nhello O\n"}),
  BadInput("distil", f"{TOKENS} a.conll", "all tags are 'O'", {"a.conll": "hello O\nworld O\n\n" * 8}),
  BadInput("distil", f"{TOKENS} a.jsonl", "2 words and 1 tags", {"a.jsonl": '{"tokens": ["hello", "world"], "tags": ["O"]}\n' * 8}),
  BadInput("distil", f"{TOKENS} a.jsonl", "a.jsonl, row 1", {"a.jsonl": '{"text": "hello world", "entities": [{"start": 6, "end": 99, "label": "NAME"}]}\n' * 8}),
  BadInput("distil", f"{TOKENS} tagged.conll --pair other", "--pair"),
  BadInput("distil", f"{SPANS} questions.json", "questions.json", {"questions.json": cut}),
  BadInput("distil", f"{SPANS} questions.json --null-threshold nan", "--null-threshold nan: it must be a finite number"),
  BadInput("distil", f"{SPANS} a.json", "a.json", {"a.json": ARTICLE % '{"id": "1", "question": "hello", "answers": [{"text": "moon", "answer_start": 0}]}'}),
  BadInput("distil", f"{SPANS} a.json", "a.json", {"a.json": ARTICLE % '{"id": "1", "answers": []}'}),
  BadInput("distil", f"{SPANS} a.json", "no question has an answer", {"a.json": ARTICLE % '{"id": "1", "question": "hello", "answers": []}'}),
  BadInput("distil", f"{EMBEDDINGS} --train train.csv", "give the texts as --unlabelled, and no --train"),
  BadInput("distil", f"{EMBEDDINGS} --unlabelled lines.txt --embedding-losses mse mse", "--embedding-losses"),
  BadInput("distil", f"{EMBEDDINGS} --unlabelled lines.txt --prompt-names query", "--prompt-names"),
  BadInput("distil", f"{EMBEDDINGS} --unlabelled lines.txt", "no way of pooling is on", {"sentences/1_Pooling/config.json": '{"pooling_mode_mean_tokens": false}'}),
  BadInput("distil", f"{EMBEDDINGS} --unlabelled lines.txt", "one Transformer must come first, and there is nothing", {"sentences/modules.json": "{}"}),
  BadInput("distil", f"{RANKING} --unlabelled a.jsonl", "a.jsonl", {"a.jsonl": '{"query": "hello", "passages": []}\n'}),
  BadInput("distil", f"{RANKING} --unlabelled ranked.jsonl --dev a.jsonl", "a.jsonl", {"a.jsonl": '{"query": "hello", "passages": ["world", "hello"], "scores": [1]}\n'}),
  BadInput("distil", f"{RANKING} --train train.csv", "give queries with passages as --unlabelled"),
]  # fmt: skip
OTHERS = [
  BadInput("predict", f"{PREDICT} no.csv", "no.csv: no such file"),
  BadInput("predict", f"{PREDICT} dev.csv --max-length 500", "--max-length 500: the model has positions for 128"),
  BadInput("predict", f"{PREDICT} dev.csv --text topics", "--text topics: dev.csv has no such column"),
  BadInput("predict", "--model encoder --out out/new.csv --data dev.csv", "encoder: "),
  BadInput("predict", "--model teacher --out out/new.npy --data dev.csv", ".npy holds embeddings"),
  BadInput("general", f"{GENERAL} --held-out 0.9", "--held-out 0.9: it must be from 0 to 0.5"),
  BadInput("general", f"{GENERAL} --max-length 99", "--max-length 99"),
  BadInput("general", f"{GENERAL} --weights 1 2", "--weights"),
  BadInput("general", f"{GENERAL} --batch-size 8 --accumulate 3", "--batch-size 8: it must be a multiple of"),
  BadInput("general", f"{GENERAL}", "corpus.txt: no text to train on", {"corpus.txt": "\n\n"}),
  BadInput("general", f"{GENERAL}", "no text to train on; there are 1 undecodable lines", {"corpus.txt": b"\xff\xfe\x00\xd8" * 9}),
  BadInput("general", f"{GENERAL} --warmup 1", "--warmup 1.0: it must be at least 0 and below 1"),
  BadInput("general", f"{GENERAL} --student student.json", "student.json"),
  BadInput("glue", "--task rte2 --data glue", "rte2: no such task"),
  BadInput("glue", RTE, "label is 'perhaps'", {"glue/RTE/train.tsv": "index\tsentence1\tsentence2\tlabel\n0\thello\tworld\tperhaps\n"}),
  BadInput("glue", RTE, "sentence2", {"glue/RTE/dev.tsv": "index\tsentence1\tlabel\n0\thello\tentailment\n"}),
  BadInput("glue", RTE, "train.tsv", {"glue/RTE/train.tsv": ""}),
  BadInput("glue", f"{RTE} --teacher three", "three"),
  BadInput("glue", "--task mnli --data glue --pretrained encoder --student student.json", "no folder MNLI there"),
  BadInput("augment", "--task rte --data glue --mlm encoder", "encoder: "),
  BadInput("augment", f"{AUGMENT} --task rte", "--task"),
  BadInput("augment", f"{AUGMENT} --replaced 1.5", "--replaced 1.5: it must be from 0 to 1"),
  BadInput("augment", f"{AUGMENT} --glove glove.txt", "glove.txt, line 2", {"glove.txt": "hello 1 2\nworld 2\n"}),
  BadInput("augment", f"{AUGMENT} --glove glove.txt", "glove.txt", {"glove.txt": "hello 1 nan\nworld 2 1\n"}),
  BadInput("mlm", f"{MLM} lines.txt --masked 1", "--masked 1.0: it must be above 0 and below 1"),
  BadInput("mlm", f"{MLM} few.txt", "few.txt: no text there", {"few.txt": "hello world hello world\n"}),
  BadInput("mlm", f"{MLM} train.csv", "train.csv: a text a line is needed"),
  BadInput("trim", TRIM, "give either --vocabulary"),
  BadInput("trim", f"{TRIM} --vocabulary 4", "4"),
  BadInput("trim", f"{TRIM} --vocabulary 20 --held-out 1", "--held-out 1.0"),
  BadInput("export", "--model encoder --calibrate dev.csv", "--calibrate measures what --int8 loses"),
  BadInput("export", "--model teacher --int8 --calibrate no.csv", "no.csv: no such file"),
  BadInput("export", "--model teacher --web --fp16", "--web writes a page with 8-bit integers alone"),
  BadInput("export", "--model teacher --web --calibrate dev.csv", "has other files in it"),
  BadInput("squad", "--pretrained encoder --data squad --version 2.0", "train-v2.0.json"),
  BadInput("squad", "--pretrained encoder --data squad --student student.json --max-length 64", "train-v1.1.json", {"squad/train-v1.1.json": "[]"}),
  BadInput("ablations", "--tasks rte nothing --data glue", "nothing: no such task"),
  BadInput("ablations", "--tasks rte --data glue --pretrained encoder --student student.json --seeds 1 1", "--seeds"),
]  # fmt: skip
ALL = [*TABLES, *LABELS, *MODELS, *OPTIONS, *KINDS, *OTHERS]
